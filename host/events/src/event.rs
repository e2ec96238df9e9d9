//! The closed list.

use std::net::IpAddr;

use mail_types::{AccountName, Address, QueueId, Refusal, Reply, ReversePath, Route};

use crate::words::{Outcome, Stage};

/// How much an operator should care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For finding a fault.
    Debug,
    /// The ordinary course of mail.
    Info,
    /// Something to look at when there is time.
    Warning,
    /// Something to mend.
    Error,
}

/// Everything that is worth a line in the log.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are named as the log prints them")]
pub enum Event<'a> {
    /// The server listens.
    Listening { service: &'a str, address: std::net::SocketAddr },
    /// The server ends, after its sessions or at a deadline.
    Stopping { reason: &'a str },
    /// A new configuration is in force.
    ConfigurationLoaded { file: &'a str, notes: &'a str },
    /// A new configuration was refused; the old one stays.
    ConfigurationRefused { file: &'a str, cause: &'a str },
    /// What is in the data does not go well with the configuration.
    ConfigurationDoubtful { file: &'a str, cause: &'a str },
    /// A certificate does not suit what it is for: clients will refuse it.
    CertificateUnfit { file: &'a str, cause: &'a str },
    /// A certificate has come to its end, or is about to.
    CertificateExpires { file: &'a str, cause: &'a str },
    /// A delegate asked for what is not theirs (R99).
    DelegateRefused { delegate: &'a str, asked: &'a str, cause: &'a str },
    /// A client connected.
    ConnectionOpened { service: &'a str, peer: IpAddr, session: u64 },
    /// A client was turned away before its session began.
    ConnectionRefused { service: &'a str, peer: IpAddr, cause: &'a str },
    /// A session ended.
    ConnectionClosed {
        service: &'a str,
        peer: IpAddr,
        session: u64,
        account: Option<&'a AccountName>,
        cause: &'a str,
    },
    /// A client proved who it is.
    AuthenticationSucceeded {
        service: &'a str,
        peer: IpAddr,
        session: u64,
        account: &'a AccountName,
        mechanism: &'a str,
    },
    /// A client did not prove who it is.
    AuthenticationFailed {
        service: &'a str,
        peer: IpAddr,
        session: u64,
        login: &'a str,
        mechanism: &'a str,
        cause: &'a str,
    },
    /// A command was refused.
    Refused {
        service: &'a str,
        peer: IpAddr,
        session: u64,
        account: Option<&'a AccountName>,
        stage: Stage,
        reverse_path: Option<&'a ReversePath>,
        recipient: Option<&'a str>,
        refusal: &'a Refusal,
    },
    /// A message is on stable storage, and its sender has been told so.
    Accepted {
        id: QueueId,
        source: &'a str,
        peer: Option<IpAddr>,
        account: Option<&'a AccountName>,
        session: Option<u64>,
        reverse_path: &'a ReversePath,
        recipients: usize,
        stored: usize,
        queued: usize,
        size: u64,
        message_id: Option<&'a str>,
    },
    /// A copy is in a mailbox.
    Delivered { id: QueueId, recipient: &'a Address, account: &'a AccountName, mailbox: &'a str },
    /// One try for one recipient.
    Attempted {
        id: QueueId,
        recipient: &'a Address,
        route: &'a Route,
        outcome: Outcome,
        remote: Option<&'a str>,
        reply: &'a Reply,
        cause: Option<&'a str>,
        attempts: u32,
        delay_seconds: u64,
    },
    /// A report was made.
    DsnQueued { id: QueueId, about: QueueId, action: &'a str, to: &'a ReversePath },
    /// A message of our own was queued for a recipient: an automatic reply, a posting to a list.
    Sent { id: QueueId, about: QueueId, source: &'a str, to: &'a Address },
    /// A recipient was given up without a report, because the reverse path is null or forbids it.
    DsnSuppressed { about: QueueId, action: &'a str },
    /// Nothing is left to do for a message.
    Completed { id: QueueId },
    /// An operator, or a rule, changed a queued message.
    QueueChanged { id: QueueId, change: &'a str, by: &'a str },
    /// Recipients were discarded by a rule that says so.
    Discarded { id: QueueId, recipient: &'a Address, rule: &'a str },
    /// An account was made in the store.
    AccountCreated { account: &'a AccountName },
    /// An account goes by another name: its owner's primary address is another one.
    AccountMoved { from: &'a AccountName, to: &'a AccountName },
    /// It cannot.
    AccountNotMoved { from: &'a AccountName, to: &'a AccountName, cause: &'a str },
    /// The directory changed.
    DirectoryChanged { change: &'a str, entry: &'a str },
    /// A value of a directory entry that mail cannot use; the rest of the entry is used.
    DirectoryDefect { place: &'a str, entry: &'a str, cause: &'a str },
    /// An LDAP server is not reached any more.
    DirectoryServerDown { server: &'a str, cause: &'a str },
    /// An LDAP server is reached again.
    DirectoryServerUp { server: &'a str },
    /// The directory is as its source has it.
    SyncFinished {
        source: &'a str,
        kind: &'a str,
        seen: u64,
        changed: u64,
        removed: u64,
        refused: u64,
        milliseconds: u64,
    },
    /// A sync changed nothing more: the source failed, or its answer is not believed.
    SyncFailed { source: &'a str, kind: &'a str, cause: &'a str },
    /// Entries lie in no source's subtrees any more, and stay until an operator says that so many may go.
    SyncLeftOver { source: &'a str, entries: u64, example: &'a str },
    /// An entry of the source breaks a rule: its last good version stays.
    SyncEntryRefused { source: &'a str, entry: &'a str, attribute: &'a str, cause: &'a str },
    /// The records of a mail domain are published as its entry says.
    DnsPublished { domain: &'a str, place: &'a str, records: u64 },
    /// They could not be published; it is tried again.
    DnsFailed { domain: &'a str, place: &'a str, cause: &'a str },
    /// A DNS table was read, and domains changed; or it is read again after a failure. A list has no serial.
    DnsTableRead { table: &'a str, place: &'a str, serial: u64, domains: u64, changed: u64 },
    /// A DNS table was not read, or not all of it, or a notice was not believed: what is known stays.
    DnsTableFailed { table: &'a str, place: &'a str, cause: &'a str },
    /// Routing and alias tables follow the directory again.
    TablesBuilt { kind: &'a str, entries: u64, rows: u64, csn: u64, milliseconds: u64 },
    /// Tables could not be built; the old ones stay.
    TablesFailed { cause: &'a str },
    /// A plugin gave no rows of an entry: those that it has stay, and it is asked again later.
    TablesEntryFailed { plugin: &'a str, domain: &'a str, entry: &'a str, cause: &'a str },
    /// Storage refuses to work; mail is deferred.
    StorageUnavailable { cause: &'a str },
    /// Storage works again.
    StorageRecovered { after_seconds: u64 },
    /// A remote host or destination is given a rest.
    DestinationResting { destination: &'a str, cause: &'a str, seconds: u64 },
    /// A fault of the program itself, caught where it did no harm.
    InternalError { place: &'a str, cause: &'a str },
    /// A plugin was asked and gave no answer; `on_failure` says what becomes of the mail.
    PluginFailed {
        id: &'a str,
        plugin: &'a str,
        tenant: Option<&'a str>,
        role: &'a str,
        kind: &'a str,
        on_failure: &'a str,
        cause: &'a str,
    },
    /// A line that a plugin logged.
    PluginLogged { id: &'a str, plugin: &'a str, tenant: Option<&'a str>, level: &'a str, text: &'a str },
    /// A plugin was installed, changed or removed, rests, or works again.
    PluginChanged { plugin: &'a str, tenant: Option<&'a str>, change: &'a str },
    /// The rules gave a transaction another reverse path than its client.
    SenderRewritten { service: &'a str, peer: IpAddr, from: &'a Address, to: &'a Address },
    /// Addresses stay as they are, for what they should become needs SMTPUTF8, and the message is none of that:
    /// the first of them, and how many.
    AddressKept { id: &'a str, address: &'a Address, instead_of: &'a Address, addresses: u64 },
    /// An account, a domain or a tenant has come near what it may take up.
    QuotaNear { whose: &'a str, percent: u64 },
    /// A program or file that an account names is not registered, or nothing that we run or write to.
    TargetRefused { id: QueueId, account: &'a str, channel: &'a str, target: &'a str, cause: &'a str },
}

impl<'a> Event<'a> {
    /// Number, name and level of the kind.
    pub(crate) fn kind(&self) -> (usize, &'static str, Level) {
        match self {
            Self::Listening { .. } => (0, "listening", Level::Info),
            Self::Stopping { .. } => (1, "stopping", Level::Info),
            Self::ConfigurationLoaded { .. } => (2, "configuration_loaded", Level::Info),
            Self::ConfigurationRefused { .. } => (3, "configuration_refused", Level::Error),
            Self::ConfigurationDoubtful { .. } => (51, "configuration_doubtful", Level::Warning),
            Self::ConnectionOpened { .. } => (4, "connection_opened", Level::Debug),
            Self::ConnectionRefused { .. } => (5, "connection_refused", Level::Warning),
            Self::ConnectionClosed { .. } => (6, "connection_closed", Level::Debug),
            Self::AuthenticationSucceeded { .. } => (7, "authentication_succeeded", Level::Info),
            Self::AuthenticationFailed { .. } => (8, "authentication_failed", Level::Warning),
            Self::Refused { .. } => (9, "refused", Level::Info),
            Self::Accepted { .. } => (10, "accepted", Level::Info),
            Self::Delivered { .. } => (11, "delivered", Level::Info),
            Self::Attempted { .. } => (12, "attempted", Level::Info),
            Self::DsnQueued { .. } => (13, "dsn_queued", Level::Info),
            Self::Sent { .. } => (39, "sent", Level::Info),
            Self::DsnSuppressed { .. } => (14, "dsn_suppressed", Level::Info),
            Self::Completed { .. } => (15, "completed", Level::Info),
            Self::QueueChanged { .. } => (16, "queue_changed", Level::Info),
            Self::Discarded { .. } => (17, "discarded", Level::Info),
            Self::QuotaNear { .. } => (43, "quota_near", Level::Warning),
            Self::AccountCreated { .. } => (18, "account_created", Level::Info),
            Self::AccountMoved { .. } => (47, "account_moved", Level::Info),
            Self::AccountNotMoved { .. } => (48, "account_not_moved", Level::Error),
            Self::DirectoryChanged { .. } => (19, "directory_changed", Level::Info),
            Self::TablesBuilt { .. } => (20, "tables_built", Level::Info),
            Self::TablesFailed { .. } => (21, "tables_failed", Level::Error),
            Self::StorageUnavailable { .. } => (22, "storage_unavailable", Level::Error),
            Self::StorageRecovered { .. } => (23, "storage_recovered", Level::Info),
            Self::DestinationResting { .. } => (24, "destination_resting", Level::Warning),
            Self::InternalError { .. } => (25, "internal_error", Level::Error),
            Self::PluginFailed { .. } => (26, "plugin_failed", Level::Warning),
            Self::PluginLogged { .. } => (27, "plugin_logged", Level::Info),
            Self::PluginChanged { .. } => (28, "plugin_changed", Level::Info),
            Self::DirectoryDefect { .. } => (29, "directory_defect", Level::Warning),
            Self::SenderRewritten { .. } => (30, "sender_rewritten", Level::Info),
            Self::AddressKept { .. } => (49, "address_kept", Level::Warning),
            Self::TablesEntryFailed { .. } => (31, "tables_entry_failed", Level::Warning),
            Self::DirectoryServerDown { .. } => (32, "directory_server_down", Level::Warning),
            Self::DirectoryServerUp { .. } => (33, "directory_server_up", Level::Info),
            Self::SyncFinished { .. } => (34, "sync_finished", Level::Info),
            Self::SyncFailed { .. } => (35, "sync_failed", Level::Error),
            Self::SyncLeftOver { .. } => (50, "sync_left_over", Level::Warning),
            Self::SyncEntryRefused { .. } => (36, "sync_entry_refused", Level::Warning),
            Self::DnsPublished { .. } => (37, "dns_published", Level::Info),
            Self::DnsFailed { .. } => (38, "dns_failed", Level::Warning),
            Self::TargetRefused { .. } => (40, "target_refused", Level::Warning),
            Self::DnsTableRead { .. } => (41, "dns_table_read", Level::Info),
            Self::CertificateUnfit { .. } => (44, "certificate_unfit", Level::Warning),
            Self::CertificateExpires { .. } => (45, "certificate_expires", Level::Warning),
            Self::DelegateRefused { .. } => (46, "delegate_refused", Level::Warning),
            Self::DnsTableFailed { .. } => (42, "dns_table_failed", Level::Warning),
        }
    }
}
