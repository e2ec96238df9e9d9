//! The sections of the server as a whole: `[server]`, `[storage]`, `[log]`, `[auth]`, `[directory]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mail_types::{Address, Domain};

use super::section::Section;
use super::{Limits, below, domain, postmaster};

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
        let server = Self {
            postmaster: s
                .parsed("postmaster", "write an address, as \"postmaster@example.org\"")
                .unwrap_or_else(|| postmaster(&domain("example.org"))),
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
    /// Below this much free disk, in octets, mail is refused for the time being (452).
    pub free_min: u64,
}

impl Storage {
    pub(super) fn read(mut s: Section<'_>, limits: &Limits) -> Self {
        let storage = Self {
            size_max: s.size("size-max", 64 << 30, 16 << 20..=64 << 40),
            inline_max: s.size("inline-max", 64 << 10, 0..=16 << 20),
            free_min: s.size("free-min", 64 << 20, 0..=1 << 40),
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

/// The SASL mechanisms that we speak.
const MECHANISMS: [&str; 4] = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"];

/// `[auth]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Offered SASL mechanisms, strongest first.
    pub mechanisms: Vec<String>,
    /// Whether passwords may cross the network in clear.
    pub cleartext: bool,
    /// How many passwords are checked at a time: each check costs a core and 19 MiB.
    pub parallel_max: usize,
    /// Failures of one client network within the window, before it has to wait.
    pub failures_max: u64,
    /// That window.
    pub failures_window: Duration,
    /// How long a password once verified is remembered (as a salted digest); 0: not at all.
    pub remember: Duration,
}

impl Auth {
    pub(super) fn read(mut s: Section<'_>) -> Self {
        let names = s.parsed_list::<String>("mechanisms", "write names of SASL mechanisms");
        let mechanisms = names.unwrap_or_else(|| MECHANISMS.map(str::to_owned).to_vec());
        for name in &mechanisms {
            if !MECHANISMS.contains(&name.as_str()) {
                let mend = format!("known here: {}", MECHANISMS.join(", "));
                s.fault("mechanisms", format!("{name:?} is no mechanism that we speak"), mend);
            }
        }
        let auth = Self {
            mechanisms,
            cleartext: s.flag("cleartext", false),
            parallel_max: s.count("parallel-max", 4, 1..=256),
            failures_max: s.number("failures-max", 20, 1..=100_000),
            failures_window: s.duration("failures-window", secs(300), secs(1)..=secs(86_400)),
            remember: s.duration("remember", secs(300), secs(0)..=secs(86_400)),
        };
        s.close();
        auth
    }
}

/// `[directory]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The LDIF that fills the directory on the first start (RFC 2849).
    pub ldif: PathBuf,
}

impl Directory {
    pub(super) fn read(mut s: Section<'_>, folder: &Path) -> Self {
        let ldif = s.path("ldif").unwrap_or_else(|| PathBuf::from("directory.ldif"));
        let directory = Self { ldif: below(folder, ldif) };
        s.close();
        directory
    }
}

/// That many seconds.
pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
