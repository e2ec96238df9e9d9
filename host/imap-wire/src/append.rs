//! APPEND and REPLACE, up to the octets of their messages: what comes between these, as steps.

use crate::command::{By, Tag};
use crate::cursor::{Cursor, ParseError};
use crate::date::{DateTime, date_time};
use crate::flag::{Flag, flag};
use crate::limits::Limits;
use crate::mailbox::{MailboxName, mailbox};
use crate::reader::{Announced, LiteralMode, literal_at_end};

/// Longest URL of CATENATE, in octets.
const URL_OCTETS_MAX: usize = 4 * 1024;

/// The arguments of APPEND up to its first literal (RFC 3501 §6.3.11), and of REPLACE (RFC 8508).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The message of the selected mailbox that goes for it: REPLACE.
    pub replaces: Option<(By, u32)>,
    /// Where to.
    pub mailbox: MailboxName,
    /// The first message, and others that follow it (RFC 3502): up to a literal, or to the end of the command.
    pub steps: Vec<AppendStep>,
}

/// A thing after another in which messages come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendStep {
    /// A message begins.
    Message(AppendMessage),
    /// Octets of it come now. The last step of its line; a message that is not put together ends with it.
    Literal(AppendLiteral),
    /// Octets of it are those of another message, or of a part (RFC 4469).
    Url(String),
    /// A message ends that is put together.
    End,
}

/// What is said of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendMessage {
    /// The flags; none where the client gave none.
    pub flags: Vec<Flag>,
    /// The internal date, where given.
    pub internal_date: Option<DateTime>,
    /// It is put together of parts, up to [`AppendStep::End`] (RFC 4469).
    pub catenated: bool,
}

/// How octets of a message come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendLiteral {
    /// How many.
    pub octets: u64,
    /// Whether the client waits for a continuation.
    pub mode: LiteralMode,
    /// `~{…}`: it may have NUL in it (RFC 3516 §4.4).
    pub binary: bool,
    /// `UTF8 (~{…}`: a parenthesis closes behind the literal (RFC 6855 §4).
    pub utf8: bool,
}

/// What a line behind a literal comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendRest {
    /// What follows; nothing where the command ends.
    Steps(Vec<AppendStep>),
    /// A URL comes as a literal of so many octets: read on with it, and with the line behind it.
    UrlLiteral(u64, LiteralMode),
}

impl Append {
    /// The command's name.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        if self.replaces.is_some() { "REPLACE" } else { "APPEND" }
    }
}

/// Reads `text`, a command that ends, or stops where a literal is announced: is it an APPEND or REPLACE that stops at
/// octets of a message, or ends? `None`: it is another command, or the literal is the mailbox, or a URL.
///
/// ```text
/// append  = "APPEND" SP mailbox 1*append-message ; RFC 3502
/// replace = "REPLACE" SP seq-number SP mailbox append-message ; RFC 8508 §5, and with "UID" SP before it
/// append-message = [SP flag-list] [SP date-time] SP append-data
/// append-data    = literal / literal8 / utf8-literal / "CATENATE" SP "(" cat-part *(SP cat-part) ")" ; RFC 4469 §5
/// utf8-literal   = "UTF8" SP "(" literal8 ")" ; RFC 6855 §4
/// cat-part       = "TEXT" SP literal / "URL" SP astring / utf8-literal
/// ```
pub(crate) fn parse_append(
    text: &[u8],
    announced: Option<Announced>,
    limits: &Limits,
) -> Option<Result<(Tag, Append), (Tag, ParseError)>> {
    let (text, literal) = split_literal(text, announced);
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
        Ok((mailbox, steps(cursor, false, literal)?))
    };
    match read(&mut cursor) {
        Ok((_, None)) => None,
        Ok((_, Some(steps))) if steps.is_empty() => None,
        Ok((mailbox, Some(steps))) => Some(Ok((tag, Append { replaces, mailbox, steps }))),
        Err(error) => Some(Err((tag, error))),
    }
}

/// Reads the line behind a literal, up to the next one: the rest of the message that is put together, and more messages.
/// Of a line that had URLs as literals, all of it with these.
///
/// # Errors
/// What stands there is neither.
pub fn parse_append_rest(line: &[u8], catenated: bool, limits: &Limits) -> Result<AppendRest, ParseError> {
    let announced = literal_at_end(line);
    let (text, literal) = match announced {
        Some((at, announced)) => split_literal(&line[..at], Some(announced)),
        None => (line, None),
    };
    let mut cursor = Cursor::new(text, limits);
    match (steps(&mut cursor, catenated, literal)?, announced) {
        (None, Some((_, announced))) => Ok(AppendRest::UrlLiteral(announced.octets, announced.mode)),
        (steps, _) => Ok(AppendRest::Steps(steps.unwrap_or_default())),
    }
}

/// Takes off what stands right before a literal and belongs to it.
fn split_literal(text: &[u8], announced: Option<Announced>) -> (&[u8], Option<AppendLiteral>) {
    const UTF8: &[u8] = b"UTF8 (~";
    let Some(Announced { octets, mode }) = announced else { return (text, None) };
    let literal = |binary, utf8| Some(AppendLiteral { octets, mode, binary, utf8 });
    if let Some(at) = text.len().checked_sub(UTF8.len())
        && text[at..].eq_ignore_ascii_case(UTF8)
    {
        return (&text[..at], literal(false, true));
    }
    match text.strip_suffix(b"~") {
        Some(before) if before.ends_with(b" ") => (before, literal(true, false)),
        _ => (text, literal(false, false)),
    }
}

/// The steps up to a literal of a message, or to the end; `None` where the literal is a URL.
fn steps(
    cursor: &mut Cursor<'_>,
    mut catenated: bool,
    mut literal: Option<AppendLiteral>,
) -> Result<Option<Vec<AppendStep>>, ParseError> {
    let mut steps = Vec::new();
    let mut is_first_part = false;
    loop {
        if steps.len() >= cursor.limits.list_items {
            return Err(ParseError::TooMany("parts"));
        }
        if catenated {
            if !is_first_part && cursor.take(b')') {
                steps.push(AppendStep::End);
                catenated = false;
                continue;
            }
            if !std::mem::take(&mut is_first_part) {
                cursor.space()?;
            }
            match part(cursor, &mut literal)? {
                Some(step @ AppendStep::Literal(_)) => {
                    steps.push(step);
                    return Ok(Some(steps));
                }
                Some(step) => steps.push(step),
                None => return Ok(None),
            }
        } else if cursor.is_at_end() && literal.is_none() {
            return Ok(Some(steps));
        } else {
            let message = message(cursor)?;
            (catenated, is_first_part) = (message.catenated, message.catenated);
            steps.push(AppendStep::Message(message));
            if !catenated {
                let missing = cursor.expected("a message as literal");
                let Some(literal) = literal.filter(|_| cursor.is_at_end()) else { return missing };
                steps.push(AppendStep::Literal(literal));
                return Ok(Some(steps));
            }
        }
    }
}

/// What is said of a message, before its octets.
fn message(cursor: &mut Cursor<'_>) -> Result<AppendMessage, ParseError> {
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
    Ok(AppendMessage { flags, internal_date, catenated: cursor.take_word("CATENATE (") })
}

/// A part of a message that is put together; `None` where it is a URL that comes as a literal.
fn part(
    cursor: &mut Cursor<'_>,
    literal: &mut Option<AppendLiteral>,
) -> Result<Option<AppendStep>, ParseError> {
    let missing = cursor.expected("TEXT with a literal, or URL");
    if cursor.take_word("URL ") {
        if cursor.is_at_end() && literal.is_some() {
            return Ok(None);
        }
        let wrong = cursor.expected("a URL");
        let url = cursor.astring("a URL")?;
        return match String::from_utf8(url) {
            Ok(url) if url.len() <= URL_OCTETS_MAX => Ok(Some(AppendStep::Url(url))),
            _ => wrong,
        };
    }
    let is_utf8 = literal.as_ref().is_some_and(|literal| literal.utf8);
    if !is_utf8 && !cursor.take_word("TEXT ") {
        return missing;
    }
    match literal.take().filter(|_| cursor.is_at_end()) {
        Some(literal) => Ok(Some(AppendStep::Literal(literal))),
        None => missing,
    }
}
