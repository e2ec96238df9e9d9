//! LIST and its options.

use crate::cursor::{Cursor, ParseError, is_list_char};
use crate::mailbox::{MailboxName, decode_name, mailbox};
use crate::status::{StatusItem, status_items};

/// Which mailboxes LIST chooses from (RFC 5258 §3.1, RFC 6154 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListSelection {
    /// `SUBSCRIBED`
    Subscribed,
    /// `REMOTE`
    Remote,
    /// `RECURSIVEMATCH`
    RecursiveMatch,
    /// `SPECIAL-USE`
    SpecialUse,
}

/// What else LIST tells of a mailbox (RFC 5258 §3.2, RFC 6154 §3, RFC 5819).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListReturn {
    /// `SUBSCRIBED`
    Subscribed,
    /// `CHILDREN`
    Children,
    /// `SPECIAL-USE`
    SpecialUse,
    /// `MYRIGHTS` (RFC 8440)
    MyRights,
    /// `STATUS (…)`
    Status(Vec<StatusItem>),
}

/// The arguments of LIST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListCommand {
    /// Selection options; none in the plain form.
    pub selection: Vec<ListSelection>,
    /// Where patterns begin.
    pub reference: MailboxName,
    /// Patterns, in UTF-8: at least one; `*` and `%` are wildcards (RFC 3501 §6.3.8).
    pub patterns: Vec<String>,
    /// Return options; `None` where there was no `RETURN`.
    pub returns: Option<Vec<ListReturn>>,
}

/// ```text
/// list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts] ; RFC 5258 §6
/// mbox-or-pat      = list-mailbox / patterns
/// patterns         = "(" list-mailbox *(SP list-mailbox) ")"
/// list-return-opts = "RETURN" SP "(" [return-option *(SP return-option)] ")"
/// ```
pub(crate) fn list(cursor: &mut Cursor<'_>) -> Result<ListCommand, ParseError> {
    let mut selection = Vec::new();
    if cursor.peek() == Some(b'(') {
        selection = cursor.list(0, "selection options", selection_option)?;
        cursor.space()?;
    }
    let reference = mailbox(cursor)?;
    cursor.space()?;
    let patterns = if cursor.peek() == Some(b'(') {
        cursor.list(1, "patterns", list_mailbox)?
    } else {
        vec![list_mailbox(cursor)?]
    };
    let returns = if cursor.take_word(" RETURN ") {
        Some(cursor.list(0, "return options", return_option)?)
    } else {
        None
    };
    Ok(ListCommand { selection, reference, patterns, returns })
}

fn selection_option(cursor: &mut Cursor<'_>) -> Result<ListSelection, ParseError> {
    let wrong = cursor.expected("a selection option");
    match cursor.word("a selection option")?.to_ascii_uppercase().as_str() {
        "SUBSCRIBED" => Ok(ListSelection::Subscribed),
        "REMOTE" => Ok(ListSelection::Remote),
        "RECURSIVEMATCH" => Ok(ListSelection::RecursiveMatch),
        "SPECIAL-USE" => Ok(ListSelection::SpecialUse),
        _ => wrong,
    }
}

fn return_option(cursor: &mut Cursor<'_>) -> Result<ListReturn, ParseError> {
    let wrong = cursor.expected("a return option");
    match cursor.word("a return option")?.to_ascii_uppercase().as_str() {
        "SUBSCRIBED" => Ok(ListReturn::Subscribed),
        "CHILDREN" => Ok(ListReturn::Children),
        "SPECIAL-USE" => Ok(ListReturn::SpecialUse),
        "MYRIGHTS" => Ok(ListReturn::MyRights),
        "STATUS" => {
            cursor.space()?;
            status_items(cursor).map(ListReturn::Status)
        }
        _ => wrong,
    }
}

/// ```text
/// list-mailbox    = 1*list-char / string
/// ```
pub(crate) fn list_mailbox(cursor: &mut Cursor<'_>) -> Result<String, ParseError> {
    let octets = match cursor.peek() {
        Some(b'"' | b'{') => cursor.string("a pattern")?,
        Some(octet) if is_list_char(octet) => cursor.take_while(is_list_char).to_vec(),
        _ => return cursor.expected("a pattern"),
    };
    decode_name(&octets, cursor.limits)
}
