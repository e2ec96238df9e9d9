//! What the operator sees: lists, one message in full, sums by destination, trails.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use mail_types::{Address, Domain, QueueId, Route, Timestamp};
use serde::{Deserialize, Serialize};
use storage::{Snapshot, Storage, StorageError};

use crate::queue::Queue;
use crate::records::{
    self, Last, MESSAGES, RECIPIENTS, Record, State, StoredMessage, StoredState, TRAIL, from_value,
    read_recipient_key,
};
use crate::submission::Source;
use crate::trail::{Trail, TrailHead, TrailLine};
use crate::unreadable::{self, UNREADABLE_MAX, Unreadable};

/// Lines of one trail that are shown.
const TRAIL_LINES_MAX: usize = 10_000;

/// Which messages are meant; all conditions must hold, those on recipients for one and the same. A change is
/// made to those recipients only ([`Queue::change_some`]).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Only these.
    pub ids: Vec<QueueId>,
    /// The reverse path, without regard to case; `*` stands for any run of characters, `<>` is the null one.
    pub sender: Option<String>,
    /// A recipient's address, in the same way.
    pub recipient: Option<String>,
    /// A recipient's domain.
    pub domain: Option<Domain>,
    /// The channel of a recipient's route.
    pub channel: Option<String>,
    /// Accepted at least so long ago, in seconds.
    pub older_than_seconds: Option<u64>,
    /// Only held recipients, or only those that are not.
    pub held: Option<bool>,
}

/// A recipient as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedRecipient {
    /// The final address.
    pub address: Address,
    /// As the client gave it.
    pub original: Address,
    /// Where it goes.
    pub route: Route,
    /// Whether an operator set the route: then it stays, whatever rules and directory say.
    #[serde(default)]
    pub by_operator: bool,
    /// What it waits for.
    #[serde(flatten)]
    pub state: State,
    /// How often it was tried.
    pub attempts: u32,
    /// The last word about it.
    pub last: Option<Last>,
}

/// A message as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedMessage {
    /// Its id.
    pub id: QueueId,
    /// When it was accepted.
    pub arrived: Timestamp,
    /// Octets of its content.
    pub size: u64,
    /// Where reports go, with angle brackets.
    pub sender: String,
    /// Where it came from.
    pub source: Source,
    /// Its Message-ID field.
    pub message_id: Option<String>,
    /// Those recipients that something is left to do for.
    pub recipients: Vec<QueuedRecipient>,
    /// How many more there are whose records cannot be read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unreadable: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde hands it")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What a filter means, as a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// Messages, oldest first.
    pub messages: Vec<QueuedMessage>,
    /// What it may mean, too: that cannot be read.
    pub unreadable: Vec<Unreadable>,
}

/// What a filter means, to be acted on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meant {
    /// Messages, oldest first.
    pub ids: Vec<QueueId>,
    /// What it may mean, too: that cannot be read.
    pub unreadable: Vec<Unreadable>,
}

/// Sums for one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSummary {
    /// Where to.
    pub route: Route,
    /// Recipients that wait.
    pub waiting: u64,
    /// Recipients that are held.
    pub held: u64,
    /// When the oldest was accepted.
    pub oldest: Timestamp,
    /// When the next attempt is due.
    pub next_due: Option<Timestamp>,
    /// Until when the destination rests because it could not be reached.
    pub rests_until: Option<Timestamp>,
    /// The last answer of any.
    pub last: Option<String>,
}

/// Reads the queue of a storage, running or not.
pub struct Listing<'s> {
    pub(crate) storage: &'s Storage,
    now: Timestamp,
}

impl<'s> Listing<'s> {
    /// Over a storage, at a moment.
    #[must_use]
    pub fn new(storage: &'s Storage, now: Timestamp) -> Self {
        Self { storage, now }
    }

    /// Messages that the filter means, at most so many.
    pub fn list(&self, filter: &Filter, most: usize) -> Result<Listed, StorageError> {
        let mut messages = Vec::new();
        let unreadable = self.scan(filter, &mut |message| {
            messages.push(message);
            if messages.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(Listed { messages, unreadable })
    }

    /// The ids of all messages that the filter means: as many as the queue may hold.
    pub fn ids(&self, filter: &Filter) -> Result<Meant, StorageError> {
        let mut ids = Vec::new();
        let unreadable = self.scan(filter, &mut |message| {
            ids.push(message.id);
            ControlFlow::Continue(())
        })?;
        Ok(Meant { ids, unreadable })
    }

    /// Everything that cannot be read.
    pub fn unreadable(&self) -> Result<Vec<Unreadable>, StorageError> {
        unreadable::all(&self.storage.read()?)
    }

    fn scan(
        &self,
        filter: &Filter,
        visit: &mut dyn FnMut(QueuedMessage) -> ControlFlow<()>,
    ) -> Result<Vec<Unreadable>, StorageError> {
        let (view, mut broken, mut unreadable) = (self.storage.read()?, None, Vec::new());
        let mut doubt = |id, recipients| {
            if unreadable.len() < UNREADABLE_MAX {
                unreadable.push(Unreadable { id, recipients });
            }
        };
        view.scan(MESSAGES, &[], &[0xff; 9], &mut |key, value| {
            let Ok(key) = <[u8; 8]>::try_from(key) else { return ControlFlow::Continue(()) };
            let id = QueueId::from_u64(u64::from_be_bytes(key));
            if !filter.ids.is_empty() && !filter.ids.contains(&id) {
                return ControlFlow::Continue(());
            }
            match read_message(&view, id, value) {
                Ok(message) => {
                    if message.unreadable > 0 && filter.means_message(&message, self.now) {
                        doubt(id, Some(message.unreadable));
                    }
                    if filter.means(&message, self.now) {
                        return visit(message);
                    }
                }
                Err(StorageError::Corrupt(_)) => doubt(id, None),
                Err(error) => {
                    broken = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        broken.map_or(Ok(unreadable), Err)
    }

    /// One message.
    pub fn show(&self, id: QueueId) -> Result<Option<QueuedMessage>, StorageError> {
        let view = self.storage.read()?;
        let value = view.get(MESSAGES, &id.to_key())?;
        value.map(|value| read_message(&view, id, &value)).transpose()
    }

    /// Sums by route, the fullest first, of all that can be read.
    pub fn summary(&self) -> Result<Vec<RouteSummary>, StorageError> {
        let view = self.storage.read()?;
        let mut sums = BTreeMap::<Route, RouteSummary>::new();
        view.scan(RECIPIENTS, &[], &[0xff; 13], &mut |key, value| {
            if let (Some((id, _)), Ok(record)) = (read_recipient_key(key), Record::read(value)) {
                add(&mut sums, id, &record);
            }
            ControlFlow::Continue(())
        })?;
        let mut sums: Vec<RouteSummary> = sums.into_values().collect();
        sums.sort_by_key(|sum| std::cmp::Reverse(sum.waiting + sum.held));
        Ok(sums)
    }

    /// All that is known about a message, also after it is done.
    pub fn trail(&self, id: QueueId) -> Result<Trail, StorageError> {
        let view = self.storage.read()?;
        let head = match view.get(TRAIL, &id.to_key())? {
            Some(value) => Some(from_value::<TrailHead>("trail", &value)?),
            None => None,
        };
        let (mut lines, mut broken) = (Vec::new(), None);
        view.scan(TRAIL, &id.to_key(), &records::after(id), &mut |key, value| {
            if key.len() > 8 {
                match from_value::<TrailLine>("trail", value) {
                    Ok(line) => lines.push(line),
                    Err(error) => broken = Some(error),
                }
            }
            if lines.len() < TRAIL_LINES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        broken.map_or(Ok(Trail { id, head, lines }), Err)
    }
}

impl Queue {
    /// Reads what the queue holds.
    #[must_use]
    pub fn listing(&self) -> Listing<'_> {
        Listing::new(&self.inner.storage, self.inner.clock.now())
    }

    /// Sums by route, with the rests that are in force.
    pub fn summary(&self) -> Result<Vec<RouteSummary>, StorageError> {
        let mut sums = self.listing().summary()?;
        let (schedule, now) = (self.inner.schedule.lock(), self.inner.clock.now());
        for sum in &mut sums {
            sum.rests_until = schedule.rests_until(&sum.route, now);
        }
        Ok(sums)
    }

    /// How many attempts are under way.
    #[must_use]
    pub fn active(&self) -> usize {
        self.inner.schedule.lock().active()
    }
}

impl Filter {
    fn means(&self, message: &QueuedMessage, now: Timestamp) -> bool {
        let recipient = |one: &QueuedRecipient| {
            self.means_recipient(&one.address, &one.route, matches!(one.state, State::Held { .. }))
        };
        self.means_message(message, now) && message.recipients.iter().any(recipient)
    }

    /// Whether its conditions on what all recipients share hold.
    fn means_message(&self, message: &QueuedMessage, now: Timestamp) -> bool {
        let old = Duration::from_secs(self.older_than_seconds.unwrap_or(0));
        let sender = self.sender.as_ref().is_none_or(|sender| fits(sender, &message.sender));
        sender && now.since(message.arrived) >= old
    }

    /// Whether its conditions on recipients hold for a record.
    pub(crate) fn means_record(&self, record: &Record) -> bool {
        let held = matches!(record.state, StoredState::Held(_));
        self.means_recipient(&record.recipient.address, &record.route, held)
    }

    fn means_recipient(&self, address: &Address, route: &Route, held: bool) -> bool {
        let channel = |name: &String| route.channel.as_str().eq_ignore_ascii_case(name);
        self.recipient.as_ref().is_none_or(|wanted| fits(wanted, &address.to_string()))
            && self.domain.as_ref().is_none_or(|domain| address.domain == *domain)
            && self.channel.as_ref().is_none_or(channel)
            && self.held.is_none_or(|wanted| wanted == held)
    }
}

/// Whether a pattern means an address, both with or without angle brackets and without regard to case. `*` stands
/// for any run of characters.
pub(crate) fn fits(pattern: &str, address: &str) -> bool {
    let bare = |text: &str| text.trim_start_matches('<').trim_end_matches('>').to_lowercase();
    let (pattern, address) = (bare(pattern), bare(address));
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == address };
    let Some(mut rest) = address.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = tail.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        // The first place is as good as any: what follows may be as long as it likes.
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn read_message(view: &Snapshot, id: QueueId, value: &[u8]) -> Result<QueuedMessage, StorageError> {
    let stored = StoredMessage::read(id, value)?;
    let (mut recipients, mut unreadable) = (Vec::new(), 0);
    view.scan(RECIPIENTS, &id.to_key(), &records::after(id), &mut |_, value| {
        match Record::read(value) {
            Ok(record) => recipients.push(QueuedRecipient {
                state: State::from(&record.state),
                address: record.recipient.address,
                original: record.recipient.original,
                route: record.route,
                by_operator: record.later.rerouted,
                attempts: record.attempts,
                last: record.last,
            }),
            Err(_) => unreadable += 1,
        }
        ControlFlow::Continue(())
    })?;
    Ok(QueuedMessage {
        id,
        arrived: stored.message.arrived,
        size: stored.size,
        sender: stored.message.reverse_path.to_string(),
        source: stored.message.source,
        message_id: stored.message.message_id,
        recipients,
        unreadable,
    })
}

fn add(sums: &mut BTreeMap<Route, RouteSummary>, id: QueueId, record: &Record) {
    let arrived = Timestamp(id.as_u64() >> 22);
    let sum = sums.entry(record.route.clone()).or_insert_with(|| RouteSummary {
        route: record.route.clone(),
        waiting: 0,
        held: 0,
        oldest: arrived,
        next_due: None,
        rests_until: None,
        last: None,
    });
    sum.oldest = sum.oldest.min(arrived);
    match State::from(&record.state) {
        State::Waiting { due } => {
            sum.waiting += 1;
            sum.next_due = Some(sum.next_due.map_or(due, |known| known.min(due)));
        }
        State::Held { .. } => sum.held += 1,
    }
    if let Some(last) = &record.last {
        sum.last = Some(last.reply.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_meant_as_a_whole_or_by_a_pattern() {
        for (pattern, address, hit) in [
            ("a@remote.test", "A@Remote.test", true),
            ("a@remote.test", "aa@remote.test", false),
            ("a@remote.test", "a@remote.test.example", false),
            ("remote.test", "a@remote.test", false),
            ("<>", "<>", true),
            ("<>", "<a@remote.test>", false),
            ("a@remote.test", "<a@remote.test>", true),
            ("*@remote.test", "aa@remote.test", true),
            ("*@remote.test", "aa@other.test", false),
            ("a*@*.test", "ab@remote.test", true),
            ("a*@*.test", "b@remote.test", false),
            ("*a*", "b@remote.test", false),
            ("ab*ba", "aba", false),
            ("*", "a@remote.test", true),
        ] {
            assert_eq!(fits(pattern, address), hit, "{pattern} {address}");
        }
    }
}
