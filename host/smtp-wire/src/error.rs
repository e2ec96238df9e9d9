//! What is wrong with a command, and the reply that says so.

use mail_types::{AddressError, EnhancedStatus, Reply};

/// Why a line is no command. Every variant is the client's doing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The verb is not one of ours (RFC 5321 §4.2.4: 500).
    #[error("Command not recognized")]
    Unrecognized,
    /// Octets that no command may hold: controls, or what is not UTF-8.
    #[error("Commands are made of printable characters in UTF-8")]
    Characters,
    /// The arguments do not fit the verb; what they should be.
    #[error("Syntax: {0}")]
    Syntax(&'static str),
    /// The reverse path of MAIL is malformed.
    #[error("{0}")]
    ReversePath(AddressError),
    /// The forward path of RCPT is malformed.
    #[error("{0}")]
    ForwardPath(AddressError),
    /// A parameter that we do not know (RFC 5321 §4.1.1.11: 555).
    #[error("Parameter {0} is not recognized")]
    UnknownParameter(String),
    /// A parameter stands twice.
    #[error("Parameter {0} is given twice")]
    DuplicateParameter(&'static str),
    /// A parameter's value is malformed.
    #[error("Parameter {0} has no valid value")]
    ParameterValue(&'static str),
}

impl CommandError {
    /// The reply. Texts are ASCII, as RFC 6531 §3.7.4 asks: an echo of the client's octets is escaped.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let (code, status) = match self {
            Self::Unrecognized => (500, EnhancedStatus::permanent(5, 1)),
            Self::Characters => (500, EnhancedStatus::permanent(5, 2)),
            Self::Syntax(_) | Self::DuplicateParameter(_) | Self::ParameterValue(_) => {
                (501, EnhancedStatus::permanent(5, 4))
            }
            Self::ReversePath(_) => (501, EnhancedStatus::permanent(1, 7)),
            Self::ForwardPath(_) => (501, EnhancedStatus::permanent(1, 3)),
            Self::UnknownParameter(_) => (555, EnhancedStatus::permanent(5, 4)),
        };
        Reply::new(code, status, ascii(&self.to_string()))
    }
}

/// The text with everything but ASCII escaped.
fn ascii(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() { escaped.push(c) } else { escaped.extend(c.escape_unicode()) }
    }
    escaped
}
