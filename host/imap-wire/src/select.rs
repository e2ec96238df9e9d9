//! What SELECT and EXAMINE are told beside the mailbox.

use crate::cursor::{Cursor, ParseError};
use crate::sequence::{SequenceSet, numbers};

/// The parameters of SELECT and EXAMINE (RFC 7162 §3.1.8, §3.2.5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SelectParameters {
    /// `CONDSTORE`: mod-sequences are wanted.
    pub condstore: bool,
    /// `QRESYNC (…)`: what the client knows already.
    pub qresync: Option<Qresync>,
}

/// What a client that comes back knows of a mailbox (RFC 7162 §3.2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qresync {
    /// The UIDVALIDITY of its UIDs.
    pub uid_validity: u32,
    /// It knows all changes up to here.
    pub modseq: u64,
    /// Which messages it asks about; all, where none are named.
    pub known_uids: Option<SequenceSet>,
    /// Sequence numbers, and the UIDs that they had (§3.2.5.2).
    pub matches: Option<(SequenceSet, SequenceSet)>,
}

/// ```text
/// select-params = SP "(" select-param *(SP select-param) ")" ; RFC 4466 §2.1
/// select-param  =/ "CONDSTORE" / "QRESYNC" SP "(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"
/// ```
pub(crate) fn select_parameters(cursor: &mut Cursor<'_>) -> Result<SelectParameters, ParseError> {
    let mut parameters = SelectParameters::default();
    if !cursor.take(b' ') {
        return Ok(parameters);
    }
    cursor.list(1, "a list of parameters", |cursor| {
        let wrong = cursor.expected("CONDSTORE or QRESYNC");
        match cursor.word("a parameter")?.to_ascii_uppercase().as_str() {
            "CONDSTORE" => parameters.condstore = true,
            "QRESYNC" if parameters.qresync.is_none() => {
                cursor.space()?;
                parameters.qresync = Some(qresync(cursor)?);
            }
            _ => return wrong,
        }
        Ok(())
    })?;
    Ok(parameters)
}

fn qresync(cursor: &mut Cursor<'_>) -> Result<Qresync, ParseError> {
    cursor.must(b'(', "what is known of the mailbox")?;
    let uid_validity = cursor.nz_number()?;
    cursor.space()?;
    let modseq = cursor.modseq()?;
    let (mut known_uids, mut matches) = (None, None);
    if cursor.take(b' ') {
        if cursor.peek() != Some(b'(') {
            known_uids = Some(numbers(cursor)?);
        }
        if known_uids.is_none() || cursor.take(b' ') {
            matches = Some(match_data(cursor)?);
        }
    }
    cursor.must(b')', "the end of what is known")?;
    Ok(Qresync { uid_validity, modseq, known_uids, matches })
}

/// `seq-match-data = "(" known-sequence-set SP known-uid-set ")"`
fn match_data(cursor: &mut Cursor<'_>) -> Result<(SequenceSet, SequenceSet), ParseError> {
    cursor.must(b'(', "sequence numbers and their UIDs")?;
    let sequences = numbers(cursor)?;
    cursor.space()?;
    let uids = numbers(cursor)?;
    cursor.must(b')', "the end of the numbers")?;
    Ok((sequences, uids))
}

impl SelectParameters {
    /// Writes them as a client does.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut words = Vec::new();
        if self.condstore {
            words.push("CONDSTORE".to_owned());
        }
        if let Some(known) = &self.qresync {
            let uids = known.known_uids.as_ref().map(|uids| format!(" {uids}")).unwrap_or_default();
            let matches = known.matches.as_ref().map(|(a, b)| format!(" ({a} {b})")).unwrap_or_default();
            words.push(format!("QRESYNC ({} {}{uids}{matches})", known.uid_validity, known.modseq));
        }
        if !words.is_empty() {
            out.extend_from_slice(format!(" ({})", words.join(" ")).as_bytes());
        }
    }
}
