//! `[dns]` and `[dns.publish]`: whom to ask, and where records of mail domains are published. The tables of `[dns.tables]`
//! stand in a file of their own.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use directory::{ExtraText, PublicationOptions};
use mail_types::Domain;

use super::below;
use super::section::Section;
use super::server::{Server, secs};
use super::tables::{self, DnsTable};

/// Most hosts, zones, texts or services that are named.
const NAMED_MAX: usize = 64;

/// `[dns]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// Whom to ask; `None`: those that the system asks; none named: nobody.
    pub servers: Option<Vec<SocketAddr>>,
    /// Our own addresses, as others see them.
    pub own_addresses: Vec<IpAddr>,
    /// Where records of mail domains are published.
    pub publish: Option<Publish>,
    /// Where notices of changed zones are heard, besides the embedded name server.
    pub notify_listen: Option<SocketAddr>,
    /// Domains by DNS tables, in the order in which they decide.
    pub tables: Vec<DnsTable>,
}

/// `[dns.publish]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Where.
    pub to: PublishTo,
    /// Zones that hold mail domains.
    pub zones: Vec<Domain>,
    /// What every mail domain has.
    pub records: PublicationOptions,
}

/// Where records are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishTo {
    /// The name server of our own, at this address.
    Embedded(SocketAddr),
    /// Another one, by dynamic updates (RFC 2136), with the key in this file.
    Update(SocketAddr, Option<PathBuf>),
}

impl Dns {
    pub(super) fn read(mut s: Section<'_>, server: &Server, folder: &Path) -> Self {
        let own_addresses: Vec<IpAddr> =
            s.parsed_list("own-addresses", "write IP addresses").unwrap_or_default();
        let publish = Publish::read(s.section("publish"), server, &own_addresses, folder);
        let notify_listen = s.parsed("notify-listen", "write an address with its port, as \"192.0.2.1:53\"");
        let tables = tables::read(&s.section("tables"), folder);
        let dns = Self {
            servers: s.parsed_list("servers", "write addresses with ports, as \"192.0.2.53:53\""),
            own_addresses,
            publish,
            notify_listen,
            tables,
        };
        s.close();
        dns
    }
}

impl Publish {
    fn read(mut s: Section<'_>, server: &Server, own: &[IpAddr], folder: &Path) -> Option<Self> {
        #[derive(Clone, Copy, PartialEq)]
        enum To {
            Nowhere,
            Embedded,
            Update,
        }
        let words = [("embedded", To::Embedded), ("update", To::Update), ("nowhere", To::Nowhere)];
        let to = s.choice("to", To::Embedded, &words);
        let hint = "write an address with its port, as \"127.0.0.1:2553\"";
        let listen: Option<SocketAddr> = s.parsed("listen", hint);
        let primary: Option<SocketAddr> = s.parsed("server", hint);
        let key = s.path("key-file").map(|path| below(folder, path));
        let zones = named(&mut s, "zones", "write domains, as [\"example.org\"]");
        let hosts: Vec<Domain> = named(&mut s, "mail-hosts", "write host names, best first");
        let texts = s.section("texts");
        let services = s.section("services");
        let records = PublicationOptions {
            mail_hosts: if hosts.is_empty() { vec![server.name.clone()] } else { hosts },
            addresses: own.to_vec(),
            texts: read_texts(&texts),
            services: read_services(&services),
            ttl: u32::try_from(s.duration("ttl", secs(300), secs(1)..=secs(604_800)).as_secs())
                .unwrap_or(300),
        };
        if to == To::Embedded && (primary.is_some() || key.is_some()) {
            s.fault(
                "to",
                "is the embedded server, and server or key-file name another one",
                "set to = \"update\"",
            );
        }
        if to == To::Update && listen.is_some() {
            s.fault("listen", "is of the embedded server alone", "take it out, or set to = \"embedded\"");
        }
        if to == To::Update && zones.is_empty() {
            s.fault("zones", "names no zone that updates are for", "zones = [\"example.org\"]");
        }
        let to = match (to, primary) {
            (To::Nowhere, _) => None,
            (To::Embedded, _) => {
                Some(PublishTo::Embedded(listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 2553)))))
            }
            (To::Update, Some(primary)) => {
                if let Some(path) = &key {
                    s.file("key-file", path);
                }
                Some(PublishTo::Update(primary, key))
            }
            (To::Update, None) => {
                s.fault("server", "is missing", "name the primary server of the zones, as \"192.0.2.53:53\"");
                None
            }
        };
        s.close();
        to.map(|to| Self { to, zones, records })
    }
}

fn named(s: &mut Section<'_>, key: &'static str, hint: &str) -> Vec<Domain> {
    let names: Vec<Domain> = s.parsed_list(key, hint).unwrap_or_default();
    if names.len() > NAMED_MAX {
        s.fault(key, format!("names {}", names.len()), format!("at most {NAMED_MAX}"));
    }
    names
}

/// Label, and its text: ASCII, for that is what the records hold.
fn read_texts(s: &Section<'_>) -> Vec<ExtraText> {
    let mut texts = Vec::new();
    for (label, of_label) in s.named_texts() {
        for text in of_label {
            if !text.is_ascii() || text.len() > 2000 || texts.len() == NAMED_MAX {
                s.fault(
                    &label,
                    "is not ASCII, or too long, or one too many",
                    "at most 64 texts of 2000 octets",
                );
                continue;
            }
            let label = if label == "@" { String::new() } else { label.clone() };
            texts.push(ExtraText { label, text });
        }
    }
    texts
}

/// Label, and its port.
fn read_services(s: &Section<'_>) -> Vec<(String, u16)> {
    let mut services = Vec::new();
    for (label, ports) in s.named_texts() {
        match ports.first().map(|port| port.parse::<u16>()) {
            Some(Ok(port)) if services.len() < NAMED_MAX => services.push((label, port)),
            _ => s.fault(&label, "is no port, or one too many", "as \"_imaps._tcp\" = \"993\""),
        }
    }
    services
}
