//! Addresses coming in, and going out.

use std::fmt;

use mail_types::{Address, ChannelName, Domain, Reply};

/// Where an address stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Position {
    /// In MAIL or RCPT.
    Envelope,
    /// In a header field.
    Header,
}

impl Position {
    /// The word of the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Envelope => "envelope",
            Self::Header => "header",
        }
    }
}

/// Whom an address names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// A receiver.
    To,
    /// A sender.
    From,
}

impl Direction {
    /// The word of the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::To => "to",
            Self::From => "from",
        }
    }
}

/// An address that asks for its new form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RewriteRequest {
    /// The address.
    pub address: Address,
    /// Envelope or header.
    pub position: Position,
    /// Receiver or sender.
    pub direction: Direction,
    /// From the rule `$[plugin,function,argument]`; empty for a bound domain.
    pub function: String,
    /// From the rule.
    pub argument: String,
}

/// What becomes of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RewriteVerdict {
    /// Nothing to say: the next rule or plugin is asked.
    NoMatch,
    /// The rules look at it again.
    Again(Address),
    /// Its last form; its domain decides where it goes.
    Settled(Address),
    /// Out by a channel.
    Route {
        /// As this address.
        address: Address,
        /// By this channel.
        channel: ChannelName,
        /// To this host; none: as the channel would find it.
        host: Option<Domain>,
    },
    /// Refused.
    Refuse(Reply),
}

impl fmt::Display for RewriteVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMatch => f.write_str("no-match"),
            Self::Again(address) => write!(f, "again {address}"),
            Self::Settled(address) => write!(f, "settled {address}"),
            Self::Route { address, channel, host: None } => write!(f, "route {address} {channel}"),
            Self::Route { address, channel, host: Some(host) } => {
                write!(f, "route {address} {channel} {host}")
            }
            Self::Refuse(reply) => write!(f, "refuse {reply}"),
        }
    }
}

/// A sender's address that asks how others shall see it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReverseRequest {
    /// The address.
    pub address: Address,
    /// Envelope or header.
    pub position: Position,
    /// The channel by which the mail leaves; empty while it is not known.
    pub destination: String,
    /// Whether the mail came from outside and is handed on.
    pub forwarded: bool,
}

/// How others shall see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReverseVerdict {
    /// As it is.
    Unchanged,
    /// As this.
    Changed(Address),
}

impl fmt::Display for ReverseVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchanged => f.write_str("unchanged"),
            Self::Changed(address) => write!(f, "changed {address}"),
        }
    }
}
