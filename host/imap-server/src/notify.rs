//! What a client wants to hear of unasked (RFC 5465), as groups of mailboxes with events.
//!
//! A session that has not used NOTIFY holds nothing of this. One that has holds what it asked for and a feed of
//! its accounts: what happens comes there, and is matched with the groups when it is told.

use std::collections::BTreeSet;
use std::sync::Arc;

use imap_wire::{EventGroup, EventMailboxes, FetchItem, MailboxName, NotifyEvent, Tag};
use store::Feed;

use crate::pattern::DELIMITER;
use crate::selected::Wishes;

/// What is of interest in a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Interest {
    /// New messages and expunges.
    pub(crate) messages: bool,
    pub(crate) flags: bool,
    pub(crate) names: bool,
    pub(crate) subscriptions: bool,
    pub(crate) metadata: bool,
}

impl Interest {
    pub(crate) fn is_any(self) -> bool {
        self != Self::default()
    }

    fn with(self, other: Self) -> Self {
        Self {
            messages: self.messages || other.messages,
            flags: self.flags || other.flags,
            names: self.names || other.names,
            subscriptions: self.subscriptions || other.subscriptions,
            metadata: self.metadata || other.metadata,
        }
    }
}

/// Why a NOTIFY is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// An event that is not known.
    UnknownEvent,
    /// It breaks a rule.
    Bad(&'static str),
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Groups {
    groups: Vec<(EventMailboxes, Interest)>,
    /// Annotations of the server.
    pub(crate) server_metadata: bool,
    /// What is fetched of new messages in the selected mailbox.
    pub(crate) items: Vec<FetchItem>,
    /// What the person subscribes to, where that counts.
    pub(crate) subscriptions: BTreeSet<String>,
}

/// What a session that has used NOTIFY holds.
pub(crate) struct Notify {
    /// The tag of the command: responses outside of commands have none.
    pub(crate) tag: Tag,
    pub(crate) wishes: Wishes,
    pub(crate) groups: Groups,
    /// What happens is told at once; else with the next answer.
    pub(crate) at_once: bool,
    /// None after `NOTIFY NONE`.
    pub(crate) feed: Option<Feed>,
    /// Names of mailboxes of others that the person may look up: of others nothing is told.
    pub(crate) foreign: BTreeSet<String>,
    pub(crate) items: Arc<[FetchItem]>,
}

impl Notify {
    /// Of nothing.
    pub(crate) fn none(tag: &Tag) -> Self {
        Self {
            tag: tag.clone(),
            wishes: Wishes::NONE,
            groups: Groups::default(),
            at_once: true,
            feed: None,
            foreign: BTreeSet::new(),
            items: Arc::new([]),
        }
    }
}

impl Groups {
    /// Takes groups that keep the rules (RFC 5465 §5, §6.1), and what they say of the selected mailbox.
    pub(crate) fn new(asked: Vec<EventGroup>) -> Result<(Self, Wishes), Refused> {
        let events = asked.iter().flat_map(|group| &group.events);
        if events.clone().any(|event| matches!(event, NotifyEvent::Other(_))) {
            return Err(Refused::UnknownEvent);
        }
        let (mut groups, mut wishes, mut has_selected) = (Self::default(), Wishes::NONE, false);
        for EventGroup { mailboxes, events } in asked {
            let is_selected = matches!(mailboxes, EventMailboxes::Selected | EventMailboxes::SelectedDelayed);
            let interest = interest(&events)?;
            if is_selected {
                if std::mem::replace(&mut has_selected, true) {
                    return Err(Refused::Bad("SELECTED and SELECTED-DELAYED: one of them, once"));
                }
                if !events.iter().all(NotifyEvent::is_of_messages) {
                    return Err(Refused::Bad("of the selected mailbox, events of messages are told only"));
                }
                groups.items = items(&events).cloned().unwrap_or_default();
                wishes = Wishes {
                    messages: interest.messages,
                    flags: interest.flags,
                    fetched: !groups.items.is_empty(),
                    delayed: mailboxes == EventMailboxes::SelectedDelayed,
                };
                continue;
            }
            if items(&events).is_some_and(|items| !items.is_empty()) {
                return Err(Refused::Bad("messages are fetched in the selected mailbox only"));
            }
            groups.server_metadata |= events.contains(&NotifyEvent::ServerMetadataChange);
            groups.groups.push((mailboxes, interest));
        }
        Ok((groups, wishes))
    }

    /// Annotations of whatever the person may know of, and of the server (RFC 5464 §4.1).
    pub(crate) fn annotations() -> Self {
        let all = EventMailboxes::Subtree(vec![MailboxName::new("")]);
        let interest = Interest { metadata: true, ..Interest::default() };
        Self { groups: vec![(all, interest)], server_metadata: true, ..Self::default() }
    }

    /// Whether it matters what the person subscribes to.
    pub(crate) fn follow_subscriptions(&self) -> bool {
        self.groups.iter().any(|(mailboxes, _)| *mailboxes == EventMailboxes::Subscribed)
    }

    /// Names of mailboxes of others that were given by name.
    pub(crate) fn named(&self) -> impl Iterator<Item = &str> {
        let names = self.groups.iter().flat_map(|(mailboxes, _)| match mailboxes {
            EventMailboxes::Mailboxes(names) | EventMailboxes::Subtree(names) => names.as_slice(),
            _ => &[],
        });
        names.map(MailboxName::as_str).chain(self.subscriptions.iter().map(String::as_str))
    }

    /// What is of interest in a mailbox, under the name that the person calls it.
    pub(crate) fn interest_in(&self, name: &str, is_own: bool) -> Interest {
        let matches = |mailboxes: &EventMailboxes| match mailboxes {
            // Rules may put mail into any mailbox (RFC 5465 §6.3).
            EventMailboxes::Inboxes | EventMailboxes::Personal => is_own,
            EventMailboxes::Subscribed => self.subscriptions.contains(name),
            EventMailboxes::Subtree(names) => names.iter().any(|root| is_at_or_below(name, root.as_str())),
            EventMailboxes::Mailboxes(names) => names.iter().any(|known| known.as_str() == name),
            EventMailboxes::Selected | EventMailboxes::SelectedDelayed => false,
        };
        let matching = self.groups.iter().filter(|(mailboxes, _)| matches(mailboxes));
        matching.fold(Interest::default(), |all, (_, interest)| all.with(*interest))
    }
}

fn is_at_or_below(name: &str, root: &str) -> bool {
    let root = root.trim_end_matches(DELIMITER);
    match name.strip_prefix(root) {
        Some(rest) => root.is_empty() || rest.is_empty() || rest.starts_with(DELIMITER),
        None => false,
    }
}

fn items(events: &[NotifyEvent]) -> Option<&Vec<FetchItem>> {
    events.iter().find_map(|event| match event {
        NotifyEvent::MessageNew(items) => Some(items),
        _ => None,
    })
}

/// RFC 5465 §5: new messages and expunges come together, and flags with both.
fn interest(events: &[NotifyEvent]) -> Result<Interest, Refused> {
    let has = |event: &NotifyEvent| events.contains(event);
    let (new, expunged) = (items(events).is_some(), has(&NotifyEvent::MessageExpunge));
    let flags = has(&NotifyEvent::FlagChange);
    if new != expunged || (flags && !new) {
        return Err(Refused::Bad("MessageNew and MessageExpunge come together, and FlagChange with both"));
    }
    Ok(Interest {
        messages: new,
        flags,
        names: has(&NotifyEvent::MailboxName),
        subscriptions: has(&NotifyEvent::SubscriptionChange),
        metadata: has(&NotifyEvent::MailboxMetadataChange),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use imap_wire::{Command, Limits, NotifyCommand, parse};

    fn groups(text: &str) -> Result<(Groups, Wishes), Refused> {
        let line = format!("a NOTIFY SET {text}");
        match parse(line.as_bytes(), &Limits::default()).unwrap().command {
            Command::Notify(NotifyCommand::Set { groups, .. }) => Groups::new(groups),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn groups_keep_the_rules() {
        for text in [
            "(personal (MessageNew))",
            "(personal (MessageExpunge))",
            "(personal (FlagChange))",
            "(personal (MessageNew (UID) MessageExpunge))",
            "(selected (MessageNew MessageExpunge MailboxName))",
            "(selected NONE) (selected-delayed NONE)",
        ] {
            assert!(matches!(groups(text), Err(Refused::Bad(_))), "{text}");
        }
        for text in ["(personal (AnnotationChange))", "(selected (MessageNew MessageExpunge X-Other))"] {
            assert_eq!(groups(text), Err(Refused::UnknownEvent), "{text}");
        }
        let (found, wishes) = groups("(selected-delayed (MessageNew (UID) MessageExpunge))").unwrap();
        let expected = Wishes { messages: true, flags: false, fetched: true, delayed: true };
        assert_eq!((wishes, found.items), (expected, vec![FetchItem::Uid]));
        assert_eq!(groups("(personal (MailboxName))").unwrap().1, Wishes::NONE);
    }

    #[test]
    fn groups_add_up() {
        let (mut found, _) = groups(
            "(mailboxes INBOX (MessageNew MessageExpunge)) (personal (SubscriptionChange)) (subtree (a user/ben/x) \
             (MailboxName ServerMetadataChange)) (subscribed (MailboxMetadataChange))",
        )
        .unwrap();
        found.subscriptions.insert("a/b".to_owned());
        assert!(found.server_metadata && found.follow_subscriptions());
        let shown = |name: &str, is_own| {
            let Interest { messages, names, subscriptions, metadata, .. } = found.interest_in(name, is_own);
            [messages, names, subscriptions, metadata].map(u8::from)
        };
        assert_eq!(shown("INBOX", true), [1, 0, 1, 0]);
        assert_eq!(shown("a", true), [0, 1, 1, 0]);
        assert_eq!(shown("a/b", true), [0, 1, 1, 1]);
        assert_eq!(shown("ab", true), [0, 0, 1, 0]);
        assert_eq!(shown("user/ben/x/y", false), [0, 1, 0, 0]);
        assert_eq!(shown("user/ben", false), [0; 4]);
        let all = Groups::annotations().interest_in("user/ben/x", false);
        assert_eq!(all, Interest { metadata: true, ..Interest::default() });
        assert_eq!(found.named().collect::<Vec<_>>(), ["INBOX", "a", "user/ben/x", "a/b"]);
    }
}
