//! Applying what a source says to the tree. What is the same is left alone; an entry that breaks a rule fails alone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

use mail_types::Timestamp;
use storage::{Batch, Space, StorageError};

use super::applied::Applied;
use super::found::{Broken, Found, Uuid, same_content};
use super::origin::{Origin, Staging};
use super::records::{
    Brought, LISTS, MIRROR, MIRROR_IDS, REFUSED, Record, SEEN, Seen, encode, id_key, seen_key,
};
use super::refusing::{RefusedIds, fault, passing};
use super::wanted;
use crate::directory::Directory;
use crate::dn::Dn;
use crate::edit::{Composing, Edit, Logging, check_name};
use crate::error::{DirectoryError, EditError};
use crate::layout::Head;
use crate::plan::container;
use crate::view::View;

/// Most steps that one batch takes.
pub const BATCH_MAX: usize = 2_000;
/// Most refused entries of a source that are kept; further ones are told of, and tried again at the next full sync.
pub const REFUSED_MAX: usize = 1_000;
/// How often a batch is composed anew because others were faster.
const TRIES_MAX: u32 = 16;

/// One thing that the source says.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// There is this entry: one answer among others, which may have been overtaken by a newer one.
    Put(Box<Found>),
    /// There is this entry, whatever was known before: a comparison of everything says so. A source that was restored from a
    /// backup goes back.
    Settled(Box<Found>),
    /// The same, as a full sync has staged it; a newer answer that came since then goes before.
    Staged(Box<Found>),
    /// There is no entry of this name any more.
    Gone(Dn),
    /// There is an entry that cannot be kept.
    Broken(Broken),
}

/// Whether an answer may have been overtaken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    MayBeOld,
    IsNow,
    AsStaged,
}

/// Further rows of the same batch: a cookie, a watermark, a mark.
pub(crate) type Beside = Vec<(Space, Vec<u8>, Vec<u8>)>;

impl Directory {
    /// Applies steps in one batch, with rows beside them. Where nothing differs and there are no such rows, nothing is
    /// written.
    pub(crate) async fn apply(
        &self,
        steps: &[Step],
        beside: &Beside,
        origin: &Origin,
    ) -> Result<Applied, EditError> {
        for _ in 0..TRIES_MAX {
            let (batch, applied) = runtime::busy(|| self.composed(steps, beside, origin))?;
            let Some(batch) = batch else { return Ok(applied) };
            match self.commit(batch).await {
                Ok(()) => {
                    origin.taken.iter().for_each(|taken| taken.written(applied.csn));
                    if origin.logging == Logging::Each {
                        self.publish(applied.csn);
                    }
                    return Ok(applied);
                }
                Err(StorageError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(EditError::Busy(TRIES_MAX))
    }

    /// The batch that the steps come to; `None` where nothing is to be written.
    fn composed(
        &self,
        steps: &[Step],
        beside: &Beside,
        origin: &Origin,
    ) -> Result<(Option<Batch>, Applied), EditError> {
        let view = self.raw_view()?;
        let head = view.head()?;
        if head.loading != 0 {
            return Err(DirectoryError::Loading.into());
        }
        let compose = |view: View<'_>| {
            let mut applying = Applying::new(&view, head, self.0.clock.now(), origin)?;
            applying.all(steps)?;
            Ok(applying.finish(beside)?)
        };
        let Some(taken) = &origin.taken else { return compose(view) };
        let composed = taken.with(&head, |addresses| compose(View { addresses, ..view }))?;
        composed.0.iter().for_each(|batch| taken.note(batch));
        Ok(composed)
    }
}

/// A batch of steps being composed.
pub(super) struct Applying<'v, 's> {
    pub(super) composing: Composing<'v, 's>,
    pub(super) applied: Applied,
    pub(super) now: Timestamp,
    pub(super) origin: &'v Origin,
    /// Lasting names that this batch has moved or made.
    pub(super) names: HashMap<Uuid, Dn>,
    /// Glue that this batch has made.
    glue: HashSet<Dn>,
    /// What something was taken from below: it may be glue that nothing stands on any more.
    lonely: BTreeSet<Dn>,
    /// What was glue, and is an entry of the source now.
    unglued: HashSet<Dn>,
    /// An entry that is there: most entries stand right below the one that the entry before stood below.
    above: Option<Dn>,
    /// Whether any entry was refused before this batch.
    pub(super) any_refused: bool,
    /// The keys under which entries stand refused, by their lasting names; read once, when the first one asks.
    pub(super) refused_ids: Option<RefusedIds>,
    /// Whether anything beside the tree is written.
    pub(super) writes: bool,
    begun_at: u64,
}

/// What a batch had come to.
pub(super) struct Checkpoint {
    composing: crate::edit::Checkpoint,
    applied: Applied,
    names: HashMap<Uuid, Dn>,
    glue: HashSet<Dn>,
    unglued: HashSet<Dn>,
    above: Option<Dn>,
    writes: bool,
}

impl<'v, 's> Applying<'v, 's> {
    /// All that steps change, to be gone back to.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            composing: self.composing.checkpoint(),
            applied: self.applied.clone(),
            names: self.names.clone(),
            glue: self.glue.clone(),
            unglued: self.unglued.clone(),
            above: self.above.clone(),
            writes: self.writes,
        }
    }

    /// As if nothing had been taken in since.
    pub(super) fn go_back(&mut self, to: Checkpoint) {
        self.composing.go_back(to.composing);
        self.applied = to.applied;
        self.names = to.names;
        self.glue = to.glue;
        self.unglued = to.unglued;
        self.above = to.above;
        self.writes = to.writes;
    }

    fn new(
        view: &'v View<'s>,
        head: Head,
        now: Timestamp,
        origin: &'v Origin,
    ) -> Result<Self, DirectoryError> {
        let mut any_refused = false;
        view.snapshot.scan(REFUSED, &[], &[0xff; 9], &mut |_, _| {
            any_refused = true;
            ControlFlow::Break(())
        })?;
        Ok(Self {
            composing: Composing::logging(view, head, origin.logging),
            applied: Applied::default(),
            now,
            origin,
            names: HashMap::new(),
            glue: HashSet::new(),
            lonely: BTreeSet::new(),
            unglued: HashSet::new(),
            above: None,
            any_refused,
            refused_ids: None,
            writes: false,
            begun_at: head.csn,
        })
    }

    /// Takes every step; those that fail are tried again as long as others free what they want.
    fn all(&mut self, steps: &[Step]) -> Result<(), EditError> {
        self.composing.reserve(steps.len());
        self.names.reserve(steps.len());
        self.applied.touched.reserve(steps.len());
        let mut waiting: Vec<(&Found, Age, EditError)> = Vec::new();
        for step in steps {
            let (found, age) = match step {
                Step::Put(found) => (found, Age::MayBeOld),
                Step::Settled(found) => (found, Age::IsNow),
                Step::Staged(found) => (found, Age::AsStaged),
                Step::Gone(dn) => {
                    self.gone(dn)?;
                    continue;
                }
                Step::Broken(broken) => {
                    let why = broken.why.clone();
                    self.refuse(&broken.name, &broken.attribute, why, None, None)?;
                    continue;
                }
            };
            if let Err(why) = self.put(found, age) {
                waiting.push((found, age, passing(why)?));
            }
        }
        let mut waiting = self.let_go_first(waiting)?;
        self.swap(&mut waiting)?;
        for (found, _, why) in waiting {
            let (attribute, holder) = fault(&why);
            if self.origin.postpones && holder.is_some() {
                let waiter = self.waiter(found, &why)?;
                self.applied.postponed.push((found.dn().clone(), waiter));
                continue;
            }
            self.refuse(&found.dn().to_string(), attribute, why.to_string(), holder, Some(found))?;
        }
        self.lonely_glue()
    }

    /// Puts an entry in its place. One that is refused leaves everything as it was.
    pub(super) fn put(&mut self, found: &Found, age: Age) -> Result<(), EditError> {
        let dn = found.dn();
        let view = self.composing.view;
        if age == Age::AsStaged && self.origin.overtaken && !self.is_still_staged(dn)? {
            // A newer answer has come since it was staged.
            return Ok(());
        }
        let is_there = self.composing.is_there(dn)?;
        // What is kept beside an entry goes with it.
        let record = if is_there { view.record(dn)? } else { None };
        let is_old = |record: &Record| {
            age == Age::MayBeOld && record.uuid == found.uuid && record.version > found.version
        };
        if record.as_ref().is_some_and(is_old) {
            self.applied.same += 1;
            return Ok(());
        }
        let moved_from = self.moved_from(found)?;
        if let Some(old) = &moved_from
            && let Some((id, _)) = self.composing.current(old)?
        {
            self.composing.could_replace(id, &found.entry)?;
            self.gone(old)?;
            self.applied.subtrees_moved += u64::from(self.composing.current(old)?.is_some());
            // It is told of as moved, not as removed.
            self.applied.removed -= 1;
        }
        let current = if is_there { self.composing.current(dn)? } else { None };
        match current {
            Some((_, current)) if same_content(&current, &found.entry) => self.applied.same += 1,
            Some(_) => {
                self.edit(Edit::Modify(found.entry.clone()))?;
                self.applied.modified += 1;
            }
            None => {
                // Before what stands above it: that may be too long as well, and is not what the source showed.
                check_name(&found.entry)?;
                self.parents(dn)?;
                self.composing.take_new(&found.entry, self.now)?;
                self.applied.touched.push(dn.clone());
                let count =
                    if moved_from.is_some() { &mut self.applied.moved } else { &mut self.applied.added };
                *count += 1;
            }
        }
        self.goes_on(found, record.as_ref())?;
        if self.glue.remove(dn) || record.as_ref().is_some_and(|record| record.glue) {
            self.unglued.insert(dn.clone());
        }
        let fresh = Record::of(found, view.schema, self.brought());
        if !record.as_ref().is_some_and(|record| record.is_of_same(&fresh)) {
            // A version alone is no reason to write, unless something is written anyway.
            let replaced = record.as_ref().and_then(|record| record.uuid);
            let was_list = record.as_ref().is_some_and(|record| record.list);
            let differs = record.is_none_or(|record| {
                record.uuid != fresh.uuid || record.glue || record.content != fresh.content
            });
            if differs || self.changes_tree() {
                if let Some(old) = replaced.filter(|old| Some(*old) != fresh.uuid) {
                    self.composing.batch.delete(MIRROR_IDS, &id_key(&self.origin.source, &old));
                }
                self.record(dn, &fresh, was_list);
            }
        }
        if let Some(uuid) = found.uuid {
            self.names.insert(uuid, dn.clone());
            self.no_longer_refused(&uuid, None)?;
        }
        // What was staged needs no mark: its row says already that the source has it.
        if age != Age::AsStaged {
            self.mark(dn, &Seen::Same);
        }
        self.accepted(dn)
    }

    /// Whether what a full sync knows of a name is still what it staged.
    fn is_still_staged(&self, dn: &Dn) -> Result<bool, EditError> {
        let key = seen_key(self.origin.number, dn.key());
        let seen = self.composing.view.snapshot.get(SEEN, &key).map_err(DirectoryError::from)?;
        Ok(seen.is_some_and(|octets| octets.first() == Some(&Seen::DIFFERS)))
    }

    fn brought(&self) -> Brought {
        Brought { way: self.origin.way, at: self.now.0 }
    }

    fn changes_tree(&self) -> bool {
        self.composing.head.csn != self.begun_at
    }

    /// Makes every missing entry above a name: a base may begin below the roots, and not every server shows all.
    fn parents(&mut self, dn: &Dn) -> Result<(), EditError> {
        let Some(parent) = dn.parent().filter(|parent| self.above.as_ref() != Some(parent)) else {
            return Ok(());
        };
        let above = std::iter::successors(Some(parent.clone()), Dn::parent).filter(|dn| dn.depth() > 0);
        let mut missing = Vec::new();
        for dn in above {
            if self.composing.is_there(&dn)? {
                break;
            }
            missing.push(dn);
        }
        for dn in missing.into_iter().rev() {
            self.edit(Edit::Add(container(&dn)))?;
            self.record(&dn, &Record::glue(self.brought()), false);
            self.glue.insert(dn);
        }
        self.above = Some(parent);
        Ok(())
    }

    /// Takes an entry out; one that others stand below becomes glue.
    fn gone(&mut self, dn: &Dn) -> Result<(), EditError> {
        self.above = None;
        self.accepted(dn)?;
        if self.any_refused
            && let Some(uuid) = self.composing.view.record(dn)?.and_then(|record| record.uuid)
        {
            // What was refused of it under another name goes with it.
            self.no_longer_refused(&uuid, None)?;
        }
        self.mark(dn, &Seen::Gone);
        if self.composing.current(dn)?.is_none() {
            return Ok(());
        }
        match self.edit(Edit::Remove(dn.clone())) {
            Ok(()) => self.forget(dn)?,
            Err(EditError::HasChildren(..)) => {
                let glue = container(dn);
                let same = self.composing.current(dn)?.is_some_and(|(_, now)| same_content(&now, &glue));
                if !same {
                    self.edit(Edit::Modify(glue))?;
                }
                self.forget(dn)?;
                self.record(dn, &Record::glue(self.brought()), true);
                self.glue.insert(dn.clone());
                self.unglued.remove(dn);
                self.applied.removed += 1;
                return Ok(());
            }
            Err(why) => return Err(why),
        }
        self.applied.removed += 1;
        self.lonely.extend(dn.parent());
        Ok(())
    }

    /// Glue that nothing stands on any more goes too: once for all that was taken from below it.
    fn lonely_glue(&mut self) -> Result<(), EditError> {
        while let Some(deepest) = self.lonely.pop_last() {
            self.lonely_from(deepest)?;
        }
        Ok(())
    }

    fn lonely_from(&mut self, dn: Dn) -> Result<(), EditError> {
        let mut above = Some(dn).filter(|dn| dn.depth() > 0);
        while let Some(dn) = above {
            let is_glue = self.glue.contains(&dn)
                || self.composing.view.record(&dn)?.is_some_and(|record| record.glue)
                    && !self.unglued.contains(&dn)
                    && !self.names.values().any(|name| *name == dn);
            if !is_glue || self.composing.current(&dn)?.is_none() {
                return Ok(());
            }
            match self.edit(Edit::Remove(dn.clone())) {
                Ok(()) => self.forget(&dn)?,
                Err(EditError::HasChildren(..)) => return Ok(()),
                Err(why) => return Err(why),
            }
            self.glue.remove(&dn);
            above = dn.parent().filter(|dn| dn.depth() > 0);
        }
        Ok(())
    }

    pub(super) fn edit(&mut self, edit: Edit) -> Result<(), EditError> {
        self.composing.take(&edit, self.now)?;
        self.applied.touched.push(edit.dn().clone());
        Ok(())
    }

    fn record(&mut self, dn: &Dn, record: &Record, was_list: bool) {
        self.writes = true;
        self.composing.batch.put(MIRROR, dn.key(), encode(record));
        if record.list {
            self.composing.batch.put(LISTS, dn.key(), []);
        } else if was_list {
            self.composing.batch.delete(LISTS, dn.key());
        }
        if let Some(uuid) = record.uuid {
            self.composing.batch.put(
                MIRROR_IDS,
                &id_key(&self.origin.source, &uuid),
                dn.to_string().into_bytes(),
            );
        }
    }

    fn forget(&mut self, dn: &Dn) -> Result<(), EditError> {
        self.writes = true;
        let view = self.composing.view;
        if let Some(uuid) = view.record(dn)?.and_then(|record| record.uuid)
            && self.names.get(&uuid).is_none_or(|name| name == dn)
            && view.name_of(&self.origin.source, &uuid)?.is_none_or(|name| name == *dn)
        {
            self.composing.batch.delete(MIRROR_IDS, &id_key(&self.origin.source, &uuid));
        }
        self.composing.batch.delete(MIRROR, dn.key());
        self.composing.batch.delete(LISTS, dn.key());
        Ok(())
    }

    pub(super) fn mark(&mut self, dn: &Dn, seen: &Seen) {
        if self.origin.staging == Staging::UnderWay && dn.key().len() <= crate::layout::NAME_KEY_MAX {
            self.writes = true;
            self.applied.marked += 1;
            self.composing.batch.put(SEEN, &seen_key(self.origin.number, dn.key()), seen.encode());
        }
    }

    /// The batch, where there is something to write.
    fn finish(self, beside: &Beside) -> Result<(Option<storage::Batch>, Applied), DirectoryError> {
        let changes = self.changes_tree();
        let Self { composing, mut applied, writes, origin, .. } = self;
        let (mut batch, csn) = composing.finish()?;
        applied.csn = csn;
        for (space, key, value) in beside {
            batch.put(*space, key, value.clone());
        }
        if wanted::is_half(&applied, origin.way) {
            wanted::note(&mut batch, &origin.source, csn);
        }
        let any = changes || writes || !beside.is_empty();
        Ok((any.then_some(batch), applied))
    }
}

#[cfg(test)]
pub(crate) mod tests;
