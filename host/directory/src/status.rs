//! The small words in entries: status, delivery option, quota, automatic reply.

use std::fmt;

use mail_types::{Address, Timestamp};

/// Status of a domain, user or group (requirements §2.1, §2.2). Sorted from open to shut:
/// of two statuses that apply at once, the greater one rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Status {
    /// Everything works.
    #[default]
    Active,
    /// Mailboxes are full: mail is deferred, log-in works.
    OverQuota,
    /// Mail is kept in the hold channel, while mailboxes move for example.
    Hold,
    /// For a while: log-in refused, mail refused with 4xx.
    Inactive,
    /// By decision: log-in refused, mail refused with 5xx.
    Disabled,
    /// To be purged after a grace: as unknown to the outside.
    Deleted,
    /// Purged: as unknown to the outside.
    Removed,
}

impl Status {
    /// Reads a status. An illegal value counts as inactive, as the product has it; the caller
    /// records the defect where [`Status::is_word`] is false.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::from_word(text).unwrap_or(Self::Inactive)
    }

    /// Whether the text is one of the words.
    #[must_use]
    pub fn is_word(text: &str) -> bool {
        Self::from_word(text).is_some()
    }

    fn from_word(text: &str) -> Option<Self> {
        const ALL: [Status; 7] = [
            Status::Active,
            Status::OverQuota,
            Status::Hold,
            Status::Inactive,
            Status::Disabled,
            Status::Deleted,
            Status::Removed,
        ];
        ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(text.trim()))
    }

    /// The word in the directory.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::OverQuota => "overquota",
            Self::Hold => "hold",
            Self::Inactive => "inactive",
            Self::Disabled => "disabled",
            Self::Deleted => "deleted",
            Self::Removed => "removed",
        }
    }

    /// Whether the outside shall not know it.
    #[must_use]
    pub fn is_gone(self) -> bool {
        matches!(self, Self::Deleted | Self::Removed)
    }

    /// Whether its owner may log in.
    #[must_use]
    pub fn allows_login(self) -> bool {
        matches!(self, Self::Active | Self::OverQuota | Self::Hold)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happens to mail of a user or group (`mailDeliveryOption`, requirements §2.2, §2.4).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DeliveryOption {
    /// Into the mailbox of the store.
    Mailbox,
    /// Into the system's own mail file.
    Native,
    /// As `native`, by its other name.
    Unix,
    /// An automatic reply.
    AutoReply,
    /// To a registered program.
    Program,
    /// To the forwarding addresses.
    Forward,
    /// Into the hold channel.
    Hold,
    /// To the members of a group.
    Members,
    /// To the members, by way of the reprocess channel.
    MembersOffline,
    /// Into a file.
    File,
    /// Into a shared mailbox.
    Shared,
    /// A value of the site's own.
    Other(String),
}

impl DeliveryOption {
    /// Reads a value.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.trim().to_ascii_lowercase();
        match text.as_str() {
            "mailbox" => Self::Mailbox,
            "native" => Self::Native,
            "unix" => Self::Unix,
            "autoreply" => Self::AutoReply,
            "program" => Self::Program,
            "forward" => Self::Forward,
            "hold" => Self::Hold,
            "members" => Self::Members,
            "members_offline" => Self::MembersOffline,
            "file" => Self::File,
            "shared" => Self::Shared,
            _ => Self::Other(text),
        }
    }

    /// The word in the directory.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Mailbox => "mailbox",
            Self::Native => "native",
            Self::Unix => "unix",
            Self::AutoReply => "autoreply",
            Self::Program => "program",
            Self::Forward => "forward",
            Self::Hold => "hold",
            Self::Members => "members",
            Self::MembersOffline => "members_offline",
            Self::File => "file",
            Self::Shared => "shared",
            Self::Other(text) => text,
        }
    }
}

/// A limit of octets or messages (`mailQuota`, `mailMsgQuota` and the domain's own).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quota {
    /// `-2`, or absent: what the configuration says.
    #[default]
    Default,
    /// `-1`: none.
    Unlimited,
    /// That many octets or messages; 0 refuses all.
    Limit(u64),
}

impl Quota {
    /// Reads `-1`, `-2`, or a number with `K`, `M` or `G` (powers of 1024).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        match text {
            "-1" => return Some(Self::Unlimited),
            "-2" => return Some(Self::Default),
            _ => {}
        }
        let (digits, shift) = match text.char_indices().next_back()? {
            (at, 'k' | 'K') => (&text[..at], 10),
            (at, 'm' | 'M') => (&text[..at], 20),
            (at, 'g' | 'G') => (&text[..at], 30),
            _ => (text, 0),
        };
        let number: u64 = digits.trim().parse().ok()?;
        number.checked_mul(1 << shift).map(Self::Limit)
    }
}

/// What an automatic reply is for (`mailAutoReplyMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoReplyMode {
    /// The text, to those who write to the user, once in a while: an absence.
    #[default]
    Vacation,
    /// The text, to everybody who writes: a service.
    Reply,
    /// As `reply`, with what was written.
    Echo,
}

impl AutoReplyMode {
    /// Reads a value; `None` for what is no mode.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        const ALL: [AutoReplyMode; 3] = [AutoReplyMode::Vacation, AutoReplyMode::Reply, AutoReplyMode::Echo];
        ALL.into_iter().find(|mode| mode.as_str().eq_ignore_ascii_case(text.trim()))
    }

    /// The word in the directory.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vacation => "vacation",
            Self::Reply => "reply",
            Self::Echo => "echo",
        }
    }
}

/// A value in a language: `attribute;lang-de` (RFC 3866), or without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    /// The language in lower case; empty where none is said.
    pub language: String,
    /// The value.
    pub text: String,
}

/// The automatic reply of a user (`mailAutoReply…`, R64).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AutoReply {
    /// What it is for.
    pub mode: AutoReplyMode,
    /// From, where the user chose it: a name, and an address.
    pub from: Option<(Option<String>, Address)>,
    /// The text, `$` for a line's end.
    pub texts: Vec<Tagged>,
    /// The text for senders in the same domain.
    pub texts_internal: Vec<Tagged>,
    /// The subject.
    pub subjects: Vec<Tagged>,
    /// Hours between two replies to one sender.
    pub timeout_hours: Option<u32>,
    /// Start of the absence.
    pub start: Option<Timestamp>,
    /// End of the absence.
    pub end: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_illegal_status_is_inactive() {
        for (text, status) in [
            ("active", Status::Active),
            ("INACTIVE", Status::Inactive),
            ("overquota", Status::OverQuota),
            ("hold", Status::Hold),
            ("removed", Status::Removed),
            ("", Status::Inactive),
            ("activ", Status::Inactive),
        ] {
            assert_eq!(Status::parse(text), status, "{text}");
        }
        assert!(Status::Deleted > Status::Inactive && !Status::is_word("activ"));
    }

    #[test]
    fn quotas_have_units_and_two_negative_words() {
        for (text, quota) in [
            ("-1", Some(Quota::Unlimited)),
            ("-2", Some(Quota::Default)),
            ("0", Some(Quota::Limit(0))),
            ("20M", Some(Quota::Limit(20 << 20))),
            ("1 g", Some(Quota::Limit(1 << 30))),
            ("104857600", Some(Quota::Limit(104_857_600))),
            ("-3", None),
            ("", None),
            ("99999999999999999999", None),
            ("18446744073709551615K", None),
        ] {
            assert_eq!(Quota::parse(text), quota, "{text}");
        }
    }
}
