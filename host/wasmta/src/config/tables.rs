//! `[dns.tables.NAME]`: domains by DNS tables.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mail_types::Domain;

use super::below;
use super::section::Section;
use super::server::secs;

/// Longest name of a table.
const NAME_MAX: usize = 64;

/// `[dns.tables.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsTable {
    /// Its name.
    pub name: String,
    /// Where its domains come from.
    pub source: DnsTableSource,
    /// Whether addresses that the directory does not know are refused for good, not for now.
    pub refuse_unknown: bool,
    /// So many domains may go at once.
    pub removals_free: u64,
    /// Beyond that, so many of a hundred.
    pub removals_percent_max: u8,
    /// No sooner than this it is asked again.
    pub again_min: Duration,
    /// No later than this it is asked again.
    pub again_max: Duration,
}

/// Where the domains of a table come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsTableSource {
    /// All of a zone, from its primary server, with the key in this file.
    Zone {
        /// The zone.
        zone: Domain,
        /// Its primary server.
        primary: SocketAddr,
        /// A TSIG key.
        key: Option<PathBuf>,
    },
    /// These.
    List {
        /// The domains.
        domains: Vec<Domain>,
        /// Whom to ask; `None`: as `dns.servers` says.
        servers: Option<Vec<SocketAddr>>,
    },
}

/// Reads all tables, in the order of the file.
pub(super) fn read(s: &Section<'_>, folder: &Path) -> Vec<DnsTable> {
    let mut named = s.named_sections();
    named.sort_by_key(|(_, section)| section.place());
    let mut tables = Vec::new();
    for (name, mut section) in named {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(is_name) {
            let mend = format!("letters, digits, - and _, at most {NAME_MAX}");
            s.fault(&name, "is no name of a table", mend);
        }
        if tables.len() == directory::TABLES_MAX {
            s.fault(&name, "is one too many", format!("at most {} tables", directory::TABLES_MAX));
        }
        tables.extend(read_one(name, &mut section, folder));
        section.close();
    }
    tables
}

fn read_one(name: String, s: &mut Section<'_>, folder: &Path) -> Option<DnsTable> {
    let source = read_source(s, folder);
    let words = [("defer", false), ("refuse", true)];
    let refuse_unknown = s.choice("unknown-users", false, &words);
    let removals_free = s.number("removals-free", 10, 0..=1_000_000);
    let removals_percent_max = u8::try_from(s.number("removals-percent-max", 20, 0..=100)).unwrap_or(100);
    let again_min = s.duration("again-min", secs(60), secs(1)..=secs(86_400));
    let again_max = s.duration("again-max", secs(86_400), secs(1)..=secs(7 * 86_400));
    if again_min > again_max {
        s.fault("again-min", "is longer than again-max", "make it shorter");
    }
    let source = source?;
    let again_max = again_max.max(again_min);
    Some(DnsTable { name, source, refuse_unknown, removals_free, removals_percent_max, again_min, again_max })
}

fn read_source(s: &mut Section<'_>, folder: &Path) -> Option<DnsTableSource> {
    let hint = "write an address with its port, as \"192.0.2.53:53\"";
    let zone: Option<Domain> = s.parsed("zone", "write a domain, as \"example.org\"");
    let primary: Option<SocketAddr> = s.parsed("primary", hint);
    let key = s.path("key-file").map(|path| below(folder, path));
    let domains: Option<Vec<Domain>> = s.parsed_list("domains", "write domains, as [\"example.org\"]");
    let servers: Option<Vec<SocketAddr>> = s.parsed_list("servers", hint);
    if s.has("zone") == s.has("domains") {
        s.fault("zone", "and domains are both there, or neither", "write zone and primary, or domains");
        return None;
    }
    if let Some(zone) = zone {
        if servers.is_some() {
            s.fault("servers", "is of a list of domains", "name the zone's server by primary");
        }
        if let Some(path) = &key {
            s.file_read("key-file", path, dns::TsigKey::read);
        }
        if !s.has("primary") {
            s.fault("primary", "is missing", "name the primary server of the zone, as \"192.0.2.53:53\"");
        }
        return Some(DnsTableSource::Zone { zone, primary: primary?, key });
    }
    for of_zone in ["primary", "key-file"].into_iter().filter(|key| s.has(key)) {
        s.fault(of_zone, "is of a zone", "domains are asked of servers, or as dns.servers says");
    }
    let domains = domains?;
    if domains.is_empty()
        || domains.len() > dns::WATCHED_MAX
        || domains.iter().any(|one| one.as_ip().is_some())
    {
        let what = format!("names none, more than {}, or an address", dns::WATCHED_MAX);
        s.fault("domains", what, "domains = [\"example.org\"]");
    }
    Some(DnsTableSource::List { domains, servers })
}
