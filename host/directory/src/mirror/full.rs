//! The full sync (R36): everything the source has is compared with everything that is here.
//!
//! Pages are read to the end before anything changes; only a complete answer counts (R44). Of what is the same only the
//! name is noted, so that memory is bounded by some pages, and the disk by the names and what differs. Then the difference
//! is applied ([`super::settle`]). Into an empty tree they are taken in as they come ([`super::first`]).

use std::collections::{HashSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use events::Event;
use mail_types::{Domain, Lookup, Timestamp};
use storage::{Batch, HandedOver};

use super::applied::Applied;
use super::apply::REFUSED_MAX;
use super::difference::{Difference, LeftOver};
use super::first::First;
use super::found::{Broken, Found};
use super::guard::{Trust, guard_empty};
use super::history::SyncRecord;
use super::mirrors::SOURCES_MAX;
use super::pages::Page;
use super::records::{
    REFUSED, REFUSED_FORMAT, Refused, SEEN, Seen, StoredFound, decode, refused_key, seen_key,
};
use super::source::{Mirror, SyncError};
use crate::dn::Dn;
use crate::error::DirectoryError;
use crate::layout::NAME_KEY_MAX;
use crate::ldap::chase::Place;
use crate::ldap::connection::{ALL_ATTRIBUTES, Depth, Search};
use crate::ldap::filter::Filter;
use crate::view::View;

/// Pages that the storage's writer has while the next one is noted: those that wait are written together.
const PAGES_AHEAD_MAX: usize = 8;
/// Most names that are forgotten in one batch.
const CLEARED_MAX: usize = 10_000;

/// Told how far a sync is: entries seen, about how many there are, at what.
pub type Telling = Arc<dyn Fn(u64, u64, &str) + Send + Sync>;

/// What is asked of a sync.
#[derive(Debug, Clone, Default)]
pub struct SyncOrder {
    /// Only this domain's entries.
    pub domain: Option<Domain>,
    /// Only say what would change.
    pub dry_run: bool,
    /// Believe the source, whatever it lacks of its own.
    pub force: bool,
    /// Remove what lies in no source's subtrees any more, however much that is.
    pub left_over: bool,
}

/// What a sync came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncReport {
    /// As it stands in the history.
    pub record: SyncRecord,
    /// The first [`crate::DIFFERENCES_MAX`] differences.
    pub differences: Vec<Difference>,
    /// Whether nothing was changed because nothing was to be.
    pub dry_run: bool,
    /// What stays though no source has it.
    pub left_over: Option<LeftOver>,
}

/// What was found so far.
#[derive(Default)]
pub(super) struct Staged {
    seen: u64,
    of_base: u64,
    pub(super) differing: u64,
    pub(super) broken: Vec<Broken>,
    /// [`super::source::Inner::marks`] before anything was asked: as long as it is the same, nobody else noted a name.
    pub(super) marks: u64,
    /// Pages that are on their way to the disk.
    written: VecDeque<HandedOver>,
    /// Names of entries that the source has under another name.
    moved: HashSet<Vec<u8>>,
    /// Greatest `modifyTimestamp` of the base.
    watermark: String,
    pub(super) watermarks: Vec<(Dn, String)>,
    server: String,
    /// Subtrees that lie on other servers.
    pub(super) places: Vec<Place>,
    /// What stays though no source has it.
    left_over: Option<LeftOver>,
}

impl Mirror {
    /// Compares everything, and makes the tree like the source.
    pub async fn full(&self, order: SyncOrder, telling: Telling) -> Result<SyncReport, SyncError> {
        let mirror = self.clone();
        self.in_background(async move { mirror.full_here(&order, &telling).await }).await
    }

    async fn full_here(&self, order: &SyncOrder, telling: &Telling) -> Result<SyncReport, SyncError> {
        let _one = self.0.syncing.try_lock().map_err(|_| SyncError::UnderWay)?;
        let began = self.0.clock.now();
        let wanted = self.wanted()?;
        let mut staged = Staged::default();
        let outcome = {
            let _staging = StagingMark::set(self);
            self.compare_and_apply(order, telling, &mut staged).await
        };
        let mut report = self.conclude("full", began, order, (staged.server, staged.seen), outcome).await?;
        report.left_over = staged.left_over;
        if let Some(note) = wanted.filter(|_| order.domain.is_none() && !order.dry_run) {
            self.settle_wanted(&note).await?;
        }
        Ok(report)
    }

    /// Books how a sync went, unless it was to change nothing, and reports it.
    pub(super) async fn conclude(
        &self,
        kind: &str,
        began: Timestamp,
        order: &SyncOrder,
        (server, seen): (String, u64),
        outcome: Result<(Applied, Vec<Difference>), SyncError>,
    ) -> Result<SyncReport, SyncError> {
        let milliseconds = u64::try_from(self.0.clock.now().since(began).as_millis()).unwrap_or(u64::MAX);
        let (applied, differences, failure) = match outcome {
            Ok((applied, differences)) => (applied, differences, None),
            Err(why) => (Applied::default(), Vec::new(), Some(why)),
        };
        let record = SyncRecord {
            kind: kind.to_owned(),
            began: began.0,
            milliseconds,
            source: self.name().to_owned(),
            domain: order.domain.as_ref().map(ToString::to_string),
            server,
            seen,
            added: applied.added,
            modified: applied.modified,
            moved: applied.moved,
            removed: applied.removed,
            refused: applied.refusals,
            failure: failure.as_ref().map(ToString::to_string),
        };
        if !order.dry_run {
            self.book(record.clone()).await;
        }
        let report = SyncReport { record, differences, dry_run: order.dry_run, left_over: None };
        failure.map_or(Ok(report), Err)
    }

    async fn compare_and_apply(
        &self,
        order: &SyncOrder,
        telling: &Telling,
        staged: &mut Staged,
    ) -> Result<(Applied, Vec<Difference>), SyncError> {
        let tops = self.tops(order.domain.as_ref())?;
        self.clear_seen().await?;
        staged.marks = self.0.marks.load(Ordering::Acquire);
        let mut first = self.first(order)?;
        for top in &tops {
            self.stage_all(top, order, telling, (staged, &mut first)).await?;
        }
        let (applied, differences) = match first {
            Some(first) => self.end_first(first, order, telling, staged).await?,
            None => {
                let vanished = self.vanished(&tops, order.domain.is_none(), &staged.moved)?;
                let (gone, left_over) = self.removals(vanished, order)?;
                staged.left_over = left_over;
                let (differences, counts) = self.differences(&gone, order.dry_run)?;
                if order.dry_run {
                    return Ok((counts, differences));
                }
                self.tell_left_over(staged.left_over.as_ref());
                (self.apply_staged(gone, order, telling, staged).await?, differences)
            }
        };
        if order.domain.is_none() {
            self.forget_refused(&staged.broken).await?;
            self.set_places(std::mem::take(&mut staged.places));
            if order.force && !order.dry_run {
                self.follow_anew(&staged.server).await?;
            }
        }
        self.clear_seen().await?;
        Ok((applied, differences))
    }

    fn tell_left_over(&self, left_over: Option<&LeftOver>) {
        if let Some(LeftOver { entries, example }) = left_over {
            self.0.events.emit(&Event::SyncLeftOver { source: self.name(), entries: *entries, example });
        }
    }

    /// The subtrees that are asked for.
    pub(super) fn tops(&self, domain: Option<&Domain>) -> Result<Vec<Dn>, SyncError> {
        let bases = &self.0.options.bases;
        let Some(domain) = domain else { return Ok(bases.clone()) };
        let mut tops = match self.0.directory.domain(domain) {
            Lookup::Found(known) => [vec![known.base, known.dn], known.further].concat(),
            Lookup::NotFound => {
                let what = format!("the domain {domain} is not here yet: sync without --domain");
                return Err(SyncError::Unfit(what));
            }
            Lookup::Unavailable(why) => return Err(SyncError::Unfit(why)),
        };
        tops.sort();
        tops.dedup_by(|below, above| below.is_within(above));
        tops.retain(|top| bases.iter().any(|base| top.is_within(base)));
        Ok(tops)
    }

    /// Reads all pages of a base.
    async fn stage_all(
        &self,
        top: &Dn,
        order: &SyncOrder,
        telling: &Telling,
        (staged, first): (&mut Staged, &mut Option<First>),
    ) -> Result<(), SyncError> {
        let search = Search {
            base: top.clone(),
            depth: Depth::Subtree,
            filter: Filter::everything(),
            attributes: &ALL_ATTRIBUTES,
            most: 0,
        };
        let expected = self.0.directory.counts().map(|counts| counts.entries).unwrap_or(0);
        (staged.of_base, staged.watermark) = (0, String::new());
        let base = self.0.options.bases.iter().find(|base| top.is_within(base)).unwrap_or(top);
        // All of it is asked for anew, also where it lies; of several servers at the one that is followed below the base.
        let at = match order.domain.as_ref().and_then(|_| self.server_of(top)) {
            Some(elsewhere) => Some(elsewhere),
            None if Trust::of(order) == Trust::Forced => None,
            None => self.apart_for(base).await?,
        };
        let mut pages = self.pages(search, at);
        let mut guarded = None;
        while let Some(Page { found, server }) = pages.next().await {
            self.guard_lag(order, base, &server)?;
            if guarded.as_ref() != Some(&server) {
                self.guard_written(order, base, &server).await?;
                guarded = Some(server.clone());
            }
            staged.server = server;
            match &mut *first {
                Some(first) => self.take_first(found, first, staged).await?,
                None => self.stage(found, staged).await?,
            }
            telling(staged.seen, expected.max(staged.seen), "entries read");
        }
        staged.places.extend(pages.ended().await?);
        match first {
            Some(first) => self.write_first(first, staged.marks).await?,
            None => staged.settled(0).await?,
        }
        let mut there = 0;
        self.0.directory.raw_view()?.names_under(top, &mut |_| {
            there += 1;
            ControlFlow::Break(())
        })?;
        guard_empty(Trust::of(order), top, staged.of_base, there)?;
        staged.watermarks.push((top.clone(), std::mem::take(&mut staged.watermark)));
        Ok(())
    }

    /// Notes one page: what is the same by its name, what differs as a whole.
    async fn stage(&self, page: Vec<Result<Found, Broken>>, staged: &mut Staged) -> Result<(), SyncError> {
        staged.settled(PAGES_AHEAD_MAX - 1).await?;
        let _in_order = self.0.applying.lock().await;
        let batch = {
            let view = self.0.directory.raw_view()?;
            let known = Known {
                view: &view,
                any_marks: self.0.marks.load(Ordering::Acquire) != staged.marks,
                any_entries: view.head()?.entries > 0,
            };
            let mut batch = Batch::new();
            for found in page {
                staged.count(&found);
                match found {
                    Ok(found) => {
                        stage_one(&known, (self.name(), self.number()), &found, staged, &mut batch)?;
                    }
                    Err(broken) => {
                        self.stage_broken(&view, &broken, &mut batch)?;
                        staged.broken(broken);
                    }
                }
            }
            batch
        };
        if !batch.is_empty() {
            // What others note from now on comes after it, and rules.
            staged.written.push_back(self.0.directory.hand_over(batch).await.map_err(DirectoryError::from)?);
        }
        Ok(())
    }

    /// The last good version of an entry that cannot be kept stays, if it is one by the rules of now.
    fn stage_broken(&self, view: &View<'_>, broken: &Broken, batch: &mut Batch) -> Result<(), SyncError> {
        let Ok(dn) = Dn::parse(&broken.name) else { return Ok(()) };
        if dn.key().len() <= NAME_KEY_MAX
            && let Some(entry) = view.entry(&dn)?
            && self.may_judge(&dn)
            && self.is_admitted(&entry)
        {
            batch.put(SEEN, &seen_key(self.number(), dn.key()), Seen::Same.encode());
        }
        Ok(())
    }

    /// Forgets refused entries that the source no longer shows.
    async fn forget_refused(&self, broken: &[Broken]) -> Result<(), SyncError> {
        let mut batch = Batch::new();
        {
            let view = self.0.directory.raw_view()?;
            for (key, value) in self.0.directory.rows(REFUSED, &[], REFUSED_MAX * SOURCES_MAX)? {
                let known = decode::<Refused>(&value).filter(|refused| refused.format == REFUSED_FORMAT);
                if known.is_some_and(|refused| refused.source != self.name()) {
                    continue;
                }
                let is_broken = broken.iter().any(|broken| refused_key(&broken.name) == key);
                let is_seen = view
                    .snapshot
                    .get(SEEN, &seen_key(self.number(), &key))
                    .map_err(DirectoryError::from)?
                    .is_some();
                if !is_broken && !is_seen {
                    batch.delete(REFUSED, &key);
                }
            }
        }
        if !batch.is_empty() {
            self.0.directory.commit(batch).await.map_err(DirectoryError::from)?;
        }
        Ok(())
    }

    async fn clear_seen(&self) -> Result<(), SyncError> {
        loop {
            let most = if self.is_sole() { 1 } else { CLEARED_MAX };
            let prefix: &[u8] = if self.is_sole() { &[] } else { &[self.number()] };
            let rows = self.0.directory.rows(SEEN, prefix, most)?;
            if rows.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::new();
            if self.is_sole() {
                batch.clear(SEEN);
            } else {
                // Another source's full sync may be under way.
                rows.iter().for_each(|(key, _)| batch.delete(SEEN, key));
            }
            self.0.directory.commit(batch).await.map_err(DirectoryError::from)?;
        }
    }

    /// Whether the last full sync is too long ago, or another one has to be made.
    pub(crate) fn full_is_due(&self) -> Result<bool, DirectoryError> {
        if self.wanted()?.is_some() {
            return Ok(true);
        }
        let every = self.0.options.full_every;
        let last = self.0.directory.raw_view()?.sync_state(self.name())?.full_at;
        let now = self.0.clock.now().0;
        Ok(last == 0 || !every.is_zero() && Duration::from_millis(now.saturating_sub(last)) >= every)
    }
}

/// What there is to compare with.
struct Known<'v, 's> {
    view: &'v View<'s>,
    /// Whether others may have noted names since the sync began.
    any_marks: bool,
    /// Whether there is anything in the tree.
    any_entries: bool,
}

fn stage_one(
    known: &Known<'_, '_>,
    (source, number): (&str, u8),
    found: &Found,
    staged: &mut Staged,
    batch: &mut Batch,
) -> Result<(), SyncError> {
    let key = &seen_key(number, found.dn().key());
    let Known { view, any_marks, any_entries } = *known;
    // Told of by a live sync since we began: that is newer than this page.
    if any_marks && view.snapshot.get(SEEN, key).map_err(DirectoryError::from)?.is_some() {
        return Ok(());
    }
    let record = if any_entries { view.record(found.dn())? } else { None };
    let is_known = record.as_ref().is_some_and(|record| !record.glue && record.uuid == found.uuid);
    if any_entries
        && !is_known
        && let Some(uuid) = &found.uuid
        && let Some(old) = view.name_of(source, uuid)?.filter(|old| old != found.dn())
    {
        staged.moved.insert(old.key().to_vec());
    }
    let same = is_known && record.is_some_and(|record| record.content == found.content);
    let seen = if same {
        Seen::Same
    } else {
        staged.differing += 1;
        Seen::Differs(StoredFound::of(found))
    };
    batch.put(SEEN, key, seen.encode());
    Ok(())
}

impl Staged {
    /// Waits until at most so many pages are still on their way.
    async fn settled(&mut self, most: usize) -> Result<(), SyncError> {
        while self.written.len() > most {
            let Some(oldest) = self.written.pop_front() else { break };
            oldest.committed().await.map_err(DirectoryError::from)?;
        }
        Ok(())
    }

    /// Counts what was found, and notes when it was modified.
    pub(super) fn count(&mut self, found: &Result<Found, Broken>) {
        self.seen += 1;
        self.of_base += 1;
        if let Some(modified) = found.as_ref().ok().and_then(|found| found.modified.as_ref())
            && *modified > self.watermark
        {
            self.watermark.clone_from(modified);
        }
    }

    pub(super) fn broken(&mut self, broken: Broken) {
        if self.broken.len() < REFUSED_MAX {
            self.broken.push(broken);
        }
    }
}

/// Says that a full sync is under way, as long as it lives.
struct StagingMark<'a>(&'a Mirror);

impl<'a> StagingMark<'a> {
    fn set(mirror: &'a Mirror) -> Self {
        mirror.0.staging.store(true, Ordering::Release);
        Self(mirror)
    }
}

impl Drop for StagingMark<'_> {
    fn drop(&mut self) {
        self.0.0.staging.store(false, Ordering::Release);
    }
}
