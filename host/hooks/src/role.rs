//! What a plugin may be asked.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A role: one interface of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// From an address to its new form, as mail comes in.
    Rewrite,
    /// The inverse, as mail goes out.
    Reverse,
    /// Whether an account may send as an address.
    AuthorizeSender,
    /// What becomes of mail for one final recipient.
    Disposition,
    /// From directory entries to rows of the tables.
    RouteTable,
}

impl Role {
    /// All of them, in the order of a message's way.
    pub const ALL: [Self; 5] =
        [Self::Rewrite, Self::Reverse, Self::AuthorizeSender, Self::Disposition, Self::RouteTable];

    /// The name of its interface.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rewrite => "rewrite",
            Self::Reverse => "reverse",
            Self::AuthorizeSender => "authorize-sender",
            Self::Disposition => "disposition",
            Self::RouteTable => "route-table",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            format!("{text:?} is no role; the roles are {all}")
        })
    }
}
