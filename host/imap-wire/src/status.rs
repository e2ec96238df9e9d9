//! What STATUS asks for.

use std::fmt;

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
    /// Octets of messages with `\Deleted` (RFC 9208 §4.1.4).
    DeletedStorage,
    /// The last change (RFC 7162 §3.1.7).
    HighestModSeq,
    /// The mailbox's identifier (RFC 8474 §4.3).
    MailboxId,
    /// The largest message that APPEND takes (RFC 7889 §3.2).
    AppendLimit,
}

/// What STATUS tells of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusValue {
    /// A number.
    Number(u64),
    /// An identifier, told between parentheses.
    Id(String),
}

const NAMES: [(&str, StatusItem); 11] = [
    ("MESSAGES", StatusItem::Messages),
    ("RECENT", StatusItem::Recent),
    ("UIDNEXT", StatusItem::UidNext),
    ("UIDVALIDITY", StatusItem::UidValidity),
    ("UNSEEN", StatusItem::Unseen),
    ("SIZE", StatusItem::Size),
    ("DELETED", StatusItem::Deleted),
    ("DELETED-STORAGE", StatusItem::DeletedStorage),
    ("HIGHESTMODSEQ", StatusItem::HighestModSeq),
    ("MAILBOXID", StatusItem::MailboxId),
    ("APPENDLIMIT", StatusItem::AppendLimit),
];

impl StatusItem {
    /// The item's word on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, item)| *item == self).map_or("", |(name, _)| name)
    }
}

impl fmt::Display for StatusValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Id(id) => write!(f, "({id})"),
        }
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
