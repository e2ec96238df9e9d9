//! The configuration: one TOML file, read into types, refused as a whole with every fault named.
//!
//! `config/wasmta.toml` of the repository shows every key with its meaning, unit and default; a
//! test holds it against the defaults here. An empty file is a valid configuration. Paths are
//! relative to the configuration file.

mod delivery;
mod listeners;
mod problem;
mod section;
mod server;
mod service;
mod units;

use std::path::{Path, PathBuf};

use mail_types::{Address, Domain};
use toml::de::DeTable;

pub(crate) use delivery::HostPort;
pub use delivery::{Channel, ChannelKind, Dns, HostEntry, OutgoingTls, Queue, Routing};
pub use listeners::{Listener, Protocol, TlsMode};
pub use problem::{Problem, Problems};
pub use server::{Auth, Directory, Log, LogFormat, LogLevel, Server, Storage};
pub use service::{BareNewlines, Imap, Limits, Lmtp, Pop3, Smtp, Submission, Tls, Verify};
pub use units::{Network, duration_text, size_text};

use section::{File, Section};

/// Longest configuration file, in octets.
const FILE_MAX: u64 = 4 << 20;

/// Everything that an operator decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The server as a whole.
    pub server: Server,
    /// Where it listens.
    pub listeners: Vec<Listener>,
    /// Its certificate.
    pub tls: Tls,
    /// Limits of every protocol.
    pub limits: Limits,
    /// Mail from other hosts.
    pub smtp: Smtp,
    /// Mail from our own users.
    pub submission: Submission,
    /// Mail from trusted neighbours.
    pub lmtp: Lmtp,
    /// Reading by IMAP.
    pub imap: Imap,
    /// Reading by POP3.
    pub pop3: Pop3,
    /// Domains, users and groups.
    pub directory: Directory,
    /// Rewriting and resolution.
    pub routing: Routing,
    /// Retries and their limits.
    pub queue: Queue,
    /// The ways out.
    pub channels: Vec<Channel>,
    /// Hosts whose addresses the DNS is not asked for.
    pub hosts: Vec<HostEntry>,
    /// How names are resolved.
    pub dns: Dns,
    /// The disk.
    pub storage: Storage,
    /// What is told of the work.
    pub log: Log,
    /// Who may log in, and how.
    pub auth: Auth,
}

impl Config {
    /// Reads a file. Every fault is reported, with its line, key and mend.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let name = path.display().to_string();
        let whole = |what: String, mend: &str| {
            Problems(vec![Problem {
                file: name.clone(),
                line: 0,
                key: String::new(),
                what,
                mend: mend.to_owned(),
            }])
        };
        let size = std::fs::metadata(path).map(|m| m.len());
        let size = size.map_err(|e| whole(format!("cannot be read: {e}"), "name a file with --config"))?;
        if size > FILE_MAX {
            return Err(whole(format!("is larger than {}", size_text(FILE_MAX)), "is this the right file?"));
        }
        let text = std::fs::read_to_string(path).map_err(|e| whole(format!("cannot be read: {e}"), ""))?;
        Self::parse(&name, &text, path.parent().unwrap_or(Path::new("")))
    }

    /// Reads a text. `name` stands in messages; relative paths are below `folder`.
    pub fn parse(name: &str, text: &str, folder: &Path) -> Result<Self, Problems> {
        let file = File::new(name, text);
        let (table, syntax) = DeTable::parse_recoverable(text);
        for fault in &syntax {
            file.fault(fault.span().map(|span| span.start), "", fault.message(), "");
        }
        if !syntax.is_empty() {
            return Err(Problems(file.into_problems()));
        }
        let config = Self::read(Section::root(&file, table.get_ref()), folder);
        let problems = file.into_problems();
        if problems.is_empty() { Ok(config) } else { Err(Problems(problems)) }
    }

    fn read(mut root: Section<'_>, folder: &Path) -> Self {
        let server = Server::read(root.section("server"));
        let limits = Limits::read(root.section("limits"));
        let auth = Auth::read(root.section("auth"));
        let config = Self {
            listeners: listeners::read(root.section("listeners"), &limits),
            tls: Tls::read(root.section("tls"), folder),
            smtp: Smtp::read(root.section("smtp")),
            submission: Submission::read(root.section("submission"), &auth),
            lmtp: Lmtp::read(root.section("lmtp")),
            imap: Imap::read(root.section("imap")),
            pop3: Pop3::read(root.section("pop3")),
            directory: Directory::read(root.section("directory"), folder),
            routing: Routing::read(root.section("routing"), folder, &server),
            queue: Queue::read(root.section("queue")),
            channels: delivery::read_channels(root.section("channels"), folder),
            hosts: delivery::read_hosts(root.section("hosts")),
            dns: Dns::read(root.section("dns")),
            storage: Storage::read(root.section("storage"), &limits),
            log: Log::read(root.section("log")),
            server,
            limits,
            auth,
        };
        root.close();
        config
    }

    /// Adds to every port but 0, so that several servers run side by side.
    pub fn shift_ports(&mut self, offset: u16) -> Result<(), String> {
        for listener in &mut self.listeners {
            let port = listener.address.port();
            if port == 0 {
                continue;
            }
            let shifted = port.checked_add(offset).ok_or_else(|| {
                format!("--port-offset {offset} takes the listener {} beyond port 65535", listener.name)
            })?;
            listener.address.set_port(shifted);
        }
        Ok(())
    }
}

impl Default for Config {
    /// What an empty file says.
    fn default() -> Self {
        let file = File::new("", "");
        let table = DeTable::new();
        Self::read(Section::root(&file, &table), Path::new(""))
    }
}

/// Reads `5 min`: for options of the command line.
pub(crate) fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    units::duration(text)
}

/// A path of the file, relative to its folder.
fn below(folder: &Path, path: PathBuf) -> PathBuf {
    if path.is_absolute() { path } else { folder.join(path) }
}

/// A domain that is valid as the program text spells it.
fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap_or_else(|_| unreachable!("{text:?} is a valid domain"))
}

/// `postmaster@domain`.
fn postmaster(domain: &Domain) -> Address {
    let local =
        mail_types::LocalPart::new("postmaster").unwrap_or_else(|_| unreachable!("a valid local part"));
    Address::new(local, domain.clone())
}
