//! Why somebody was not let in, by what the client may do about it.

use mail_types::{EnhancedStatus, Reply};

/// Why an authentication did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No such login, wrong password, no password, or no right to act for another. Which of them is
    /// never told.
    #[error("the login name or the password is wrong")]
    Credentials,
    /// The directory or the hashing capacity is not there: the text is for the log. Try later.
    #[error("authentication is not available: {0}")]
    Unavailable(String),
    /// No such mechanism, or not offered here.
    #[error("the authentication mechanism is not offered")]
    Mechanism,
    /// The mechanism shows the password: only under TLS.
    #[error("this authentication needs an encrypted connection: use TLS first")]
    Encryption,
    /// The client ended the exchange with `*`.
    #[error("the authentication was cancelled")]
    Cancelled,
    /// What the client sent breaks the mechanism's grammar.
    #[error("the authentication data are malformed")]
    Malformed,
    /// Too many failures from this client or for this account from there. Try later.
    #[error("too many failed authentications: wait some minutes")]
    Throttled,
    /// The password was right, but the account or its domain is shut, or the service is not open to
    /// it: the text says which.
    #[error("{0}")]
    Disabled(String),
}

impl AuthError {
    /// The SMTP reply (RFC 4954 §6, RFC 5248 registry). What only the log may learn is left out.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let permanent = EnhancedStatus::permanent;
        match self {
            Self::Credentials => Reply::new(535, permanent(7, 8), "Authentication credentials invalid"),
            Self::Unavailable(_) => {
                Reply::new(454, EnhancedStatus::transient(7, 0), "Temporary authentication failure")
            }
            Self::Mechanism => Reply::new(504, permanent(5, 4), "Unrecognized authentication type"),
            Self::Encryption => Reply::new(
                538,
                permanent(7, 11),
                "Encryption required for requested authentication mechanism",
            ),
            Self::Cancelled => Reply::new(501, permanent(7, 0), "Authentication cancelled"),
            Self::Malformed => Reply::new(501, permanent(5, 2), "Cannot decode the authentication data"),
            Self::Throttled => {
                Reply::new(454, EnhancedStatus::transient(7, 0), "Too many failed authentications, wait")
            }
            Self::Disabled(why) => Reply::new(535, permanent(7, 13), why.clone()),
        }
    }
}
