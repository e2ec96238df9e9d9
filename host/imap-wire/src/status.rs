//! What STATUS asks for.

use crate::cursor::{Cursor, ParseError};

/// An item of STATUS (RFC 3501 §6.3.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusItem {
    /// Number of messages.
    Messages,
    /// Messages with `\Recent`.
    Recent,
    /// The next UID.
    UidNext,
    /// The validity of UIDs.
    UidValidity,
    /// Messages without `\Seen`.
    Unseen,
    /// Octets of all messages (RFC 8438).
    Size,
    /// Messages with `\Deleted` (RFC 9051 §6.3.11).
    Deleted,
}

const NAMES: [(&str, StatusItem); 7] = [
    ("MESSAGES", StatusItem::Messages),
    ("RECENT", StatusItem::Recent),
    ("UIDNEXT", StatusItem::UidNext),
    ("UIDVALIDITY", StatusItem::UidValidity),
    ("UNSEEN", StatusItem::Unseen),
    ("SIZE", StatusItem::Size),
    ("DELETED", StatusItem::Deleted),
];

impl StatusItem {
    /// The item's word on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, item)| *item == self).map_or("", |(name, _)| name)
    }
}

/// ```text
/// status          = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"
/// ```
pub(crate) fn status_items(cursor: &mut Cursor<'_>) -> Result<Vec<StatusItem>, ParseError> {
    cursor.list(1, "a list of status items", |cursor| {
        let wrong = cursor.expected("a status item");
        let word = cursor.word("a status item")?;
        match NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
            Some((_, item)) => Ok(*item),
            None => wrong,
        }
    })
}
