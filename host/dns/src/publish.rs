//! The port through which the records of mail domains are published.

use mail_types::Domain;

use crate::record::Record;
use crate::resolver::BoxFuture;

/// What becomes of one domain's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordChange {
    /// The domain.
    pub domain: Domain,
    /// What we published before; nobody else's records are touched, but for the MX of the domain.
    pub before: Vec<Record>,
    /// What there shall be; empty: nothing of ours.
    pub wanted: Vec<Record>,
}

/// Why records could not be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The server does not want it: somebody has to mend something. It is tried again, seldom.
    #[error("{0}")]
    Refused(String),
    /// Not now.
    #[error("{0}")]
    Unavailable(String),
    /// It was sent, and no answer came that can be believed: it may be done, or be done later.
    #[error("{0}")]
    Unsure(String),
}

/// Somewhere records can be published (R15).
pub trait Publisher: Send + Sync + 'static {
    /// Makes one change, as a whole or not at all unless [`Publisher::is_whole`] says otherwise; making it twice does no
    /// harm (R21).
    fn publish<'a>(&'a self, change: &'a RecordChange) -> BoxFuture<'a, Result<(), PublishError>>;

    /// Makes many; one answer each, in order.
    fn publish_all<'a>(
        &'a self,
        changes: &'a [RecordChange],
    ) -> BoxFuture<'a, Vec<Result<(), PublishError>>> {
        Box::pin(async move {
            let mut made = Vec::with_capacity(changes.len());
            for change in changes {
                made.push(self.publish(change).await);
            }
            made
        })
    }

    /// Whether everything is forgotten when the process ends, and has to be published anew.
    fn is_volatile(&self) -> bool;

    /// Whether a change that fails has changed nothing, unless it is [`PublishError::Unsure`]. Where it may be done in part, `before` has everything that may be
    /// there, and what is wanted is made sure of even where it is in there.
    fn is_whole(&self) -> bool {
        true
    }

    /// Where that is, in words.
    fn place(&self) -> String;
}
