//! The first full sync into an empty tree: there is nothing to compare with, so that pages are taken in as they come.
//!
//! What is in already serves mail while the rest is on its way; where the answer breaks off, that stays, and the next full
//! sync compares. Nothing is removed by it, and so there is nothing to guard.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::applied::Applied;
use super::apply::Step;
use super::difference::{DIFFERENCES_MAX, Difference};
use super::found::{Broken, Found};
use super::full::{Staged, SyncOrder, Telling};
use super::records::{SEEN, Way, seen_key};
use super::settle::Announcing;
use super::source::{Manner, Mirror, SyncError};
use super::taken::Taken;
use crate::edit::Logging;
use crate::error::DirectoryError;
use crate::view::View;

/// Most entries that are taken in together: the more, the less often is the same page of the storage written.
const BATCH_MAX: usize = 12_000;
/// Most octets of their values: of groups with many members fewer are taken in together, for each member is a row of its own.
const BATCH_OCTETS_MAX: usize = 16 << 20;
/// How many are taken in together at first, so that the writer has something to do soon; then twice as many each time.
const BATCH_MIN: usize = 3_000;

/// What a first sync has taken in so far.
pub(super) struct First {
    waiting: Vec<Found>,
    /// Octets of their values.
    octets: usize,
    /// How many are taken in together next.
    batch: usize,
    taken: Arc<Taken>,
    applied: Applied,
    /// The first [`DIFFERENCES_MAX`].
    differences: Vec<Difference>,
    _announcing: Announcing,
}

impl Mirror {
    /// Begins one, if there is nothing to compare with.
    pub(super) fn first(&self, order: &SyncOrder) -> Result<Option<First>, SyncError> {
        let head = self.0.directory.raw_view()?.head()?;
        if order.domain.is_some() || order.dry_run || head.entries > 0 || self.is_complete()? {
            return Ok(None);
        }
        Ok(Some(First {
            waiting: Vec::with_capacity(BATCH_MAX),
            octets: 0,
            batch: BATCH_MIN,
            taken: Arc::new(Taken::nothing(&head)),
            applied: Applied::default(),
            differences: Vec::new(),
            _announcing: Announcing::of(&self.0.directory),
        }))
    }

    /// Takes one page in, as soon as there are enough.
    pub(super) async fn take_first(
        &self,
        page: Vec<Result<Found, Broken>>,
        first: &mut First,
        staged: &mut Staged,
    ) -> Result<(), SyncError> {
        for found in page {
            staged.count(&found);
            match found {
                Ok(found) => {
                    first.octets += found.entry.octets();
                    first.waiting.push(found);
                }
                Err(broken) => staged.broken(broken),
            }
            if first.waiting.len() >= first.batch || first.octets >= BATCH_OCTETS_MAX {
                self.write_first(first, staged.marks).await?;
            }
        }
        Ok(())
    }

    /// Writes what waits. `began` is [`super::source::Inner::marks`] before anything was asked.
    pub(super) async fn write_first(&self, first: &mut First, began: u64) -> Result<(), SyncError> {
        first.batch = (2 * first.batch).min(BATCH_MAX);
        first.octets = 0;
        let in_order = self.0.applying.lock().await;
        let marks = self.0.marks.load(Ordering::Acquire);
        let mut steps = Vec::with_capacity(first.waiting.len());
        {
            let view = self.0.directory.raw_view()?;
            for found in first.waiting.drain(..) {
                // Told of by a live sync since we began: that is newer than this page.
                if marks != began && self.is_noted(&view, &found)? {
                    continue;
                }
                if first.differences.len() < DIFFERENCES_MAX {
                    first.differences.push(Difference { what: "add", dn: found.dn().to_string() });
                }
                steps.push(Step::Staged(Box::new(found)));
            }
        }
        let manner = Manner {
            marks: Some(marks),
            logging: Logging::Rebuild,
            taken: Some(&first.taken),
            ..Manner::of(Way::Full)
        };
        first.applied.join(self.apply_in_order(&in_order, &steps, &Vec::new(), manner).await?);
        Ok(())
    }

    /// Whether a full sync that is under way was told of an entry.
    fn is_noted(&self, view: &View<'_>, found: &Found) -> Result<bool, DirectoryError> {
        Ok(view.snapshot.get(SEEN, &seen_key(self.number(), found.dn().key()))?.is_some())
    }

    /// Writes what is broken, and that all of it is here.
    pub(super) async fn end_first(
        &self,
        first: First,
        order: &SyncOrder,
        telling: &Telling,
        staged: &Staged,
    ) -> Result<(Applied, Vec<Difference>), SyncError> {
        let First { mut applied, differences, _announcing, .. } = first;
        applied.join(self.apply_staged(Vec::new(), order, telling, staged).await?);
        Ok((applied, differences))
    }
}

#[cfg(test)]
mod tests;
