//! One table: what is known of it, and what an answer changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dns::{Content, Fetched, MxSet, TableSource};
use mail_types::{Domain, Timestamp};
use tokio::sync::Notify;

use super::decision::{Decision, decide};
use super::records::{StoredRecords, StoredTable};
use crate::mirror::guard::too_many;

/// Over how long the domains that go are counted together, where each is asked about by itself: their answers come one by
/// one.
const REMOVALS_COUNTED: Duration = Duration::from_secs(3600);

/// A table, as the configuration has it.
#[derive(Clone)]
pub struct TableOptions {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub source: Arc<dyn TableSource>,
    /// Whether an address of its domains that the directory does not know is refused for good, not for now.
    pub refuse_unknown: bool,
    /// So many domains may go at once, of a list within an hour, however few there are.
    pub removals_free: u64,
    /// Beyond that, so many of a hundred.
    pub removals_percent_max: u8,
    /// Whether a domain belongs to it, as far as that can be said before it was ever read.
    pub covers: Arc<dyn Fn(&Domain) -> bool + Send + Sync>,
    /// Told when the source says that it has changed.
    pub changed: Arc<Notify>,
}

/// The records of a table. Of a list a domain is here, too, that was asked about and has none.
pub(super) type Records = BTreeMap<Domain, StoredRecords>;
/// What becomes of the records of domains: `None` where nothing is kept.
pub(super) type Changes = BTreeMap<Domain, Option<StoredRecords>>;

/// What is known of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) stored: StoredTable,
    pub(super) records: Arc<Records>,
    /// When it is asked next.
    pub(super) next: Option<Timestamp>,
    /// How soon after a failure.
    pub(super) retry: Option<Duration>,
    /// What failed and was told of; told again when it is another failure.
    pub(super) told: Option<String>,
    /// When domains of a list went that are not back; no more than the list has.
    pub(super) gone: BTreeMap<Domain, Timestamp>,
    /// What the DNS says of domains of a list that too many would go with; no more than the list has.
    pub(super) held: Changes,
    /// When it was last written how it stands.
    pub(super) noted: Option<Timestamp>,
    /// An answer could not be written. The source thinks that we have it, and has to be asked for everything.
    pub(super) has_lost: bool,
}

/// Whether a domain with these records leads here.
fn is_ours(one: Option<&StoredRecords>, own_names: &[String]) -> bool {
    one.is_some_and(|one| decide(&one.records, own_names) != Decision::NotOurs)
}

impl Table {
    /// When it is good no longer, without an answer.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        let (success, expire) = (self.stored.success_at?, self.stored.expire?);
        Some(Timestamp(success.saturating_add(expire.saturating_mul(1000))))
    }

    /// The records of a domain.
    pub(super) fn of(&self, domain: &Domain) -> MxSet {
        self.records.get(domain).map(|one| one.records.clone()).unwrap_or_default()
    }

    /// Whether nobody has answered yet what it has of a domain.
    pub(super) fn is_unread(&self, options: &TableOptions, domain: &Domain) -> bool {
        if options.source.asks_each() {
            return !self.records.contains_key(domain);
        }
        self.stored.success_at.is_none()
    }

    /// How many domains have records.
    pub(super) fn domains(&self) -> u64 {
        self.records.values().filter(|one| !one.records.0.is_empty()).count() as u64
    }

    /// How many changes are of the records themselves: that a domain was asked about is none.
    pub(super) fn differing(&self, changes: &Changes) -> u64 {
        let after =
            |one: &Option<StoredRecords>| one.as_ref().map(|one| one.records.clone()).unwrap_or_default();
        changes.iter().filter(|(domain, one)| self.of(domain) != after(one)).count() as u64
    }

    /// What an answer changes. Records that stay keep the version that they came with, so that a new version of a zone costs
    /// no more than its differences. Where `each` domain is asked about, it is kept that one has none.
    pub(super) fn changes(&self, fetched: &Fetched, each: bool) -> Changes {
        let mut changes = BTreeMap::new();
        let mut now = |domain: &Domain, records: &MxSet| {
            let (known, is_kept) = (self.records.get(domain), each || !records.0.is_empty());
            if known.map(|known| &known.records) == Some(records) || (known.is_none() && !is_kept) {
                return;
            }
            let there = StoredRecords { records: records.clone(), serial: fetched.serial };
            changes.insert(domain.clone(), is_kept.then_some(there));
        };
        match &fetched.content {
            Content::Same => {}
            Content::Changed(some) => some.iter().for_each(|(domain, records)| now(domain, records)),
            Content::Whole(all) => {
                all.iter().for_each(|(domain, records)| now(domain, records));
                let none = MxSet::default();
                self.records.keys().filter(|name| !all.contains_key(*name)).for_each(|name| now(name, &none));
            }
        }
        changes
    }

    /// Makes the changes.
    pub(super) fn take(&mut self, changes: &Changes) {
        if changes.is_empty() {
            return;
        }
        let records = Arc::make_mut(&mut self.records);
        for (domain, there) in changes {
            match there {
                Some(there) => records.insert(domain.clone(), there.clone()),
                None => records.remove(domain),
            };
        }
    }

    /// The domains that lead here, and no more by these changes.
    fn removed(&self, changes: &Changes, own_names: &[String]) -> BTreeSet<Domain> {
        let goes = |(domain, after): &(&Domain, &Option<StoredRecords>)| {
            is_ours(self.records.get(*domain), own_names) && !is_ours(after.as_ref(), own_names)
        };
        changes.iter().filter(goes).map(|(domain, _)| domain.clone()).collect()
    }

    /// Why these many would be too many to go of so many: absent is not empty (R44).
    fn too_many_of(options: &TableOptions, removals: usize, there: usize) -> Option<String> {
        let TableOptions { name, removals_free, removals_percent_max, .. } = options;
        too_many(removals as u64, there as u64, *removals_free, *removals_percent_max).then(|| {
            format!(
                "{removals} of {there} domains would go, more than {removals_percent_max} % and more than \
                 {removals_free}: nothing of that is changed; if it is right, `wasmta sync dns {name} --force`"
            )
        })
    }

    fn ours(&self, own_names: &[String]) -> usize {
        self.records.values().filter(|one| is_ours(Some(one), own_names)).count()
    }

    /// Refuses the answer of a zone by which too many domains would lead here no more: it is right as a whole, or wrong.
    pub(super) fn guard(
        &self,
        options: &TableOptions,
        changes: &Changes,
        own_names: &[String],
    ) -> Result<(), String> {
        let (removed, there) = (self.removed(changes, own_names).len(), self.ours(own_names));
        let comes = changes.values().any(|after| is_ours(after.as_ref(), own_names));
        // However few there are: a zone that shows none of several any more may be one that was not filled.
        if removed > 1 && removed == there && !comes {
            return Err(format!(
                "all {there} domains would go: nothing of that is changed; if it is right, `wasmta sync dns {} --force`",
                options.name
            ));
        }
        match removed {
            0 => Ok(()),
            some => Self::too_many_of(options, some, there).map_or(Ok(()), Err),
        }
    }

    /// Takes out of the answers of a list what too many domains would go with, counted with those that went lately. That is
    /// held until the DNS says otherwise, the numbers allow it, or an operator (`is_forced`).
    pub(super) fn hold(
        &mut self,
        options: &TableOptions,
        (fetched, changes): (&Fetched, &mut Changes),
        (own_names, now, is_forced): (&[String], Timestamp, bool),
    ) -> Option<String> {
        // Whatever was answered now counts instead of what is held.
        if let Content::Changed(some) | Content::Whole(some) = &fetched.content {
            self.held.retain(|domain, _| !some.contains_key(domain));
        }
        changes.extend(std::mem::take(&mut self.held));
        let removed = self.removed(changes, own_names);
        self.gone.retain(|domain, at| {
            now.since(*at) < REMOVALS_COUNTED && !is_ours(self.records.get(domain), own_names)
        });
        if is_forced {
            self.gone.clear();
            return None;
        }
        if removed.is_empty() {
            return None;
        }
        let (lately, there) = (self.gone.len(), self.ours(own_names));
        let refused = Self::too_many_of(options, removed.len() + lately, there + lately);
        if refused.is_none() {
            self.gone.extend(removed.into_iter().map(|domain| (domain, now)));
            return None;
        }
        for domain in removed {
            let answer = changes.remove(&domain);
            self.held.extend(answer.map(|answer| (domain, answer)));
        }
        refused
    }
}
