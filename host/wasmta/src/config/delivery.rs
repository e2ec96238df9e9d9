//! The ways out: `[channels]`, `[hosts]`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mail_types::{Domain, NextHop};

use super::below;
use super::section::Section;
use super::server::{Auth, secs};

/// What a channel does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelKind {
    /// Appends to local mailboxes.
    Store,
    /// Hands over by SMTP.
    Smtp,
    /// Hands over by LMTP.
    Lmtp,
    /// Runs registered programs.
    Program,
    /// Appends to files.
    File,
    /// Parks until released.
    Hold,
    /// Resolves anew.
    Reprocess,
    /// Discards.
    Bitbucket,
    /// Delivers into mailboxes that others share.
    Shared,
    /// Answers on behalf of users.
    AutoReply,
    /// Sends to the members of lists.
    List,
}

const KINDS: [(&str, ChannelKind); 11] = [
    ("store", ChannelKind::Store),
    ("smtp", ChannelKind::Smtp),
    ("lmtp", ChannelKind::Lmtp),
    ("program", ChannelKind::Program),
    ("file", ChannelKind::File),
    ("shared", ChannelKind::Shared),
    ("hold", ChannelKind::Hold),
    ("reprocess", ChannelKind::Reprocess),
    ("bitbucket", ChannelKind::Bitbucket),
    ("autoreply", ChannelKind::AutoReply),
    ("list", ChannelKind::List),
];

impl ChannelKind {
    /// Its word in the file.
    #[must_use]
    pub fn word(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }

    /// Whether it is there once, by its one name.
    fn is_there_once(self) -> bool {
        matches!(
            self,
            Self::Store | Self::Shared | Self::Hold | Self::Reprocess | Self::AutoReply | Self::List
        )
    }

    /// Whether it connects to other hosts.
    #[must_use]
    pub fn goes_out(self) -> bool {
        matches!(self, Self::Smtp | Self::Lmtp)
    }
}

/// TLS towards other hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutgoingTls {
    /// Never.
    Off,
    /// Where the peer offers it, with any certificate (RFC 7435's sense).
    Opportunistic,
    /// Always, with any certificate.
    Required,
    /// Always, with a certificate that names the host.
    Verified,
}

/// One channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its name in routes and rules.
    pub name: String,
    /// What it does.
    pub kind: ChannelKind,
    /// Attempts at a time.
    pub concurrency: usize,
    /// Attempts at a time to one destination.
    pub per_destination: usize,
    /// Messages a minute to one destination; 0: any number.
    pub rate: u64,
    /// Recipients in one attempt.
    pub recipients: usize,
    /// All goes to this host instead of the one that the recipient's domain names.
    pub smart_host: Option<(Domain, Option<u16>)>,
    /// How we log in there: login, and the file whose first line is the password.
    pub login: Option<(String, PathBuf)>,
    /// Port at the other side.
    pub port: u16,
    /// TLS: `verified` where nothing else is said and we log in, or name authorities.
    pub tls: OutgoingTls,
    /// Who vouches for the hosts' certificates, in PEM; whom this machine trusts, where absent.
    pub authorities: Option<PathBuf>,
    /// TLS for some domains and hosts, and all below them.
    pub tls_for: Vec<(Domain, OutgoingTls)>,
    /// Wait for a connection.
    pub connect_timeout: Duration,
    /// Wait for a reply (RFC 5321 §4.5.3.2).
    pub reply_timeout: Duration,
    /// Messages over one connection.
    pub messages_per_connection: usize,
    /// How long an idle connection waits for the next message.
    pub reuse: Duration,
    /// Address that connections come from.
    pub source: Option<IpAddr>,
    /// Whether entries of the directory may name it as the way out of what their users submit.
    pub for_entries: bool,
}

impl Channel {
    /// The one next hop of all that goes by it, where it has a smart host.
    #[must_use]
    pub fn next_hop(&self) -> Option<NextHop> {
        self.smart_host.clone().map(|(host, port)| NextHop::Host { host, port })
    }
}

/// Most channels of one server.
const CHANNELS_MAX: usize = 256;

/// Reads the section. The usual channels are always there; the file changes them or adds some.
pub(super) fn read_channels(section: Section<'_>, auth: &Auth, folder: &Path) -> Vec<Channel> {
    let mut named = section.named_sections();
    if named.len() > CHANNELS_MAX {
        section.fault(
            "",
            format!("{} channels are named here", named.len()),
            format!("at most {CHANNELS_MAX}"),
        );
    }
    let mut channels = Vec::new();
    for (word, kind) in KINDS {
        let at = named.iter().position(|(name, _)| name == word);
        channels.push(match at {
            Some(at) => read_channel(word, named.remove(at).1, Some(kind), (auth, folder)),
            None => usual(word, kind),
        });
    }
    channels.extend(named.into_iter().map(|(name, one)| read_channel(&name, one, None, (auth, folder))));
    channels
}

fn usual(name: &str, kind: ChannelKind) -> Channel {
    // A program is a process, and a file waits for its lock: fewer at a time, and not all of them for one account.
    let (concurrency, per_destination, recipients) = match kind {
        ChannelKind::Program => (10, 2, 1),
        ChannelKind::File => (10, 1, 100),
        _ => (100, 20, 100),
    };
    Channel {
        name: name.to_owned(),
        kind,
        concurrency,
        per_destination,
        rate: 0,
        recipients,
        smart_host: None,
        login: None,
        port: if kind == ChannelKind::Lmtp { 24 } else { 25 },
        tls: if kind == ChannelKind::Lmtp { OutgoingTls::Off } else { OutgoingTls::Opportunistic },
        authorities: None,
        tls_for: Vec::new(),
        connect_timeout: secs(30),
        reply_timeout: secs(300),
        messages_per_connection: 100,
        reuse: secs(5),
        source: None,
        for_entries: false,
    }
}

const TLS: [(&str, OutgoingTls); 4] = [
    ("off", OutgoingTls::Off),
    ("opportunistic", OutgoingTls::Opportunistic),
    ("required", OutgoingTls::Required),
    ("verified", OutgoingTls::Verified),
];

fn read_tls_for(section: Section<'_>) -> Vec<(Domain, OutgoingTls)> {
    let mut policies = Vec::new();
    for (name, words) in section.named_texts() {
        let policy = words.first().and_then(|word| TLS.iter().find(|(known, _)| known == word));
        match (Domain::parse(&name), policy) {
            (Ok(domain), Some((_, policy))) => policies.push((domain, *policy)),
            (Err(why), _) => section.fault(&name, why.to_string(), "write a domain in quotes"),
            (_, None) => {
                let known: Vec<&str> = TLS.iter().map(|(word, _)| *word).collect();
                section.fault(&name, "is not known here", format!("write one of: {}", known.join(", ")));
            }
        }
    }
    policies
}

fn read_login(s: &mut Section<'_>, folder: &Path) -> Option<(String, PathBuf)> {
    let (login, file) = (s.text("login", ""), s.path("password-file"));
    match (login.is_empty(), file) {
        (true, None) => None,
        (false, Some(file)) => {
            let file = below(folder, file);
            s.file("password-file", &file);
            Some((login, file))
        }
        (false, None) => {
            s.fault("login", "stands without its password-file", "add password-file = \"…\"");
            None
        }
        (true, Some(_)) => {
            s.fault("password-file", "stands without its login", "add login = \"…\"");
            None
        }
    }
}

/// What the channel does: its own for one of the usual names, else what the file says.
fn read_kind(name: &str, s: &mut Section<'_>, given: Option<ChannelKind>) -> ChannelKind {
    if given.is_none() && !s.has("kind") {
        s.fault("kind", "a channel with a name of your own needs this key", "add kind = \"smtp\" or another");
    }
    let kind = s.choice("kind", given.unwrap_or(ChannelKind::Smtp), &KINDS);
    if given.is_none() && kind.is_there_once() {
        s.fault(
            "kind",
            format!("there is one channel of kind {:?}, and it has that name", kind.word()),
            format!(
                "write \"smtp\", \"lmtp\", \"program\", \"file\" or \"bitbucket\", or name {:?} in rules",
                kind.word()
            ),
        );
    }
    if given.is_some_and(|given| given != kind) {
        s.fault(
            "kind",
            format!("the channel {name:?} is always of its own kind"),
            "give the new one another name",
        );
    }
    kind
}

/// A password is for one host alone: it is shown under TLS to whom the certificate proves to be that, unless the file says
/// otherwise.
fn check_secrecy(s: &mut Section<'_>, channel: &Channel, auth: &Auth) {
    if channel.login.is_some() && channel.tls == OutgoingTls::Off && !auth.cleartext {
        s.fault("tls", "the password of login would go over the network in clear", "write \"verified\"");
    }
    let is_verified = |tls: OutgoingTls| tls == OutgoingTls::Verified;
    let any = is_verified(channel.tls) || channel.tls_for.iter().any(|(_, tls)| is_verified(*tls));
    if channel.authorities.is_some() && !any {
        s.fault("ca-file", "no certificate is held against it", "write tls = \"verified\"");
    }
}

fn read_channel(
    name: &str,
    mut s: Section<'_>,
    given: Option<ChannelKind>,
    (auth, folder): (&Auth, &Path),
) -> Channel {
    let kind = read_kind(name, &mut s, given);
    let mut usual = usual(name, kind);
    let authorities = s.path("ca-file").map(|path| below(folder, path));
    if let Some(file) = &authorities {
        s.file("ca-file", file);
    }
    if authorities.is_some() || s.has("login") {
        usual.tls = OutgoingTls::Verified;
    }
    let channel = Channel {
        name: name.to_owned(),
        kind,
        concurrency: s.count("concurrency", usual.concurrency, 1..=100_000),
        per_destination: s.count("per-destination", usual.per_destination, 1..=100_000),
        rate: s.number("rate", usual.rate, 0..=1_000_000),
        recipients: s.count("recipients", usual.recipients, 1..=10_000),
        smart_host: s
            .parsed::<HostPort>("smart-host", "write a host, as \"relay.example.org:587\"")
            .map(|h| (h.0, h.1)),
        port: u16::try_from(s.number("port", usual.port.into(), 1..=65_535)).unwrap_or(usual.port),
        login: read_login(&mut s, folder),
        tls: s.choice("tls", usual.tls, &TLS),
        authorities,
        tls_for: read_tls_for(s.section("tls-for")),
        connect_timeout: s.duration("connect-timeout", usual.connect_timeout, secs(1)..=secs(600)),
        reply_timeout: s.duration("reply-timeout", usual.reply_timeout, secs(1)..=secs(3600)),
        messages_per_connection: s.count(
            "messages-per-connection",
            usual.messages_per_connection,
            1..=100_000,
        ),
        reuse: s.duration("reuse", usual.reuse, secs(0)..=secs(300)),
        source: s.parsed("source", "write an IP address of this machine"),
        for_entries: s.flag("for-entries", usual.for_entries),
    };
    if channel.login.is_some() && channel.smart_host.is_none() {
        s.fault("login", "is for a smart host, and none is named", "add smart-host = \"host:port\"");
    }
    check_secrecy(&mut s, &channel, auth);
    if channel.per_destination > channel.concurrency {
        let key = if s.has("per-destination") { "per-destination" } else { "concurrency" };
        s.fault(
            key,
            "per-destination is more than concurrency",
            "no destination can have more than there are",
        );
    }
    if !kind.goes_out() {
        for key in [
            "smart-host",
            "login",
            "port",
            "tls",
            "tls-for",
            "ca-file",
            "connect-timeout",
            "reply-timeout",
            "source",
            "for-entries",
            "reuse",
        ] {
            if s.has(key) {
                let what = format!("a channel of kind {:?} connects to nobody", kind.word());
                s.fault(key, what, "take this key out, or make the kind \"smtp\" or \"lmtp\"");
            }
        }
    }
    s.close();
    channel
}

/// `host`, `host:port`, `192.0.2.1:port`, `[2001:db8::1]:port`.
pub(crate) struct HostPort(pub(crate) Domain, pub(crate) Option<u16>);

impl std::str::FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let port =
            port.map(|port| port.parse::<u16>().map_err(|_| format!("{port:?} is no port"))).transpose()?;
        let literal = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
            .map(|ip| if ip.is_ipv4() { format!("[{ip}]") } else { format!("[IPv6:{ip}]") });
        let host = Domain::parse(literal.as_deref().unwrap_or(host)).map_err(|e| e.to_string())?;
        Ok(Self(host, port))
    }
}

/// One row of the static host table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEntry {
    /// A domain, `.domain` for everything under it, or `*`.
    pub name: String,
    /// Its hosts, best first, each `host[:port]` or `address[:port]`.
    pub hosts: Vec<String>,
}

/// Most names of the static host table.
const HOSTS_MAX: usize = 10_000;

/// Reads `[hosts]`: each key a domain, each value its hosts.
pub(super) fn read_hosts(section: Section<'_>) -> Vec<HostEntry> {
    let named = section.named_texts();
    if named.len() > HOSTS_MAX {
        section.fault("", format!("{} hosts are named here", named.len()), format!("at most {HOSTS_MAX}"));
    }
    let mut table = dns::Hosts::new();
    let mut entries = Vec::new();
    for (name, hosts) in named {
        match table.insert(&name, &hosts) {
            Ok(()) => entries.push(HostEntry { name, hosts }),
            Err(why) => {
                section.fault(&name, why.to_string(), "as \"partner.example\" = [\"192.0.2.7:2525\"]")
            }
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn who_is_shown_a_password_has_to_prove_who_it_is() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["pw", "ca.pem"] {
            std::fs::write(folder.path().join(file), "x").unwrap();
        }
        let login = "smart-host = \"relay.example\"\nlogin = \"anna\"\npassword-file = \"pw\"\n";
        for (keys, tls) in [
            ("", OutgoingTls::Opportunistic),
            (login, OutgoingTls::Verified),
            ("ca-file = \"ca.pem\"\n", OutgoingTls::Verified),
            (&format!("{login}tls = \"required\"\n"), OutgoingTls::Required),
        ] {
            let text = format!("[directory]\n[routing]\n[channels.smtp]\n{keys}");
            let config = Config::parse("", &text, folder.path()).unwrap();
            let smtp = config.channels.iter().find(|channel| channel.name == "smtp").unwrap();
            assert_eq!(smtp.tls, tls, "{keys}");
        }
        // In clear only where clear passwords are taken anyway.
        let in_clear = format!("{login}tls = \"off\"\n");
        for (auth, is_right) in [("", false), ("[auth]\ncleartext = true\n", true)] {
            let text = format!("[directory]\n[routing]\n[channels.smtp]\n{in_clear}{auth}");
            assert_eq!(Config::parse("", &text, folder.path()).is_ok(), is_right, "{auth}");
        }
    }
}
