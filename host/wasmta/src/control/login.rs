//! What is asked about log-ins.

use serde::{Deserialize, Serialize};

/// A request about sessions and refused log-ins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginRequest {
    /// The sessions that are open.
    Sessions {
        /// Only those of this login or address.
        user: Option<String>,
        /// Those that nobody has logged in by, too.
        all: bool,
    },
    /// Ends sessions.
    End {
        /// These.
        numbers: Vec<u64>,
        /// Those of this login or address.
        user: Option<String>,
    },
    /// Wrong passwords that are counted.
    Refused {
        /// Counts that refuse nobody yet, too.
        all: bool,
    },
    /// Forgets wrong passwords.
    Lift {
        /// Networks, by one of their addresses, and logins.
        whom: Vec<String>,
        /// All of them.
        all: bool,
    },
}
