//! Submit, lease, attempt, outcome, retry, report, hold.
//!
//! *What:* the life of an accepted message until nothing is left to do for it. *Why:* "mail
//! accepted is mail kept": every accepted recipient is at any moment in exactly one of queued,
//! delivered, reported, or discarded by a named rule (promise 2). *Layer 3.* *Must not know*
//! routing, directory, channels or store: it defines the ports [`Router`], [`Channel`] and
//! [`LocalDelivery`] that those fill.
//!
//! It stores and forwards (R53, R54): mail for a host or mailbox that is away waits (R84) and is tried again,
//! errors are returned to the sender (R55), and every message keeps its envelope with its id (R87).
//! Nothing here looks at content (R88).
//!
//! The way of a message through the files: `submit` (one batch), `schedule` (whose turn it is),
//! `work` (read, route again unless that is `decided` a moment ago, try), `settle` (one batch for what became of it), `report` (who is
//! told), `late` (what waits behind a destination that rests). `operate`, `listing`, `history` and `unreadable` are the operator's.

mod copies;
mod decided;
mod history;
mod late;
mod listing;
mod operate;
mod options;
mod outgoing;
mod ports;
mod queue;
mod records;
mod report;
mod schedule;
mod settle;
mod submission;
mod submit;
mod trail;
mod unreadable;
mod work;

pub use copies::LIST_SOURCE;
pub use history::{HISTORY_LOOKED_AT_MAX, History, Past, PastMessage};
pub use listing::{Filter, Listed, Listing, Meant, QueuedMessage, QueuedRecipient, RouteSummary};
pub use operate::{Change, OperateError};
pub use options::{ChannelLimits, Options, OverQuota, Retry};
pub use outgoing::{Once, Outgoing, OutgoingContent};
pub use ports::{
    Appended, Attempt, BoxFuture, Channel, CopyOf, Duty, LocalCopy, LocalDelivery, Origin, Outcome, Publish,
    Reach, Room, Router,
};
pub use queue::{Agents, Channels, Queue};
pub use records::{Last, SPACES, State};
pub use submission::{Accepted, RECIPIENTS_MAX, Receipt, Source, Step, StepKind, Submission, SubmitError};
pub use trail::{Trail, TrailHead, TrailLine, TrailRecipient};
pub use unreadable::{Keep, Reference, Unreadable, content_references};

#[cfg(test)]
mod tests;
