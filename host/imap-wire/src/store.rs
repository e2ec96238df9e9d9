//! The arguments of STORE.

use crate::command::By;
use crate::cursor::{Cursor, ParseError};
use crate::flag::{Flag, flag};
use crate::sequence::SequenceSet;

/// What STORE does with its flags (RFC 3501 §6.4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreAction {
    /// `FLAGS`
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

/// The arguments of STORE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// How `set` names messages.
    pub by: By,
    /// Which messages.
    pub set: SequenceSet,
    /// What to do.
    pub action: StoreAction,
    /// `.SILENT`: the new flags are not asked for.
    pub silent: bool,
    /// The flags.
    pub flags: Vec<Flag>,
    /// `UNCHANGEDSINCE`: messages that changed after this stay as they are (RFC 7162 §3.1.3).
    pub unchanged_since: Option<u64>,
}

/// ```text
/// store-modifiers = SP "(" store-modifier *(SP store-modifier) ")" ; RFC 4466 §2.5
/// store-modifier  =/ "UNCHANGEDSINCE" SP mod-sequence-valzer
/// store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag)))
/// ```
pub(crate) fn store(cursor: &mut Cursor<'_>, by: By, set: SequenceSet) -> Result<Store, ParseError> {
    let mut unchanged_since = None;
    if cursor.take_word("(UNCHANGEDSINCE ") {
        unchanged_since = Some(cursor.modseq()?);
        cursor.must(b')', "the end of the modifiers")?;
        cursor.space()?;
    }
    let action = match cursor.peek() {
        Some(b'+') => StoreAction::Add,
        Some(b'-') => StoreAction::Remove,
        _ => StoreAction::Replace,
    };
    if action != StoreAction::Replace {
        let _ = cursor.take(b'+') || cursor.take(b'-');
    }
    if !cursor.take_word("FLAGS") {
        return cursor.expected("FLAGS, +FLAGS or -FLAGS");
    }
    let silent = cursor.take_word(".SILENT");
    cursor.space()?;
    let mut flags = Vec::new();
    if cursor.peek() == Some(b'(') {
        flags = cursor.list(0, "a flag list", flag)?;
    } else {
        loop {
            if flags.len() == cursor.limits.list_items {
                return Err(ParseError::TooMany("flags"));
            }
            flags.push(flag(cursor)?);
            if !cursor.take(b' ') {
                break;
            }
        }
    }
    Ok(Store { by, set, action, silent, flags, unchanged_since })
}
