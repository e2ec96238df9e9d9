//! What is kept of the DNS's tables, beside the entries. Just the tables:
//!
//! | space | key | value |
//! |---|---|---|
//! | `directory_dns_tables` | a table's name | [`StoredTable`] in postcard |
//! | `directory_dns_records` | a table's name, NUL, domain | [`StoredRecords`] in postcard |
//! | `directory_dns_domains` | domain | [`StoredDomain`] in postcard: what is in force |
//!
//! The first two are the last good answers, so that they survive restarts with the name servers away. The third is what
//! comes of them; its changes stand in the directory's change log, under names below [`DNS_TOP`].

use dns::MxSet;
use mail_types::Domain;
use serde::{Deserialize, Serialize};
use storage::Space;

use crate::dn::{Dn, DnError};

pub(crate) const DNS_TABLES: Space = Space::new("directory_dns_tables");
pub(crate) const DNS_RECORDS: Space = Space::new("directory_dns_records");
pub(crate) const DNS_DOMAINS: Space = Space::new("directory_dns_domains");

/// The spaces that no load of entries empties.
pub(crate) const DNS_SPACES: [Space; 3] = [DNS_TABLES, DNS_RECORDS, DNS_DOMAINS];

/// The name below which domains have their names that the DNS alone knows. No entry may be there.
pub const DNS_TOP: &str = "dns-tables";

/// How a table stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct StoredTable {
    /// Which zone or list it is: another one begins from nothing.
    pub(crate) identity: String,
    /// The version that all records are of; none while some are not.
    pub(crate) serial: Option<u32>,
    pub(crate) left_out: u64,
    /// The last answer, in milliseconds since 1970.
    pub(crate) success_at: Option<u64>,
    /// The failure since then, and when.
    pub(crate) failure: Option<(u64, String)>,
    /// How long it is good without an answer, in seconds.
    pub(crate) expire: Option<u64>,
}

/// The records of one domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredRecords {
    pub(crate) records: MxSet,
    /// The version that they came with.
    pub(crate) serial: Option<u32>,
}

/// What is in force of one domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredDomain {
    pub(crate) relay: bool,
    pub(crate) refuse_unknown: bool,
    pub(crate) origin: String,
}

/// The top of the names.
pub(crate) fn top() -> Result<Dn, DnError> {
    Dn::root().child("cn", DNS_TOP)
}

/// Whether a name is kept free for the DNS.
pub(crate) fn is_reserved(dn: &Dn) -> bool {
    let below = dn.key().strip_prefix(b"cn=").and_then(|key| key.strip_prefix(DNS_TOP.as_bytes()));
    below.is_some_and(|rest| rest.starts_with(b"\0"))
}

/// The key of a domain's records in a table.
pub(crate) fn records_key(table: &str, domain: &Domain) -> Vec<u8> {
    let mut key = table.as_bytes().to_vec();
    key.push(0);
    key.extend_from_slice(domain.as_str().as_bytes());
    key
}

/// The inverse of [`records_key`].
pub(crate) fn read_records_key(key: &[u8]) -> Option<(String, Domain)> {
    let (table, domain) = std::str::from_utf8(key).ok()?.split_once('\0')?;
    Some((table.to_owned(), Domain::parse(domain).ok()?))
}
