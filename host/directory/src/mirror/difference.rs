//! What a full sync would change, once everything was seen.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::applied::Applied;
use super::found::{Found, same_content};
use super::full::SyncOrder;
use super::guard::{Trust, guard, too_many};
use super::records::{SEEN, Seen, decode, seen_key};
use super::source::{Mirror, SyncError};
use crate::dn::Dn;
use crate::error::DirectoryError;
use crate::layout::NAMES;
use crate::view::View;

/// Most differences that a report lists.
pub const DIFFERENCES_MAX: usize = 1_000;
/// What happens to an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `add`, `modify`, `move`, `remove`.
    pub what: &'static str,
    /// The entry.
    pub dn: String,
}

/// What is here and was not seen, the deepest first. Glue is not counted: nobody showed it.
#[derive(Default)]
pub(super) struct Vanished {
    /// What the source lacks of its own.
    pub(super) own: Vec<Dn>,
    /// How much there is that it could show.
    pub(super) there: u64,
    /// What lies in no source's subtrees: a source or a base was taken out of the configuration.
    pub(super) left_over: Vec<Dn>,
}

/// Entries that lie in no source's subtrees, and stay, because nobody said that so many may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOver {
    /// How many.
    pub entries: u64,
    /// One of them.
    pub example: String,
}

impl Mirror {
    pub(super) fn vanished(
        &self,
        tops: &[Dn],
        all: bool,
        moved: &HashSet<Vec<u8>>,
    ) -> Result<Vanished, SyncError> {
        let view = self.0.directory.raw_view()?;
        let (mut vanished, mut failure) = (Vanished::default(), None);
        let root = [Dn::root()];
        for top in if all { &root } else { tops } {
            view.names_under(top, &mut |key| {
                match view.is_vanished(self, key, moved) {
                    Ok(None) => {}
                    Ok(Some(None)) => vanished.there += 1,
                    Ok(Some(Some(dn))) if self.is_own(&dn) => {
                        vanished.there += 1;
                        vanished.own.push(dn);
                    }
                    Ok(Some(Some(dn))) => vanished.left_over.push(dn),
                    Err(error) => {
                        failure = Some(error);
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            })?;
        }
        if let Some(error) = failure {
            return Err(error.into());
        }
        vanished.own.reverse();
        vanished.left_over.reverse();
        Ok(vanished)
    }

    /// What goes, and what stays though it is nobody's. That a source is ill, and that one was taken out of the configuration, are
    /// two things: neither is believed for the other's sake, nor holds it up.
    pub(super) fn removals(
        &self,
        vanished: Vanished,
        order: &SyncOrder,
    ) -> Result<(Vec<Dn>, Option<LeftOver>), SyncError> {
        let Vanished { own: mut gone, there, left_over } = vanished;
        let options = &self.0.options;
        guard(options, Trust::of(order), gone.len() as u64, there)?;
        let entries = left_over.len() as u64;
        let (free, share) = (options.removals_free, options.removals_percent_max);
        if !order.left_over && too_many(entries, there + entries, free, share) {
            let example = left_over.first().map(ToString::to_string).unwrap_or_default();
            return Ok((gone, Some(LeftOver { entries, example })));
        }
        gone.extend(left_over);
        Ok((gone, None))
    }

    /// The first differences; with how many there are of each, where all are to be counted.
    pub(super) fn differences(
        &self,
        vanished: &[Dn],
        all: bool,
    ) -> Result<(Vec<Difference>, Applied), SyncError> {
        let view = self.0.directory.raw_view()?;
        let (mut differences, mut failure, mut counts) = (Vec::new(), None, Applied::default());
        view.snapshot
            .scan(SEEN, &[self.number()], &[self.number(), 0xff], &mut |_, value| {
                if let Some(Seen::Differs(stored)) = decode::<Seen>(value) {
                    let what = stored.found().and_then(|found| {
                        let there = view.entry(found.dn())?;
                        let same = there.as_ref().is_some_and(|entry| same_content(entry, &found.entry));
                        if !same && view.stands_refused(&found)? {
                            counts.refusals += 1;
                            return Ok(None);
                        }
                        let what = match there {
                            Some(_) => "modify",
                            None if self.stands_elsewhere(&view, &found)? => "move",
                            None => "add",
                        };
                        Ok((!same).then(|| Difference { what, dn: found.dn().to_string() }))
                    });
                    match what {
                        Ok(None) => {}
                        Ok(Some(difference)) => {
                            *counts.of(difference.what) += 1;
                            if differences.len() < DIFFERENCES_MAX {
                                differences.push(difference);
                            }
                        }
                        Err(error) => failure = Some(error),
                    }
                }
                let go_on = failure.is_none() && (all || differences.len() < DIFFERENCES_MAX);
                if go_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
            .map_err(DirectoryError::from)?;
        if let Some(error) = failure {
            return Err(error.into());
        }
        let room = DIFFERENCES_MAX - differences.len();
        let removals = vanished.iter().take(room);
        differences.extend(removals.map(|dn| Difference { what: "remove", dn: dn.to_string() }));
        counts.removed = vanished.len() as u64;
        Ok((differences, counts))
    }

    /// Whether an entry that is not here under its name is under another.
    pub(super) fn stands_elsewhere(&self, view: &View<'_>, found: &Found) -> Result<bool, DirectoryError> {
        let known = match &found.uuid {
            Some(uuid) => view.name_of(self.name(), uuid)?,
            None => None,
        };
        match known.filter(|known| known != found.dn()) {
            Some(known) => Ok(view.id_of(&known)?.is_some()),
            None => Ok(false),
        }
    }
}

impl View<'_> {
    /// Whether an entry stands refused as it is: it would be again.
    fn stands_refused(&self, found: &Found) -> Result<bool, DirectoryError> {
        let refused = self.refused(&found.dn().to_string())?.and_then(|refused| refused.found);
        Ok(match refused {
            Some(stored) => same_content(&stored.found()?.entry, &found.entry),
            None => false,
        })
    }
}

impl Applied {
    fn of(&mut self, what: &str) -> &mut u64 {
        match what {
            "add" => &mut self.added,
            "move" => &mut self.moved,
            _ => &mut self.modified,
        }
    }
}

impl View<'_> {
    /// The keys of the names of a subtree, the top included.
    pub(crate) fn names_under(
        &self,
        top: &Dn,
        visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), DirectoryError> {
        let until = [top.key(), &[0xff; 9]].concat();
        self.snapshot.scan(NAMES, top.key(), &until, &mut |key, _| visit(key))?;
        Ok(())
    }

    /// `None`: glue. `Some(None)`: it was seen, or stands elsewhere now. `Some(Some)`: the source lacks it.
    fn is_vanished(
        &self,
        mirror: &Mirror,
        key: &[u8],
        moved: &HashSet<Vec<u8>>,
    ) -> Result<Option<Option<Dn>>, DirectoryError> {
        let seen = self.snapshot.get(SEEN, &seen_key(mirror.number(), key))?.is_some();
        if seen || moved.contains(key) {
            return Ok(Some(None));
        }
        let Some(id) = self.snapshot.get(NAMES, key)? else { return Ok(None) };
        let Some(entry) = self.entry_by_id(crate::layout::read_u64(&id))? else { return Ok(None) };
        // Of another source's subtrees that one judges; what is in nobody's is left over.
        let is_anothers = !mirror.is_sole() && !mirror.may_judge(&entry.dn);
        if is_anothers || self.record(&entry.dn)?.is_some_and(|record| record.glue) {
            return Ok(None);
        }
        Ok(Some(Some(entry.dn)))
    }
}
