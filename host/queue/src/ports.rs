//! What the queue asks of others: who routes, who delivers.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use mail_types::{
    AccountName, Filing, Lookup, QueueId, Recipient, Reply, ReversePath, Route, Timestamp, Transport,
};
use storage::{Batch, Committed, ContentId, Drawn, LoadedContent, StorageError};

use crate::outgoing::Outgoing;
use crate::submission::{Accepted, Source};

/// A future on the heap, so that ports can be trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Chooses the route again whenever a recipient becomes active, so that a change of the directory
/// reaches queued mail.
pub trait Router: Send + Sync + 'static {
    /// The route of a final recipient now; `current` is what it was. `NotFound` fails the
    /// recipient; `Unavailable` leaves the route as it was.
    fn route<'a>(
        &'a self,
        recipient: &'a Recipient,
        current: &'a Route,
        origin: Origin<'a>,
    ) -> BoxFuture<'a, Lookup<Route>>;
}

/// How a message came, for whoever decides about it again.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Where reports go.
    pub reverse_path: &'a ReversePath,
    /// By whom and by which channel it came.
    pub source: &'a Source,
}

impl<'a> Origin<'a> {
    /// The channel by which it came from a client; `None` for a message of ours.
    #[must_use]
    pub fn came_by(&self) -> Option<&'a str> {
        // Only what came by the wire has said who it is in HELO.
        Some(self.source.channel.as_str()).filter(|_| !self.source.protocol.is_empty())
    }
}

/// A way out.
pub trait Channel: Send + Sync + 'static {
    /// Tries to hand over. Answers one outcome for each recipient, in their order. Must end by
    /// itself: the agent has its own timeouts.
    fn attempt<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, Vec<Outcome>>;

    /// The queue stops, and no attempt runs any more: takes leave of connections that are kept for the next one. Is
    /// cut off when the grace is over.
    fn end(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// One try: a message and those of its recipients that share a route.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The message.
    pub id: QueueId,
    /// Where reports go.
    pub reverse_path: ReversePath,
    /// Parameters of MAIL.
    pub transport: Transport,
    /// To whom.
    pub recipients: Vec<Recipient>,
    /// Where to.
    pub route: Route,
    /// Header fields that stand above the content.
    pub prefix: Bytes,
    /// The content.
    pub content: LoadedContent,
    /// When the message was accepted.
    pub arrived: Timestamp,
    /// The channel by which it came.
    pub source: String,
    /// As whom its client had logged in.
    pub authenticated: Option<AccountName>,
}

/// How far a failure reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// This recipient, this message.
    Recipient,
    /// Everything for the next hop: it could not be reached at all. Others wait with it.
    Destination,
}

/// Whose it is to tell a sender who asked that a message arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// The next hop's: it took that over (RFC 3461 §5.2.2). Or nobody's, where nobody may hear of it.
    PassedOn,
    /// Ours, and all that can be said is that the message left for one that sends no reports: *relayed*.
    Relayed,
    /// Ours, and the message is where it shall be: *delivered* (RFC 3461 §5.2.6, RFC 2033 §4.2).
    Delivered,
}

/// What a try came to, for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The next hop has it.
    Delivered {
        /// What the next hop said, or we for it.
        reply: Reply,
        /// Who said it; none where these are words of our own.
        remote: Option<String>,
        /// Whose it is to report success now.
        duty: Duty,
    },
    /// To be tried again.
    Deferred {
        /// What the next hop said, or we for it: 4xx, or a 5xx of the next hop that says nothing of the recipient.
        reply: Reply,
        /// Who said it; none where these are words of our own.
        remote: Option<String>,
        /// For the log.
        cause: String,
        /// How far it reaches.
        reach: Reach,
    },
    /// Never to be tried again.
    Failed {
        /// What the next hop said, or we for it (5xx).
        reply: Reply,
        /// Who said it; none where these are words of our own.
        remote: Option<String>,
        /// For the log.
        cause: String,
    },
    /// Resolved anew: these recipients take its place.
    Replaced(Vec<Accepted>),
    /// Done, and a message of ours is sent for it: an automatic reply, a posting to a list's members.
    Sent(Box<Outgoing>),
    /// Discarded, by a rule that says so.
    Discarded {
        /// Which rule.
        rule: String,
    },
}

/// The content of a local copy.
#[derive(Debug, Clone, Copy)]
pub enum CopyOf {
    /// Stored by the same batch.
    Drawn(Drawn),
    /// Stored before; the appender adds a reference in the batch.
    Stored(ContentId),
}

/// A local copy to be appended to a mailbox.
#[derive(Debug)]
pub struct LocalCopy<'a> {
    /// To whom.
    pub account: &'a AccountName,
    /// Where in the account; in its INBOX where nothing is said.
    pub filing: Option<&'a Filing>,
    /// The final recipient.
    pub recipient: &'a Recipient,
    /// Where reports go: becomes the Return-Path field.
    pub reverse_path: &'a ReversePath,
    /// Header fields that stand above the content.
    pub prefix: &'a [u8],
    /// The content.
    pub content: CopyOf,
    /// Octets of the content.
    pub size: u64,
    /// When the message was accepted: the internal date.
    pub arrived: Timestamp,
}

/// Tells readers of a mailbox that something came, after the commit.
pub type Publish = Box<dyn FnOnce(&Committed) + Send>;

/// A copy that a batch appends.
pub struct Appended {
    /// Its mailbox, by the name that the store has.
    pub mailbox: String,
    /// The mailbox that was meant, where that cannot be had and the copy is in the INBOX instead.
    pub instead_of: Option<String>,
    /// What readers are told by.
    pub publish: Publish,
}

/// Room for a copy in the local store.
pub enum Room {
    /// There is some. What is in here holds it until it is dropped, once the copy is committed.
    Free(Option<Box<dyn Any + Send>>),
    /// What is full, for people.
    Full(String),
}

/// The local store, as far as the queue knows it.
pub trait LocalDelivery: Send + Sync + 'static {
    /// Makes sure that the account exists in the store, and the place in it where one is named.
    fn prepare<'a>(
        &'a self,
        account: &'a AccountName,
        filing: Option<&'a Filing>,
    ) -> BoxFuture<'a, Result<(), StorageError>>;

    /// Makes those of many accounts that are missing, together: each alone costs a commit. [`LocalDelivery::prepare`] asks for
    /// each all the same.
    fn prepare_accounts<'a>(
        &'a self,
        accounts: &'a [&'a AccountName],
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        let _ = accounts;
        Box::pin(std::future::ready(Ok(())))
    }

    /// Whether the account that was meant by a name, since then, may have another one now: what was decided by the name has to be
    /// decided again.
    fn renamed_since(&self, account: &AccountName, since: Timestamp) -> bool {
        let _ = (account, since);
        false
    }

    /// What an account is called now that was meant by a name at some time; `None` where that is the same.
    fn now_called(&self, account: &AccountName, at: Timestamp) -> Result<Option<AccountName>, StorageError> {
        let _ = (account, at);
        Ok(None)
    }

    /// The number that an account keeps whatever it is called; `None` where there is no such account.
    fn number(&self, account: &AccountName) -> Result<Option<u64>, StorageError> {
        let _ = account;
        Ok(None)
    }

    /// What is full, for people, where an account can get nothing now: itself, its domain, its tenant.
    fn find_full(&self, account: &AccountName) -> Result<Option<String>, StorageError> {
        let _ = account;
        Ok(None)
    }

    /// Takes room for a copy of so many octets. A copy that finds none waits in the queue.
    fn take_room(&self, account: &AccountName, size: u64) -> Result<Room, StorageError> {
        let _ = (account, size);
        Ok(Room::Free(None))
    }

    /// Adds the append to a batch; `Stored` content gets its reference there too. The account
    /// was prepared before; `Unavailable` where it is not known.
    fn append(&self, batch: &mut Batch, copy: &LocalCopy<'_>) -> Result<Appended, StorageError>;
}
