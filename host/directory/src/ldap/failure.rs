//! What goes wrong between us and an LDAP server, by what the caller does about it.

use std::time::Duration;

/// Why a server gave no answer, or none that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LdapFailure {
    /// The server is not reached, or the connection broke: another one may do.
    #[error("{server}: {why}")]
    Unreachable {
        /// The server.
        server: String,
        /// What happened.
        why: String,
    },
    /// The server did not answer in time: another one may do.
    #[error("{server}: no answer to the {what} within {} ms", .after.as_millis())]
    Timeout {
        /// The server.
        server: String,
        /// What was asked.
        what: &'static str,
        /// How long it was waited.
        after: Duration,
    },
    /// The server says no (RFC 4511 §4.1.9).
    #[error("{server}: the {what} failed with {code} {name}{}{}", said(.text), mend(*.code), name = name(*.code))]
    Refused {
        /// The server.
        server: String,
        /// What was asked.
        what: &'static str,
        /// The result code.
        code: u32,
        /// What the server says of it.
        text: String,
    },
    /// Part of the answer lies on another server (RFC 4511 §4.1.10), where we do not follow.
    #[error("{server}: part of the answer lies elsewhere, at {}, {why}", .urls.first().map_or("", |url| url.as_str()))]
    Referral {
        /// The server.
        server: String,
        /// Where it points: any of these.
        urls: Vec<String>,
        /// Why we do not.
        why: String,
    },
    /// Part of the answer lies on another server, which did not give it.
    #[error("{server}: {base} lies on another server, and that did not answer: {why}")]
    Elsewhere {
        /// The server.
        server: String,
        /// What lies elsewhere.
        base: String,
        /// What the other server said, or did not.
        why: String,
    },
    /// The server speaks no LDAP that can be read.
    #[error("{server}: its answer cannot be read: {what}")]
    Malformed {
        /// The server.
        server: String,
        /// What is wrong.
        what: String,
    },
    /// No server of the list answers; the reason of the last one.
    #[error("no LDAP server answers; the last one: {0}")]
    NoServer(String),
    /// All connections are in use.
    #[error("all {0} connections to the LDAP servers are in use")]
    Busy(usize),
    /// A file that the configuration names cannot be used.
    #[error("{0}")]
    Setting(String),
}

impl LdapFailure {
    /// Whether another server, or the same one later, may answer: the connection is of no more use.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::NoServer(_) | Self::Malformed { .. } => {
                true
            }
            // busy, unavailable
            Self::Refused { code, .. } => matches!(code, 51 | 52),
            Self::Referral { .. } | Self::Elsewhere { .. } | Self::Busy(_) | Self::Setting(_) => false,
        }
    }

    /// Whether an edit may have been made all the same: it was on its way when the server fell silent.
    #[must_use]
    pub(crate) fn may_be_made(&self) -> bool {
        match self {
            Self::Timeout { what, .. } => !matches!(*what, "connection" | "bind"),
            Self::Unreachable { .. } | Self::Malformed { .. } => true,
            _ => false,
        }
    }

    /// The result code, where the server gave one.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// What to do about it, where the configuration has it in hand.
fn mend(code: u32) -> &'static str {
    if code == INVALID_CREDENTIALS { "; mend bind-dn, or the first line of password-file" } else { "" }
}

fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// noSuchObject: there is no entry of that name.
pub(crate) const NO_SUCH_OBJECT: u32 = 32;
/// invalidCredentials: the password is not the entry's.
pub(crate) const INVALID_CREDENTIALS: u32 = 49;
/// unavailableCriticalExtension: the server lacks a control.
pub(crate) const NO_SUCH_EXTENSION: u32 = 12;
/// unwillingToPerform: for reasons of the server's own.
pub(crate) const UNWILLING: u32 = 53;
/// entryAlreadyExists: there is an entry of that name.
pub(crate) const ENTRY_EXISTS: u32 = 68;
/// e-syncRefreshRequired (RFC 4533 §2.6): the cookie is of no more use.
pub(crate) const REFRESH_REQUIRED: u32 = 4096;

/// The name of a result code (RFC 4511 Appendix A.2), of those that one meets.
fn name(code: u32) -> &'static str {
    match code {
        1 => "operationsError",
        2 => "protocolError",
        3 => "timeLimitExceeded",
        4 => "sizeLimitExceeded",
        7 => "authMethodNotSupported",
        8 => "strongerAuthRequired",
        10 => "referral",
        11 => "adminLimitExceeded",
        NO_SUCH_EXTENSION => "unavailableCriticalExtension",
        13 => "confidentialityRequired",
        16 => "noSuchAttribute",
        17 => "undefinedAttributeType",
        18 => "inappropriateMatching",
        19 => "constraintViolation",
        20 => "attributeOrValueExists",
        21 => "invalidAttributeSyntax",
        NO_SUCH_OBJECT => "noSuchObject",
        34 => "invalidDNSyntax",
        48 => "inappropriateAuthentication",
        INVALID_CREDENTIALS => "invalidCredentials",
        50 => "insufficientAccessRights",
        51 => "busy",
        52 => "unavailable",
        UNWILLING => "unwillingToPerform",
        64 => "namingViolation",
        65 => "objectClassViolation",
        66 => "notAllowedOnNonLeaf",
        ENTRY_EXISTS => "entryAlreadyExists",
        71 => "affectsMultipleDSAs",
        80 => "other",
        REFRESH_REQUIRED => "e-syncRefreshRequired",
        _ => "",
    }
}
