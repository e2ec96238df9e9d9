//! APPEND, up to its message.

use crate::command::Tag;
use crate::cursor::{Cursor, ParseError};
use crate::date::{DateTime, date_time};
use crate::flag::{Flag, flag};
use crate::limits::Limits;
use crate::mailbox::{MailboxName, mailbox};
use crate::reader::LiteralMode;

/// The arguments of APPEND before the message, and how the message comes (RFC 3501 §6.3.11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Where to.
    pub mailbox: MailboxName,
    /// The flags; none where the client gave none.
    pub flags: Vec<Flag>,
    /// The internal date, where given.
    pub internal_date: Option<DateTime>,
    /// Octets of the message.
    pub octets: u64,
    /// Whether the client waits for a continuation.
    pub mode: LiteralMode,
}

/// Reads `text`, a command that stops where a literal is announced: is that literal the message of
/// an APPEND? `None`: it is another command, or the mailbox of an APPEND is the literal.
///
/// ```text
/// append = "APPEND" SP mailbox [SP flag-list] [SP date-time] SP literal
/// ```
#[must_use]
pub fn parse_append(
    text: &[u8],
    octets: u64,
    mode: LiteralMode,
    limits: &Limits,
) -> Option<Result<(Tag, Append), (Tag, ParseError)>> {
    let mut cursor = Cursor::new(text, limits);
    let tag = cursor.tag().ok().and_then(Tag::new)?;
    if !cursor.take(b' ') || !cursor.take_word("APPEND ") || cursor.is_at_end() {
        return None;
    }
    Some(match head(&mut cursor) {
        Ok((mailbox, flags, internal_date)) => {
            Ok((tag, Append { mailbox, flags, internal_date, octets, mode }))
        }
        Err(error) => Err((tag, error)),
    })
}

type Head = (MailboxName, Vec<Flag>, Option<DateTime>);

fn head(cursor: &mut Cursor<'_>) -> Result<Head, ParseError> {
    let mailbox = mailbox(cursor)?;
    cursor.space()?;
    let mut flags = Vec::new();
    if cursor.peek() == Some(b'(') {
        flags = cursor.list(0, "a flag list", flag)?;
        cursor.space()?;
    }
    let mut internal_date = None;
    if cursor.peek() == Some(b'"') {
        internal_date = Some(date_time(cursor)?);
        cursor.space()?;
    }
    if cursor.is_at_end() {
        Ok((mailbox, flags, internal_date))
    } else {
        cursor.expected("a message as literal")
    }
}
