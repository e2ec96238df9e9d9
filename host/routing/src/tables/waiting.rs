//! Entries whose rows a plugin has yet to build: the watermark has passed them, their rows are those of before.
//!
//! A mark is a row of the entry like any other, so it goes where the entry goes. Its key is the domain, `/`, and the
//! hash of the entry's name: whether anything of a domain waits is one look-up.

use hooks::PluginName;
use serde::{Deserialize, Serialize};

use super::row::split;

/// Entries that a plugin is asked about in one call: so few that it may call the host several times for each, within
/// its limit of calls.
pub const ASKED_MAX: u32 = 100;

/// An entry that waits for its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The entry (RFC 4514 string).
    pub(super) dn: String,
    /// The directory's change number that made it wait. With the generation it tells marks apart.
    pub(super) csn: u64,
    /// Whether the whole domain waits: its builder changed, not the entry.
    pub(super) is_backlog: bool,
    /// With at most so many entries may it be asked about in one call: less, after such calls failed.
    pub(super) share: u32,
    /// How often it failed alone.
    pub(super) failures: u32,
    /// Not to be asked about before (seconds since 1970).
    pub(super) again: u64,
    /// The plugin that failed on it; empty where none has.
    pub(super) plugin: String,
    /// Why it did, the last time.
    pub(super) cause: String,
}

/// Longest cause that is kept, in characters.
const CAUSE_MAX: usize = 300;

impl Mark {
    /// An entry that was never asked about.
    pub(super) fn new(dn: String, csn: u64, is_backlog: bool) -> Self {
        let (plugin, cause) = (String::new(), String::new());
        Self { dn, csn, is_backlog, share: ASKED_MAX, failures: 0, again: 0, plugin, cause }
    }

    /// The same entry after a plugin failed on it, alone: it waits until then.
    pub(super) fn failed(&self, plugin: &PluginName, cause: &str, again: u64) -> Self {
        let failures = self.failures.saturating_add(1);
        let (plugin, cause) = (plugin.to_string(), cause.chars().take(CAUSE_MAX).collect());
        Self { share: 1, failures, again, plugin, cause, ..self.clone() }
    }

    /// Whether a call that includes it has never failed.
    pub(super) fn is_fresh(&self) -> bool {
        !self.is_backlog && self.failures == 0 && self.share == ASKED_MAX
    }

    /// As a row: length and postcard.
    pub(super) fn write(&self, value: &mut Vec<u8>) {
        // A Vec takes every octet: writing to it cannot fail.
        let octets = postcard::to_stdvec(self).unwrap_or_default();
        value.extend_from_slice(&u32::try_from(octets.len()).unwrap_or(u32::MAX).to_le_bytes());
        value.extend_from_slice(&octets);
    }

    /// The marks of a value; `None` where it is no sequence of marks.
    pub(super) fn read_all(value: &[u8]) -> Option<Vec<Self>> {
        split(value)?.into_iter().map(|octets| postcard::from_bytes(octets).ok()).collect()
    }
}

/// The key of an entry's mark, without the generation.
pub(super) fn mark_name(domain: &mail_types::Domain, dn: &directory::Dn) -> String {
    format!("{domain}/{:032x}", u128::from_be_bytes(super::name_hash(dn)))
}

/// The keys of a domain's marks begin with this.
pub(super) fn marks_of(domain: &str) -> String {
    format!("{domain}/")
}

/// A key behind all marks of the domain that a mark's key is of.
pub(super) fn behind(name: &str) -> String {
    let domain = name.split('/').next().unwrap_or_default();
    // The octet behind `/`.
    format!("{domain}0")
}
