//! One table: what is known of it, and what an answer changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dns::{Content, Fetched, MxSet, TableSource};
use mail_types::{Domain, Timestamp};
use tokio::sync::Notify;

use super::decision::{Decision, decide};
use super::records::{StoredRecords, StoredTable};
use crate::mirror::guard::too_many;

/// A table, as the configuration has it.
#[derive(Clone)]
pub struct TableOptions {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub source: Arc<dyn TableSource>,
    /// Whether an address of its domains that the directory does not know is refused for good, not for now.
    pub refuse_unknown: bool,
    /// So many domains may go at once, however few there are.
    pub removals_free: u64,
    /// Beyond that, so many of a hundred.
    pub removals_percent_max: u8,
    /// Whether a domain belongs to it, as far as that can be said before it was ever read.
    pub covers: Arc<dyn Fn(&Domain) -> bool + Send + Sync>,
    /// Told when the source says that it has changed.
    pub changed: Arc<Notify>,
}

/// The records of a table.
pub(super) type Records = BTreeMap<Domain, StoredRecords>;

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

    /// What an answer changes: `None` where a domain's records are gone. Those that stay keep the version that they came
    /// with, so that a new version of a zone costs no more than its differences.
    pub(super) fn changes(&self, fetched: &Fetched) -> BTreeMap<Domain, Option<StoredRecords>> {
        let mut changes = BTreeMap::new();
        let mut now = |domain: &Domain, records: &MxSet| {
            let known = self.records.get(domain);
            if known.map(|known| &known.records) == Some(records) || (known.is_none() && records.0.is_empty())
            {
                return;
            }
            let there = StoredRecords { records: records.clone(), serial: fetched.serial };
            changes.insert(domain.clone(), (!records.0.is_empty()).then_some(there));
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

    /// Refuses changes by which too many domains would lead here no more: absent is not empty (R44).
    pub(super) fn guard(
        &self,
        options: &TableOptions,
        changes: &BTreeMap<Domain, Option<StoredRecords>>,
        own_names: &[String],
    ) -> Result<(), String> {
        let is_ours = |records: &MxSet| decide(records, own_names) != Decision::NotOurs;
        let there = self.records.values().filter(|one| is_ours(&one.records)).count() as u64;
        let gone = |(domain, after): &(&Domain, &Option<StoredRecords>)| {
            let was = self.records.get(*domain).is_some_and(|one| is_ours(&one.records));
            was && !after.as_ref().is_some_and(|one| is_ours(&one.records))
        };
        let removals = changes.iter().filter(gone).count() as u64;
        let TableOptions { name, removals_free, removals_percent_max, .. } = options;
        if !too_many(removals, there, *removals_free, *removals_percent_max) {
            return Ok(());
        }
        Err(format!(
            "{removals} of {there} domains would go, more than {removals_percent_max} % and more than {removals_free}: \
             nothing is changed; if that is right, `wasmta sync dns {name} --force`"
        ))
    }
}
