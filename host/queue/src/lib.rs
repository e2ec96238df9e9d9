//! Submit, lease, attempt, outcome, retry, report, hold.
//!
//! *What:* the life of an accepted message until nothing is left to do for it. *Why:* "mail
//! accepted is mail kept": every accepted recipient is at any moment in exactly one of queued,
//! delivered, reported, or discarded by a named rule (promise 2). *Layer 3.* *Must not know*
//! routing, directory, channels or store: it defines the ports [`Router`], [`Channel`] and
//! [`LocalDelivery`] that those fill.

mod options;
mod ports;
mod submission;

pub use options::{ChannelLimits, Options, Retry};
pub use ports::{
    Attempt, BoxFuture, Channel, CopyOf, LocalCopy, LocalDelivery, Outcome, Publish, Reach, Router,
};
pub use submission::{Accepted, RECIPIENTS_MAX, Receipt, Source, Step, StepKind, Submission, SubmitError};
