//! Response codes: what a response says to the program, beside its text.

use crate::flag::Flag;
use crate::sequence::SequenceSet;
use crate::text::write_list;

/// A response code (RFC 3501 §7.1, RFC 5530, and those named at the variants).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the wire's own words")]
pub enum Code {
    Alert,
    /// With the charsets that work.
    BadCharset(Vec<&'static str>),
    Capability(Vec<String>),
    PermanentFlags {
        flags: Vec<Flag>,
        new_keywords: bool,
    },
    ReadOnly,
    ReadWrite,
    TryCreate,
    UidNext(u32),
    UidValidity(u32),
    Unseen(u32),
    /// RFC 4315 §3; several UIDs after an APPEND of several messages (RFC 3502).
    AppendUid {
        uid_validity: u32,
        uids: SequenceSet,
    },
    /// RFC 4315 §3.
    CopyUid {
        uid_validity: u32,
        source: SequenceSet,
        target: SequenceSet,
    },
    /// RFC 3691 and RFC 7162 §3.2.11.
    Closed,
    /// RFC 7888 §5 (from RFC 4469).
    TooBig,
    /// RFC 4469 §4.1: the URL that could not be used.
    BadUrl(String),
    /// RFC 7162 §3.1.2.1.
    HighestModSeq(u64),
    /// RFC 7162 §3.1.3: messages that changed meanwhile.
    Modified(SequenceSet),
    /// RFC 5464 §4.2.1: the largest value that was left out.
    MetadataLongEntries(u32),
    /// RFC 5464 §4.3: the largest value that is taken.
    MetadataMaxSize(u32),
    /// RFC 5464 §4.3.
    MetadataTooMany,
    /// RFC 5465 §5.8.
    NotificationOverflow,
    /// RFC 5465 §3.1: the events that are known.
    BadEvent(Vec<&'static str>),
    /// RFC 8474 §4.1.
    MailboxId(String),
    /// RFC 6154 §3.
    UseAttr,
    /// RFC 9586 §3.
    UidRequired,
    /// RFC 5267 §4.3.1: the tag of the search whose results are not kept up to date.
    NoUpdate(String),
    /// RFC 3516 §4.3.
    UnknownCte,
    /// RFC 6858 §3: messages of which surrogates were told, by UID.
    Downgraded(SequenceSet),
    /// RFC 4978 §3.
    CompressionActive,
    /// RFC 5530.
    Unavailable,
    AuthenticationFailed,
    AuthorizationFailed,
    PrivacyRequired,
    ContactAdmin,
    InUse,
    ExpungeIssued,
    Corruption,
    ServerBug,
    ClientBug,
    Cannot,
    Limit,
    OverQuota,
    AlreadyExists,
    NonExistent,
    NoPerm,
}

impl Code {
    /// Appends `[code] `.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        match self {
            Self::BadCharset(charsets) => {
                out.extend_from_slice(b"BADCHARSET ");
                write_list(out, charsets, |out, charset| out.extend_from_slice(charset.as_bytes()));
            }
            Self::BadEvent(events) => {
                out.extend_from_slice(b"BADEVENT ");
                write_list(out, events, |out, event| out.extend_from_slice(event.as_bytes()));
            }
            Self::Capability(names) => {
                out.extend_from_slice(b"CAPABILITY ");
                out.extend_from_slice(names.join(" ").as_bytes());
            }
            Self::PermanentFlags { flags, new_keywords } => {
                out.extend_from_slice(b"PERMANENTFLAGS ");
                let any = new_keywords.then(|| "\\*".to_owned());
                write_list(out, flags.iter().map(Flag::to_string).chain(any), |out, flag| {
                    out.extend_from_slice(flag.as_bytes());
                });
            }
            other => out.extend_from_slice(other.short().as_bytes()),
        }
        out.extend_from_slice(b"] ");
    }

    /// The codes that are words and numbers.
    fn short(&self) -> String {
        match self {
            Self::UidNext(uid) => format!("UIDNEXT {uid}"),
            Self::UidValidity(validity) => format!("UIDVALIDITY {validity}"),
            Self::Unseen(number) => format!("UNSEEN {number}"),
            Self::AppendUid { uid_validity, uids } => format!("APPENDUID {uid_validity} {uids}"),
            Self::BadUrl(url) => format!("BADURL {}", url_text(url)),
            Self::HighestModSeq(modseq) => format!("HIGHESTMODSEQ {modseq}"),
            Self::Modified(set) => format!("MODIFIED {set}"),
            Self::NoUpdate(tag) => format!("NOUPDATE \"{tag}\""),
            Self::Downgraded(uids) => format!("DOWNGRADED {uids}"),
            Self::MetadataLongEntries(octets) => format!("METADATA LONGENTRIES {octets}"),
            Self::MetadataMaxSize(octets) => format!("METADATA MAXSIZE {octets}"),
            Self::MailboxId(id) => format!("MAILBOXID ({id})"),
            Self::CopyUid { uid_validity, source, target } => {
                format!("COPYUID {uid_validity} {source} {target}")
            }
            word => word.word().to_owned(),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Alert => "ALERT",
            Self::ReadOnly => "READ-ONLY",
            Self::ReadWrite => "READ-WRITE",
            Self::TryCreate => "TRYCREATE",
            Self::Closed => "CLOSED",
            Self::TooBig => "TOOBIG",
            Self::MetadataTooMany => "METADATA TOOMANY",
            Self::NotificationOverflow => "NOTIFICATIONOVERFLOW",
            Self::UseAttr => "USEATTR",
            Self::UidRequired => "UIDREQUIRED",
            Self::UnknownCte => "UNKNOWN-CTE",
            Self::CompressionActive => "COMPRESSIONACTIVE",
            Self::Unavailable => "UNAVAILABLE",
            Self::AuthenticationFailed => "AUTHENTICATIONFAILED",
            Self::AuthorizationFailed => "AUTHORIZATIONFAILED",
            Self::PrivacyRequired => "PRIVACYREQUIRED",
            Self::ContactAdmin => "CONTACTADMIN",
            Self::InUse => "INUSE",
            Self::ExpungeIssued => "EXPUNGEISSUED",
            Self::Corruption => "CORRUPTION",
            Self::ServerBug => "SERVERBUG",
            Self::ClientBug => "CLIENTBUG",
            Self::Cannot => "CANNOT",
            Self::Limit => "LIMIT",
            Self::OverQuota => "OVERQUOTA",
            Self::AlreadyExists => "ALREADYEXISTS",
            Self::NonExistent => "NONEXISTENT",
            // The rest is written by `write` and `short`.
            _ => "NOPERM",
        }
    }
}

/// `url-resp-text = 1*<any TEXT-CHAR except "]">`; what it cannot hold is escaped as URLs escape.
fn url_text(url: &str) -> String {
    let mut text = String::with_capacity(url.len());
    for octet in url.bytes() {
        match octet {
            b'!'..=b'~' if octet != b']' => text.push(char::from(octet)),
            octet => text.push_str(&format!("%{octet:02X}")),
        }
    }
    text
}
