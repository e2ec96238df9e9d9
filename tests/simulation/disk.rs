//! A disk in memory that fails and loses power on purpose, behind the storage engine's trait.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;
use runtime::Random;
use storage::{Engine, Reading, Space, StorageError, Visit, Writing};

type Table = BTreeMap<Vec<u8>, Vec<u8>>;
type Tables = HashMap<Space, Arc<Table>>;

/// What the disk does when it is asked to commit, or to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// It commits.
    Sound,
    /// Each commit fails with this chance in a thousand, and each reading as often.
    Failing(u64),
    /// Nothing fits any more.
    Full,
}

struct State {
    committed: Tables,
    health: Health,
    commits: u64,
    failures: u64,
    failed_readings: u64,
    /// Commits until the power goes, where that is to come.
    power: Option<u64>,
    is_cut: bool,
}

/// The disk. It outlives the servers that use it, one after the other.
pub(crate) struct Disk {
    state: Mutex<State>,
    random: Random,
}

impl Disk {
    pub(crate) fn new(random: Random) -> Arc<Self> {
        let state = State {
            committed: Tables::new(),
            health: Health::Sound,
            commits: 0,
            failures: 0,
            failed_readings: 0,
            power: None,
            is_cut: false,
        };
        Arc::new(Self { state: Mutex::new(state), random })
    }

    pub(crate) fn set_health(&self, health: Health) {
        self.state.lock().health = health;
    }

    /// The power goes after so many commits, or stays.
    pub(crate) fn set_power(&self, commits: Option<u64>) {
        self.state.lock().power = commits;
    }

    /// Whether somebody wanted to commit after the power went.
    pub(crate) fn is_cut(&self) -> bool {
        self.state.lock().is_cut
    }

    /// Commits that succeeded and that failed, and readings that failed.
    pub(crate) fn commits(&self) -> (u64, u64, u64) {
        let state = self.state.lock();
        (state.commits, state.failures, state.failed_readings)
    }

    fn fails(&self, health: Health) -> bool {
        match health {
            Health::Sound => false,
            Health::Failing(per_mille) => self.random.below(1000) < per_mille,
            Health::Full => true,
        }
    }
}

/// One server's handle of the disk. After a crash the handle is dead: whatever the old server's
/// tasks still try comes to nothing.
pub(crate) struct Handle {
    disk: Arc<Disk>,
    dead: Mutex<bool>,
}

impl Handle {
    pub(crate) fn new(disk: &Arc<Disk>) -> Arc<Self> {
        Arc::new(Self { disk: Arc::clone(disk), dead: Mutex::new(false) })
    }

    pub(crate) fn cut_power(&self) {
        *self.dead.lock() = true;
    }
}

/// The handle as an engine (a newtype, because both trait and `Arc` are foreign).
pub(crate) struct DiskEngine(pub(crate) Arc<Handle>);

impl Engine for DiskEngine {
    fn read(&self) -> Result<Box<dyn Reading + Send + 'static>, StorageError> {
        let disk = &self.0.disk;
        let mut state = disk.state.lock();
        // A full disk can be read.
        if state.health != Health::Full && disk.fails(state.health) {
            state.failed_readings += 1;
            return Err(StorageError::unavailable("reading", "simulated fault of the disk"));
        }
        Ok(Box::new(View(state.committed.clone())))
    }

    fn write(
        &self,
        apply: &mut dyn FnMut(&mut dyn Writing) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        if *self.0.dead.lock() {
            return Err(StorageError::unavailable("writing", "the power is cut"));
        }
        let (tables, health) = {
            let mut state = self.0.disk.state.lock();
            if state.power == Some(0) {
                state.is_cut = true;
                return Err(StorageError::unavailable("writing", "the power is cut"));
            }
            (state.committed.clone(), state.health)
        };
        let mut view = View(tables);
        apply(&mut view)?;
        let fails = self.0.disk.fails(health);
        let mut state = self.0.disk.state.lock();
        if fails {
            state.failures += 1;
            return Err(StorageError::unavailable("committing", "simulated fault of the disk"));
        }
        state.commits += 1;
        state.power = state.power.map(|left| left.saturating_sub(1));
        state.committed = view.0;
        Ok(())
    }
}

struct View(Tables);

impl View {
    fn table(&self, space: Space) -> Option<&Table> {
        self.0.get(&space).map(|table| &**table)
    }

    fn table_mut(&mut self, space: Space) -> &mut Table {
        Arc::make_mut(self.0.entry(space).or_default())
    }
}

impl Reading for View {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Cow<'_, [u8]>>, StorageError> {
        Ok(self.table(space).and_then(|table| table.get(key)).map(|value| Cow::Borrowed(&value[..])))
    }

    fn scan(&self, space: Space, from: &[u8], until: &[u8], visit: Visit<'_>) -> Result<(), StorageError> {
        let range = || {
            self.table(space).filter(|_| from < until).map(|table| table.range(from.to_vec()..until.to_vec()))
        };
        for (key, value) in range().into_iter().flatten() {
            if visit(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn scan_back(
        &self,
        space: Space,
        from: &[u8],
        until: &[u8],
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        let range = || {
            self.table(space).filter(|_| from < until).map(|table| table.range(from.to_vec()..until.to_vec()))
        };
        for (key, value) in range().into_iter().flatten().rev() {
            if visit(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

impl Writing for View {
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.table_mut(space).insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn append(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.put(space, key, value)
    }

    fn delete(&mut self, space: Space, key: &[u8]) -> Result<bool, StorageError> {
        Ok(self.table_mut(space).remove(key).is_some())
    }

    fn clear(&mut self, space: Space) -> Result<(), StorageError> {
        self.table_mut(space).clear();
        Ok(())
    }
}
