//! Writing rows: a whole generation, or the rows of one changed entry. A new generation comes into force with one
//! put: the effect of the restart that the patent asks for after a full build, without one (R36, R37, R44).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use directory::{Dn, Schema, Typed};
use hooks::{PluginName, Plugins, Role};
use mail_types::Domain;
use storage::{Batch, KeyFilter, Snapshot, Space, Storage, StorageError};

use super::build::Rows;
use super::builder::{Builder, builder_of, is_base};
use super::built::Built;
use super::listing::{MAKER, MARKS, read_keys, read_maker, write_key};
use super::row::{AliasRow, DomainRow, split};
use super::waiting::{Mark, mark_name};
use super::{
    ALIASES, CLAIMS_MAX, DOMAINS, FORMAT, ORIGINS, STATE, STATE_KEY, State, TableError, WAITING, is_name_of,
    key, origin_key,
};

/// Entries written in the first batch, so that the writer has something to do soon; then twice as many each time.
const CHUNK_MIN: usize = 5_000;
/// Most entries written in one batch.
pub const CHUNK_MAX: usize = 20_000;
/// Longer than any key.
const KEY_MAX: usize = 600;
/// Most tries to draw a generation while others do too.
const TRIES_MAX: u32 = 8;
/// The generation that was drawn last: of two builds at once each writes its own.
const DRAWN_KEY: &[u8] = b"drawn";
/// Keys deleted in one batch.
const DELETES_MAX: usize = 20_000;

/// Values by space and key; an empty one is to be deleted.
type Values = [BTreeMap<Vec<u8>, Vec<u8>>; SPACES.len()];

/// The values that changes lead to, over those in storage: several entries may touch one key.
pub(super) struct Overlay<'s> {
    snapshot: &'s Snapshot,
    /// What the generation has in storage, where it is in the making; else it may have anything.
    written: Option<&'s KeyFilter>,
    pub(super) generation: u8,
    values: Values,
    pub(super) uplevel: bool,
    pub(super) chains: bool,
    pub(super) rows: u64,
    /// The plugins that build rows of entries that it saw.
    pub(super) builders: BTreeSet<PluginName>,
    /// Entries that it made wait for their rows.
    pub(super) marked: u64,
}

pub(super) const SPACES: [Space; 4] = [DOMAINS, ALIASES, ORIGINS, WAITING];

impl<'s> Overlay<'s> {
    pub(super) fn new(snapshot: &'s Snapshot, generation: u8) -> Self {
        Self {
            snapshot,
            written: None,
            generation,
            values: Default::default(),
            uplevel: false,
            chains: false,
            rows: 0,
            builders: BTreeSet::new(),
            marked: 0,
        }
    }

    /// Of a generation that has what is written, and nothing else.
    fn of_new(snapshot: &'s Snapshot, generation: u8, written: &'s KeyFilter) -> Self {
        Self { written: Some(written), ..Self::new(snapshot, generation) }
    }

    pub(super) fn get(&self, space: u8, key: &[u8]) -> Result<Vec<u8>, TableError> {
        if let Some(value) = self.values[usize::from(space)].get(key) {
            return Ok(value.clone());
        }
        self.stored(space, key)
    }

    fn stored(&self, space: u8, key: &[u8]) -> Result<Vec<u8>, TableError> {
        if self.written.is_some_and(|written| !written.may_have(space, key)) {
            return Ok(Vec::new());
        }
        let stored = self.snapshot.get(SPACES[usize::from(space)], key)?;
        Ok(stored.map(std::borrow::Cow::into_owned).unwrap_or_default())
    }

    /// A value, to be changed.
    fn value(&mut self, space: u8, key: Vec<u8>) -> Result<&mut Vec<u8>, TableError> {
        if !self.values[usize::from(space)].contains_key(&key) {
            let stored = self.stored(space, &key)?;
            return Ok(self.values[usize::from(space)].entry(key).or_insert(stored));
        }
        Ok(self.values[usize::from(space)].entry(key).or_default())
    }

    fn set(&mut self, space: u8, key: Vec<u8>, value: Vec<u8>) {
        self.values[usize::from(space)].insert(key, value);
    }

    /// Takes away all rows of an entry, and its mark.
    pub(super) fn remove(&mut self, dn: &Dn) -> Result<(), TableError> {
        self.remove_from(dn, |_, _| true)
    }

    /// Takes away those of an entry that are meant, by space and key.
    pub(super) fn remove_from(&mut self, dn: &Dn, from: impl Fn(u8, &str) -> bool) -> Result<(), TableError> {
        let origin = origin_key(self.generation, dn);
        let listed = self.get(2, &origin)?;
        if listed.is_empty() {
            return Ok(());
        }
        let name = dn.to_string();
        let mut kept = Vec::new();
        if let Some(maker) = read_maker(&listed).filter(|_| !from(MAKER, "")) {
            write_key(&mut kept, MAKER, &maker);
        }
        for (space, text) in read_keys(&listed).ok_or(TableError::Row("origin"))? {
            if !from(space, &text) {
                write_key(&mut kept, space, &text);
                continue;
            }
            let key = key(self.generation, &text);
            let value = self.get(space, &key)?;
            let rows = split(&value).ok_or(TableError::Row("alias"))?;
            let mut left = Vec::with_capacity(value.len());
            for row in rows {
                if !is_name_of(&origin_of(space, row)?, dn, &name) {
                    left.extend_from_slice(&u32::try_from(row.len()).unwrap_or(u32::MAX).to_le_bytes());
                    left.extend_from_slice(row);
                }
            }
            self.set(space, key, left);
        }
        self.set(2, origin.to_vec(), kept);
        Ok(())
    }

    /// Adds the rows of an entry.
    pub(super) fn add(&mut self, dn: &Dn, rows: &Rows) -> Result<(), TableError> {
        if rows.domains.is_empty() && rows.aliases.is_empty() {
            return Ok(());
        }
        let (mut added, mut octets) = (Vec::new(), Vec::new());
        for (name, row) in &rows.domains {
            self.uplevel |= row.uplevel;
            self.chains |= row.plugins.iter().any(|plugin| plugin.is_for(hooks::Role::Rewrite));
            octets.clear();
            row.write(&mut octets);
            if self.append(0, name, &octets)? {
                write_key(&mut added, 0, name);
            }
        }
        for (name, row) in &rows.aliases {
            octets.clear();
            row.write(&mut octets);
            if self.append(1, name, &octets)? {
                write_key(&mut added, 1, name);
            }
        }
        let origin = origin_key(self.generation, dn);
        self.value(2, origin.to_vec())?.extend_from_slice(&added);
        Ok(())
    }

    /// Notes by which plugin an entry's rows were built; they were just added.
    pub(super) fn note_maker(&mut self, dn: &Dn, maker: &str) -> Result<(), TableError> {
        let origin = origin_key(self.generation, dn);
        let mut listed = self.get(2, &origin)?;
        // Without rows there is nothing to be said of them.
        if !listed.is_empty() {
            write_key(&mut listed, MAKER, maker);
            self.set(2, origin.to_vec(), listed);
        }
        Ok(())
    }

    /// Whether an entry has the base of a domain among its rows.
    pub(super) fn is_of_domain(&self, dn: &Dn) -> Result<bool, TableError> {
        let listed = self.get(2, &origin_key(self.generation, dn))?;
        let keys = read_keys(&listed).ok_or(TableError::Row("origin"))?;
        Ok(keys.iter().any(|(space, name)| *space == 0 && is_base(name)))
    }

    /// The plugin that builds an entry's rows.
    pub(super) fn builder(
        &mut self,
        dn: &Dn,
        plugins: &dyn Plugins,
        known: &[PluginName],
    ) -> Result<Option<Builder>, TableError> {
        let found = builder_of(dn, plugins, known, |name| {
            let value = self.get(0, &key(self.generation, name))?;
            DomainRow::read_all(&value).ok_or(TableError::Row("routing"))
        })?;
        self.builders.extend(found.as_ref().map(|builder| builder.plugin.clone()));
        Ok(found)
    }

    /// Makes an entry wait for its rows; those that it has stay, where they may.
    pub(super) fn mark(&mut self, dn: &Dn, domain: &Domain, mark: &Mark) -> Result<(), TableError> {
        self.remove_from(dn, |space, _| space == MARKS)?;
        self.let_foreign_go(dn, domain)?;
        let (origin, name) = (origin_key(self.generation, dn), mark_name(domain, dn));
        let place = key(self.generation, &name);
        let mut value = self.get(MARKS, &place)?;
        mark.write(&mut value);
        self.set(MARKS, place, value);
        let mut listed = self.get(2, &origin)?;
        write_key(&mut listed, MARKS, &name);
        self.set(2, origin.to_vec(), listed);
        self.marked += 1;
        Ok(())
    }

    /// Whether an entry waits with this very mark.
    pub(super) fn has_mark(&self, dn: &Dn, domain: &Domain, mark: &Mark) -> Result<bool, TableError> {
        let value = self.get(MARKS, &key(self.generation, &mark_name(domain, dn)))?;
        Ok(Mark::read_all(&value).ok_or(TableError::Row("waiting"))?.contains(mark))
    }

    /// Takes an entry's rows over from another generation, as they are.
    fn keep(&mut self, from: u8, dn: &Dn) -> Result<(), TableError> {
        let Some(list) = self.snapshot.get(ORIGINS, &origin_key(from, dn))? else { return Ok(()) };
        let (origin, name) = (origin_key(self.generation, dn), dn.to_string());
        let mut listed = self.get(2, &origin)?;
        if let Some(maker) = read_maker(&list) {
            write_key(&mut listed, MAKER, &maker);
        }
        for (space, text) in read_keys(&list).ok_or(TableError::Row("origin"))? {
            // A base is a domain's; the entry is none any more.
            if space == MARKS || is_base(&text) {
                continue;
            }
            let value = self.snapshot.get(SPACES[usize::from(space)], &key(from, &text))?.unwrap_or_default();
            for row in split(&value).ok_or(TableError::Row("alias"))? {
                if is_name_of(&origin_of(space, row)?, dn, &name)
                    && self.append(space, &text, &framed(row))?
                {
                    write_key(&mut listed, space, &text);
                }
            }
        }
        self.set(2, origin.to_vec(), listed);
        Ok(())
    }

    /// Appends a row to a key's value; `false` where too many entries claim the key.
    fn append(&mut self, space: u8, name: &str, row: &[u8]) -> Result<bool, TableError> {
        let key = key(self.generation, name);
        let value = self.value(space, key)?;
        if !value.is_empty() && split(value).ok_or(TableError::Row("alias"))?.len() >= CLAIMS_MAX {
            return Ok(false);
        }
        value.extend_from_slice(row);
        self.rows += 1;
        Ok(true)
    }

    pub(super) fn into_batch(self) -> Batch {
        batch_of(self.values)
    }
}

/// What the values come to in storage.
fn batch_of(values: Values) -> Batch {
    let mut batch = Batch::new();
    batch.reserve(values.iter().map(BTreeMap::len).sum());
    for (space, values) in SPACES.into_iter().zip(values) {
        for (key, value) in values {
            if value.is_empty() {
                batch.delete(space, &key);
            } else {
                batch.put(space, &key, value);
            }
        }
    }
    batch
}

/// The name of the entry that a row is of.
pub(super) fn origin_of(space: u8, row: &[u8]) -> Result<String, TableError> {
    let framed = framed(row);
    let name = match space {
        0 => DomainRow::read_all(&framed).and_then(|rows| rows.into_iter().next().map(|row| row.dn)),
        MARKS => Mark::read_all(&framed).and_then(|marks| marks.into_iter().next().map(|mark| mark.dn)),
        _ => AliasRow::read_only(&framed).map(|row| row.dn.into_owned()),
    };
    name.ok_or(TableError::Row("alias"))
}

/// A row with its length before it.
fn framed(row: &[u8]) -> Vec<u8> {
    let mut framed = u32::try_from(row.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    framed.extend_from_slice(row);
    framed
}

/// A generation in the making. Dropped before [`Rebuild::finish`], it changes nothing.
pub struct Rebuild<'p> {
    storage: Storage,
    plugins: &'p dyn Plugins,
    /// What is in force for the role `route-table`: asked before anything is built by it.
    stamp: String,
    /// The state's octets when it began: it comes into force only if nothing else did.
    before: Option<Vec<u8>>,
    /// The same, where it can be read: whose rows are kept.
    old: Option<State>,
    csn: u64,
    generation: u8,
    /// The keys that it has in storage.
    written: KeyFilter,
    waiting: Vec<Built>,
    /// Entries written in the next batch.
    chunk: usize,
    builders: BTreeSet<PluginName>,
    marked: u64,
    entries: u64,
    rows: u64,
    uplevel: bool,
    chains: bool,
}

impl<'p> Rebuild<'p> {
    pub(super) async fn begin(storage: Storage, plugins: &'p dyn Plugins) -> Result<Self, TableError> {
        let stamp = plugins.stamp(Role::RouteTable);
        for _ in 0..TRIES_MAX {
            let (before, old, generation, batch) = {
                let snapshot = storage.read()?;
                let before = snapshot.get(STATE, STATE_KEY)?.map(std::borrow::Cow::into_owned);
                let old = super::reader::state(&snapshot)?;
                let in_force = old.as_ref().map(|state| state.generation);
                let drawn = snapshot.get(STATE, DRAWN_KEY)?.and_then(|octets| octets.first().copied());
                let next = |generation: u8| generation.wrapping_add(1);
                let mut generation = drawn.or(in_force).map_or(0, next);
                if in_force == Some(generation) {
                    generation = next(generation);
                }
                let mut batch = Batch::new();
                match drawn {
                    Some(drawn) => batch.assert_equals(STATE, DRAWN_KEY, &[drawn]),
                    None => batch.assert_absent(STATE, DRAWN_KEY),
                }
                batch.put(STATE, DRAWN_KEY, [generation]);
                (before, old, generation, batch)
            };
            match storage.commit(batch).await {
                Ok(_) => {}
                Err(StorageError::Conflict(_)) => continue,
                Err(error) => return Err(error.into()),
            }
            clear(&storage, generation, generation).await?;
            return Ok(Self {
                storage,
                plugins,
                stamp,
                before,
                old,
                csn: 0,
                generation,
                written: KeyFilter::default(),
                waiting: Vec::new(),
                chunk: CHUNK_MIN,
                builders: BTreeSet::new(),
                marked: 0,
                entries: 0,
                rows: 0,
                uplevel: false,
                chains: false,
            });
        }
        Err(StorageError::Conflict("another build began each time".to_owned()).into())
    }

    /// As of which change number of the directory entries are added.
    pub(super) fn set_csn(&mut self, csn: u64) {
        self.csn = csn;
    }

    /// Whether some plugin may have rows to build: then domains have to be added before other entries.
    pub(super) fn has_builders(&self) -> bool {
        !self.stamp.is_empty() || self.old.as_ref().is_some_and(State::has_builders)
    }

    /// Adds an entry; they are written in chunks, of [`CHUNK_MAX`] at most.
    pub async fn add(&mut self, entry: &Typed, schema: &Schema) -> Result<(), TableError> {
        self.push(Built::of(entry, schema)).await
    }

    pub(super) async fn push(&mut self, built: Built) -> Result<(), TableError> {
        self.entries += 1;
        self.waiting.push(built);
        if self.waiting.len() >= self.chunk { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<(), TableError> {
        let has_builders = self.has_builders();
        self.chunk = (2 * self.chunk).min(CHUNK_MAX);
        let values = {
            let snapshot = self.storage.read()?;
            let mut overlay = Overlay::of_new(&snapshot, self.generation, &self.written);
            let known = self.old.as_ref().map_or(&[][..], |old| &old.builders);
            for Built { dn, rows, is_settled } in self.waiting.drain(..) {
                let builder = if is_settled || !has_builders {
                    None
                } else {
                    overlay.builder(&dn, self.plugins, known)?
                };
                let Some(builder) = builder else {
                    overlay.add(&dn, &rows)?;
                    continue;
                };
                if let Some(old) = &self.old {
                    overlay.keep(old.generation, &dn)?;
                }
                overlay.mark(&dn, &builder.domain, &Mark::new(dn.to_string(), self.csn, true))?;
            }
            self.marked += overlay.marked;
            self.builders.append(&mut overlay.builders);
            self.uplevel |= overlay.uplevel;
            self.chains |= overlay.chains;
            self.rows += overlay.rows;
            overlay.values
        };
        for (space, of_space) in (0..).zip(&values) {
            of_space.keys().for_each(|key| self.written.note(space, key));
        }
        self.storage.commit(batch_of(values)).await?;
        Ok(())
    }

    /// Puts the new generation in force, as of a directory change number, and clears all others.
    /// Gives the numbers of entries and rows.
    pub async fn finish(mut self, csn: u64) -> Result<(u64, u64), TableError> {
        self.write().await?;
        let answers = self.old.as_ref().map_or(0, |old| old.answers);
        let state = State {
            format: FORMAT,
            generation: self.generation,
            csn,
            rows: self.rows,
            uplevel: self.uplevel,
            chains: self.chains,
            stamp: self.stamp,
            builders: self.builders.into_iter().collect(),
            answers,
        };
        let mut batch = Batch::new();
        match &self.before {
            Some(before) => batch.assert_equals(STATE, STATE_KEY, before),
            None => batch.assert_absent(STATE, STATE_KEY),
        }
        batch.put(STATE, STATE_KEY, encode(&state));
        self.storage.commit(batch).await?;
        // What is left of others is nobody's: their builds can no longer come into force.
        if let Some(below) = self.generation.checked_sub(1) {
            clear(&self.storage, 0, below).await?;
        }
        if let Some(above) = self.generation.checked_add(1) {
            clear(&self.storage, above, u8::MAX).await?;
        }
        Ok((self.entries, self.rows))
    }
}

/// The state's octets.
pub(super) fn encode(state: &State) -> Vec<u8> {
    // A Vec takes every octet: writing to it cannot fail.
    postcard::to_stdvec(state).unwrap_or_default()
}

/// Deletes what is left of some generations, both ends included.
async fn clear(storage: &Storage, first: u8, last: u8) -> Result<(), TableError> {
    let until = last.checked_add(1).map_or_else(|| vec![u8::MAX; KEY_MAX], |next| vec![next]);
    for space in SPACES {
        loop {
            let mut batch = Batch::new();
            let mut count = 0;
            storage.read()?.scan(space, &[first], &until, &mut |key, _| {
                batch.delete(space, key);
                count += 1;
                if count < DELETES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            if count == 0 {
                break;
            }
            storage.commit(batch).await?;
        }
    }
    Ok(())
}
