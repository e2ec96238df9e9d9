//! Putting in force: what the tables say of each domain, with its change in the log, in bounded batches.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use dns::MxSet;
use mail_types::Domain;
use serde::Serialize;
use storage::StorageError;

use super::decision::{Decision, decide};
use super::dns_domain::name_of;
use super::records::{
    DNS_DOMAINS, DNS_RECORDS, DNS_TABLES, StoredDomain, StoredRecords, StoredTable, read_records_key,
    records_key,
};
use super::table::{Changes, Records, Table, TableOptions};
use super::{DomainTables, Inner};
use crate::change::{Change, Operation};
use crate::edit::Composing;
use crate::error::DirectoryError;
use crate::kind::Kind;
use crate::layout::{CHANGES, encode_change};

/// Domains in one batch.
const STEP: usize = 1000;
/// How often a batch is made anew because others wrote, too.
const TRIES_MAX: u32 = 16;

/// The tables as they shall be.
pub(super) struct Put<'a> {
    pub(super) inner: &'a Arc<Inner>,
    pub(super) tables: &'a [Table],
}

/// Something that is stored: nothing of it can fail to be written.
pub(super) fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).unwrap_or_default()
}

impl Put<'_> {
    /// Makes the changes of one table, and what follows from them. Gives how many domains that lead here changed.
    pub(super) async fn changes(
        &self,
        at: usize,
        changes: &Changes,
        stored: &StoredTable,
    ) -> Result<u64, String> {
        let name = &self.inner.options[at].name;
        let all: Vec<&Domain> = changes.keys().collect();
        let steps: Vec<&[&Domain]> = if all.is_empty() { vec![&[]] } else { all.chunks(STEP).collect() };
        let mut changed = 0;
        for (nth, step) in steps.iter().enumerate() {
            // Only the last batch makes a version of it: until then the records are of none, and differences to a version
            // cannot be taken over.
            let is_last = nth + 1 == steps.len();
            let between = StoredTable { serial: None, ..stored.clone() };
            let state = if is_last { stored } else { &between };
            changed += self
                .commit(step, |batch| {
                    batch.put(DNS_TABLES, name.as_bytes(), encoded(state));
                    for domain in *step {
                        match changes.get(*domain) {
                            Some(Some(there)) => {
                                batch.put(DNS_RECORDS, &records_key(name, domain), encoded(there))
                            }
                            Some(None) => batch.delete(DNS_RECORDS, &records_key(name, domain)),
                            None => {}
                        }
                    }
                })
                .await?;
        }
        Ok(changed)
    }

    /// Compares everything that is in force with what follows from the tables.
    pub(super) async fn everything(&self) -> Result<(), String> {
        let mut touched: BTreeSet<Domain> =
            self.tables.iter().flat_map(|table| table.records.keys().cloned()).collect();
        self.inner
            .directory
            .scan_dns_domains(&mut |found| {
                touched.insert(found.domain);
                ControlFlow::Continue(())
            })
            .map_err(|why| why.to_string())?;
        let all: Vec<&Domain> = touched.iter().collect();
        for step in all.chunks(STEP) {
            self.commit(step, |_| {}).await?;
        }
        Ok(())
    }

    /// Commits one batch: what the domains are now, where that differs, and what else belongs to it.
    async fn commit(&self, domains: &[&Domain], fill: impl Fn(&mut storage::Batch)) -> Result<u64, String> {
        let directory = &self.inner.directory;
        for _ in 0..TRIES_MAX {
            let (batch, csn, changed) = {
                let view = directory.raw_view().map_err(|why| why.to_string())?;
                let head = view.head().map_err(|why| why.to_string())?;
                if head.loading != 0 {
                    return Err(DirectoryError::Loading.to_string());
                }
                let mut composing = Composing::new(&view, head);
                let mut changed = 0;
                for domain in domains {
                    changed += u64::from(self.one(domain, &mut composing).map_err(|why| why.to_string())?);
                }
                fill(&mut composing.batch);
                let (batch, csn) = composing.finish().map_err(|why| why.to_string())?;
                (batch, csn, changed)
            };
            match directory.commit(batch).await {
                Ok(()) => {
                    directory.publish(csn);
                    return Ok(changed);
                }
                Err(StorageError::Conflict(_)) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Err(format!("the directory was changed by others at the same time, {TRIES_MAX} times over"))
    }

    /// Puts one domain; whether that changed anything.
    fn one(&self, domain: &Domain, composing: &mut Composing<'_, '_>) -> Result<bool, DirectoryError> {
        let Some(dn) = name_of(domain) else { return Ok(false) };
        let key = domain.as_str().as_bytes();
        let before = composing.view.snapshot.get(DNS_DOMAINS, key)?;
        let now = self.in_force(domain).map(|now| encoded(&now));
        if before.as_deref() == now.as_deref() {
            return Ok(false);
        }
        let operation = if now.is_some() { Operation::Put } else { Operation::Removed };
        match now {
            Some(octets) => composing.batch.put(DNS_DOMAINS, key, octets),
            None => composing.batch.delete(DNS_DOMAINS, key),
        }
        composing.head.csn += 1;
        let (csn, at) = (composing.head.csn, self.inner.clock.now());
        let change = Change { csn, at, dn, kind: Kind::Other, operation };
        composing.batch.put(CHANGES, &csn.to_be_bytes(), encode_change(&change));
        Ok(true)
    }

    /// What the first table that has a domain makes of it.
    fn in_force(&self, domain: &Domain) -> Option<StoredDomain> {
        let mut having = self.inner.options.iter().zip(self.tables);
        let has = |found: &&StoredRecords| !found.records.0.is_empty();
        let (options, found) =
            having.find_map(|(options, table)| Some((options, table.records.get(domain).filter(has)?)))?;
        let relay = match decide(&found.records, &self.inner.own_names) {
            Decision::NotOurs => return None,
            Decision::Local => false,
            Decision::Backup => true,
        };
        let origin = origin(domain, options, &found.records, found.serial);
        Some(StoredDomain { relay, refuse_unknown: options.refuse_unknown, origin })
    }
}

/// Where a row comes from: `dns: example.org. MX 10 mx.us. (zone example.org from 127.0.0.1:53, serial 42)`.
fn origin(domain: &Domain, options: &TableOptions, records: &MxSet, serial: Option<u32>) -> String {
    let version = serial.map(|serial| format!(", serial {serial}")).unwrap_or_default();
    format!("dns: {domain}. {records} ({}{version})", options.source.place())
}

impl DomainTables {
    /// The tables as they were known when the directory was last open. What is left of others is removed.
    pub(super) async fn restore(&self) -> Result<Vec<Table>, DirectoryError> {
        let (mut tables, mut strange) = (Vec::new(), storage::Batch::new());
        {
            let view = self.0.directory.raw_view()?;
            for options in &self.0.options {
                let stored = view.snapshot.get(DNS_TABLES, options.name.as_bytes())?;
                let stored = stored.and_then(|octets| postcard::from_bytes::<StoredTable>(&octets).ok());
                let identity = options.source.identity();
                let known = stored.filter(|stored| stored.identity == identity);
                let stored = known.unwrap_or_else(|| StoredTable { identity, ..StoredTable::default() });
                tables.push(Table { stored, ..Table::default() });
            }
            let mut found: Vec<Records> = tables.iter().map(|_| Records::new()).collect();
            view.snapshot.scan(DNS_RECORDS, &[], &[0xff; 2], &mut |key, octets| {
                let named =
                    read_records_key(key).and_then(|(name, domain)| Some((self.position(&name)?, domain)));
                // A list may name fewer domains than it did.
                let known = named.filter(|(at, domain)| {
                    tables[*at].stored.success_at.is_some() && (self.0.options[*at].covers)(domain)
                });
                match known.zip(postcard::from_bytes(octets).ok()) {
                    Some(((at, domain), records)) => drop(found[at].insert(domain, records)),
                    None => strange.delete(DNS_RECORDS, key),
                }
                ControlFlow::Continue(())
            })?;
            view.snapshot.scan(DNS_TABLES, &[], &[0xff; 2], &mut |name, _| {
                let is_known = std::str::from_utf8(name).is_ok_and(|name| self.position(name).is_some());
                if !is_known {
                    strange.delete(DNS_TABLES, name);
                }
                ControlFlow::Continue(())
            })?;
            for (table, records) in tables.iter_mut().zip(found) {
                table.records = Arc::new(records);
            }
        }
        if !strange.is_empty() {
            self.0.directory.commit(strange).await?;
        }
        Ok(tables)
    }
}
