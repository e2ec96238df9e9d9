//! The port to where the DNS names the mail hosts of many domains: a zone, or a list of domains (R11, R25).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use mail_types::Domain;
use serde::{Deserialize, Serialize};

use crate::resolver::BoxFuture;

/// Most domains of one table.
pub const TABLE_DOMAINS_MAX: usize = 100_000;

/// An MX record, as it was written (RFC 1035 §3.3.9).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MxRecord {
    /// Lower is asked first.
    pub preference: u16,
    /// The host in lower case, without its last dot; empty: none (RFC 7505 §3). A name that is no host's stays as it is: it
    /// is somebody's rank all the same.
    pub host: String,
}

impl fmt::Display for MxRecord {
    /// As in a zone file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.", self.preference, self.host)
    }
}

/// The MX records of one domain; none: the domain has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MxSet(pub BTreeSet<MxRecord>);

impl fmt::Display for MxSet {
    /// `MX 10 a.example., MX 20 b.example.`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, record) in self.0.iter().enumerate() {
            write!(f, "{}MX {record}", if nth == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// What is known already.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The version that it is of; none where there is nothing, or not all of a version.
    pub serial: Option<u32>,
    /// The records of a domain.
    pub records: &'a (dyn Fn(&Domain) -> MxSet + Sync),
}

/// How much is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// What is due, and has changed.
    News,
    /// Everything, whatever its version.
    Everything,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The version; none where there are no versions.
    pub serial: Option<u32>,
    /// The records.
    pub content: Content,
    /// When to ask next.
    pub again: Duration,
    /// When to ask next if that fails.
    pub retry: Duration,
    /// How long it is good without an answer; none: for ever.
    pub expire: Option<Duration>,
    /// Names that are none of a mail domain, wildcards for example.
    pub left_out: u64,
    /// What could not be found out, in words; everything of that stays as it is.
    pub failures: Vec<String>,
}

/// The records that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// All is as it was.
    Same,
    /// These domains have these records now, or none any more; of others it says nothing.
    Changed(BTreeMap<Domain, MxSet>),
    /// All domains that have any.
    Whole(BTreeMap<Domain, MxSet>),
}

/// Why nothing came. Whatever it is, it says nothing about any domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);

/// Where such a table comes from.
pub trait TableSource: Send + Sync + 'static {
    /// Asks for it. An answer that is not complete is an error, never a smaller table.
    fn fetch<'a>(&'a self, known: Known<'a>, asked: Asked) -> BoxFuture<'a, Result<Fetched, FetchError>>;

    /// Asks for what is new of one domain, whether or not it is due: of a list about it alone, of a zone for its news.
    fn fetch_one<'a>(
        &'a self,
        known: Known<'a>,
        domain: &'a Domain,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>>;

    /// Whether each domain is asked about by itself: then an answer about some says nothing about others, and a domain
    /// that nobody answered for is not known, however many others are.
    fn asks_each(&self) -> bool;

    /// Where that is, in words: `zone example.org from 192.0.2.53:53`.
    fn place(&self) -> String;

    /// The same without what differs from answer to answer: another one is another table.
    fn identity(&self) -> String;
}
