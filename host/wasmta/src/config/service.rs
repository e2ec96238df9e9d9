//! The sections of the protocols: `[tls]`, `[limits]`, `[smtp]`, `[submission]`, `[lmtp]`,
//! `[imap]`, `[pop3]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mail_types::Domain;

use super::section::Section;
use super::server::secs;
use super::{Auth, Network, below};

/// Most hosts with a certificate of their own.
const TLS_HOSTS_MAX: usize = 10_000;

/// `[tls]`: certificates and keys, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Both, or neither: then a self-signed pair is made in the data directory.
    pub files: Option<(PathBuf, PathBuf)>,
    /// `[tls.hosts."NAME"]`: further pairs, each for clients that ask for this name (RFC 6066 §3).
    pub hosts: Vec<(Domain, (PathBuf, PathBuf))>,
}

impl Tls {
    pub(super) fn read(mut s: Section<'_>, folder: &Path) -> Self {
        let files = Self::pair(&mut s, folder);
        let named = s.section("hosts").named_sections();
        if named.len() > TLS_HOSTS_MAX {
            let what = format!("{} hosts have certificates of their own", named.len());
            s.fault("hosts", what, format!("at most {TLS_HOSTS_MAX}; one certificate may have many names"));
        }
        let mut hosts = Vec::new();
        for (name, mut section) in named {
            let domain = Domain::parse(&name);
            if let Err(why) = &domain {
                section.fault("", why.to_string(), "write [tls.hosts.\"mail.example.org\"]");
            }
            let pair = Self::pair(&mut section, folder);
            if pair.is_none() && !section.has("certificate") && !section.has("key") {
                section.fault("", "has no certificate", "add certificate and key");
            }
            section.close();
            hosts.extend(domain.ok().zip(pair));
        }
        s.close();
        Self { files, hosts }
    }

    fn pair(s: &mut Section<'_>, folder: &Path) -> Option<(PathBuf, PathBuf)> {
        let files = match (s.path("certificate"), s.path("key")) {
            (Some(certificate), Some(key)) => Some((below(folder, certificate), below(folder, key))),
            (None, None) => None,
            (Some(_), None) => {
                s.fault("certificate", "stands without its key", "add key = \"….pem\"");
                None
            }
            (None, Some(_)) => {
                s.fault("key", "stands without its certificate", "add certificate = \"….pem\"");
                None
            }
        };
        if let Some((certificate, key)) = &files {
            for (name, path) in [("certificate", certificate), ("key", key)] {
                s.file(name, path);
            }
        }
        files
    }
}

/// `[limits]`: what holds for every session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest message, in octets.
    pub message_size: u64,
    /// Recipients of one transaction.
    pub recipients: usize,
    /// Header of a message, in octets.
    pub header_size: usize,
    /// Received fields before a message counts as looping (RFC 5321 §6.3).
    pub hops: usize,
    /// Connections at a time, of each listener.
    pub connections: usize,
    /// Connections at a time of one client network, of each listener.
    pub connections_per_network: usize,
}

impl Limits {
    pub(super) fn read(mut s: Section<'_>) -> Self {
        let limits = Self {
            message_size: s.size("message-size", 50 << 20, 64 << 10..=4 << 30),
            recipients: s.count("recipients", 1000, 100..=100_000),
            header_size: usize::try_from(s.size("header-size", 256 << 10, 16 << 10..=16 << 20))
                .unwrap_or(1 << 18),
            hops: s.count("hops", 50, 10..=1000),
            connections: s.count("connections", 4000, 1..=1_000_000),
            connections_per_network: s.count("connections-per-network", 2000, 1..=1_000_000),
        };
        if limits.connections_per_network > limits.connections {
            let mend = "no network can have more than there are";
            s.fault("connections-per-network", "is more than connections", mend);
        }
        s.close();
        limits
    }
}

/// What becomes of CR or LF alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BareNewlines {
    /// The message is refused (RFC 5321 §2.3.8).
    Refuse,
    /// They are made CRLF.
    Normalise,
}

/// Who is answered to VRFY and EXPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Nobody: 252, or 502 for EXPN (RFC 5321 §7.3).
    Off,
    /// Authenticated clients.
    Authenticated,
    /// Everybody.
    Everybody,
}

/// `[smtp]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    /// CR or LF alone.
    pub bare_newlines: BareNewlines,
    /// VRFY and EXPN.
    pub verify: Verify,
    /// Clients that may send anywhere without logging in.
    pub relay_from: Vec<Network>,
    /// Load balancers whose PROXY header is believed.
    pub proxy_from: Vec<Network>,
    /// Clients whose XCLIENT is believed.
    pub xclient_from: Vec<Network>,
    /// Wait for a command (RFC 5321 §4.5.3.2.7).
    pub command_timeout: Duration,
    /// Wait for a piece of content (RFC 5321 §4.5.3.2.5).
    pub data_timeout: Duration,
    /// Longest session.
    pub session_timeout: Duration,
    /// Refused or unknown commands before the session is closed.
    pub errors_max: usize,
}

impl Smtp {
    pub(super) fn read(mut s: Section<'_>) -> Self {
        let newlines = [("refuse", BareNewlines::Refuse), ("normalise", BareNewlines::Normalise)];
        let verify = [
            ("off", Verify::Off),
            ("authenticated", Verify::Authenticated),
            ("everybody", Verify::Everybody),
        ];
        let smtp = Self {
            bare_newlines: s.choice("bare-newlines", BareNewlines::Refuse, &newlines),
            verify: s.choice("verify", Verify::Off, &verify),
            relay_from: networks(&mut s, "relay-from"),
            proxy_from: networks(&mut s, "proxy-from"),
            xclient_from: networks(&mut s, "xclient-from"),
            command_timeout: s.duration("command-timeout", secs(300), secs(1)..=secs(3600)),
            data_timeout: s.duration("data-timeout", secs(180), secs(1)..=secs(3600)),
            session_timeout: s.duration("session-timeout", secs(4 * 3600), secs(10)..=secs(86_400)),
            errors_max: s.count("errors-max", 20, 1..=1000),
        };
        if smtp.session_timeout < smtp.command_timeout {
            s.fault("session-timeout", "is shorter than command-timeout", "make it the longest of the three");
        }
        refuse_wide_networks(&s, &smtp);
        s.close();
        smtp
    }
}

/// Trust in half the Internet is trust in all of it.
fn refuse_wide_networks(s: &Section<'_>, smtp: &Smtp) {
    let lists = [
        ("relay-from", &smtp.relay_from, "let strangers send anywhere"),
        ("proxy-from", &smtp.proxy_from, "let strangers say where they come from"),
        ("xclient-from", &smtp.xclient_from, "let strangers say where they come from"),
    ];
    for (key, networks, harm) in lists {
        let wide = |network: &&Network| network.prefix < if network.address.is_ipv4() { 8 } else { 16 };
        if let Some(network) = networks.iter().find(wide) {
            let mend = "name your own networks: at most /8, of IPv6 /16; abuse is a matter of hours";
            s.fault(key, format!("{network} is so wide that it would {harm}"), mend);
        }
    }
}

/// A list of networks.
fn networks(s: &mut Section<'_>, key: &'static str) -> Vec<Network> {
    s.parsed_list(key, "write networks, as \"192.0.2.0/24\" or \"2001:db8::/32\"").unwrap_or_default()
}

/// `[submission]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Whether MAIL needs TLS.
    pub require_tls: bool,
    /// Whether MAIL FROM must be an address of the account (RFC 6409 §6.1).
    pub check_sender: bool,
    /// Whether Date and Message-ID are added where missing (RFC 6409 §8).
    pub add_fields: bool,
}

impl Submission {
    pub(super) fn read(mut s: Section<'_>, auth: &Auth) -> Self {
        let submission = Self {
            require_tls: s.flag("require-tls", !auth.cleartext),
            check_sender: s.flag("check-sender", true),
            add_fields: s.flag("add-fields", true),
        };
        s.close();
        submission
    }
}

/// `[lmtp]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lmtp {
    /// Who may speak it: it knows no log-in.
    pub allow_from: Vec<Network>,
}

impl Lmtp {
    pub(super) fn read(mut s: Section<'_>) -> Self {
        let hint = "write networks, as \"192.0.2.0/24\"";
        let loopback = || ["127.0.0.0/8", "::1"].iter().filter_map(|text| text.parse().ok()).collect();
        let lmtp = Self { allow_from: s.parsed_list("allow-from", hint).unwrap_or_else(loopback) };
        s.close();
        lmtp
    }
}

/// `[imap]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imap {
    /// Silence before a logged-in session is closed; at least 30 min (RFC 3501 §5.4).
    pub idle_timeout: Duration,
    /// Silence before log-in.
    pub login_timeout: Duration,
    /// Longest command line, in octets; literals of APPEND count against limits.message-size.
    pub line_max: usize,
    /// Whether clients that have not asked for UTF-8 get surrogates of headers with it (RFC 6858).
    pub surrogates: bool,
    /// Whom users mean by `anyone` when they share mailboxes of their own (RFC 4314).
    pub anyone: Anyone,
}

/// Who `anyone` is in the list of a user's mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anyone {
    /// Accounts of the owner's domain, and of those that a tenant has beside it.
    Domain,
    /// Every account of the server.
    Server,
}

impl Imap {
    pub(super) fn read(mut s: Section<'_>) -> Self {
        let imap = Self {
            idle_timeout: s.duration("idle-timeout", secs(1800), secs(1800)..=secs(86_400)),
            login_timeout: s.duration("login-timeout", secs(60), secs(1)..=secs(3600)),
            line_max: usize::try_from(s.size("line-max", 64 << 10, 8 << 10..=16 << 20)).unwrap_or(1 << 16),
            surrogates: s.flag("surrogates", true),
            anyone: s.choice(
                "anyone",
                Anyone::Domain,
                &[("domain", Anyone::Domain), ("server", Anyone::Server)],
            ),
        };
        s.close();
        imap
    }
}

/// `[pop3]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pop3 {
    /// Silence before a session is closed; at least 10 min (RFC 1939 §3).
    pub idle_timeout: Duration,
    /// Silence before log-in.
    pub login_timeout: Duration,
    /// Whether clients that have not said UTF8 get surrogates of headers with UTF-8 (RFC 6858).
    pub surrogates: bool,
}

impl Pop3 {
    pub(super) fn read(mut s: Section<'_>) -> Self {
        let pop3 = Self {
            idle_timeout: s.duration("idle-timeout", secs(600), secs(600)..=secs(86_400)),
            login_timeout: s.duration("login-timeout", secs(60), secs(1)..=secs(3600)),
            surrogates: s.flag("surrogates", true),
        };
        s.close();
        pop3
    }
}
