//! The words of events: where a session stood, what an attempt came to.

use std::fmt;

/// In which step of a session something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before or at the greeting.
    Connect,
    /// EHLO, HELO, LHLO.
    Hello,
    /// AUTH, LOGIN.
    Authentication,
    /// MAIL.
    Mail,
    /// RCPT.
    Recipient,
    /// DATA, BDAT: the content.
    Content,
    /// Anything else.
    Command,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Hello => "hello",
            Self::Authentication => "authentication",
            Self::Mail => "mail",
            Self::Recipient => "recipient",
            Self::Content => "content",
            Self::Command => "command",
        })
    }
}

/// What an attempt came to, for one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Handed over.
    Delivered,
    /// To be tried again.
    Deferred,
    /// Given up.
    Failed,
}

impl Outcome {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Delivered, Self::Deferred, Self::Failed];
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delivered => "delivered",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
        })
    }
}
