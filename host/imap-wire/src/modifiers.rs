//! What FETCH is told beside its items.

use crate::command::By;
use crate::cursor::{Cursor, ParseError};
use crate::partial::{PartialRange, partial_range};

/// The modifiers of FETCH.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FetchModifiers {
    /// `CHANGEDSINCE`: only messages that changed after this (RFC 7162 §3.1.4.1).
    pub changed_since: Option<u64>,
    /// `VANISHED`: expunged messages are told, too (RFC 7162 §3.2.6); only of UID FETCH with `CHANGEDSINCE`.
    pub vanished: bool,
    /// `PARTIAL`: only these of the messages that the set names (RFC 9394 §3.3); only of UID FETCH.
    pub partial: Option<PartialRange>,
}

/// ```text
/// fetch-modifiers = SP "(" fetch-modifier *(SP fetch-modifier) ")" ; RFC 4466 §2.4
/// fetch-modifier  =/ "CHANGEDSINCE" SP mod-sequence-value / "VANISHED" / "PARTIAL" SP partial-range
/// ```
pub(crate) fn fetch_modifiers(cursor: &mut Cursor<'_>, by: By) -> Result<FetchModifiers, ParseError> {
    let mut modifiers = FetchModifiers::default();
    if !cursor.take(b' ') {
        return Ok(modifiers);
    }
    let unfit = cursor.expected("VANISHED with UID FETCH and CHANGEDSINCE only");
    cursor.list(1, "fetch modifiers", |cursor| {
        let wrong = cursor.expected("a fetch modifier");
        match cursor.word("a fetch modifier")?.to_ascii_uppercase().as_str() {
            "CHANGEDSINCE" if modifiers.changed_since.is_none() => {
                cursor.space()?;
                modifiers.changed_since = Some(cursor.modseq()?);
            }
            "VANISHED" => modifiers.vanished = true,
            "PARTIAL" if by == By::Uid && modifiers.partial.is_none() => {
                cursor.space()?;
                modifiers.partial = Some(partial_range(cursor)?);
            }
            _ => return wrong,
        }
        Ok(())
    })?;
    if modifiers.vanished && (by != By::Uid || modifiers.changed_since.is_none()) {
        return unfit;
    }
    Ok(modifiers)
}

impl FetchModifiers {
    /// Writes them as a client does.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut words = Vec::new();
        words.extend(self.changed_since.map(|modseq| format!("CHANGEDSINCE {modseq}")));
        words.extend(self.vanished.then(|| "VANISHED".to_owned()));
        words.extend(self.partial.map(|range| format!("PARTIAL {range}")));
        if !words.is_empty() {
            out.extend_from_slice(format!(" ({})", words.join(" ")).as_bytes());
        }
    }
}
