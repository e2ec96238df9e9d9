//! NOTIFY: of what a client wants to hear, and in which mailboxes (RFC 5465).

use crate::cursor::{Cursor, ParseError};
use crate::fetch::{FetchItem, fetch_item};
use crate::mailbox::{MailboxName, mailbox};

/// The arguments of NOTIFY (RFC 5465 §3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyCommand {
    /// `NONE`: of nothing any more.
    None,
    /// `SET`
    Set {
        /// `STATUS`: the mailboxes' numbers at first.
        status: bool,
        /// Mailboxes with what is of interest there.
        groups: Vec<EventGroup>,
    },
}

/// Mailboxes, and what is of interest there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventGroup {
    /// Where.
    pub mailboxes: EventMailboxes,
    /// What; empty for `NONE`.
    pub events: Vec<NotifyEvent>,
}

/// Where something happens (RFC 5465 §6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventMailboxes {
    /// The selected one, at once.
    Selected,
    /// The selected one; expunges when they may be told.
    SelectedDelayed,
    /// Those of one's own that mail is delivered to.
    Inboxes,
    /// All of one's own.
    Personal,
    /// All that are subscribed to.
    Subscribed,
    /// These and all below them.
    Subtree(Vec<MailboxName>),
    /// These.
    Mailboxes(Vec<MailboxName>),
}

/// What happens (RFC 5465 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyEvent {
    /// A message came; with what is to be told of it, in the selected mailbox.
    MessageNew(Vec<FetchItem>),
    /// A message went.
    MessageExpunge,
    /// Flags changed.
    FlagChange,
    /// A mailbox was made, deleted or renamed.
    MailboxName,
    /// A subscription began or ended.
    SubscriptionChange,
    /// An annotation of a mailbox changed.
    MailboxMetadataChange,
    /// An annotation of the server changed.
    ServerMetadataChange,
    /// Another one, that is not known here: `AnnotationChange` and later ones.
    Other(String),
}

/// The events that are known, by their names.
const KNOWN: [(&str, NotifyEvent); 7] = [
    ("MessageNew", NotifyEvent::MessageNew(Vec::new())),
    ("MessageExpunge", NotifyEvent::MessageExpunge),
    ("FlagChange", NotifyEvent::FlagChange),
    ("MailboxName", NotifyEvent::MailboxName),
    ("SubscriptionChange", NotifyEvent::SubscriptionChange),
    ("MailboxMetadataChange", NotifyEvent::MailboxMetadataChange),
    ("ServerMetadataChange", NotifyEvent::ServerMetadataChange),
];

impl NotifyEvent {
    /// The names of the events that are known, for `BADEVENT` (RFC 5465 §3.1).
    #[must_use]
    pub fn known() -> Vec<&'static str> {
        KNOWN.iter().map(|(name, _)| *name).collect()
    }

    /// Whether it is about messages, and so may be asked for of the selected mailbox.
    #[must_use]
    pub fn is_of_messages(&self) -> bool {
        matches!(self, Self::MessageNew(_) | Self::MessageExpunge | Self::FlagChange)
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::MessageNew(_) => "MessageNew",
            Self::Other(name) => name,
            known => KNOWN.iter().find(|(_, event)| event == known).map_or("", |(name, _)| name),
        }
    }
}

/// ```text
/// notify           = "NOTIFY" SP ("SET" [SP "STATUS"] SP event-groups / "NONE") ; RFC 5465 §8
/// event-groups     = event-group *(SP event-group)
/// event-group      = "(" filter-mailboxes SP events ")"
/// filter-mailboxes = "selected" / "selected-delayed" / "inboxes" / "personal" / "subscribed" /
///                    ("subtree" / "mailboxes") SP (mailbox / "(" mailbox *(SP mailbox) ")")
/// events           = ("(" event *(SP event) ")") / "NONE"
/// ```
pub(crate) fn notify(cursor: &mut Cursor<'_>) -> Result<NotifyCommand, ParseError> {
    cursor.space()?;
    if cursor.take_word("NONE") {
        return Ok(NotifyCommand::None);
    }
    if !cursor.take_word("SET") {
        return cursor.expected("SET or NONE");
    }
    let status = cursor.take_word(" STATUS");
    let mut groups = Vec::new();
    while cursor.take(b' ') {
        if groups.len() == cursor.limits.list_items {
            return Err(ParseError::TooMany("event groups"));
        }
        groups.push(event_group(cursor)?);
    }
    if groups.is_empty() {
        cursor.expected("an event group")
    } else {
        Ok(NotifyCommand::Set { status, groups })
    }
}

fn event_group(cursor: &mut Cursor<'_>) -> Result<EventGroup, ParseError> {
    cursor.must(b'(', "an event group")?;
    let wrong = cursor.expected("which mailboxes");
    let mailboxes = match cursor.word("which mailboxes")?.to_ascii_uppercase().as_str() {
        "SELECTED" => EventMailboxes::Selected,
        "SELECTED-DELAYED" => EventMailboxes::SelectedDelayed,
        "INBOXES" => EventMailboxes::Inboxes,
        "PERSONAL" => EventMailboxes::Personal,
        "SUBSCRIBED" => EventMailboxes::Subscribed,
        "SUBTREE" => EventMailboxes::Subtree(names(cursor)?),
        "MAILBOXES" => EventMailboxes::Mailboxes(names(cursor)?),
        _ => return wrong,
    };
    cursor.space()?;
    let events = if cursor.peek() == Some(b'(') {
        cursor.list(1, "events", event)?
    } else if cursor.take_word("NONE") {
        Vec::new()
    } else {
        // The standard's first example has them without their own parentheses.
        let mut events = vec![event(cursor)?];
        while cursor.take(b' ') {
            if events.len() == cursor.limits.list_items {
                return Err(ParseError::TooMany("events"));
            }
            events.push(event(cursor)?);
        }
        events
    };
    cursor.must(b')', "the end of the event group")?;
    Ok(EventGroup { mailboxes, events })
}

fn names(cursor: &mut Cursor<'_>) -> Result<Vec<MailboxName>, ParseError> {
    cursor.space()?;
    if cursor.peek() == Some(b'(') {
        cursor.list(1, "mailboxes", mailbox)
    } else {
        Ok(vec![mailbox(cursor)?])
    }
}

/// `message-event = "MessageNew" [SP "(" fetch-att *(SP fetch-att) ")"] / …`
fn event(cursor: &mut Cursor<'_>) -> Result<NotifyEvent, ParseError> {
    let name = cursor.atom("an event")?;
    if name.eq_ignore_ascii_case("MessageNew") {
        let items = if cursor.take_word(" (") { cursor.list_rest(fetch_item)? } else { Vec::new() };
        return Ok(NotifyEvent::MessageNew(items));
    }
    let known = KNOWN.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    Ok(known.map_or_else(|| NotifyEvent::Other(name.to_owned()), |(_, event)| event))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Command, Limits, encode_command, parse};

    fn canonical(line: &str) -> String {
        let tagged = parse(line.as_bytes(), &Limits::default()).unwrap_or_else(|e| panic!("{line}: {e:?}"));
        String::from_utf8(encode_command(&tagged.tag, &tagged.command)).unwrap().trim_end().to_owned()
    }

    #[test]
    fn commands_of_the_standard_read_and_write_back() {
        for (line, same) in [
            (
                "b notify set status (selected MessageNew (uid body.peek[header.fields (from to subject)]) \
                 MessageExpunge) (subtree Lists MessageNew)",
                "b NOTIFY SET STATUS (SELECTED (MessageNew (UID BODY.PEEK[HEADER.FIELDS (from to subject)]) \
                 MessageExpunge)) (SUBTREE (Lists) (MessageNew))",
            ),
            (
                "a notify set (mailboxes INBOX (Messagenew messageExpunge)) (personal (SubscriptionChange))",
                "a NOTIFY SET (MAILBOXES (INBOX) (MessageNew MessageExpunge)) (PERSONAL (SubscriptionChange))",
            ),
            ("a NOTIFY NONE", "a NOTIFY NONE"),
            ("a NOTIFY SET (selected-delayed none)", "a NOTIFY SET (SELECTED-DELAYED NONE)"),
            (
                "a NOTIFY SET (subtree (a \"b c\") (AnnotationChange MailboxName))",
                "a NOTIFY SET (SUBTREE (a \"b c\") (AnnotationChange MailboxName))",
            ),
        ] {
            assert_eq!(canonical(line), same);
        }
        for line in [
            "a NOTIFY",
            "a NOTIFY SET",
            "a NOTIFY SET STATUS",
            "a NOTIFY SET ()",
            "a NOTIFY SET (everywhere (MessageNew))",
            "a NOTIFY SET (personal)",
            "a NOTIFY SET (personal ())",
            "a NOTIFY SET (subtree (MessageNew))",
            "a NOTIFY SET (personal (MessageNew ()))",
            "a NOTIFY SET (personal (MessageNew (ALL)))",
            "a NOTIFY SET (personal (MessageNew)) x",
            "a NOTIFY NONE x",
        ] {
            assert!(parse(line.as_bytes(), &Limits::default()).is_err(), "{line}");
        }
        let many = format!("a NOTIFY SET{}", " (personal NONE)".repeat(501));
        assert!(parse(many.as_bytes(), &Limits::default()).is_err());
        assert_eq!(NotifyEvent::known().len(), 7);
        assert!(matches!(
            parse(b"a NOTIFY NONE", &Limits::default()).unwrap().command,
            Command::Notify(NotifyCommand::None)
        ));
    }
}
