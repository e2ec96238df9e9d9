//! Who may send as whom.

use std::fmt;
use std::sync::Arc;

use mail_types::{AccountName, Address, Reply};

use crate::Attributes;

/// An account that wants to send as an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SenderRequest {
    /// Who has logged in.
    pub account: AccountName,
    /// As whom it wants to send.
    pub address: Address,
    /// The account's own attributes, shared with whoever else has read them.
    pub attributes: Arc<Attributes>,
}

/// Whether it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SenderVerdict {
    /// The next plugin, then the host's own rule says.
    NoOpinion,
    /// It may.
    Allow,
    /// It may not.
    Deny(Reply),
}

impl fmt::Display for SenderVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOpinion => f.write_str("no-opinion"),
            Self::Allow => f.write_str("allow"),
            Self::Deny(reply) => write!(f, "deny {reply}"),
        }
    }
}
