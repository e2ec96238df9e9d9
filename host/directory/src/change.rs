//! The change log: what changed, in order, for those who follow the directory.

use mail_types::Timestamp;

use crate::dn::Dn;
use crate::kind::Kind;

/// Most changes that the log keeps; who asks for older ones has to rebuild.
pub const CHANGES_KEPT_MAX: u64 = 100_000;
/// Most changes in one answer.
pub const CHANGES_LISTED_MAX: usize = 10_000;

/// What happened to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// It was added or modified: read it.
    Put,
    /// It is gone.
    Removed,
}

/// One change of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its change sequence number: rises by one with each change.
    pub csn: u64,
    /// When.
    pub at: Timestamp,
    /// Which entry.
    pub dn: Dn,
    /// What the entry is, or was.
    pub kind: Kind,
    /// What happened.
    pub operation: Operation,
}

/// What happened since a change number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// These, in order. There may be more after `csn`: ask again until the list is empty.
    List {
        /// At most [`CHANGES_LISTED_MAX`].
        changes: Vec<Change>,
        /// Number of the last one listed, or the newest of all when the list is empty.
        csn: u64,
    },
    /// The log does not reach back so far (or a load replaced everything): scan all entries, and
    /// go on from this number.
    Rebuild {
        /// The newest number.
        csn: u64,
    },
}
