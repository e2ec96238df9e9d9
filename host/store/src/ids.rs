//! The numbers of the store, each a type of its own, and the flags.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// An account's number. Never used again after its account is removed.
    AccountId(u32)
}
number! {
    /// A message's number in its mailbox: from 1, rising, never used again (RFC 3501 §2.3.1.1).
    Uid(u32)
}
number! {
    /// Tells the UIDs of one mailbox from those of any other that had its name (RFC 3501 §2.3.1.1).
    UidValidity(u32)
}
number! {
    /// A mailbox's count of changes: from 1, rising (RFC 7162 §3.1).
    ModSeq(u64)
}

impl Uid {
    /// The highest number.
    pub const MAX: Self = Self(u32::MAX);

    /// The one after.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A mailbox: its account, and its number there. Never used again after the mailbox is deleted;
/// renaming keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxId {
    /// Whose it is.
    pub account: AccountId,
    /// Its number in the account, from 1.
    pub number: u32,
}

impl MailboxId {
    /// The INBOX of an account: it is made with the account, and lives as long.
    #[must_use]
    pub fn inbox(account: AccountId) -> Self {
        Self { account, number: 1 }
    }
}

impl fmt::Display for MailboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.number)
    }
}

/// The system flags of a message (RFC 3501 §2.3.2). `\Recent` is a session's, and not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u8);

impl Flags {
    /// None.
    pub const NONE: Self = Self(0);
    /// `\Seen`
    pub const SEEN: Self = Self(1);
    /// `\Answered`
    pub const ANSWERED: Self = Self(2);
    /// `\Flagged`
    pub const FLAGGED: Self = Self(4);
    /// `\Deleted`
    pub const DELETED: Self = Self(8);
    /// `\Draft`
    pub const DRAFT: Self = Self(16);
    /// All five.
    pub const ALL: Self = Self(31);

    /// The bits, as records keep them.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    /// From bits; others than the five are dropped.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// Whether all of the others are set.
    #[must_use]
    pub fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// These and others.
    #[must_use]
    pub fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// These, but not the others.
    #[must_use]
    pub fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Those of these that are among the others.
    #[must_use]
    pub fn within(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }
}
