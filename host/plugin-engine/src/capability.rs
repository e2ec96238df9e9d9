//! What a plugin may ask the host for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One imported interface of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    /// Lines in the log.
    Log,
    /// Its configuration and secrets.
    Config,
    /// Rows of the tenant's tables.
    Lookup,
    /// Questions to the DNS.
    Dns,
    /// A small durable store.
    Kv,
    /// The time.
    Clock,
    /// Chance.
    Random,
    /// Keyed hashes.
    Hmac,
    /// The header of the message under decision.
    Headers,
    /// Its body.
    Body,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Log,
        Self::Config,
        Self::Lookup,
        Self::Dns,
        Self::Kv,
        Self::Clock,
        Self::Random,
        Self::Hmac,
        Self::Headers,
        Self::Body,
    ];

    /// The name of its interface.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Config => "config",
            Self::Lookup => "lookup",
            Self::Dns => "dns",
            Self::Kv => "kv",
            Self::Clock => "clock",
            Self::Random => "random",
            Self::Hmac => "hmac",
            Self::Headers => "headers",
            Self::Body => "body",
        }
    }

    /// Whether an answer may depend on more than the question, the configuration and the tables, once it is used: then
    /// equal questions need not have equal answers, and none is remembered. Rows are the same for all of one generation
    /// of the tables, and answers are remembered for no longer.
    #[must_use]
    pub fn is_impure(self) -> bool {
        !matches!(self, Self::Log | Self::Config | Self::Lookup | Self::Hmac)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Capability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|capability| capability.as_str() == text).ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            format!("{text:?} is no capability; they are {all}")
        })
    }
}
