//! What can go wrong, by what the caller does about it.

use std::sync::Arc;

/// Why storage did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// An assertion of the batch does not hold: nothing was written. Read again and decide anew.
    #[error("another change came first: {0}")]
    Conflict(String),
    /// The disk is full or failing, or the writer is overloaded: nothing was written. Try later.
    #[error("storage is unavailable while {doing}: {cause}")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// The system's own words.
        cause: Arc<str>,
    },
    /// Content is larger than the maximum that its writer was given, in octets.
    #[error("content is larger than {0} octets")]
    TooLarge(u64),
    /// What is on disk breaks its own rules.
    #[error("storage is corrupt: {0}; run `wasmta check`, and restore from a backup if it agrees")]
    Corrupt(String),
    /// What is on disk is right, and this program does not know its format.
    #[error("{0}: it was written by a newer version of wasmta: start that version over these data")]
    Newer(String),
    /// The storage has been closed.
    #[error("storage is closed")]
    Closed,
}

impl StorageError {
    /// An error of the system while doing something.
    pub fn unavailable(doing: &'static str, cause: impl std::fmt::Display) -> Self {
        Self::Unavailable { doing, cause: cause.to_string().into() }
    }
}
