//! The end of a full sync: what was staged and differs is applied, then what is broken or gone.
//!
//! In one batch where it has at most [`BATCH_MAX`] steps; else in batches, additions and modifications first, so that a
//! reader meets an entry twice rather than not at all. A first sync that brings more than there is is not logged entry by
//! entry: followers read everything anew, once.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use super::applied::Applied;
use super::apply::{BATCH_MAX, Step};
use super::full::{Staged, SyncOrder, Telling};
use super::places::places_row;
use super::records::{SEEN, SYNC, SeenRef, Way, base_key, decode, seen_key};
use super::source::{Manner, Mirror, SyncError};
use super::swap::{Waiter, groups};
use crate::directory::Directory;
use crate::dn::Dn;
use crate::edit::Logging;
use crate::error::DirectoryError;

/// Most steps of a batch of a first sync, of which nobody follows the log.
const FIRST_BATCH_MAX: usize = 8_000;
/// Most entries that are put in their places together because they wait for each other; of more of them, those that still stand
/// in each other's way are refused, and tried again at the next full sync.
const GROUP_MAX: usize = 20_000;
/// So many entries a full sync postpones because they wait for entries of other batches, and those of the batch that passes this
/// number; further ones are refused, and tried again at the next one.
const POSTPONED_MAX: usize = 100_000;

impl Mirror {
    /// Applies the difference.
    pub(super) async fn apply_staged(
        &self,
        vanished: Vec<Dn>,
        order: &SyncOrder,
        telling: &Telling,
        staged: &Staged,
    ) -> Result<Applied, SyncError> {
        let mut beside = vec![self.heard(order.domain.is_none())?];
        if order.domain.is_none() {
            let rows = staged.watermarks.iter().filter(|(_, watermark)| !watermark.is_empty());
            beside
                .extend(rows.map(|(top, mark)| (SYNC, base_key("watermark", top), mark.as_bytes().to_vec())));
            beside.push(places_row(self.name(), &staged.places));
        }
        let broken = staged.broken.iter().cloned().map(Step::Broken);
        let steps = staged.differing as usize + broken.len() + vanished.len();
        if steps <= BATCH_MAX {
            let mut puts = self.differing(&[self.number()], BATCH_MAX)?.puts;
            puts.extend(broken);
            puts.extend(vanished.into_iter().map(Step::Gone));
            return Ok(self.apply(Way::Full, &puts, &beside).await?);
        }
        let told = |done: u64| telling(done, steps as u64, "entries written");
        let mut total = self.apply_differing(steps, POSTPONED_MAX, &told).await?;
        let mut done = staged.differing;
        let (applied, vanished) =
            self.apply_postponed(std::mem::take(&mut total.postponed), vanished, GROUP_MAX).await?;
        total.join(applied);
        let rest: Vec<Step> = broken.chain(vanished.into_iter().map(Step::Gone)).collect();
        for chunk in rest.chunks(BATCH_MAX) {
            done += chunk.len() as u64;
            total.join(self.apply(Way::Full, chunk, &Vec::new()).await?);
            telling(done, steps as u64, "entries removed");
        }
        // What was refused because somebody else had its address, who is gone now, is in: `apply` tries again.
        total.join(self.apply(Way::Full, &[], &beside).await?);
        Ok(total)
    }

    /// Applies the staged entries that differ, in batches.
    async fn apply_differing(
        &self,
        steps: usize,
        postponed_max: usize,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<Applied, SyncError> {
        let announcing = self.announcing(steps)?;
        let (logging, most) = match announcing {
            Some(_) => (Logging::Rebuild, FIRST_BATCH_MAX),
            None => (Logging::Each, BATCH_MAX),
        };
        let (mut total, mut done) = (Applied::default(), 0);
        let mut batch = self.differing(&[self.number()], most)?;
        loop {
            done += batch.puts.len() as u64;
            let postpones = total.postponed.len() < postponed_max;
            let manner = Manner { marks: Some(batch.marks), logging, postpones, ..Manner::of(Way::Full) };
            let nothing = Vec::new();
            // While a batch is written, the next one is read.
            let (applied, read) = tokio::join!(self.apply_as(&batch.puts, &nothing, manner), async {
                batch.next.as_deref().map(|from| self.differing(from, most)).transpose()
            });
            total.join(applied?);
            told(done);
            let Some(read) = read? else { return Ok(total) };
            batch = read;
        }
    }

    /// Applies what waited for entries of other batches. Those that wait for each other go in one batch, with the removal of what
    /// they wait for; the other removals are given back.
    async fn apply_postponed(
        &self,
        postponed: Vec<(Dn, Waiter)>,
        vanished: Vec<Dn>,
        group_max: usize,
    ) -> Result<(Applied, Vec<Dn>), SyncError> {
        let (names, waiters): (Vec<Dn>, Vec<Waiter>) = postponed.into_iter().unzip();
        let wanted: HashSet<&Dn> = waiters.iter().filter_map(|one| one.holder.as_ref()).collect();
        let (leaving, vanished): (Vec<Dn>, Vec<Dn>) =
            vanished.into_iter().partition(|dn| wanted.contains(dn));
        let mut leaving: HashSet<Dn> = leaving.into_iter().collect();
        let (mut total, mut batch) = (Applied::default(), Vec::new());
        let mut groups = groups(&waiters).into_iter().peekable();
        while let Some(group) = groups.next() {
            let holders = group.iter().filter_map(|at| waiters[*at].holder.as_ref());
            let gone: Vec<Step> = holders.filter_map(|dn| leaving.take(dn)).map(Step::Gone).collect();
            batch.extend(gone);
            for at in group {
                batch.extend(self.still_differing(&names[at])?);
            }
            let next = groups.peek().map_or(0, Vec::len);
            if next == 0 || batch.len() + next > BATCH_MAX {
                for chunk in std::mem::take(&mut batch).chunks(group_max) {
                    total.join(self.apply(Way::Full, chunk, &Vec::new()).await?);
                }
            }
        }
        Ok((total, vanished))
    }

    /// What was staged of a name, unless something newer came since.
    fn still_differing(&self, dn: &Dn) -> Result<Option<Step>, SyncError> {
        let octets = self.0.directory.row(SEEN, &seen_key(self.number(), dn.key()))?;
        let Some(SeenRef::Differs(stored)) = octets.as_deref().and_then(decode::<SeenRef<'_>>) else {
            return Ok(None);
        };
        Ok(Some(Step::Staged(Box::new(stored.found()?))))
    }

    /// Of the first sync, where it brings more than there is: followers read everything anew, once all is there.
    fn announcing(&self, steps: usize) -> Result<Option<Announcing>, SyncError> {
        let there = self.0.directory.raw_view()?.head()?.entries;
        let is_first = !self.is_complete()?;
        Ok((is_first && steps as u64 > there).then(|| Announcing::of(&self.0.directory)))
    }

    /// The next staged entries that differ, parents first.
    fn differing(&self, from: &[u8], most: usize) -> Result<Differing, SyncError> {
        // Before they are read: what comes afterwards is seen to be new.
        let marks = self.0.marks.load(Ordering::Acquire);
        let (mut puts, mut next, mut failure) = (Vec::new(), None, None);
        let view = self.0.directory.raw_view()?;
        view.snapshot
            .scan(SEEN, from, &[self.number(), 0xff], &mut |key, value| {
                if puts.len() == most {
                    next = Some(key.to_vec());
                    return ControlFlow::Break(());
                }
                if let Some(SeenRef::Differs(stored)) = decode::<SeenRef<'_>>(value) {
                    match stored.found() {
                        Ok(found) => puts.push(Step::Staged(Box::new(found))),
                        Err(error) => {
                            failure = Some(error);
                            return ControlFlow::Break(());
                        }
                    }
                }
                ControlFlow::Continue(())
            })
            .map_err(DirectoryError::from)?;
        match failure {
            Some(error) => Err(error.into()),
            None => Ok(Differing { puts, next, marks }),
        }
    }
}

/// Staged entries that differ, of one batch.
struct Differing {
    puts: Vec<Step>,
    /// Where to go on; `None` at the end.
    next: Option<Vec<u8>>,
    /// [`super::source::Inner::marks`] before they were read.
    marks: u64,
}

/// Tells those who follow the directory of what was written without a log of its own, however that came to its end.
pub(super) struct Announcing(Directory);

impl Announcing {
    pub(super) fn of(directory: &Directory) -> Self {
        Self(directory.clone())
    }
}

impl Drop for Announcing {
    fn drop(&mut self) {
        // Where it cannot be read now, the next change tells of it.
        if let Ok(head) = self.0.raw_view().and_then(|view| view.head()) {
            self.0.publish(head.csn);
        }
    }
}

#[cfg(test)]
mod tests;
