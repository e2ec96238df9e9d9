//! Just show me the tables: what the queue keeps on disk.
//!
//! | space | key | value |
//! |---|---|---|
//! | `queue_messages` | queue id (8, big-endian) | version 1, content id (8), content size (8), [`Message`], accounts if any, first posting if any (8) |
//! | `queue_recipients` | queue id (8), index (4, big-endian) | version 1, [`Record`], [`Later`] if any, forwarders if any, grounds of past holds if any |
//! | `queue_trail` | queue id (8) | version 1, [`crate::TrailHead`] |
//! | | queue id (8), number of the line (8) | version 1, [`crate::TrailLine`] |
//! | `queue_answered` | digest of account (its number, or its name where it has none) and address (32) | until when neither gets another automatic reply (8) |
//! | `queue_copies` | queue id of a posting (8), digest of a copy (16) | empty: that copy is there, or on its way |
//! | | queue id of a posting (8), 0 (8), queue id (8) | empty: that posting of a list below shares its copies |
//! | `queue_counters` | `trails` | trail heads (counter) |
//! | | `lines` | trail lines ever written (counter) |
//!
//! The accounts behind a message have their copy already: who is expanded later gets no second one.
//!
//! A message stands in `queue_messages` as long as it has a record in `queue_recipients`, and
//! holds one reference to its content. Structures are in postcard form; a later format gets a new
//! version octet, and this one stays readable.

use mail_types::{AccountName, QueueId, Recipient, Reply, ReversePath, Route, Timestamp, Transport};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use storage::{ContentId, Space, StorageError};

use crate::submission::Source;

/// Messages with something left to do.
pub(crate) const MESSAGES: Space = Space::new("queue_messages");
/// Their recipients.
pub(crate) const RECIPIENTS: Space = Space::new("queue_recipients");
/// What was decided, also of messages that are done.
pub(crate) const TRAIL: Space = Space::new("queue_trail");
/// Counters of the queue.
pub(crate) const COUNTERS: Space = Space::new("queue_counters");

/// To whom an automatic reply was sent.
pub(crate) const ANSWERED: Space = Space::new("queue_answered");
/// Whose copies of a posting to a list are there.
pub(crate) const COPIES: Space = Space::new("queue_copies");

/// The spaces of the queue, to be named when storage is opened.
pub const SPACES: &[Space] = &[MESSAGES, RECIPIENTS, TRAIL, COUNTERS, ANSWERED, COPIES];

/// The version octet of every value.
pub(crate) const VERSION: u8 = 1;
/// Accounts that one message remembers to have their copy; of more, the first.
pub(crate) const DELIVERED_MAX: usize = 1000;
/// Where the content id stands in a message's value.
pub(crate) const CONTENT_AT: usize = 1;
/// Where its size stands.
const SIZE_AT: usize = 9;
/// Where what follows them begins.
const HEAD: usize = 17;

/// What all recipients of a queued message share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// When it was accepted.
    pub(crate) arrived: Timestamp,
    /// Where reports go.
    pub(crate) reverse_path: ReversePath,
    /// Parameters of MAIL.
    pub(crate) transport: Transport,
    /// Where it came from.
    pub(crate) source: Source,
    /// Its Message-ID field.
    pub(crate) message_id: Option<String>,
    /// Header fields that stand above the content.
    pub(crate) prefix: Vec<u8>,
    /// Of a posting to a list below others: the posting to the first of these. It stands behind the accounts, and only where
    /// there is one.
    #[serde(skip)]
    pub(crate) first_posting: Option<QueueId>,
}

/// The last word about a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// When.
    pub at: Timestamp,
    /// What was answered.
    pub reply: Reply,
    /// By whom.
    pub remote: Option<String>,
    /// For the operator.
    pub cause: String,
}

/// What a peer said last about a recipient: what a report repeats as its Diagnostic-Code, whatever we have found
/// ourselves since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spoken {
    pub(crate) reply: Reply,
    pub(crate) remote: String,
}

impl Spoken {
    /// Nobody has spoken where there is no remote: the words are ours.
    pub(crate) fn new(reply: &Reply, remote: Option<&str>) -> Option<Self> {
        remote.map(|remote| Self { reply: reply.clone(), remote: remote.to_owned() })
    }
}

/// What a recipient waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// For its next attempt.
    Waiting {
        /// Not before this.
        due: Timestamp,
    },
    /// For the operator.
    Held {
        /// Who parked it: a rule, or an operator.
        by: String,
    },
}

/// One recipient of a queued message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Where it goes, as far as is known. It stands first, so that [`route_prefix`] tells the recipients of one
    /// route among thousands without reading any.
    pub(crate) route: Route,
    /// The recipient.
    pub(crate) recipient: Recipient,
    /// What it waits for.
    pub(crate) state: StoredState,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// How often it was routed or resolved anew: bounded, against loops.
    pub(crate) replaced: u8,
    /// Whether its sender was told that it is late.
    pub(crate) delay_reported: bool,
    /// The last word about it.
    pub(crate) last: Option<Last>,
    /// What was found out since. It stands behind the record, and only where there is something: records from
    /// before it are read like those without.
    #[serde(skip)]
    pub(crate) later: Later,
}

/// What is found out about a recipient after its first attempt, or decided by an operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Later {
    /// What a peer said last about it.
    pub(crate) spoken: Option<Spoken>,
    /// An operator chose its route: routing is not asked again.
    pub(crate) rerouted: bool,
}

impl Record {
    pub(crate) fn to_value(&self) -> Vec<u8> {
        let value = to_value(self);
        let Recipient { forwarders, released, .. } = &self.recipient;
        let parts = match (&self.later, forwarders.is_empty(), released.is_empty()) {
            (_, _, false) => 3,
            (_, false, _) => 2,
            (later, ..) => usize::from(*later != Later::default()),
        };
        let encoded = "plain data is always encoded";
        let value = if parts > 0 { postcard::to_extend(&self.later, value).expect(encoded) } else { value };
        let value = if parts > 1 { postcard::to_extend(forwarders, value).expect(encoded) } else { value };
        if parts > 2 { postcard::to_extend(released, value).expect(encoded) } else { value }
    }

    pub(crate) fn read(value: &[u8]) -> Result<Self, StorageError> {
        let corrupt = || StorageError::Corrupt("the queue's recipient cannot be read".to_owned());
        let Some((&VERSION, rest)) = value.split_first() else { return Err(corrupt()) };
        let (mut record, behind) = postcard::take_from_bytes::<Self>(rest).map_err(|_| corrupt())?;
        if !behind.is_empty() {
            let (later, behind) = postcard::take_from_bytes(behind).map_err(|_| corrupt())?;
            record.later = later;
            if !behind.is_empty() {
                let (forwarders, behind) = postcard::take_from_bytes(behind).map_err(|_| corrupt())?;
                record.recipient.forwarders = forwarders;
                if !behind.is_empty() {
                    record.recipient.released = postcard::from_bytes(behind).map_err(|_| corrupt())?;
                }
            }
        }
        Ok(record)
    }
}

/// [`State`] in the form that postcard keeps (it knows no tagged enums).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StoredState {
    /// See [`State::Waiting`].
    Waiting(Timestamp),
    /// See [`State::Held`].
    Held(String),
}

impl From<&StoredState> for State {
    fn from(stored: &StoredState) -> Self {
        match stored {
            StoredState::Waiting(due) => Self::Waiting { due: *due },
            StoredState::Held(by) => Self::Held { by: by.clone() },
        }
    }
}

/// A message as it was read.
#[derive(Debug, Clone)]
pub(crate) struct StoredMessage {
    pub(crate) id: QueueId,
    pub(crate) content: ContentId,
    pub(crate) size: u64,
    pub(crate) message: Message,
    /// Accounts that have their copy, as far as they are remembered.
    pub(crate) delivered: Vec<AccountName>,
}

impl StoredMessage {
    pub(crate) fn read(id: QueueId, value: &[u8]) -> Result<Self, StorageError> {
        let corrupt = || StorageError::Corrupt(format!("the queue's record of {id} cannot be read"));
        let (content, size) = Self::read_content(value).ok_or_else(corrupt)?;
        let (mut message, behind) =
            postcard::take_from_bytes::<Message>(&value[HEAD..]).map_err(|_| corrupt())?;
        let (delivered, behind) = if behind.is_empty() {
            (Vec::new(), behind)
        } else {
            postcard::take_from_bytes(behind).map_err(|_| corrupt())?
        };
        if !behind.is_empty() {
            let id: [u8; 8] = behind.try_into().map_err(|_| corrupt())?;
            message.first_posting = Some(QueueId::from_u64(u64::from_be_bytes(id)));
        }
        Ok(Self { id, content, size, message, delivered })
    }

    /// Content and size of a record, which may be unreadable behind them.
    pub(crate) fn read_content(value: &[u8]) -> Option<(ContentId, u64)> {
        let number = |at: usize| value.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
        let is_known = value.first() == Some(&VERSION);
        Some((ContentId(number(CONTENT_AT).filter(|_| is_known)?), number(SIZE_AT)?))
    }

    pub(crate) fn to_value(&self) -> Vec<u8> {
        let mut value = self.message.to_value(self.size, &self.delivered);
        value[CONTENT_AT..CONTENT_AT + 8].copy_from_slice(&self.content.0.to_be_bytes());
        value
    }
}

impl Message {
    /// The value; the content id is patched in at [`CONTENT_AT`] when it is drawn.
    pub(crate) fn to_value(&self, size: u64, delivered: &[AccountName]) -> Vec<u8> {
        let mut value = Vec::with_capacity(256);
        value.push(VERSION);
        value.extend_from_slice(&[0; 8]);
        value.extend_from_slice(&size.to_be_bytes());
        value = postcard::to_extend(self, value).expect("plain data is always encoded");
        if !delivered.is_empty() || self.first_posting.is_some() {
            value = postcard::to_extend(delivered, value).expect("plain data is always encoded");
        }
        if let Some(first) = self.first_posting {
            value.extend_from_slice(&first.to_key());
        }
        value
    }
}

/// The key of a recipient.
pub(crate) fn recipient_key(id: QueueId, index: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&id.to_key());
    key[8..].copy_from_slice(&index.to_be_bytes());
    key
}

/// The first key after all of a message.
pub(crate) fn after(id: QueueId) -> [u8; 8] {
    QueueId::from_u64(id.as_u64().saturating_add(1)).to_key()
}

/// Id and index of a recipient's key.
pub(crate) fn read_recipient_key(key: &[u8]) -> Option<(QueueId, u32)> {
    let id = u64::from_be_bytes(key.get(..8)?.try_into().ok()?);
    let index = u32::from_be_bytes(key.get(8..)?.try_into().ok()?);
    Some((QueueId::from_u64(id), index))
}

/// A versioned value.
pub(crate) fn to_value<T: Serialize>(record: &T) -> Vec<u8> {
    postcard::to_extend(record, vec![VERSION]).expect("plain data is always encoded")
}

/// What the values of all records on a route, and of no others, begin with.
pub(crate) fn route_prefix(route: &Route) -> Vec<u8> {
    to_value(route)
}

/// Reads a versioned value.
pub(crate) fn from_value<T: DeserializeOwned>(what: &str, value: &[u8]) -> Result<T, StorageError> {
    let corrupt = || StorageError::Corrupt(format!("the queue's {what} cannot be read"));
    match value.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| corrupt()),
        _ => Err(corrupt()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_types::{Address, ChannelName, NextHop};

    #[test]
    fn messages_are_read_as_they_were_written() {
        let message = Message {
            arrived: Timestamp(1),
            reverse_path: ReversePath::Null,
            transport: Transport::default(),
            source: Source::default(),
            message_id: None,
            prefix: b"A: b\r\n".to_vec(),
            first_posting: None,
        };
        let accounts = vec![AccountName::new("a").unwrap()];
        for (first_posting, delivered) in [
            (None, Vec::new()),
            (None, accounts.clone()),
            (Some(QueueId::from_u64(7)), Vec::new()),
            (Some(QueueId::from_u64(7)), accounts),
        ] {
            let message = Message { first_posting, ..message.clone() };
            let read = StoredMessage::read(QueueId::from_u64(9), &message.to_value(3, &delivered)).unwrap();
            assert_eq!((read.message, read.delivered, read.size), (message, delivered, 3));
        }
    }

    #[test]
    fn what_came_to_records_later_is_read_where_it_is_there() {
        let address = |text: &str| Address::parse(text).unwrap();
        let plain = Record {
            route: Route::new(ChannelName::SMTP, NextHop::Nobody),
            recipient: Recipient::new(address("a@there.test")),
            state: StoredState::Waiting(Timestamp(1)),
            attempts: 2,
            replaced: 0,
            delay_reported: false,
            last: None,
            later: Later::default(),
        };
        let forwarders = vec![address("b@here.test"), address("c@here.test")];
        let forwarded =
            Record { recipient: Recipient { forwarders, ..plain.recipient.clone() }, ..plain.clone() };
        let rerouted = Record { later: Later { rerouted: true, ..Later::default() }, ..plain.clone() };
        let both = Record { later: rerouted.later.clone(), ..forwarded.clone() };
        let mut let_go = plain.clone();
        let_go.recipient.release("user is hold".to_owned());
        for record in [&plain, &forwarded, &rerouted, &both, &let_go] {
            assert_eq!(&Record::read(&record.to_value()).unwrap(), record);
        }
        // As they were before there were forwarders.
        let value = postcard::to_extend(&rerouted.later, plain.to_value()).unwrap();
        assert_eq!(rerouted.to_value(), value);
    }
}
