//! The sections of the server as a whole: `[server]`, `[storage]`, `[log]`, `[auth]`.

use std::time::Duration;

use mail_types::{Address, Domain};

use super::section::Section;
use super::{Limits, domain, postmaster};

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Our name in greetings, trace fields and reports.
    pub name: Domain,
    /// Who answers for it.
    pub postmaster: Address,
    /// Threads that run sessions; 0: one a core.
    pub threads: usize,
    /// How many files and sockets we ask the system to allow.
    pub open_files: u64,
    /// How long sessions may finish when the server stops.
    pub stop_grace: Duration,
}

impl Server {
    pub(super) fn read(mut s: Section<'_>) -> Self {
        let name: Option<Domain> = s.parsed("name", "write a host name, as \"mail.example.org\"");
        let name = name.unwrap_or_else(|| domain("mail.example.org"));
        if name.as_ip().is_none() && (!name.as_str().contains('.') || name.as_str().contains('_')) {
            let mend = "write a host name with its domain, as \"mail.example.org\"";
            s.fault("name", format!("{:?} is no full host name (RFC 5321 §2.3.5)", name.as_str()), mend);
        }
        let server = Self {
            postmaster: s
                .parsed("postmaster", "write an address, as \"postmaster@example.org\"")
                .unwrap_or_else(|| postmaster(&usual_domain(&name))),
            name,
            threads: s.count("threads", 0, 0..=256),
            open_files: s.number("open-files", 65_536, 256..=1_048_576),
            stop_grace: s.duration("stop-grace", Duration::from_secs(10), secs(0)..=secs(600)),
        };
        s.close();
        server
    }
}

/// `[storage]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// How large the store may grow, in octets: reserved as addresses, not as disk.
    pub size_max: u64,
    /// Content up to here is kept in the database; larger content in a file of its own. Octets.
    pub inline_max: u64,
}

impl Storage {
    pub(super) fn read(mut s: Section<'_>, limits: &Limits) -> Self {
        let storage = Self {
            size_max: s.size("size-max", 64 << 30, 16 << 20..=64 << 40),
            inline_max: s.size("inline-max", 64 << 10, 0..=16 << 20),
        };
        if storage.size_max < limits.message_size.saturating_mul(2) {
            let mend = "make size-max at least twice limits.message-size";
            s.fault("size-max", "leaves no room for a message of limits.message-size", mend);
        }
        s.close();
        storage
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// From which weight on a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What harms.
    Error,
    /// What may.
    Warn,
    /// What happens to mail.
    Info,
    /// Also each connection.
    Debug,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The looks.
    pub format: LogFormat,
    /// The least weight.
    pub level: LogLevel,
}

impl Log {
    pub(super) fn read(mut s: Section<'_>) -> Self {
        let log = Self {
            format: s.choice(
                "format",
                LogFormat::Human,
                &[("human", LogFormat::Human), ("json", LogFormat::Json)],
            ),
            level: s.choice(
                "level",
                LogLevel::Info,
                &[
                    ("error", LogLevel::Error),
                    ("warn", LogLevel::Warn),
                    ("info", LogLevel::Info),
                    ("debug", LogLevel::Debug),
                ],
            ),
        };
        s.close();
        log
    }
}

/// `[auth]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Whether passwords may cross the network in clear.
    pub cleartext: bool,
    /// Whether SCRAM-SHA-256 is offered.
    pub scram: bool,
    /// Whether imported password hashes are replaced at the first log-in that shows the password.
    pub upgrade_hashes: bool,
    /// Whether SCRAM-SHA-256-PLUS is offered under TLS.
    pub channel_binding: bool,
    /// How many passwords are checked at a time: each check costs a core and the memory below.
    pub parallel_max: usize,
    /// Failures of one account from one client network, before both have to wait.
    pub account_failures_max: u32,
    /// Failures from one client network, before it has to wait.
    pub network_failures_max: u32,
    /// In which time a full count of failures drains.
    pub failures_drain: Duration,
    /// How long a password once verified is remembered (as a salted digest); 0: not at all.
    pub remember: Duration,
    /// Memory of argon2id for new passwords, in octets.
    pub argon2_memory: u64,
    /// Passes of argon2id.
    pub argon2_passes: u32,
    /// Iterations of SCRAM's keys (RFC 7677 §4).
    pub scram_iterations: u32,
}

impl Auth {
    pub(super) fn read(mut s: Section<'_>) -> Self {
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let auth = Self {
            cleartext: s.flag("cleartext", false),
            scram: s.flag("scram", true),
            upgrade_hashes: s.flag("upgrade-hashes", true),
            channel_binding: s.flag("channel-binding", false),
            parallel_max: s.count("parallel-max", 2, 1..=256),
            account_failures_max: small(s.number("account-failures-max", 10, 1..=100_000)),
            network_failures_max: small(s.number("network-failures-max", 50, 1..=100_000)),
            failures_drain: s.duration("failures-drain", secs(600), secs(1)..=secs(86_400)),
            remember: s.duration("remember", secs(3600), secs(0)..=secs(86_400)),
            argon2_memory: s.size("argon2-memory", 19 << 20, 64 << 10..=1 << 30),
            argon2_passes: small(s.number("argon2-passes", 2, 1..=32)),
            scram_iterations: small(s.number("scram-iterations", 15_000, 4096..=1_000_000)),
        };
        if auth.channel_binding && !auth.scram {
            let mend = "SCRAM-SHA-256-PLUS is SCRAM: set scram = true, or leave channel-binding out";
            s.fault("channel-binding", "needs scram", mend);
        }
        if auth.network_failures_max < auth.account_failures_max {
            let mend = "a network has at least as many failures as one account from there";
            s.fault("network-failures-max", "is less than account-failures-max", mend);
        }
        s.close();
        auth
    }
}

/// That many seconds.
pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The mail domain that a host's name suggests: `mail.example.org` is a host of example.org.
fn usual_domain(name: &Domain) -> Domain {
    let above = name.as_str().split_once('.').map(|(_, above)| above).filter(|above| above.contains('.'));
    above.and_then(|above| Domain::parse(above).ok()).unwrap_or_else(|| name.clone())
}
