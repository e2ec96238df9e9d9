//! The routing table (domain -> rows) and the alias table (address -> rows): generated, never written by hand (R23),
//! the way to delivery (R24) and the channel (R31) of every domain that this host or its community serves (R26), from
//! domain, user and group entries (R27). Each hosted domain has rows of its own (R29, R93).
//!
//! They are what mail is routed by: the directory is not asked for a message (R32), because that costs a round trip
//! and a conversion each time (R33). The directory's own copy of its entries is what they are built from (R34). One
//! look-up is one read, with a million users as with ten (R97).
//!
//! # The tables
//!
//! One storage, not synced: all of it is rebuilt from the directory. Every key begins with the octet of its
//! generation, so that a full rebuild is written beside the rows in use and comes into force with one put (R36, R44).
//!
//! | space | key | value |
//! |---|---|---|
//! | `routing_domains` | generation, domain | rows: u32 length (little-endian) and postcard [`row::DomainRow`] each |
//! | `routing_aliases` | generation, address in lower case; `@domain` for all of a domain | rows: u32 length and [`row::AliasRow`] each |
//! | `routing_origins` | generation, hash of the entry's name (16 octets of its SHA-256) | the keys of its rows, primary address first; by which plugin they were built |
//! | | `/` and the normal form of a domain's base | rows: whose entries are below it (`builder.rs`) |
//! | `routing_waiting` | generation, domain, `/`, hash of the entry's name | marks of entries whose rows a plugin has yet to build (`waiting.rs`) |
//! | `routing_state` | `state` | postcard [`State`]: generation in force, directory CSN it has reached |
//! | | `drawn` | one octet: the generation drawn last, so that no two builds write the same |
//!
//! Every row names the entry it came from (its DN), so that a changed entry replaces exactly its rows (R40-R42).
//! A format change raises [`FORMAT`]; other formats are rebuilt.

mod answers;
mod build;
mod builder;
mod built;
mod check;
mod facts;
mod failing;
mod follow;
mod foreign;
mod forerunner;
mod given;
mod listing;
mod reader;
mod rebuild;
mod rounds;
pub mod row;
mod shown;
mod waiting;

pub use build::{Rows, rows_of};
pub use builder::Builders;
pub use check::VIOLATIONS_MAX;
pub use failing::{FAILING_MAX, FailingEntry, Waiting, WaitingOf};
pub use follow::Refreshed;
pub use forerunner::Forerunner;
pub use reader::{Claim, Reader};
pub use rebuild::{CHUNK_MAX, Rebuild};
pub use shown::ShownRow;
pub use waiting::ASKED_MAX;

use std::sync::{Arc, OnceLock};

use hooks::{NoPlugins, PluginName, Plugins};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use storage::{Space, Storage, StorageError};

/// The format of rows and state.
pub const FORMAT: u16 = 10;
/// Most entries that may claim one key.
pub const CLAIMS_MAX: usize = 16;

pub(crate) const DOMAINS: Space = Space::new("routing_domains");
pub(crate) const ALIASES: Space = Space::new("routing_aliases");
pub(crate) const ORIGINS: Space = Space::new("routing_origins");
pub(crate) const WAITING: Space = Space::new("routing_waiting");
pub(crate) const STATE: Space = Space::new("routing_state");
pub(crate) const STATE_KEY: &[u8] = b"state";

/// The spaces that the caller opens the storage with.
pub const SPACES: &[Space] = &[DOMAINS, ALIASES, ORIGINS, WAITING, STATE];

/// Which rows are in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// [`FORMAT`] when they were written.
    pub format: u16,
    /// The first octet of their keys.
    pub generation: u8,
    /// The directory's change number they have reached: the watermark (R45).
    pub csn: u64,
    /// Rows written by the last full build.
    pub rows: u64,
    /// Whether some domain takes subdomains that have no entry: only then are parents looked up.
    pub uplevel: bool,
    /// Whether some domain has a chain of plugins that rewrite: only then are domains looked up for theirs.
    pub chains: bool,
    /// What was in force for the role `route-table` at the last full build: another one, and all is built anew.
    pub stamp: String,
    /// The plugins that build rows of some domain, by name.
    pub builders: Vec<PluginName>,
    /// Rises with each batch of rows that plugins gave: two changes at once do not pass each other.
    pub answers: u64,
}

impl State {
    /// Whether any rows are a plugin's to build.
    pub(crate) fn has_builders(&self) -> bool {
        !self.stamp.is_empty() || !self.builders.is_empty()
    }
}

/// Why tables could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TableError {
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The directory did not answer.
    #[error("the directory does not answer: {0}")]
    Directory(String),
    /// A row breaks its format.
    #[error("a row of the {0} table cannot be read; rebuild the tables")]
    Row(&'static str),
    /// What goes before a change of rows could not be done.
    #[error("accounts cannot follow their owners' addresses now: {0}")]
    Forerunner(String),
    /// No table has been built yet.
    #[error("the routing tables are not built yet")]
    NotBuilt,
}

/// The tables; clones are the same tables.
#[derive(Clone)]
pub struct Tables {
    storage: Storage,
    /// One full build at a time, and no answers of plugins while one is under way.
    building: Arc<tokio::sync::Mutex<()>>,
    asking: Arc<rounds::Asking>,
    /// Told when entries began to wait for a plugin.
    marked: Arc<tokio::sync::Notify>,
    forerunner: Arc<OnceLock<Arc<dyn Forerunner>>>,
}

impl Tables {
    /// Tables in a storage that was opened with [`SPACES`].
    #[must_use]
    pub fn new(storage: Storage) -> Self {
        let (building, asking) = (Arc::default(), Arc::default());
        Self { storage, building, asking, marked: Arc::default(), forerunner: Arc::default() }
    }

    /// A consistent view of the generation in force.
    pub fn reader(&self) -> Result<Reader, TableError> {
        Reader::new(self.storage.read()?)
    }

    /// Rises with whatever is written: what was read under a version still holds while it is the same.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.storage.version()
    }

    /// The state; `None` where no table was built in this format.
    pub fn state(&self) -> Result<Option<State>, TableError> {
        reader::state(&self.storage.read()?)
    }

    /// Begins a full build beside the rows in force, with the native builder alone.
    pub async fn rebuild(&self) -> Result<Rebuild<'static>, TableError> {
        self.rebuild_with(&NoPlugins).await
    }

    /// Begins a full build beside the rows in force. Entries whose rows are a plugin's to build keep those that they
    /// have, and wait to be asked about.
    pub(crate) async fn rebuild_with<'p>(&self, plugins: &'p dyn Plugins) -> Result<Rebuild<'p>, TableError> {
        Rebuild::begin(self.storage.clone(), plugins).await
    }
}

/// Octets of [`name_hash`].
const HASH_OCTETS: usize = 16;

/// What stands for an entry's name: a part of the SHA-256 of its normal form, so that nobody who may choose names finds one
/// that passes for another's.
pub(crate) fn name_hash(dn: &directory::Dn) -> [u8; HASH_OCTETS] {
    let mut hash = [0; HASH_OCTETS];
    hash.copy_from_slice(&Sha256::digest(dn.key())[..HASH_OCTETS]);
    hash
}

/// The key of an entry's list.
pub(crate) fn origin_key(generation: u8, dn: &directory::Dn) -> [u8; HASH_OCTETS + 1] {
    let mut key = [generation; HASH_OCTETS + 1];
    key[1..].copy_from_slice(&name_hash(dn));
    key
}

/// Whether a name in a row is this entry's, however its letters are written; `spelt` is the usual spelling.
pub(crate) fn is_name_of(text: &str, dn: &directory::Dn, spelt: &str) -> bool {
    text == spelt || directory::Dn::parse(text).is_ok_and(|name| name == *dn)
}

/// A key of one generation.
pub(crate) fn key(generation: u8, name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 1);
    key.push(generation);
    key.extend_from_slice(name.as_bytes());
    key
}

#[cfg(test)]
mod tests;
