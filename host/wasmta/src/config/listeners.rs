//! `[listeners]`: where the server listens, and for what.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mail_types::Domain;

use super::Limits;
use super::section::Section;

/// Most listeners of one server.
const LISTENERS_MAX: usize = 64;

/// What is spoken at a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Mail from other hosts (RFC 5321).
    Smtp,
    /// Mail from our own users (RFC 6409).
    Submission,
    /// Mail from trusted neighbours, one reply a recipient (RFC 2033).
    Lmtp,
    /// Reading (RFC 3501).
    Imap,
    /// Reading (RFC 1939).
    Pop3,
    /// Numbers for a monitoring system, by HTTP (R101).
    Metrics,
}

impl Protocol {
    /// Its word in the file.
    #[must_use]
    pub fn word(self) -> &'static str {
        PROTOCOLS.iter().find(|(_, protocol)| *protocol == self).map_or("", |(word, _)| word)
    }
}

const PROTOCOLS: [(&str, Protocol); 6] = [
    ("smtp", Protocol::Smtp),
    ("submission", Protocol::Submission),
    ("lmtp", Protocol::Lmtp),
    ("imap", Protocol::Imap),
    ("pop3", Protocol::Pop3),
    ("metrics", Protocol::Metrics),
];

/// Whether and when TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    Off,
    /// When the client asks (STARTTLS, STLS).
    Offered,
    /// With the first octet (RFC 8314 §3).
    Implicit,
}

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name in the file, in logs and in rules.
    pub name: String,
    /// By which name it answers, in greetings and Received fields; the server's own where absent.
    pub host: Option<Domain>,
    /// What is spoken.
    pub protocol: Protocol,
    /// Where. Port 0: any free one.
    pub address: SocketAddr,
    /// Whether and when TLS begins.
    pub tls: TlsMode,
    /// Connections at a time.
    pub connections_max: usize,
    /// Connections at a time of one client network (/32 of IPv4, /64 of IPv6).
    pub per_network_max: usize,
    /// Connections the system holds until we accept them.
    pub backlog: u32,
}

/// The listeners of a server whose file names none: name, protocol, port, TLS.
const DEFAULTS: [(&str, Protocol, u16, TlsMode); 8] = [
    ("smtp", Protocol::Smtp, 2525, TlsMode::Offered),
    ("submission", Protocol::Submission, 2587, TlsMode::Offered),
    ("submissions", Protocol::Submission, 2465, TlsMode::Implicit),
    ("lmtp", Protocol::Lmtp, 2424, TlsMode::Off),
    ("imap", Protocol::Imap, 2143, TlsMode::Offered),
    ("imaps", Protocol::Imap, 2993, TlsMode::Implicit),
    ("pop3", Protocol::Pop3, 2110, TlsMode::Offered),
    ("pop3s", Protocol::Pop3, 2995, TlsMode::Implicit),
];

/// Whether two addresses cannot be listened at both: that of all interfaces takes the port of each.
pub(crate) fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let of_all = |address: SocketAddr| address.ip().is_unspecified();
    one.port() == other.port()
        && one.port() != 0
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip() == other.ip() || of_all(one) || of_all(other))
}

/// Reads the section. Without it all the usual listeners are there, on loopback.
pub(super) fn read(section: Section<'_>, limits: &Limits) -> Vec<Listener> {
    if !section.is_given() {
        return DEFAULTS.iter().map(|usual| by_default(usual, limits)).collect();
    }
    let mut listeners: Vec<Listener> = Vec::new();
    for (name, one) in section.named_sections() {
        let usual = DEFAULTS.iter().find(|(usual, ..)| *usual == name);
        let listener = read_one(&name, one, usual.map(|usual| by_default(usual, limits)), limits);
        let same = listeners.iter().find(|other| collide(other.address, listener.address));
        if let Some(other) = same {
            let what = format!(
                "{} and {} of {:?} cannot both be listened at",
                listener.address, other.address, other.name
            );
            section.fault(&name, what, "give each listener an address of its own");
        }
        listeners.push(listener);
    }
    if listeners.is_empty() || listeners.len() > LISTENERS_MAX {
        let what = format!("{} listeners are named here", listeners.len());
        section.fault(
            "",
            what,
            format!("name 1 to {LISTENERS_MAX}, or leave the section out for the usual ones"),
        );
    }
    listeners
}

fn by_default(usual: &(&str, Protocol, u16, TlsMode), limits: &Limits) -> Listener {
    let (name, protocol, port, tls) = *usual;
    Listener {
        name: name.to_owned(),
        host: None,
        protocol,
        address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port),
        tls,
        connections_max: limits.connections,
        per_network_max: limits.connections_per_network,
        backlog: BACKLOG,
    }
}

/// Connections the system holds until we accept them.
const BACKLOG: u32 = 1024;

fn read_one(name: &str, mut s: Section<'_>, usual: Option<Listener>, limits: &Limits) -> Listener {
    for key in ["protocol", "address"] {
        if usual.is_none() && !s.has(key) {
            s.fault(key, "a listener with a name of your own needs this key", "add it");
        }
    }
    let usual = usual.unwrap_or_else(|| by_default(&(name, Protocol::Smtp, 0, TlsMode::Offered), limits));
    let hint = "write address and port, as \"127.0.0.1:2525\" or \"[::]:25\"";
    let modes = [("off", TlsMode::Off), ("offered", TlsMode::Offered), ("implicit", TlsMode::Implicit)];
    let protocol = s.choice("protocol", usual.protocol, &PROTOCOLS);
    let tls = if protocol == Protocol::Metrics { TlsMode::Off } else { usual.tls };
    let listener = Listener {
        name: name.to_owned(),
        host: s.parsed("host", "write the name of a host, as \"mail.example.org\""),
        protocol,
        address: s.parsed("address", hint).unwrap_or(usual.address),
        tls: s.choice("tls", tls, &modes),
        connections_max: s.count("connections-max", limits.connections, 1..=1_000_000),
        per_network_max: s.count("per-network-max", limits.connections_per_network, 1..=1_000_000),
        backlog: u32::try_from(s.number("backlog", BACKLOG.into(), 1..=65_535)).unwrap_or(BACKLOG),
    };
    if listener.per_network_max > listener.connections_max && s.has("per-network-max") {
        s.fault("per-network-max", "is more than connections-max", "no network can have more than there are");
    }
    if protocol == Protocol::Metrics {
        if listener.tls != TlsMode::Off {
            s.fault(
                "tls",
                "is there for mail alone",
                "leave it out, and keep the address to trusted machines",
            );
        }
        if listener.host.is_some() {
            s.fault("host", "has no meaning for metrics", "leave it out");
        }
    }
    s.close();
    listener
}
