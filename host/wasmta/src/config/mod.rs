//! The configuration: one TOML file, read into types, refused as a whole with every fault named.
//!
//! `config/wasmta.toml` of the repository shows every key with its meaning, unit and default; a
//! test holds it against the defaults here. An empty file is a valid configuration. Paths are
//! relative to the configuration file.

mod credentials;
mod delegation;
mod delivery;
mod delivery_options;
mod directory;
mod dns;
mod files;
mod ldap;
mod listeners;
mod places;
mod plugins;
mod problem;
mod programs;
mod queue;
mod quotas;
mod routing;
mod section;
mod server;
mod service;
mod syntax;
mod tables;
mod units;

use std::path::{Path, PathBuf};

use mail_types::{Address, Domain};
use plugin_engine::Trust;
use toml::de::DeTable;

pub(crate) use credentials::read as read_credentials;
pub use delegation::{Delegate, Delegation};
pub(crate) use delivery::HostPort;
pub use delivery::{Channel, ChannelKind, HostEntry, OutgoingTls};
pub use delivery_options::DeliveryOptionText;
pub use directory::Directory;
pub use dns::{Dns, Publish, PublishTo};
pub use files::Files;
pub use ldap::{Authenticate, Ldap};
pub(crate) use listeners::collide;
pub use listeners::{Listener, Protocol, TlsMode};
pub use places::Places;
pub use plugins::Plugin;
pub use problem::{Problem, Problems};
pub use programs::Programs;
pub use queue::Queue;
pub use quotas::{Limit, Quotas, TenantQuota};
pub use routing::Routing;
pub use server::{Auth, Log, LogFormat, LogLevel, Server, Storage};
pub use service::{Anyone, BareNewlines, Imap, Limits, Lmtp, Pop3, Smtp, Submission, Tls, Verify};
pub use tables::{DnsTable, DnsTableSource};
pub use units::{Network, duration_text, rounded_size_text, size_text};

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
    /// What values of `mailDeliveryOption` do, where the operator says so.
    pub delivery_options: Vec<DeliveryOptionText>,
    /// The ways out.
    pub channels: Vec<Channel>,
    /// Programs that mail may be delivered to.
    pub programs: Programs,
    /// Files that mail may be delivered to.
    pub files: Files,
    /// Hosts whose addresses the DNS is not asked for.
    pub hosts: Vec<HostEntry>,
    /// How names are resolved.
    pub dns: Dns,
    /// The disk.
    pub storage: Storage,
    /// What accounts, domains and tenants may take up.
    pub quotas: Quotas,
    /// What is told of the work.
    pub log: Log,
    /// Who may log in, and how.
    pub auth: Auth,
    /// Who administers domains of their own.
    pub delegation: Delegation,
    /// Whose signatures count for policy plugins.
    pub trust: Trust,
    /// Policy plugins.
    pub plugins: Vec<Plugin>,
}

/// A configuration file that was looked at, right or wrong.
#[derive(Debug)]
pub struct Examined {
    /// What it says, with defaults in the place of what is wrong; absent where it cannot be read at all.
    pub config: Option<Config>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Where its keys stand.
    pub places: Places,
}

impl Config {
    /// Reads a file. Every fault is reported, with its line, key and mend.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        Self::right(Self::examine(path))
    }

    fn right(examined: Examined) -> Result<Self, Problems> {
        match examined {
            Examined { config: Some(config), problems, .. } if problems.is_empty() => Ok(config),
            Examined { problems, .. } => Err(Problems(problems)),
        }
    }

    /// Reads a file as far as it can be read, so that the files which it names can be looked at too.
    #[must_use]
    pub fn examine(path: &Path) -> Examined {
        match Self::text_of(path) {
            Ok(text) => {
                let folder = path.parent().unwrap_or(Path::new(""));
                Self::examine_text(&path.display().to_string(), &text, folder)
            }
            Err((what, mend)) => {
                let places = Places::of(&path.display().to_string(), "", &DeTable::new());
                let problem = Problem { key: String::new(), ..places.problem("", what, mend) };
                Examined { config: None, problems: vec![problem], places }
            }
        }
    }

    fn text_of(path: &Path) -> Result<String, (String, &'static str)> {
        let size = std::fs::metadata(path).map(|m| m.len());
        let size = size.map_err(|e| (format!("cannot be read: {e}"), "name a file with --config"))?;
        if size > FILE_MAX {
            return Err((format!("is larger than {}", size_text(FILE_MAX)), "is this the right file?"));
        }
        let mend = "make it a text in UTF-8 that this user may read";
        std::fs::read_to_string(path).map_err(|e| (format!("cannot be read: {e}"), mend))
    }

    /// Reads a text. `name` stands in messages; relative paths are below `folder`.
    pub fn parse(name: &str, text: &str, folder: &Path) -> Result<Self, Problems> {
        Self::right(Self::examine_text(name, text, folder))
    }

    fn examine_text(name: &str, text: &str, folder: &Path) -> Examined {
        let file = File::new(name, text);
        let (table, faults) = DeTable::parse_recoverable(text);
        for fault in &faults {
            syntax::note(&file, text, fault);
        }
        let places = Places::of(name, text, table.get_ref());
        // What is left of a broken text may mean something else.
        let config = faults.is_empty().then(|| Self::read(Section::root(&file, table.get_ref()), folder));
        Examined { config, problems: file.into_problems(), places }
    }

    fn read(mut root: Section<'_>, folder: &Path) -> Self {
        let server = Server::read(root.section("server"));
        let limits = Limits::read(root.section("limits"));
        let auth = Auth::read(root.section("auth"));
        let (trust, plugins) = plugins::read(root.section("plugins"), folder);
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
            delivery_options: delivery_options::read(
                &root.section("delivery-options"),
                &root.section("delivery-options-of"),
            ),
            queue: Queue::read(root.section("queue")),
            channels: delivery::read_channels(root.section("channels"), &auth, folder),
            programs: programs::read(&root.section("programs"), folder),
            files: Files::read(root.section("files")),
            hosts: delivery::read_hosts(root.section("hosts")),
            dns: Dns::read(root.section("dns"), &server, folder),
            storage: Storage::read(root.section("storage"), &limits),
            quotas: Quotas::read(root.section("quotas")),
            log: Log::read(root.section("log")),
            delegation: Delegation::read(root.section("delegation"), folder),
            trust,
            plugins,
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
        let published = match &mut self.dns.publish {
            Some(Publish { to: PublishTo::Embedded(address), .. }) => Some(address),
            _ => None,
        };
        let named =
            [("dns.publish.listen", published), ("dns.notify-listen", self.dns.notify_listen.as_mut())];
        for (name, address) in named {
            let Some(address) = address.filter(|address| address.port() != 0) else { continue };
            let shifted = address.port().checked_add(offset);
            let beyond = || format!("--port-offset {offset} takes {name} beyond port 65535");
            address.set_port(shifted.ok_or_else(beyond)?);
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
