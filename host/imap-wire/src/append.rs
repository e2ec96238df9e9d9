//! APPEND and REPLACE, up to their message.

use crate::command::{By, Tag};
use crate::cursor::{Cursor, ParseError};
use crate::date::{DateTime, date_time};
use crate::flag::{Flag, flag};
use crate::limits::Limits;
use crate::mailbox::{MailboxName, mailbox};
use crate::reader::{LiteralMode, literal_at_end};

/// The arguments of APPEND before its first message (RFC 3501 §6.3.11), and of REPLACE (RFC 8508).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The message of the selected mailbox that goes for it: REPLACE.
    pub replaces: Option<(By, u32)>,
    /// Where to.
    pub mailbox: MailboxName,
    /// The first message; others may follow it (RFC 3502).
    pub message: AppendMessage,
}

/// What is said of a message, and how it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendMessage {
    /// The flags; none where the client gave none.
    pub flags: Vec<Flag>,
    /// The internal date, where given.
    pub internal_date: Option<DateTime>,
    /// Octets of the message.
    pub octets: u64,
    /// Whether the client waits for a continuation.
    pub mode: LiteralMode,
    /// `~{…}`: it may have NUL in it (RFC 3516 §4.4).
    pub binary: bool,
    /// `UTF8 (~{…}`: a parenthesis closes behind the literal (RFC 6855 §4).
    pub utf8: bool,
}

impl Append {
    /// The command's name.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        if self.replaces.is_some() { "REPLACE" } else { "APPEND" }
    }
}

/// Reads `text`, a command that stops where a literal is announced: is that literal the message of
/// an APPEND or REPLACE? `None`: it is another command, or the mailbox is the literal.
///
/// ```text
/// append  = "APPEND" SP mailbox 1*append-message ; RFC 3502
/// replace = "REPLACE" SP seq-number SP mailbox append-message ; RFC 8508 §5, and with "UID" SP before it
/// append-message = [SP flag-list] [SP date-time] SP (literal / literal8 / "UTF8" SP "(" literal8 ")") ; RFC 6855 §4
/// ```
#[must_use]
pub fn parse_append(
    text: &[u8],
    octets: u64,
    mode: LiteralMode,
    limits: &Limits,
) -> Option<Result<(Tag, Append), (Tag, ParseError)>> {
    let (text, kind) = literal_kind(text);
    let mut cursor = Cursor::new(text, limits);
    let tag = cursor.tag().ok().and_then(Tag::new)?;
    if !cursor.take(b' ') {
        return None;
    }
    let replaces = if cursor.take_word("APPEND ") {
        None
    } else {
        let by = if cursor.take_word("UID ") { By::Uid } else { By::SequenceNumber };
        if !cursor.take_word("REPLACE ") {
            return None;
        }
        Some((by, cursor.nz_number().ok().filter(|_| cursor.take(b' '))?))
    };
    if cursor.is_at_end() {
        return None;
    }
    let read = |cursor: &mut Cursor<'_>| {
        let mailbox = mailbox(cursor)?;
        let message = message(cursor, octets, mode, kind)?;
        Ok(Append { replaces, mailbox, message })
    };
    Some(match read(&mut cursor) {
        Ok(append) => Ok((tag, append)),
        Err(error) => Err((tag, error)),
    })
}

/// Reads what follows a message on its line: another one (RFC 3502). `Ok(None)` where the command ends.
///
/// # Errors
/// What stands there is no message.
pub fn parse_next_message(line: &[u8], limits: &Limits) -> Result<Option<AppendMessage>, ParseError> {
    if line.is_empty() {
        return Ok(None);
    }
    let missing = ParseError::Expected { expected: "a message as literal, or the end", at: 0 };
    let (at, announced) = literal_at_end(line).ok_or(missing)?;
    let (text, kind) = literal_kind(&line[..at]);
    message(&mut Cursor::new(text, limits), announced.octets, announced.mode, kind).map(Some)
}

/// What stands right before a message's literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LiteralKind {
    Plain,
    /// `~`
    Binary,
    /// `UTF8 (~`
    Utf8,
}

fn literal_kind(text: &[u8]) -> (&[u8], LiteralKind) {
    const UTF8: &[u8] = b"UTF8 (~";
    if let Some(at) = text.len().checked_sub(UTF8.len())
        && text[at..].eq_ignore_ascii_case(UTF8)
    {
        return (&text[..at], LiteralKind::Utf8);
    }
    match text.strip_suffix(b"~") {
        Some(before) if before.ends_with(b" ") => (before, LiteralKind::Binary),
        _ => (text, LiteralKind::Plain),
    }
}

/// The text before a message's literal.
fn message(
    cursor: &mut Cursor<'_>,
    octets: u64,
    mode: LiteralMode,
    kind: LiteralKind,
) -> Result<AppendMessage, ParseError> {
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
        let (binary, utf8) = (kind == LiteralKind::Binary, kind == LiteralKind::Utf8);
        Ok(AppendMessage { flags, internal_date, octets, mode, binary, utf8 })
    } else {
        cursor.expected("a message as literal")
    }
}
