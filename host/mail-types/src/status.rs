//! Enhanced status codes (RFC 3463).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The class of a status: what the sender may do about it (RFC 3463 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Persistence {
    /// 2.x.x: done.
    Success,
    /// 4.x.x: trying again later may succeed.
    Transient,
    /// 5.x.x: the same try will never succeed.
    Permanent,
}

impl Persistence {
    /// The first digit, of replies and of enhanced statuses alike.
    #[must_use]
    pub fn digit(self) -> u8 {
        match self {
            Self::Success => 2,
            Self::Transient => 4,
            Self::Permanent => 5,
        }
    }
}

/// `class.subject.detail` (RFC 3463 §2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EnhancedStatus {
    /// The class.
    pub persistence: Persistence,
    /// The subject: 1 addressing, 2 mailbox, 3 mail system, 4 network, 5 protocol, 6 content, 7 policy.
    pub subject: u16,
    /// The detail within the subject.
    pub detail: u16,
}

impl EnhancedStatus {
    /// 2.subject.detail
    #[must_use]
    pub const fn success(subject: u16, detail: u16) -> Self {
        Self { persistence: Persistence::Success, subject, detail }
    }

    /// 4.subject.detail
    #[must_use]
    pub const fn transient(subject: u16, detail: u16) -> Self {
        Self { persistence: Persistence::Transient, subject, detail }
    }

    /// 5.subject.detail
    #[must_use]
    pub const fn permanent(subject: u16, detail: u16) -> Self {
        Self { persistence: Persistence::Permanent, subject, detail }
    }

    /// Reads the code at the start of a reply's text: `5.1.1 No such user`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let code = text.split(' ').next()?;
        let mut parts = code.splitn(3, '.');
        let persistence = match parts.next()? {
            "2" => Persistence::Success,
            "4" => Persistence::Transient,
            "5" => Persistence::Permanent,
            _ => return None,
        };
        let number = |text: &str| {
            let digits = (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
            if digits { text.parse::<u16>().ok() } else { None }
        };
        Some(Self { persistence, subject: number(parts.next()?)?, detail: number(parts.next()?)? })
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.persistence.digit(), self.subject, self.detail)
    }
}

impl fmt::Debug for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_from_reply_text() {
        assert_eq!(EnhancedStatus::parse("5.1.1 no"), Some(EnhancedStatus::permanent(1, 1)));
        assert_eq!(EnhancedStatus::parse("4.4.316"), Some(EnhancedStatus::transient(4, 316)));
        for text in ["", "3.1.1 x", "5.1", "5..1", "5.1.1234", "hello", "5.1.x"] {
            assert_eq!(EnhancedStatus::parse(text), None, "{text}");
        }
    }
}
