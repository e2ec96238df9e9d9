//! `[dns]` and `[dns.publish]`: whom to ask, and where records of mail domains are published. The tables of `[dns.tables]`
//! stand in a file of their own.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use directory::{ExtraText, PublicationOptions};
use dns_providers::{PROVIDERS, Provider};
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
    /// A provider, by its HTTP interface, with the credentials in this file.
    Provider(&'static Provider, PathBuf),
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
        let words = [
            ("embedded", To::Embedded),
            ("update", To::Update),
            ("provider", To::Provider),
            ("nowhere", To::Nowhere),
        ];
        let to = s.choice("to", To::Embedded, &words);
        let hint = "write an address with its port, as \"127.0.0.1:2553\"";
        let listen: Option<SocketAddr> = s.parsed("listen", hint);
        let primary: Option<SocketAddr> = s.parsed("server", hint);
        let key = s.path("key-file").map(|path| below(folder, path));
        let names: Vec<(&str, Option<&'static Provider>)> =
            PROVIDERS.iter().map(|provider| (provider.name, Some(provider))).collect();
        let provider = s.choice("provider", None, &names);
        let credentials = s.path("credentials-file").map(|path| below(folder, path));
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
        to.check(&s, !zones.is_empty());
        let to = match to {
            To::Nowhere => None,
            To::Embedded => {
                Some(PublishTo::Embedded(listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 2553)))))
            }
            To::Update => {
                if let Some(path) = &key {
                    s.file_read("key-file", path, dns::TsigKey::read);
                }
                primary.map(|primary| PublishTo::Update(primary, key))
            }
            To::Provider => {
                if let Some(path) = &credentials {
                    s.file("credentials-file", path);
                }
                provider.zip(credentials).map(|(provider, file)| PublishTo::Provider(provider, file))
            }
        };
        s.close();
        to.map(|to| Self { to, zones, records })
    }
}

/// The word that says where.
#[derive(Clone, Copy, PartialEq)]
enum To {
    Nowhere,
    Embedded,
    Update,
    Provider,
}

impl To {
    /// Whether the keys that are there are its own, and those that it needs are there.
    fn check(self, s: &Section<'_>, has_zones: bool) {
        let owners = [
            ("listen", Self::Embedded, "the embedded server", "embedded"),
            ("server", Self::Update, "another name server", "update"),
            ("key-file", Self::Update, "another name server", "update"),
            ("provider", Self::Provider, "a provider", "provider"),
            ("credentials-file", Self::Provider, "a provider", "provider"),
        ];
        for (key, owner, whose, word) in owners {
            if self != owner && self != Self::Nowhere && s.has(key) {
                let mend = format!("take it out, or set to = {word:?}");
                s.fault(key, format!("is of {whose} alone"), mend);
            }
        }
        let needed = [
            ("server", Self::Update, "name the primary server of the zones, as \"192.0.2.53:53\""),
            ("provider", Self::Provider, "name the provider, as \"cloudflare\""),
            ("credentials-file", Self::Provider, "name the file with what the provider knows you by"),
        ];
        for (key, owner, mend) in needed {
            if self == owner && !s.has(key) {
                s.fault(key, "is missing", mend);
            }
        }
        if matches!(self, Self::Update | Self::Provider) && !has_zones {
            s.fault("zones", "names no zone that is written to", "zones = [\"example.org\"]");
        }
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
