//! Edits: each one durable batch, validated against the snapshot that it asserts to be current.

use std::collections::HashMap;

use storage::{Batch, BatchMark, StorageError};

use crate::account_moves::Before;
use crate::change::{CHANGES_KEPT_MAX, Change, Operation};
use crate::claims::Claims;
use crate::directory::Directory;
use crate::dn::Dn;
use crate::domain_tables::records::is_reserved;
use crate::entry::Entry;
use crate::error::{DirectoryError, EditError};
use crate::kind::Kind;
use crate::layout::{
    CHANGES, HEAD, Head, NAME_KEY_MAX, STATE, delete_entry, encode_change, put_entry, replace_entry,
};
use crate::remote_edit::{Unmade, WriteThrough, remote_edits};
use crate::schema::Field;
use crate::user_entry::PasswordHash;
use crate::view::View;

/// How often an edit is planned anew because others were faster.
pub(crate) const EDIT_TRIES_MAX: u32 = 16;
/// About how many rows an entry has: its own, its name's, those of its addresses and of where it came from.
const OPERATIONS_OF_EDIT: usize = 7;
/// Most entries that one batch of a large edit changes.
pub(crate) const EDIT_ENTRIES_MAX: usize = 1_000;

/// One change to the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Adds the entry; its name must be free, and the entry above it must exist (or be the root).
    Add(Entry),
    /// Replaces the attributes of an entry that exists.
    Modify(Entry),
    /// Removes an entry that has none below it.
    Remove(Dn),
}

impl Edit {
    /// The name that it concerns.
    #[must_use]
    pub fn dn(&self) -> &Dn {
        match self {
            Self::Add(entry) | Self::Modify(entry) => &entry.dn,
            Self::Remove(dn) => dn,
        }
    }
}

impl Directory {
    /// Edits go through this from now on.
    pub(crate) fn write_through(&self, source: std::sync::Arc<dyn WriteThrough>) {
        // A directory has one source for as long as it is open.
        let _ = self.0.source.set(source);
    }

    /// Where edits are written, where that is not here.
    pub(crate) fn source(&self) -> Option<&std::sync::Arc<dyn WriteThrough>> {
        self.0.source.get()
    }

    pub(crate) fn now(&self) -> mail_types::Timestamp {
        self.0.clock.now()
    }

    /// Makes edits in order, all or none, in one durable batch. Returns the number of the newest
    /// change. An empty list changes nothing.
    pub async fn edit(&self, edits: &[Edit]) -> Result<u64, EditError> {
        self.edit_with(|_| Ok((edits.to_vec(), ()))).await.map(|(csn, ())| csn)
    }

    /// Plans edits on a snapshot and makes them, if the directory is still as it was then; else plans anew.
    pub(crate) async fn edit_with<T>(
        &self,
        plan: impl Fn(&View<'_>) -> Result<(Vec<Edit>, T), EditError>,
    ) -> Result<(u64, T), EditError> {
        let mut turn = None;
        for _ in 0..EDIT_TRIES_MAX {
            let (batch, csn, value, remote) = {
                let view = self.raw_view()?;
                let head = view.head()?;
                if head.loading != 0 {
                    return Err(DirectoryError::Loading.into());
                }
                let (edits, value) = plan(&view)?;
                if edits.is_empty() {
                    return Ok((head.csn, value));
                }
                // Composed in either case: what breaks a rule of ours is not written to a source.
                let (batch, csn) = self.compose(&view, head, &edits)?;
                let remote = self.0.source.get().map(|_| remote_edits(&view, &edits)).transpose()?;
                (batch, csn, value, remote)
            };
            if let (Some(source), Some(remote)) = (self.0.source.get(), remote) {
                let Some(turn) = turn.clone() else {
                    turn = Some(source.turn(&remote).await);
                    continue;
                };
                match source.write(remote, turn).await {
                    Ok(csn) => return Ok((csn, value)),
                    // Others were faster there, or we ourselves before a crash: the tree knows of it now.
                    Err(Unmade { error: EditError::CameBetween(_), .. }) => continue,
                    Err(unmade) => return Err(unmade.into_error()),
                }
            }
            match self.commit(batch).await {
                Ok(()) => {
                    self.publish(csn);
                    return Ok((csn, value));
                }
                Err(StorageError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(EditError::Busy(EDIT_TRIES_MAX))
    }

    fn compose(&self, view: &View<'_>, head: Head, edits: &[Edit]) -> Result<(Batch, u64), EditError> {
        let mut composing = Composing::new(view, head);
        for edit in edits {
            composing.take(edit, self.0.clock.now())?;
            self.check_at_source(edit)?;
        }
        Ok(composing.finish()?)
    }

    /// What would be written to a source and not be taken over again is not written.
    pub(crate) fn check_at_source(&self, edit: &Edit) -> Result<(), EditError> {
        match (self.source(), edit) {
            (Some(source), Edit::Add(entry) | Edit::Modify(entry)) => {
                source.check_entry(entry, self.schema())
            }
            _ => Ok(()),
        }
    }
}

/// How those who follow the directory learn of the edits of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logging {
    /// One by one.
    Each,
    /// They are told to read everything anew: of more edits than there were entries that is less work for all.
    Rebuild,
}

/// What a batch had come to, to be gone back to.
pub(crate) struct Checkpoint {
    head: Head,
    batch: BatchMark,
    overlay: HashMap<Dn, Option<(u64, Entry)>>,
    claims: Claims,
    before: Before,
}

/// A batch being composed: the snapshot, and what earlier edits of the same batch change in it.
pub(crate) struct Composing<'v, 's> {
    pub(crate) view: &'v View<'s>,
    pub(crate) head: Head,
    pub(crate) batch: Batch,
    logging: Logging,
    /// Entries touched so far; `None` is removed.
    overlay: HashMap<Dn, Option<(u64, Entry)>>,
    claims: Claims,
    before: Before,
}

impl<'v, 's> Composing<'v, 's> {
    /// A batch that holds only if the directory is still as the view has it.
    pub(crate) fn new(view: &'v View<'s>, head: Head) -> Self {
        Self::logging(view, head, Logging::Each)
    }

    /// The same, its edits logged so.
    pub(crate) fn logging(view: &'v View<'s>, head: Head, logging: Logging) -> Self {
        let mut batch = Batch::new();
        match head {
            // Nothing was ever written: the head does not exist.
            head if head == Head::default() => batch.assert_absent(STATE, HEAD),
            head => batch.assert_equals(STATE, HEAD, &head.encode()),
        }
        let (overlay, claims, before) = (HashMap::new(), Claims::default(), Before::default());
        Self { view, head, batch, logging, overlay, claims, before }
    }

    /// Sets room aside for so many edits.
    pub(crate) fn reserve(&mut self, edits: usize) {
        self.batch.reserve(edits.saturating_mul(OPERATIONS_OF_EDIT));
        self.overlay.reserve(edits);
        self.claims.reserve(edits);
    }

    /// All that was taken in so far.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            head: self.head,
            batch: self.batch.mark(),
            overlay: self.overlay.clone(),
            claims: self.claims.clone(),
            before: self.before.clone(),
        }
    }

    /// As if nothing had been taken in since.
    pub(crate) fn go_back(&mut self, to: Checkpoint) {
        let Checkpoint { head, batch, overlay, claims, before } = to;
        self.batch.go_back(batch);
        (self.head, self.overlay, self.claims, self.before) = (head, overlay, claims, before);
    }

    /// The batch, and the number of the newest change.
    pub(crate) fn finish(self) -> Result<(Batch, u64), DirectoryError> {
        let Self { view, mut batch, mut head, overlay, before, .. } = self;
        before.draft(&mut batch, head.csn, overlay.values().flatten(), view)?;
        while head.csn - head.floor > CHANGES_KEPT_MAX {
            head.floor += 1;
            batch.delete(CHANGES, &head.floor.to_be_bytes());
        }
        // As long as nothing has changed, there is none: the next batch expects that.
        if head != Head::default() {
            batch.put(STATE, HEAD, head.encode());
        }
        Ok((batch, head.csn))
    }

    /// Takes an edit in; one that is refused leaves nothing behind.
    pub(crate) fn take(&mut self, edit: &Edit, at: mail_types::Timestamp) -> Result<(), EditError> {
        let (kind, operation) = match edit {
            Edit::Add(entry) => (self.add(entry)?, Operation::Put),
            Edit::Modify(entry) => (self.modify(entry)?, Operation::Put),
            Edit::Remove(dn) => (self.remove(dn)?, Operation::Removed),
        };
        self.log(edit.dn(), kind, operation, at);
        Ok(())
    }

    /// An entry of this batch goes on with what another one was before it; `None`: with nothing, whatever had its name.
    pub(crate) fn goes_on(&mut self, dn: &Dn, before: Option<(u64, &Entry)>) {
        if let Some(Some((id, _))) = self.overlay.get(dn) {
            self.before.set(*id, before, self.view.schema);
        }
    }

    /// Takes a new entry in, whose name is free, and that of the entry above it not: who calls has looked.
    pub(crate) fn take_new(&mut self, entry: &Entry, at: mail_types::Timestamp) -> Result<(), EditError> {
        let kind = self.insert(entry)?;
        self.log(&entry.dn, kind, Operation::Put, at);
        Ok(())
    }

    fn log(&mut self, dn: &Dn, kind: Kind, operation: Operation, at: mail_types::Timestamp) {
        self.head.csn += 1;
        if self.logging == Logging::Rebuild {
            if self.head.floor < self.head.csn - 1 {
                self.batch.clear(CHANGES);
            }
            self.head.floor = self.head.csn;
            return;
        }
        let change = Change { csn: self.head.csn, at, dn: dn.clone(), kind, operation };
        self.batch.put(CHANGES, &change.csn.to_be_bytes(), encode_change(&change));
    }

    pub(crate) fn current(&self, dn: &Dn) -> Result<Option<(u64, Entry)>, EditError> {
        if let Some(overlaid) = self.overlay.get(dn) {
            return Ok(overlaid.clone());
        }
        let Some(id) = self.view.id_of(dn)? else { return Ok(None) };
        Ok(self.view.entry_by_id(id)?.map(|entry| (id, entry)))
    }

    /// Whether there is an entry of that name; does not read it.
    pub(crate) fn is_there(&self, dn: &Dn) -> Result<bool, EditError> {
        match self.overlay.get(dn) {
            Some(overlaid) => Ok(overlaid.is_some()),
            None => Ok(self.view.id_of(dn)?.is_some()),
        }
    }

    fn add(&mut self, entry: &Entry) -> Result<Kind, EditError> {
        if self.is_there(&entry.dn)? {
            return Err(EditError::EntryExists(entry.dn.clone()));
        }
        if let Some(above) = entry.dn.parent()
            && above.depth() > 0
            && !self.is_there(&above)?
        {
            return Err(EditError::NoParent(entry.dn.clone(), above));
        }
        self.insert(entry)
    }

    fn insert(&mut self, entry: &Entry) -> Result<Kind, EditError> {
        let id = self.head.next_id;
        let kind = self.enter(id, entry)?;
        self.head.next_id += 1;
        put_entry(&mut self.batch, id, entry, kind, self.view.schema);
        Ok(kind)
    }

    fn modify(&mut self, entry: &Entry) -> Result<Kind, EditError> {
        let Some((id, old)) = self.current(&entry.dn)? else {
            return Err(EditError::NoEntry(entry.dn.clone()));
        };
        let old_kind = self.view.kind(&old);
        self.before.note(id, &old, self.view.schema);
        let released = self.claims.release(id);
        let kind = match self.enter(id, entry) {
            Ok(kind) => kind,
            Err(refused) => {
                self.claims.restore(id, released);
                return Err(refused);
            }
        };
        self.head.count(old_kind, -1);
        replace_entry(&mut self.batch, id, (&old, old_kind), (entry, kind), self.view.schema);
        Ok(kind)
    }

    fn remove(&mut self, dn: &Dn) -> Result<Kind, EditError> {
        let Some((id, old)) = self.current(dn)? else { return Err(EditError::NoEntry(dn.clone())) };
        let mut child = None;
        self.view.scan_under(dn, &mut |_, below| {
            let removed = matches!(self.overlay.get(&below.dn), Some(None));
            if below.dn == *dn || removed {
                return std::ops::ControlFlow::Continue(());
            }
            child = Some(below.dn);
            std::ops::ControlFlow::Break(())
        })?;
        let added =
            self.overlay.iter().find(|(name, now)| now.is_some() && *name != dn && name.is_within(dn));
        if let Some(child) = child.or_else(|| added.map(|(name, _)| name.clone())) {
            return Err(EditError::HasChildren(dn.clone(), child));
        }
        let kind = self.view.kind(&old);
        self.before.note(id, &old, self.view.schema);
        delete_entry(&mut self.batch, id, &old, kind, self.view.schema);
        self.head.count(kind, -1);
        self.claims.release(id);
        self.overlay.insert(dn.clone(), None);
        Ok(kind)
    }

    /// Checks an entry, takes its names, and counts it in.
    fn enter(&mut self, id: u64, entry: &Entry) -> Result<Kind, EditError> {
        let kind = check_entry(entry, self.view)?;
        self.claims.claim(self.view, id, entry, kind)?;
        self.head.count(kind, 1);
        self.overlay.insert(entry.dn.clone(), Some((id, entry.clone())));
        Ok(kind)
    }
}

impl Composing<'_, '_> {
    /// Whether an entry could take its names if another one, which has them now, were gone.
    pub(crate) fn could_replace(&self, old: u64, entry: &Entry) -> Result<(), EditError> {
        let kind = check_entry(entry, self.view)?;
        self.claims.check(self.view, old, entry, kind)
    }
}

/// What is wrong with an entry by itself.
pub(crate) fn check_entry(entry: &Entry, view: &View<'_>) -> Result<Kind, EditError> {
    check_name(entry)?;
    let is_clear = |value: &[u8]| PasswordHash::new(String::from_utf8_lossy(value)).is_clear();
    let names = view.schema.names(Field::UserPassword).iter();
    if names.flat_map(|name| entry.values_with_options(name)).any(is_clear) {
        return Err(EditError::ClearPassword(entry.dn.clone()));
    }
    Ok(view.kind(entry))
}

/// What is wrong with its name.
pub(crate) fn check_name(entry: &Entry) -> Result<(), EditError> {
    if entry.dn.depth() == 0 {
        let what = "an entry without a name cannot be stored".to_owned();
        return Err(EditError::Value { dn: entry.dn.clone(), what });
    }
    if entry.dn.key().len() > NAME_KEY_MAX {
        return Err(EditError::NameTooLong(entry.dn.clone()));
    }
    if is_reserved(&entry.dn) {
        return Err(EditError::Reserved(entry.dn.clone()));
    }
    Ok(())
}
