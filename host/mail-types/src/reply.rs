//! SMTP replies (RFC 5321 §4.2) and refusals.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::status::{EnhancedStatus, Persistence};

/// A reply: code, enhanced status where there is one (RFC 2034), and one text per line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// RFC 3463 status, repeated on each line as RFC 2034 §4 asks.
    pub status: Option<EnhancedStatus>,
    /// The text of each line, at least one, without CR and LF.
    pub lines: Vec<String>,
}

impl Reply {
    /// A reply of one line without an enhanced status (greeting, EHLO, 354).
    #[must_use]
    pub fn plain(code: u16, text: impl Into<String>) -> Self {
        Self { code, status: None, lines: vec![text.into()] }
    }

    /// A reply of one line. The code's first digit must be that of the status (RFC 2034 §4).
    #[must_use]
    pub fn new(code: u16, status: EnhancedStatus, text: impl Into<String>) -> Self {
        debug_assert_eq!(code / 100, u16::from(status.persistence.digit()), "code and status disagree");
        Self { code, status: Some(status), lines: vec![text.into()] }
    }

    /// What the sender may do about it; 1xx and 3xx count as success.
    #[must_use]
    pub fn persistence(&self) -> Persistence {
        match self.code / 100 {
            4 => Persistence::Transient,
            5.. => Persistence::Permanent,
            _ => Persistence::Success,
        }
    }

    /// Whether the code is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.code / 100 == 2
    }

    /// The status, or the bare class where the reply has none (`5.0.0`).
    #[must_use]
    pub fn status_or_class(&self) -> EnhancedStatus {
        self.status.unwrap_or(EnhancedStatus { persistence: self.persistence(), subject: 0, detail: 0 })
    }
}

impl fmt::Display for Reply {
    /// As on one log line: `550 5.1.1 No such user`, lines joined by ` / `.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.code)?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        write!(f, " {}", self.lines.join(" / "))
    }
}

/// A refusal: what the peer is told, and what only the log learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For the peer.
    pub reply: Reply,
    /// For the operator: the true reason, with names and places.
    pub cause: String,
    /// Whether nothing at all can be said now: what fails is not this address's alone.
    pub is_outage: bool,
}

impl Refusal {
    /// Joins the two.
    #[must_use]
    pub fn new(reply: Reply, cause: impl Into<String>) -> Self {
        Self { reply, cause: cause.into(), is_outage: false }
    }

    /// A refusal whose public text tells all there is to tell.
    #[must_use]
    pub fn public(reply: Reply) -> Self {
        let cause = reply.lines.join(" ");
        Self { reply, cause, is_outage: false }
    }

    /// The same, of whatever is asked about now.
    #[must_use]
    pub fn as_outage(self) -> Self {
        Self { is_outage: true, ..self }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reply, self.cause)
    }
}
