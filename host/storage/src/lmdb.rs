//! The engine on LMDB.

use std::borrow::Cow;
use std::fs::File;
use std::ops::Bound;
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use runtime::files::allocate;

use heed::types::Bytes;
use heed::{CompactionOption, Database, Env, EnvFlags, EnvOpenOptions, PutFlags, RoTxn, RwTxn, WithoutTls};

use crate::ahead::Ahead;
use crate::engine::{Engine, Reading, Visit, Writing};
use crate::error::StorageError;
use crate::space::{COUNTERS, OWN, Space};
use crate::stats::{EngineStats, SpaceStats};
use crate::whole_file::cut_off;

/// LMDB's file.
const ENGINE_FILE: &str = "data.mdb";

/// The file beside it, in which LMDB keeps track of readers.
const READERS_FILE: &str = "lock.mdb";

/// A key that no counter has, for a commit that changes nothing.
const TURN: &[u8] = b"\0turn";

/// Concurrent views. LMDB keeps a slot of 64 octets for each.
const READERS_MAX: u32 = 4096;

type Table = Database<Bytes, Bytes>;

/// The spaces and their handles: few, so a walk beats hashing. Every view shares them.
#[derive(Clone)]
struct Tables(Arc<[(Space, Table)]>);

impl Tables {
    fn of(&self, space: Space) -> Result<Table, StorageError> {
        let same = |name: &str| std::ptr::eq(name.as_ptr(), space.name().as_ptr()) || name == space.name();
        let found = self.0.iter().find(|(known, _)| same(known.name()));
        found.map(|(_, table)| *table).ok_or_else(|| {
            StorageError::Corrupt(format!(
                "the space {:?} was not named when storage was opened",
                space.name()
            ))
        })
    }
}

/// LMDB: a memory-mapped B+ tree, one writer, readers that never wait.
pub struct LmdbEngine {
    env: Env<WithoutTls>,
    tables: Tables,
    /// Where commits are synced, and so are to find pages to write over.
    ahead: Option<Ahead>,
    /// LMDB could not write a meta page: which of two is on disk it does not know, and it refuses all work until
    /// the environment is opened again (`MDB_PANIC`).
    broken: AtomicBool,
}

impl LmdbEngine {
    /// Opens or creates the environment in a folder, with these spaces and the engine's own; `size_max` is the most
    /// that the file may grow to, in octets (address space, not disk, is set aside for it).
    ///
    /// `synced: false` is for what can be rebuilt: commits are not synced, and a power failure
    /// may cost the environment, which has to be removed then, unread.
    pub fn open(dir: &Path, spaces: &[Space], size_max: u64, synced: bool) -> Result<Self, StorageError> {
        let failed = |cause: heed::Error| match cause {
            heed::Error::Mdb(damage) if is_damage(damage) => {
                StorageError::Corrupt(format!("the environment cannot be opened: {damage}"))
            }
            cause => StorageError::unavailable("opening the environment", cause),
        };
        if let Some(cut) =
            cut_off(&dir.join(ENGINE_FILE)).map_err(|e| StorageError::unavailable("opening", e))?
        {
            return Err(StorageError::Corrupt(format!(
                "{ENGINE_FILE} was cut off: it has {} octets, and its last page ends at {}",
                cut.octets, cut.octets_wanted
            )));
        }
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        let size = usize::try_from(size_max).unwrap_or(usize::MAX);
        let spaces: Vec<Space> = OWN.iter().chain(spaces).copied().collect();
        options
            .map_size(size)
            .max_dbs(u32::try_from(spaces.len()).unwrap_or(u32::MAX))
            .max_readers(READERS_MAX);
        let env = open_environment(&mut options, dir, synced).map_err(failed)?;
        let mut transaction = env.write_txn().map_err(failed)?;
        let mut tables = Vec::with_capacity(spaces.len());
        for space in spaces {
            let table = env.create_database(&mut transaction, Some(space.name())).map_err(failed)?;
            tables.push((space, table));
        }
        transaction.commit().map_err(failed)?;
        allocate_readers(dir);
        let ahead = synced.then(|| Ahead::open(&dir.join(ENGINE_FILE), size_max)).transpose();
        let ahead = ahead.map_err(|e| StorageError::unavailable("opening", e))?;
        Ok(Self { env, tables: Tables(tables.into()), ahead, broken: AtomicBool::new(false) })
    }

    fn failed(&self, doing: &'static str, error: &heed::Error) -> StorageError {
        if is_panic(error) {
            self.broken.store(true, Ordering::Relaxed);
        }
        of_writing(doing, error, self.env.path())
    }
}

/// Sees to it that the file of readers has all its room: LMDB maps it, and a slot for which a full disk has none would end the
/// process (SIGBUS).
fn allocate_readers(dir: &Path) {
    let file = File::options().write(true).open(dir.join(READERS_FILE));
    // Where there is no room now, the slots that were used before are there.
    let _ = file.and_then(|file| allocate(&file, file.metadata()?.len()));
}

/// What an error of LMDB comes to for who wants to write.
fn of_writing(doing: &'static str, error: &heed::Error, dir: &Path) -> StorageError {
    match error {
        heed::Error::Io(error) => StorageError::of_writing(doing, error, dir),
        heed::Error::Mdb(heed::MdbError::MapFull) => StorageError::AtSizeMax { doing },
        error => StorageError::unavailable(doing, error),
    }
}

fn is_panic(error: &heed::Error) -> bool {
    matches!(error, heed::Error::Mdb(heed::MdbError::Panic))
}

/// Whether an error says that the file is not what LMDB wrote.
fn is_damage(error: heed::MdbError) -> bool {
    use heed::MdbError::{BadTxn, Corrupted, Incompatible, Invalid, PageNotFound, Panic, VersionMismatch};
    matches!(error, BadTxn | Corrupted | Incompatible | Invalid | PageNotFound | Panic | VersionMismatch)
}

#[allow(unsafe_code)]
fn open_environment(
    options: &mut EnvOpenOptions<WithoutTls>,
    dir: &Path,
    synced: bool,
) -> Result<Env<WithoutTls>, heed::Error> {
    // Random access: read-ahead would only push other pages out.
    let mut flags = EnvFlags::NO_READ_AHEAD;
    if !synced {
        flags |= EnvFlags::NO_SYNC;
    }
    // SAFETY: the file is ours (the data folder is locked by the server), lives on a local disk,
    // and nothing but LMDB writes it; NO_SYNC is only given for what can be rebuilt.
    unsafe { options.flags(flags).open(dir) }
}

impl Engine for LmdbEngine {
    fn read(&self) -> Result<Box<dyn Reading + Send + 'static>, StorageError> {
        let transaction =
            self.env.clone().static_read_txn().map_err(|e| self.failed("beginning to read", &e))?;
        Ok(Box::new(LmdbReading { transaction, tables: self.tables.clone() }))
    }

    fn write(
        &self,
        apply: &mut dyn FnMut(&mut dyn Writing) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let transaction = self.env.write_txn().map_err(|e| self.failed("beginning to write", &e))?;
        let mut writing = LmdbWriting { transaction, tables: &self.tables, dir: self.env.path() };
        apply(&mut writing)?;
        writing.transaction.commit().map_err(|e| self.failed("committing", &e))
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// LMDB takes the pages that a commit has freed from the next but one on. Where that cannot be made for want of them,
    /// one that needs hardly any goes first; nothing of it is left.
    fn reclaim(&self) -> bool {
        let turn = &mut |writing: &mut dyn Writing| {
            writing.put(COUNTERS, TURN, &[])?;
            writing.delete(COUNTERS, TURN).map(drop)
        };
        self.write(turn).is_ok()
    }

    fn make_room_ahead(&self) {
        if let Some(ahead) = &self.ahead {
            let used = (self.env.info().last_page_number as u64 + 1) * u64::from(self.env.stat().page_size);
            // Without room, the next commit makes the file longer itself.
            let _ = ahead.make(used);
        }
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.env.force_sync().map_err(|e| StorageError::unavailable("syncing", e))
    }

    fn stats(&self) -> Result<Option<EngineStats>, StorageError> {
        let failed = |e: heed::Error| self.failed("counting", &e);
        let transaction = self.env.read_txn().map_err(failed)?;
        let info = self.env.info();
        let mut stats = EngineStats {
            file_octets: self.env.real_disk_size().map_err(failed)?,
            size_max: info.map_size as u64,
            ..EngineStats::default()
        };
        for (space, table) in self.tables.0.iter() {
            let found = table.stat(&transaction).map_err(failed)?;
            let pages = found.branch_pages + found.leaf_pages + found.overflow_pages;
            let octets = pages as u64 * u64::from(found.page_size);
            stats.spaces.push(SpaceStats { name: space.name(), entries: found.entries as u64, octets });
        }
        let used = self.env.non_free_pages_size().map_err(failed)?;
        stats.free_octets = stats.file_octets.saturating_sub(used);
        Ok(Some(stats))
    }

    fn copy_to(&self, file: &Path) -> Result<u64, StorageError> {
        let io = |e: std::io::Error| StorageError::unavailable("copying", e);
        let mut to =
            File::options().read(true).write(true).create_new(true).mode(0o600).open(file).map_err(io)?;
        let copied = self.env.copy_to_file(&mut to, CompactionOption::Enabled);
        copied.map_err(|e| self.failed("copying", &e))?;
        to.sync_all().map_err(io)?;
        Ok(to.metadata().map_err(io)?.len())
    }
}

struct LmdbReading {
    transaction: RoTxn<'static, WithoutTls>,
    tables: Tables,
}

fn get<'t>(
    table: Table,
    transaction: &'t RoTxn<'_>,
    key: &[u8],
) -> Result<Option<Cow<'t, [u8]>>, StorageError> {
    let value = table.get(transaction, key).map_err(|e| StorageError::unavailable("reading", e))?;
    Ok(value.map(Cow::Borrowed))
}

/// LMDB has no empty keys, and refuses one as a bound.
fn range<'k>(from: &'k [u8], until: &'k [u8]) -> (Bound<&'k [u8]>, Bound<&'k [u8]>) {
    let start = if from.is_empty() { Bound::Unbounded } else { Bound::Included(from) };
    (start, Bound::Excluded(until))
}

fn scan(
    table: Table,
    transaction: &RoTxn<'_>,
    from: &[u8],
    until: &[u8],
    visit: Visit<'_>,
) -> Result<(), StorageError> {
    if from >= until {
        return Ok(());
    }
    let failed = |e: heed::Error| StorageError::unavailable("scanning", e);
    let range = range(from, until);
    for item in table.range(transaction, &range).map_err(failed)? {
        let (key, value) = item.map_err(failed)?;
        if visit(key, value) == ControlFlow::Break(()) {
            break;
        }
    }
    Ok(())
}

fn scan_back(
    table: Table,
    transaction: &RoTxn<'_>,
    from: &[u8],
    until: &[u8],
    visit: Visit<'_>,
) -> Result<(), StorageError> {
    if from >= until {
        return Ok(());
    }
    let failed = |e: heed::Error| StorageError::unavailable("scanning", e);
    let range = range(from, until);
    for item in table.rev_range(transaction, &range).map_err(failed)? {
        let (key, value) = item.map_err(failed)?;
        if visit(key, value) == ControlFlow::Break(()) {
            break;
        }
    }
    Ok(())
}

impl Reading for LmdbReading {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Cow<'_, [u8]>>, StorageError> {
        get(self.tables.of(space)?, &self.transaction, key)
    }

    fn scan(&self, space: Space, from: &[u8], until: &[u8], visit: Visit<'_>) -> Result<(), StorageError> {
        scan(self.tables.of(space)?, &self.transaction, from, until, visit)
    }

    fn scan_back(
        &self,
        space: Space,
        from: &[u8],
        until: &[u8],
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        scan_back(self.tables.of(space)?, &self.transaction, from, until, visit)
    }
}

struct LmdbWriting<'e> {
    transaction: RwTxn<'e>,
    tables: &'e Tables,
    dir: &'e Path,
}

impl Reading for LmdbWriting<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Cow<'_, [u8]>>, StorageError> {
        get(self.tables.of(space)?, &self.transaction, key)
    }

    fn scan(&self, space: Space, from: &[u8], until: &[u8], visit: Visit<'_>) -> Result<(), StorageError> {
        scan(self.tables.of(space)?, &self.transaction, from, until, visit)
    }

    fn scan_back(
        &self,
        space: Space,
        from: &[u8],
        until: &[u8],
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        scan_back(self.tables.of(space)?, &self.transaction, from, until, visit)
    }
}

impl Writing for LmdbWriting<'_> {
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        let table = self.tables.of(space)?;
        table.put(&mut self.transaction, key, value).map_err(|e| of_writing("writing", &e, self.dir))
    }

    fn append(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        let table = self.tables.of(space)?;
        match table.put_with_flags(&mut self.transaction, PutFlags::APPEND, key, value) {
            // Not the highest key after all: an ordinary put says the same, slower.
            Err(heed::Error::Mdb(heed::MdbError::KeyExist)) => self.put(space, key, value),
            other => other.map_err(|e| of_writing("writing", &e, self.dir)),
        }
    }

    fn delete(&mut self, space: Space, key: &[u8]) -> Result<bool, StorageError> {
        let table = self.tables.of(space)?;
        table.delete(&mut self.transaction, key).map_err(|e| of_writing("deleting", &e, self.dir))
    }

    fn clear(&mut self, space: Space) -> Result<(), StorageError> {
        let table = self.tables.of(space)?;
        table.clear(&mut self.transaction).map_err(|e| of_writing("deleting", &e, self.dir))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_panic_of_lmdb_breaks_the_engine() {
        let dir = tempfile::tempdir().unwrap();
        let engine = LmdbEngine::open(dir.path(), &[], 1 << 20, true).unwrap();
        engine.failed("committing", &heed::Error::Mdb(heed::MdbError::MapFull));
        engine.failed("committing", &heed::Error::Io(std::io::ErrorKind::StorageFull.into()));
        assert!(!engine.is_broken());
        engine.failed("committing", &heed::Error::Mdb(heed::MdbError::Panic));
        assert!(engine.is_broken());
    }

    #[test]
    fn a_limit_that_is_reached_is_told_as_want_of_room() {
        const SPACE: Space = Space::new("numbers");
        let dir = tempfile::tempdir().unwrap();
        let engine = LmdbEngine::open(dir.path(), &[SPACE], 1 << 20, true).unwrap();
        let full = engine.write(&mut |writing| {
            (0..1000_u32).try_for_each(|number| writing.put(SPACE, &number.to_be_bytes(), &[b'x'; 3000]))
        });
        let why = full.unwrap_err();
        assert!(matches!(why, StorageError::AtSizeMax { .. }), "{why}");
        assert!(why.to_string().contains("storage.size-max is reached"), "{why}");
        assert!(!engine.is_broken());
    }
}
