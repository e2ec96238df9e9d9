//! What a full sync would change, once everything was seen.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::apply::Applied;
use super::found::{Found, same_content};
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

impl Mirror {
    /// What is here and was not seen, the deepest first, and how much there is. Glue is not counted: nobody showed it.
    pub(super) fn vanished(
        &self,
        tops: &[Dn],
        all: bool,
        moved: &HashSet<Vec<u8>>,
    ) -> Result<(Vec<Dn>, u64), SyncError> {
        let view = self.0.directory.raw_view()?;
        let (mut vanished, mut there, mut failure) = (Vec::new(), 0, None);
        let root = [Dn::root()];
        for top in if all { &root } else { tops } {
            view.names_under(top, &mut |key| {
                match view.is_vanished(self, key, moved) {
                    Ok(None) => {}
                    Ok(Some(None)) => there += 1,
                    Ok(Some(Some(dn))) => {
                        there += 1;
                        vanished.push(dn);
                    }
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
        vanished.reverse();
        Ok((vanished, there))
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
