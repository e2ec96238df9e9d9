//! Just show me the tables: what the queue keeps on disk.
//!
//! | space | key | value |
//! |---|---|---|
//! | `queue_messages` | queue id (8, big-endian) | version 1, content id (8), content size (8), [`Message`] |
//! | `queue_recipients` | queue id (8), index (4, big-endian) | version 2, [`Record`] |
//! | `queue_trail` | queue id (8) | version 1, [`crate::TrailHead`] |
//! | | queue id (8), number of the line (8) | version 1, [`crate::TrailLine`] |
//! | `queue_counters` | `trails` | trail heads (counter) |
//! | | `lines` | trail lines ever written (counter) |
//!
//! A message stands in `queue_messages` as long as it has a record in `queue_recipients`, and
//! holds one reference to its content. Structures are in postcard form; a later format gets a new
//! version octet, and those before stay readable: version 1 of [`Record`] ended before `by_operator`.

use mail_types::{QueueId, Recipient, Reply, ReversePath, Route, Timestamp, Transport};
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

/// The spaces of the queue, to be named when storage is opened.
pub const SPACES: &[Space] = &[MESSAGES, RECIPIENTS, TRAIL, COUNTERS];

/// The version octet of a message's value.
const VERSION: u8 = 1;
/// Where the content id stands in a message's value.
pub(crate) const CONTENT_AT: usize = 1;
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
    /// Where it goes, as far as is known. It stands first, so that [`RoutePrefix`] tells the recipients of one
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
    /// Whether an operator set the route: then the router is not asked again, which would undo it.
    pub(crate) by_operator: bool,
}

/// What is kept with a version octet before it.
pub(crate) trait Versioned: Serialize + DeserializeOwned {
    /// The version that is written.
    const VERSION: u8 = 1;
    /// What an older version lacks at its end.
    fn lacks(_version: u8) -> Option<&'static [u8]> {
        None
    }
}

impl Versioned for Record {
    const VERSION: u8 = 2;

    fn lacks(version: u8) -> Option<&'static [u8]> {
        // `by_operator`: false.
        (version == 1).then_some(&[0])
    }
}

impl Versioned for crate::trail::TrailHead {}
impl Versioned for crate::trail::TrailLine {}

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
}

impl StoredMessage {
    pub(crate) fn read(id: QueueId, value: &[u8]) -> Result<Self, StorageError> {
        let corrupt = || StorageError::Corrupt(format!("the queue's record of {id} cannot be read"));
        if value.first() != Some(&VERSION) || value.len() < HEAD {
            return Err(corrupt());
        }
        let number = |at: usize| {
            let mut octets = [0; 8];
            octets.copy_from_slice(&value[at..at + 8]);
            u64::from_be_bytes(octets)
        };
        let message = postcard::from_bytes(&value[HEAD..]).map_err(|_| corrupt())?;
        Ok(Self { id, content: ContentId(number(CONTENT_AT)), size: number(9), message })
    }
}

impl Message {
    /// The value; the content id is patched in at [`CONTENT_AT`] when it is drawn.
    pub(crate) fn to_value(&self, size: u64) -> Vec<u8> {
        let mut value = Vec::with_capacity(256);
        value.push(VERSION);
        value.extend_from_slice(&[0; 8]);
        value.extend_from_slice(&size.to_be_bytes());
        postcard::to_extend(self, value).expect("plain data is always encoded")
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
pub(crate) fn to_value<T: Versioned>(record: &T) -> Vec<u8> {
    postcard::to_extend(record, vec![T::VERSION]).expect("plain data is always encoded")
}

/// What the values of all records on a route, and of no others, hold after their version.
pub(crate) struct RoutePrefix(Vec<u8>);

impl RoutePrefix {
    pub(crate) fn of(route: &Route) -> Self {
        Self(postcard::to_stdvec(route).expect("plain data is always encoded"))
    }

    /// Whether a record is on the route, told without reading it.
    pub(crate) fn begins(&self, value: &[u8]) -> bool {
        value.get(1..).is_some_and(|record| record.starts_with(&self.0))
    }
}

/// Reads a versioned value.
pub(crate) fn from_value<T: Versioned>(what: &str, value: &[u8]) -> Result<T, StorageError> {
    let corrupt = || StorageError::Corrupt(format!("the queue's {what} cannot be read"));
    let (version, record) = value.split_first().ok_or_else(corrupt)?;
    if *version == T::VERSION {
        return postcard::from_bytes(record).map_err(|_| corrupt());
    }
    let end = T::lacks(*version).ok_or_else(corrupt)?;
    postcard::from_bytes(&[record, end].concat()).map_err(|_| corrupt())
}
