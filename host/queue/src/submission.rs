//! What is handed to the queue, and what proves that it was kept.

use std::net::IpAddr;

use mail_types::{
    AccountName, Address, EnhancedStatus, Persistence, QueueId, Recipient, Reply, ReversePath, Route,
    Timestamp, Transport,
};
use serde::{Deserialize, Serialize};
use storage::{Content, StorageError};

/// Most recipients of one message after expansion (a named bound of R56's fan-out).
pub const RECIPIENTS_MAX: usize = 100_000;

/// What a step of a decision was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// A rewrite rule fired.
    Rewrite,
    /// A row of the routing table decided.
    Domain,
    /// A row of the alias table decided.
    Alias,
    /// A group was expanded.
    Group,
    /// A status was looked at.
    Status,
    /// A delivery option was applied.
    Delivery,
    /// The route was chosen.
    Route,
    /// A plugin was asked. (Records hold the number of a kind: new ones stand last.)
    Plugin,
}

/// One step of the decision trail: what, and by which file and line or directory entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What kind of step.
    pub kind: StepKind,
    /// What it did, for people.
    pub text: String,
    /// File and line of the rule, or DN of the entry.
    pub origin: Option<String>,
}

/// A recipient that was accepted, with its route and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The final recipient.
    pub recipient: Recipient,
    /// Where its copy goes.
    pub route: Route,
    /// How that was decided.
    pub steps: Vec<Step>,
    /// It is not taken after all, and this is why: its sender is told by a report.
    pub refused: Option<Reply>,
    /// Its original recipient stands for several, and its sender wants to hear of success: one report tells that the
    /// original was expanded, and none of this copy (RFC 3461 §5.2.7.3 (c)).
    pub expanded: bool,
    /// Which of the RCPT commands of its transaction led to it, from 0: LMTP answers each (RFC 2033 §4.2).
    pub command: usize,
    /// Other ways that lead to its copy, by the users whose forwards are on each. Asked for until it is decided which one the
    /// copy takes ([`Recipient::forwarders`]), and not kept.
    pub other_ways: Vec<Vec<Address>>,
}

impl Accepted {
    /// A recipient that is taken, without a word on how that was decided.
    #[must_use]
    pub fn new(recipient: Recipient, route: Route) -> Self {
        let (steps, other_ways) = (Vec::new(), Vec::new());
        Self { recipient, route, steps, refused: None, expanded: false, command: 0, other_ways }
    }

    /// Makes it one of several that its original recipient stands for.
    pub fn is_one_of_several(&mut self) {
        self.expanded |= self.recipient.notify.on_success();
        self.recipient.notify = self.recipient.notify.without_success();
    }
}

/// Where a message came from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Source {
    /// The channel it came in by: `smtp`, `submission`, `lmtp`, `dsn`, `local`.
    pub channel: String,
    /// The client's address.
    pub peer: Option<IpAddr>,
    /// The name it gave in EHLO.
    pub helo: String,
    /// The protocol word of its Received field (RFC 3848).
    pub protocol: String,
    /// As whom it authenticated.
    pub authenticated: Option<AccountName>,
}

/// A message that asks to be kept.
#[derive(Debug)]
pub struct Submission {
    /// From [`crate::Queue::next_id`]; it stands in the Received field already.
    pub id: QueueId,
    /// Where reports go.
    pub reverse_path: ReversePath,
    /// Parameters of MAIL.
    pub transport: Transport,
    /// To whom, with routes; at most [`RECIPIENTS_MAX`].
    pub recipients: Vec<Accepted>,
    /// Header fields that we add above the content, each line ended by CRLF.
    pub prefix: Vec<u8>,
    /// The octets as they came, with what submission added.
    pub content: Content,
    /// Where it came from.
    pub source: Source,
    /// Its Message-ID field's value.
    pub message_id: Option<String>,
    /// When its routes were decided, the first of them; where that was a moment ago, the first attempt does not ask again.
    pub decided: Timestamp,
    /// The number of the session that it came by, for the log.
    pub session: Option<u64>,
}

/// The proof that a message is on stable storage: the only thing that lets a session say 250.
#[derive(Debug)]
#[must_use]
pub struct Receipt {
    pub(crate) id: QueueId,
    pub(crate) accepted: Timestamp,
}

impl Receipt {
    /// The message's id.
    #[must_use]
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// When it was accepted.
    #[must_use]
    pub fn accepted(&self) -> Timestamp {
        self.accepted
    }
}

/// Why a message was not taken. Nothing of it was kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SubmitError {
    /// The queue holds as many messages as it may.
    #[error("the queue is full: it holds {0} messages (queue.messages-max)")]
    Full(usize),
    /// Storage could not keep it now.
    #[error("the message could not be kept: {0}")]
    Unavailable(#[from] StorageError),
    /// What was decided on by this name may be another account's now: it has to be decided again.
    #[error("the account {0} has got another name since its recipient was decided on")]
    Renamed(AccountName),
    /// It has no recipients, or too many.
    #[error("the message has {0} recipients; there may be 1 to {RECIPIENTS_MAX}")]
    Recipients(usize),
}

impl SubmitError {
    /// What the sender is told. Passing reasons are 4xx: the sender keeps the message.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let (code, status, text) = match self {
            Self::Full(_) => (452, (3, 1), "The mail system is full, try again later"),
            Self::Unavailable(StorageError::TooLarge(_)) => {
                let status = EnhancedStatus { persistence: Persistence::Permanent, subject: 3, detail: 4 };
                return Reply::new(552, status, "The message is too large");
            }
            Self::Unavailable(error) if error.is_want_of_room() => {
                (452, (3, 1), "There is no room to store the message, try again later")
            }
            Self::Unavailable(_) => (451, (3, 0), "The message could not be stored, try again later"),
            Self::Renamed(_) => (451, (3, 0), "A recipient's address has just changed, try again"),
            Self::Recipients(_) => (452, (5, 3), "Too many recipients"),
        };
        Reply::new(code, EnhancedStatus::transient(status.0, status.1), text)
    }
}
