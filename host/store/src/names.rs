//! Names of mailboxes: UTF-8, levels divided by `/`.

use std::fmt;

pub use mail_types::MAILBOX_DEPTH_MAX;

use crate::error::StoreError;

/// The mailbox that every account has (RFC 3501 §5.1).
pub const INBOX: &str = "INBOX";
/// Longest name, in octets: it is part of keys.
pub const MAILBOX_NAME_MAX: usize = 400;

/// A name that a mailbox can have. `INBOX` is one name in any case (RFC 3501 §5.1), also as a
/// first level.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxName(String);

impl MailboxName {
    /// Takes a name that keeps the rules. One `/` at the end is dropped: clients write so what
    /// shall hold other mailboxes (RFC 3501 §6.3.3).
    pub fn new(name: &str) -> Result<Self, StoreError> {
        let name = name.strip_suffix('/').unwrap_or(name);
        let wrong = |why| Err(StoreError::Name(why));
        if name.is_empty() {
            return wrong("is empty");
        }
        if name.len() > MAILBOX_NAME_MAX {
            return wrong("is too long");
        }
        if name.chars().any(char::is_control) {
            return wrong("has control characters");
        }
        let levels = name.split('/').count();
        if levels > MAILBOX_DEPTH_MAX {
            return wrong("has too many levels");
        }
        if name.split('/').any(str::is_empty) {
            return wrong("has an empty level");
        }
        let first = name.split('/').next().unwrap_or_default();
        if first.eq_ignore_ascii_case(INBOX) {
            return Ok(Self(format!("{INBOX}{}", &name[first.len()..])));
        }
        Ok(Self(name.to_owned()))
    }

    /// Whether a mailbox may get the name: other programs take a level that is `.` or `..` for a way out of their folders,
    /// and synchronize nothing at all where one is listed, be it another's.
    ///
    /// # Errors
    /// [`StoreError::Name`].
    pub fn may_be_given(&self) -> Result<(), StoreError> {
        if self.0.split('/').any(|level| matches!(level, "." | "..")) {
            return Err(StoreError::Name("has a level that is a dot or two"));
        }
        Ok(())
    }

    /// The name of the account's INBOX.
    #[must_use]
    pub fn inbox() -> Self {
        Self(INBOX.to_owned())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the INBOX itself.
    #[must_use]
    pub fn is_inbox(&self) -> bool {
        self.0 == INBOX
    }

    /// The name one level up.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }

    /// Whether this name lies below another.
    #[must_use]
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.strip_prefix(other.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }

    /// This name with another in place of the beginning that it shares with `from`.
    pub(crate) fn moved(&self, from: &Self, to: &Self) -> Result<Self, StoreError> {
        Self::new(&format!("{to}{}", &self.0[from.0.len()..]))
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_brought_to_form() {
        for (name, expected) in [
            ("inbox", "INBOX"),
            ("iNbOx/a", "INBOX/a"),
            ("Inboxes", "Inboxes"),
            ("a/b/", "a/b"),
            ("Größe", "Größe"),
        ] {
            assert_eq!(MailboxName::new(name).unwrap().as_str(), expected);
        }
        let (long, deep) = ("x".repeat(MAILBOX_NAME_MAX + 1), "a/".repeat(MAILBOX_DEPTH_MAX + 1));
        for name in ["", "/", "/a", "a//b", "a//", "a\n", "\u{7f}", &long, &deep] {
            assert!(MailboxName::new(name).is_err(), "{name}");
        }
        for (name, may) in [("a.b", true), ("...", true), (".", false), ("a/..", false), ("../a", false)] {
            assert_eq!(MailboxName::new(name).unwrap().may_be_given().is_ok(), may, "{name}");
        }
        let (a, ab) = (MailboxName::new("a").unwrap(), MailboxName::new("a/b").unwrap());
        assert!(ab.is_below(&a) && !a.is_below(&a) && !MailboxName::new("ab").unwrap().is_below(&a));
        assert_eq!((ab.parent(), a.parent()), (Some(a), None));
    }
}
