//! What an operator asks of mailboxes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A request about mailboxes. Files and folders are named by absolute paths: whoever performs the request reads and writes
/// them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of-mailbox", rename_all = "kebab-case")]
pub enum MailboxRequest {
    /// The mailboxes of a user.
    List {
        /// Address or login.
        user: String,
    },
    /// One mailbox.
    Show {
        /// Address or login.
        user: String,
        /// Its name.
        mailbox: String,
    },
    /// Hold mailboxes against their invariants.
    Check {
        /// Address or login; all where absent.
        user: Option<String>,
    },
    /// Mend what is broken.
    Repair {
        /// Address or login; all where absent.
        user: Option<String>,
        /// Or only say what would be done.
        apply: bool,
        /// The data directory: the one by which the server was found. Evidence is kept in it.
        data: PathBuf,
    },
    /// Write mailboxes to files.
    Export {
        /// Address or login.
        user: String,
        /// One mailbox, with those below it; all where absent.
        mailbox: Option<String>,
        /// A folder that is empty or not there.
        folder: PathBuf,
        /// As what.
        format: ExportFormat,
    },
    /// Take mail over from elsewhere.
    Import(Box<ImportOrder>),
}

/// What an export writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExportFormat {
    /// A Maildir++ tree.
    Maildir,
    /// A file for each mailbox.
    Mbox,
}

/// What is taken over, and how.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportOrder {
    /// Whose mailboxes are filled: address or login.
    pub user: String,
    /// From where.
    pub source: ImportSource,
    /// Below which mailbox; the root where absent.
    pub below: Option<String>,
    /// Only say what would come.
    pub dry_run: bool,
    /// Take again what came from there before: what goes to this mailbox, or all, where that is empty.
    pub anew: Option<String>,
}

/// Where mail comes from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImportSource {
    /// A Maildir++ tree.
    Maildir(PathBuf),
    /// An mbox file, or a folder of them.
    Mbox(PathBuf),
    /// An account of another server.
    Imap(ImapFrom),
}

/// Another IMAP server. Not printable: it carries a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImapFrom {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether TLS comes first.
    pub implicit_tls: bool,
    /// Authorities to trust instead of the machine's.
    pub trust: Option<PathBuf>,
    /// Whether the password may go over the network in clear.
    pub clear: bool,
    /// Login of whose mail it is.
    pub user: String,
    /// What shows that it may be read.
    pub secret: ImapSecret,
}

/// What another IMAP server asks for. Not printable.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImapSecret {
    /// The user's password.
    Password(String),
    /// The password of somebody who may act for the user.
    Master {
        /// Who that is.
        login: String,
        /// Their password.
        password: String,
    },
    /// An access token of OAuth 2.0.
    Token(String),
}
