//! The control socket: how commands reach the running server.
//!
//! A Unix socket in the data directory that only its owner may open, and, where the operator has delegates, one that every
//! user of the host may, with rights by who it is (R99). A client sends one line of
//! JSON, a [`Request`]; the server answers with lines of JSON, each a [`Line`]: any number of
//! notes on the progress, then one answer or fault.

mod client;
mod entry;
mod login;
mod mailbox;
mod plugin;
mod server;
mod store;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use client::{Reached, ask, ask_at};
pub use entry::{EntryKind, EntryRequest};
pub use login::LoginRequest;
pub use mailbox::{ExportFormat, ImapFrom, ImapSecret, ImportOrder, ImportSource, MailboxRequest};
pub use plugin::PluginRequest;
pub use server::{Door, Performer, listen};
pub use store::StoreRequest;

/// Longest request, in octets.
const REQUEST_MAX: usize = 32 << 20;
/// Longest line of an answer, in octets.
const ANSWER_MAX: usize = 256 << 20;
/// Longest request of a delegate, in octets.
const DELEGATE_REQUEST_MAX: usize = 256 << 10;
/// Clients whose connections are open at a time.
const CLIENTS_MAX: usize = 96;
/// Of these, of one user of the host, where it is the socket of delegates.
const CLIENTS_OF_ONE_MAX: usize = 4;
/// Commands at a time that may take minutes ([`Request::is_long`]).
const LONG_COMMANDS_MAX: usize = 16;
/// Other commands at a time.
const SHORT_COMMANDS_MAX: usize = 32;

/// Where the socket of a data directory is.
#[must_use]
pub fn socket_path(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// New values of one attribute of a profile; none takes it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileValue {
    /// The attribute, by the product's name.
    pub attribute: String,
    /// The language of a text; empty for none.
    pub language: String,
    /// The values.
    pub values: Vec<String>,
}

/// What an operator asks for. Not printable as a whole: it may carry a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Request {
    /// Counters, and what runs.
    Status,
    /// Take the configuration up anew.
    Reload,
    /// Add a domain.
    DomainAdd {
        /// Its name.
        domain: String,
        /// Who reads its postmaster's mail; the server's postmaster where absent.
        administrator: Option<String>,
    },
    /// Show a domain.
    DomainShow {
        /// Its name.
        domain: String,
    },
    /// Show the rows of a domain's entries.
    DomainRows {
        /// Its name.
        domain: String,
    },
    /// Compare a domain's entry, its records and the tables.
    DomainCheck {
        /// Its name.
        domain: String,
    },
    /// Publish a domain's records again.
    DomainPublish {
        /// Its name.
        domain: String,
    },
    /// List domains.
    DomainList,
    /// Remove a domain.
    DomainRemove {
        /// Its name.
        domain: String,
        /// With its users and groups.
        with_users: bool,
        /// With their mailboxes.
        #[serde(default)]
        mail: bool,
    },
    /// Add a user.
    UserAdd {
        /// Address and login.
        address: String,
        /// Person's name; may be empty.
        name: String,
        /// Password in clear; it goes no further than the hash.
        password: String,
    },
    /// Show a user.
    UserShow {
        /// Address.
        address: String,
    },
    /// Set a password.
    UserPasswd {
        /// Address.
        address: String,
        /// Password in clear.
        password: String,
    },
    /// Show a user's profile.
    ProfileShow {
        /// Address or login.
        user: String,
    },
    /// Change a user's profile.
    ProfileSet {
        /// Address or login.
        user: String,
        /// What changes.
        values: Vec<ProfileValue>,
    },
    /// Remove a user.
    UserRemove {
        /// Address.
        address: String,
        /// The mailboxes too.
        mail: bool,
    },
    /// List waiting messages.
    QueueList {
        /// Which.
        which: Which,
    },
    /// Show one message.
    QueueShow {
        /// Queue id.
        id: String,
    },
    /// Count what waits.
    QueueSummary,
    /// Act on messages.
    QueueAct {
        /// What to do.
        action: Action,
        /// Which.
        which: Which,
        /// The data directory: the one by which the server was found. What cannot be read is kept in it.
        data: PathBuf,
    },
    /// Explain an address.
    Explain {
        /// Recipient.
        address: String,
        /// Sender.
        from: String,
        /// Channel that it would come in by.
        source: String,
        /// Login of who sends.
        #[serde(default)]
        account: Option<String>,
        /// Address of the client.
        #[serde(default)]
        client: Option<IpAddr>,
        /// The message, in Base64.
        #[serde(default)]
        message: Option<String>,
    },
    /// A message's decision trail.
    Trace {
        /// Queue id.
        id: String,
    },
    /// Messages of the past.
    MessageList(Past),
    /// Check the store.
    Check,
    /// What of the directory a configuration is held against.
    Held {
        /// Whether its accounts matter.
        accounts: bool,
    },
    /// Mailboxes.
    Mailbox(MailboxRequest),
    /// The storage.
    Store(StoreRequest),
    /// Plugins.
    Plugin(PluginRequest),
    /// The directory and its source.
    Sync(SyncRequest),
    /// Shared mailboxes.
    Share(ShareRequest),
    /// Who is logged in, and who is refused.
    Login(LoginRequest),
    /// Entries of the directory.
    Entry(EntryRequest),
}

impl Request {
    /// What it asks for, in a word; nothing of what it holds.
    #[must_use]
    pub fn word(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value.get("ask").and_then(serde_json::Value::as_str).unwrap_or("something").to_owned()
    }

    /// Whether it may start a version of a plugin that its section in force does not fit.
    #[must_use]
    pub fn may_start_plugins(&self) -> bool {
        use PluginRequest::{Enable, Install, RollBack};
        matches!(self, Self::Plugin(Install { .. } | Enable { enabled: true, .. } | RollBack { .. }))
    }

    /// Whether it may take minutes: such ones have places of their own, so that others are always answered.
    #[must_use]
    pub fn is_long(&self) -> bool {
        match self {
            Self::Check => true,
            Self::Entry(request) => {
                matches!(request, EntryRequest::Export { .. } | EntryRequest::Apply { .. })
            }
            Self::DomainRemove { with_users, .. } => *with_users,
            Self::Mailbox(request) => {
                !matches!(request, MailboxRequest::List { .. } | MailboxRequest::Show { .. })
            }
            Self::Store(request) => !matches!(request, StoreRequest::Quota { .. }),
            Self::Sync(request) => !matches!(request, SyncRequest::Status { .. }),
            Self::Plugin(request) => !matches!(request, PluginRequest::List | PluginRequest::Inspect { .. }),
            _ => false,
        }
    }
}

/// What is asked of the mirror of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "sync", rename_all = "kebab-case")]
pub enum SyncRequest {
    /// Compare everything.
    Full(SyncScope),
    /// Ask for what was modified since.
    Incremental(SyncScope),
    /// How it stands.
    Status {
        /// How one domain stands; all, where absent.
        domain: Option<String>,
    },
    /// Read DNS tables now, whatever their versions.
    Dns {
        /// Which; all, where absent.
        table: Option<String>,
        /// However many domains would go.
        force: bool,
    },
}

/// A request about shared mailboxes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShareRequest {
    /// Which there are, and who may do what.
    List,
    /// Make one.
    Create {
        /// Its name below `shared/`.
        name: String,
    },
    /// Give rights, or take an entry away.
    Grant {
        /// A name below `shared/`, or `user/OWNER/NAME`.
        name: String,
        /// The identifier.
        who: String,
        /// The letters; none takes the entry away.
        rights: Option<String>,
    },
}

/// How far a sync goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncScope {
    /// Only this domain's entries.
    pub domain: Option<String>,
    /// Only this source; all, where absent.
    pub source: Option<String>,
    /// Only say what would change.
    pub dry_run: bool,
    /// Believe the source, whatever it lacks.
    pub force: bool,
    /// Remove what lies in no source's subtrees.
    #[serde(default)]
    pub left_over: bool,
}

/// Which messages of the queue: all that meet every condition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Which {
    /// Queue ids; any, where empty.
    pub ids: Vec<String>,
    /// Sender, or `<>`.
    pub sender: Option<String>,
    /// A recipient.
    pub recipient: Option<String>,
    /// A recipient's domain.
    pub domain: Option<String>,
    /// A recipient's channel.
    pub channel: Option<String>,
    /// Least age, in seconds.
    pub age: Option<u64>,
}

/// Which messages of the past: all that meet every condition, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// Sender, or `<>`.
    pub sender: Option<String>,
    /// A recipient.
    pub recipient: Option<String>,
    /// The Message-ID field.
    pub message_id: Option<String>,
    /// Not older, in milliseconds since 1970.
    pub since: Option<u64>,
    /// Older.
    pub until: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// What to do with messages of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Park.
    Hold,
    /// Let go on.
    Release,
    /// Try now.
    Retry,
    /// Give up with a report.
    Bounce,
    /// Give up without.
    Delete,
    /// Send another way: `CHANNEL[:HOST[:PORT]]`.
    Reroute(String),
}

/// An answer: for programs and for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// For programs.
    pub json: serde_json::Value,
    /// For people; ends without a newline.
    pub text: String,
    /// Whether something that was asked for could not be done, or was found to be wrong: the command ends
    /// with an exit code that says so.
    #[serde(default)]
    pub faulty: bool,
}

impl Answer {
    /// An answer without faults.
    #[must_use]
    pub fn new(json: serde_json::Value, text: impl Into<String>) -> Self {
        Self { json, text: text.into(), faulty: false }
    }

    /// An answer that programs get as `{"done": text}`.
    #[must_use]
    pub fn done(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::new(serde_json::json!({ "done": text }), text)
    }
}

/// One line from the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// How far the work is: done, of how much, and at what.
    Progress(u64, u64, String),
    /// The end: it worked.
    Answer(Answer),
    /// The end: it did not, and why.
    Fault(String),
}
