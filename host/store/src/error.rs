//! What can go wrong, by what the caller does about it.

use storage::StorageError;

/// Why the store did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// There is no such account, mailbox or message.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// A mailbox of that name exists.
    #[error("there is already a mailbox of that name")]
    Exists,
    /// The mailbox only holds others (`\Noselect`): it can be neither opened nor written to.
    #[error("the mailbox holds no messages, only other mailboxes")]
    NotSelectable,
    /// That mailbox cannot be deleted, or not be renamed so.
    #[error("{0}")]
    NotAllowed(&'static str),
    /// The person has not the right to do that (RFC 4314 §2.1).
    #[error("the right `{0}` to the mailbox is missing")]
    NotPermitted(char),
    /// The name breaks a rule.
    #[error("the mailbox name {0}")]
    Name(&'static str),
    /// A maximum is reached.
    #[error("there are more {what} than {max}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The maximum.
        max: usize,
    },
    /// The account would take up more than it may.
    #[error("{0} is over its quota")]
    OverQuota(crate::quota::Full),
    /// Storage did not do it: [`StorageError::Conflict`] asks for another try, others for patience.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl StoreError {
    /// Whether something else changed meanwhile, so that trying again may succeed at once.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Storage(StorageError::Conflict(_)))
    }

    /// Whether what is on disk is damaged: patience does not help, and what else there is can be read.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Storage(StorageError::Corrupt(_)))
    }

    /// A record that breaks its own rules.
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Storage(StorageError::Corrupt(what.into()))
    }
}
