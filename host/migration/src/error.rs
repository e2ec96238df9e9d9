//! What can go wrong on a move, by what the operator does about it.

use std::path::Path;

use store::StoreError;

/// Why a move stopped. What was committed before stays, and the same command goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A file or folder.
    #[error("{place}: {cause}")]
    File {
        /// Which.
        place: String,
        /// The system's own words.
        cause: std::io::Error,
    },
    /// The source or target is not what was asked for, or has changed in a way that would cost or double mail.
    #[error("{0}")]
    Refused(String),
    /// The other server does not answer, or not as the protocol says.
    #[error("{server}: {why}")]
    Server {
        /// Which.
        server: String,
        /// What happened.
        why: String,
    },
    /// The store did not take or give it.
    #[error("{place}: {cause}")]
    Store {
        /// Mailbox or account.
        place: String,
        /// Why.
        cause: StoreError,
    },
    /// An import of what came before had begun to take it again: the same import goes on from there only if it is not asked to
    /// begin anew once more.
    #[error("{0}")]
    BegunAnew(Box<MigrationError>),
    /// Whoever asked has gone.
    #[error("stopped, because whoever asked has gone")]
    Stopped,
}

impl MigrationError {
    pub(crate) fn file(place: &Path, cause: std::io::Error) -> Self {
        Self::File { place: place.display().to_string(), cause }
    }

    pub(crate) fn store(place: impl std::fmt::Display, cause: impl Into<StoreError>) -> Self {
        Self::Store { place: place.to_string(), cause: cause.into() }
    }
}
