//! The incremental sync (R38): what was modified since the last one, and no more. Table 1 (R39) says what
//! that sees: new and modified users, new, modified and deleted lists; not deleted users, and not a change of who may
//! see what, because neither touches the `modifyTimestamp` of an entry that is shown. Lists are few: their names are
//! asked for each time, and so those that are gone are known.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::applied::Applied;
use super::apply::{BATCH_MAX, REFUSED_MAX, Step};
use super::difference::{DIFFERENCES_MAX, Difference};
use super::found::same_content;
use super::full::{SyncOrder, SyncReport};
use super::generalized::earlier;
use super::guard::{Trust, guard};
use super::mirrors::SOURCES_MAX;
use super::records::{LISTS, REFUSED, REFUSED_FORMAT, Refused, SYNC, Way, base_key, decode};
use super::source::{Mirror, SyncError, apart};
use crate::dn::Dn;
use crate::error::DirectoryError;
use crate::ldap::connection::{ALL_ATTRIBUTES, Depth, NO_ATTRIBUTES, Search};
use crate::ldap::failure::LdapFailure;
use crate::ldap::filter::Filter;
use crate::schema::{Class, Field};

/// The attribute that says when an entry was last written (RFC 4512 §3.4.4).
const MODIFIED: &str = "modifyTimestamp";

/// So many entries are held until the answer is known to be whole. Of more than that those that came are taken over
/// before: each of them is true for itself, and neither removals nor the watermark follow from a part.
const HELD_MAX: usize = 10_000;

/// What is asked, and what came of it so far.
struct Asking<'o> {
    order: &'o SyncOrder,
    seen: u64,
    server: String,
    differences: Vec<Difference>,
}

impl Mirror {
    /// Asks for what was modified since the last sync of either kind. Where there was none, that is everything, and a full
    /// sync has to be made first.
    pub async fn incremental(&self, order: SyncOrder) -> Result<SyncReport, SyncError> {
        let mirror = self.clone();
        apart(async move { mirror.incremental_here(&order).await }).await
    }

    async fn incremental_here(&self, order: &SyncOrder) -> Result<SyncReport, SyncError> {
        let _one = self.0.syncing.try_lock().map_err(|_| SyncError::UnderWay)?;
        let began = self.0.clock.now();
        let mut asking = Asking { order, seen: 0, server: String::new(), differences: Vec::new() };
        let outcome = self.ask_all(&mut asking).await;
        let Asking { seen, server, differences, .. } = asking;
        let outcome = outcome.map(|applied| (applied, differences));
        self.conclude("incremental", began, order, (server, seen), outcome).await
    }

    async fn ask_all(&self, asking: &mut Asking<'_>) -> Result<Applied, SyncError> {
        let mut total = Applied::default();
        for top in self.tops(asking.order.domain.as_ref())? {
            let base = self.0.options.bases.iter().find(|base| top.is_within(base)).cloned();
            total.join(self.ask_modified(&top, &base.unwrap_or_else(|| top.clone()), asking).await?);
            total.join(self.ask_lists(&top, asking).await?);
        }
        if !asking.order.dry_run && asking.order.domain.is_none() {
            total.join(self.ask_holders().await?);
        }
        Ok(total)
    }

    /// Takes away entries that are gone at the source and have what a refused one wants: what is gone is seen late otherwise, and
    /// mail for a name that somebody else has by now would go to whoever had it.
    async fn ask_holders(&self) -> Result<Applied, SyncError> {
        let mut holders: Vec<Dn> = Vec::new();
        for (_, value) in self.0.directory.rows(REFUSED, &[], REFUSED_MAX * SOURCES_MAX)? {
            let refused = decode::<Refused>(&value).filter(|refused| refused.format == REFUSED_FORMAT);
            let of_ours = refused.filter(|refused| refused.source == self.name());
            let holder = of_ours.and_then(|refused| refused.holder).and_then(|name| Dn::parse(&name).ok());
            holders.extend(holder.filter(|holder| self.is_own(holder)));
        }
        holders.sort();
        holders.dedup();
        let mut gone = Vec::new();
        // No more than there may be refused entries.
        for holder in holders {
            let mut doubt = None;
            let found = self.find_entry(&holder, &mut doubt).await?;
            if found.is_empty() && doubt.is_none() {
                gone.push(Step::Gone(holder));
            }
        }
        if gone.is_empty() {
            return Ok(Applied::default());
        }
        let there = self.0.directory.counts()?.entries;
        guard(&self.0.options, Trust::Guarded, gone.len() as u64, there)?;
        Ok(self.apply(Way::Incremental, &gone, &Vec::new()).await?)
    }

    /// Applies what was found, or only notes what would change.
    async fn settle(&self, steps: &[Step], asking: &mut Asking<'_>) -> Result<Applied, SyncError> {
        let mut total = Applied::default();
        {
            let view = self.0.directory.raw_view()?;
            for step in steps {
                let (what, dn, count) = match step {
                    Step::Put(found) | Step::Settled(found) | Step::Staged(found) => {
                        match view.entry(found.dn())? {
                            Some(entry) if same_content(&entry, &found.entry) => continue,
                            Some(_) => ("modify", found.dn(), &mut total.modified),
                            None if self.stands_elsewhere(&view, found)? => {
                                ("move", found.dn(), &mut total.moved)
                            }
                            None => ("add", found.dn(), &mut total.added),
                        }
                    }
                    Step::Gone(dn) => ("remove", dn, &mut total.removed),
                    Step::Broken(_) => continue,
                };
                *count += 1;
                if asking.differences.len() < DIFFERENCES_MAX {
                    asking.differences.push(Difference { what, dn: dn.to_string() });
                }
            }
        }
        if asking.order.dry_run {
            return Ok(total);
        }
        let mut total = Applied::default();
        for chunk in steps.chunks(BATCH_MAX) {
            total.join(self.apply(Way::Incremental, chunk, &Vec::new()).await?);
        }
        Ok(total)
    }

    /// What was modified below a top since the watermark of its base.
    async fn ask_modified(&self, top: &Dn, base: &Dn, asking: &mut Asking<'_>) -> Result<Applied, SyncError> {
        let key = base_key("watermark", base);
        let known = self.0.directory.row(SYNC, &key)?;
        let known = known.map(|octets| String::from_utf8_lossy(&octets).into_owned());
        let Some(known) = known.filter(|known| !known.is_empty()) else {
            let what = format!("nothing is known of {base} yet: make a full sync first");
            return Err(SyncError::Unfit(what));
        };
        let since = earlier(&known, self.0.options.overlap);
        let search = Search {
            base: top.clone(),
            depth: Depth::Subtree,
            filter: Filter::at_least(MODIFIED, since).map_err(crate::error::EditError::from)?,
            attributes: &ALL_ATTRIBUTES,
            most: 0,
        };
        let (mut total, mut watermark) = (Applied::default(), known);
        let mut chase = self.0.servers.chase(search, self.server_of(top));
        let mut steps = Vec::new();
        loop {
            let mut page = Vec::new();
            let more = chase.next(&mut |found| page.push(found)).await?;
            if asking.server != chase.server() {
                chase.server().clone_into(&mut asking.server);
                self.guard_written(asking.order, base, &asking.server).await?;
            }
            asking.seen += page.len() as u64;
            for raw in page {
                let found = self.read(raw);
                if let Some(modified) = found.as_ref().ok().and_then(|found| found.modified.as_ref())
                    && *modified > watermark
                {
                    watermark.clone_from(modified);
                }
                steps.push(found.map_or_else(Step::Broken, |found| Step::Put(Box::new(found))));
            }
            if !more || steps.len() >= HELD_MAX {
                total.join(self.settle(&std::mem::take(&mut steps), asking).await?);
            }
            if !more {
                break;
            }
        }
        if asking.order.dry_run || top != base {
            return Ok(total);
        }
        // Only once all of it is in.
        let beside = vec![(SYNC, key, watermark.into_bytes()), self.heard(false)?];
        total.join(self.apply(Way::Incremental, &[], &beside).await?);
        Ok(total)
    }

    /// Removes the lists that the source no longer has.
    async fn ask_lists(&self, top: &Dn, asking: &mut Asking<'_>) -> Result<Applied, SyncError> {
        let schema = self.0.directory.schema();
        let classes = schema.class_names(Class::InetMailGroup).iter();
        let filters = classes.map(|class| Filter::equals(schema.name(Field::ObjectClass), class));
        let filters = filters.collect::<Result<Vec<_>, _>>().map_err(crate::error::EditError::from)?;
        let search = Search {
            base: top.clone(),
            depth: Depth::Subtree,
            filter: Filter::any(filters),
            attributes: &NO_ATTRIBUTES,
            most: 0,
        };
        let mut names = HashSet::new();
        let mut unreadable = None;
        let server = self
            .0
            .servers
            .search(&search, self.server_of(top).as_ref(), &mut |raw| match raw
                .map_err(|unreadable| unreadable.why)
                .and_then(|raw| Dn::parse(&raw.dn).map_err(|why| why.to_string()))
            {
                Ok(dn) => drop(names.insert(dn.key().to_vec())),
                Err(why) => unreadable = Some(why),
            })
            .await?;
        if let Some(what) = unreadable {
            // One name that cannot be read may be that of any list.
            return Err(LdapFailure::Malformed { server: String::new(), what }.into());
        }
        let base = self.0.options.bases.iter().find(|base| top.is_within(base)).unwrap_or(top);
        self.guard_lag(asking.order, base, &server)?;
        let (mut there, mut gone) = (0, Vec::new());
        {
            let view = self.0.directory.raw_view()?;
            let (until, mut keys) = ([top.key(), &[0xff; 9]].concat(), Vec::new());
            let scanned = view.snapshot.scan(LISTS, top.key(), &until, &mut |key, _| {
                there += 1;
                if !names.contains(key) {
                    keys.push(key.to_vec());
                }
                ControlFlow::Continue(())
            });
            scanned.map_err(DirectoryError::from)?;
            for key in keys {
                gone.extend(view.entry_of_key(&key)?.map(|entry| Step::Gone(entry.dn)));
            }
        }
        guard(&self.0.options, Trust::of(asking.order), gone.len() as u64, there)?;
        gone.reverse();
        self.settle(&gone, asking).await
    }
}
