//! Why rewriting ended without a channel.

use std::fmt;

use mail_types::{EnhancedStatus, Refusal};

use super::message::Message;

/// Why no rule gave the address a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unroutable {
    /// No rule took it; with the text of `$?`, where one was given.
    NoRule(Option<Message>, Option<String>),
    /// Rules kept firing beyond [`super::engine::REWRITES_MAX`].
    Loop(String),
    /// A tag built by a rule names no channel.
    NoChannel(String),
    /// The directory did not answer a `$V`, or the general table a `$(…)`.
    Unavailable(String),
    /// A plugin refused it, or failed and that refuses it.
    Refused(Box<Refusal>),
    /// Nothing can be said yet: a plugin has to be asked first.
    Open,
}

impl Unroutable {
    /// The status for the peer.
    #[must_use]
    pub fn status(&self) -> EnhancedStatus {
        match self {
            Self::NoRule(Some(message), _) => message.status,
            Self::NoRule(None, _) => EnhancedStatus::permanent(1, 2),
            Self::Loop(_) => EnhancedStatus::permanent(4, 6),
            Self::NoChannel(_) => EnhancedStatus::permanent(3, 5),
            Self::Unavailable(_) | Self::Open => EnhancedStatus::transient(4, 3),
            Self::Refused(refusal) => refusal.reply.status_or_class(),
        }
    }
}

impl fmt::Display for Unroutable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRule(Some(message), Some(origin)) => write!(f, "{} ({origin})", message.text),
            Self::NoRule(Some(message), None) => f.write_str(&message.text),
            Self::NoRule(None, _) => f.write_str("no rewrite rule takes the address"),
            Self::Refused(refusal) => f.write_str(&refusal.cause),
            Self::Open => f.write_str("a plugin has to be asked first"),
            Self::Loop(why) | Self::NoChannel(why) | Self::Unavailable(why) => f.write_str(why),
        }
    }
}
