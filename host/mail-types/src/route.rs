//! Where a recipient's copy goes, and by which agent.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::address::{Address, Domain};
use crate::ids::AccountName;

/// The name of a channel: a way out with its own limits, retry and agent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChannelName(String);

impl ChannelName {
    /// Local mailboxes.
    pub const STORE: &'static str = "store";
    /// Other hosts, by SMTP.
    pub const SMTP: &'static str = "smtp";
    /// Other stores, by LMTP.
    pub const LMTP: &'static str = "lmtp";
    /// Programs that the operator has registered (R65).
    pub const PROGRAM: &'static str = "program";
    /// Files below roots that the operator lists (R67).
    pub const FILE: &'static str = "file";
    /// Mailboxes that others share (R68).
    pub const SHARED: &'static str = "shared";
    /// Parked until the operator releases.
    pub const HOLD: &'static str = "hold";
    /// Resolved again from the start.
    pub const REPROCESS: &'static str = "reprocess";
    /// Discarded, by a named rule.
    pub const BITBUCKET: &'static str = "bitbucket";
    /// Answered on behalf of the recipient (R64).
    pub const AUTOREPLY: &'static str = "autoreply";
    /// Sent to the members of a list.
    pub const LIST: &'static str = "list";

    /// Takes a name; names are compared in lower case.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.to_ascii_lowercase())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// To whom a channel hands over.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NextHop {
    /// An account of the local store.
    Account(AccountName),
    /// A mail domain: its MX records are asked (RFC 5321 §5.1).
    Domain(Domain),
    /// One host, without MX lookup; port where it is not the channel's own.
    Host {
        /// Name or address literal.
        host: Domain,
        /// TCP port; the channel's default when absent.
        port: Option<u16>,
    },
    /// Nobody: hold, bitbucket, reprocess.
    Nobody,
    /// An account of the local store, with a place in it.
    Mailbox {
        /// The account.
        account: AccountName,
        /// Where in it.
        filing: Box<Filing>,
    },
    /// Something that the operator has registered under a name, chosen by an account: a program, a file. (Records hold
    /// the number of a way: new ones stand last.)
    Named {
        /// On whose behalf.
        account: AccountName,
        /// Which.
        name: String,
    },
    /// The sender, who gets these words on behalf of an account.
    Answer {
        /// On whose behalf.
        account: AccountName,
        /// What is answered.
        words: Box<Words>,
    },
}

/// An automatic reply, as a policy words it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Words {
    /// The subject, on one line; empty: that of the message, marked as answered.
    pub subject: String,
    /// The text, lines ended by LF.
    pub text: String,
    /// Hours between answers to one sender; 0: as usual.
    pub once_in_hours: u32,
}

/// Most levels of a mailbox's name, as they are joined by `/`: of what no store makes, nobody should ask.
pub const MAILBOX_DEPTH_MAX: usize = 32;

/// Where in an account a copy goes, and how it looks there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Filing {
    /// Names nested by `/`; empty: INBOX.
    pub mailbox: String,
    /// Flags and keywords.
    pub labels: Vec<String>,
    /// Header fields of this copy alone: name and value, one line each.
    pub fields: Vec<(String, String)>,
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(account) => write!(f, "{account}"),
            Self::Domain(domain) => write!(f, "{domain}"),
            Self::Host { host, port } => {
                // An address literal has its brackets already.
                if host.as_ip().is_some() { write!(f, "{host}") } else { write!(f, "[{host}]") }?;
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
            Self::Nobody => f.write_str("-"),
            Self::Mailbox { account, filing } => {
                write!(f, "{account}/{}", if filing.mailbox.is_empty() { "INBOX" } else { &filing.mailbox })
            }
            Self::Named { account, name } => write!(f, "{account}/{name}"),
            Self::Answer { account, .. } => write!(f, "{account}"),
        }
    }
}

/// Where and by which agent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Route {
    /// The way out.
    pub channel: ChannelName,
    /// The receiver at its end.
    pub next_hop: NextHop,
}

impl Route {
    /// Joins the two.
    #[must_use]
    pub fn new(channel: &str, next_hop: NextHop) -> Self {
        Self { channel: ChannelName::new(channel), next_hop }
    }

    /// To an account of the local store.
    #[must_use]
    pub fn store(account: AccountName) -> Self {
        Self::new(ChannelName::STORE, NextHop::Account(account))
    }

    /// To a place in an account of the local store.
    #[must_use]
    pub fn filed(account: AccountName, filing: Filing) -> Self {
        Self::new(ChannelName::STORE, NextHop::Mailbox { account, filing: Box::new(filing) })
    }

    /// The place in the account, where the route names one.
    #[must_use]
    pub fn filing(&self) -> Option<&Filing> {
        match &self.next_hop {
            NextHop::Mailbox { filing, .. } => Some(filing),
            _ => None,
        }
    }

    /// What two recipients have in common that get one copy: an account gets one however it was addressed, others
    /// one for each address and way.
    #[must_use]
    pub fn copy_key(&self, address: &Address) -> (String, Self) {
        let who =
            self.local_account().map_or_else(|| address.to_key(), |account| account.as_str().to_owned());
        (who, self.clone())
    }

    /// The account, where the route ends in the local store.
    #[must_use]
    pub fn local_account(&self) -> Option<&AccountName> {
        match (&self.next_hop, self.channel.as_str()) {
            (NextHop::Account(account) | NextHop::Mailbox { account, .. }, ChannelName::STORE) => {
                Some(account)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.channel, self.next_hop)
    }
}
