//! What is made from contents, kept so that it need not be made again. A content never changes, and its number is never
//! given twice: what was made from it stays right. Nothing is lost where this goes.

use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;
use storage::{Batch, ContentId, Snapshot, Space, Storage};
use tokio::sync::Semaphore;

/// By content id u64, kind u8: what was made.
const DERIVED: Space = Space::new("derived");
/// Its counters: how many octets are kept.
const DERIVED_COUNTERS: Space = Space::new("derived_counters");
/// The key and the field of the octets.
const OCTETS_KEY: &[u8] = b"derived";
const OCTETS: u8 = 0;

/// The key spaces of what is derived.
pub const DERIVED_SPACES: &[Space] = &[DERIVED, DERIVED_COUNTERS];

/// Most octets that are kept in all; beyond, what was made from the oldest contents goes.
pub const DERIVED_OCTETS_MAX: u64 = 2 << 30;
/// Entries and octets that wait to be written together.
const PENDING_ENTRIES_MAX: usize = 200;
const PENDING_OCTETS_MAX: usize = 1 << 20;
/// Writes on their way at a time; what comes beyond is not kept.
const WRITES_MAX: usize = 4;
/// Entries that are removed at a time where there is too much.
const REMOVED_AT_ONCE: usize = 5_000;

/// What is kept; clones are the same.
#[derive(Clone)]
pub struct Derived {
    inner: Arc<Inner>,
}

struct Inner {
    storage: Storage,
    octets_max: u64,
    pending: Mutex<Pending>,
    /// See [`WRITES_MAX`].
    writes: Arc<Semaphore>,
}

#[derive(Default)]
struct Pending {
    entries: Vec<([u8; 9], Vec<u8>)>,
    octets: usize,
}

fn key(content: ContentId, kind: u8) -> [u8; 9] {
    let mut key = [0; 9];
    key[..8].copy_from_slice(&content.to_key());
    key[8] = kind;
    key
}

impl Derived {
    /// Over a storage that was opened with [`DERIVED_SPACES`]; it need not be synced.
    #[must_use]
    pub fn new(storage: Storage) -> Self {
        Self::bounded(storage, DERIVED_OCTETS_MAX)
    }

    fn bounded(storage: Storage, octets_max: u64) -> Self {
        let writes = Arc::new(Semaphore::new(WRITES_MAX));
        Self { inner: Arc::new(Inner { storage, octets_max, pending: Mutex::default(), writes }) }
    }

    /// A reader of this moment; `None` where the storage rests. Drop it soon, and not after an `.await`.
    #[must_use]
    pub fn reader(&self) -> Option<DerivedReader> {
        self.inner.storage.read().ok().map(|snapshot| DerivedReader { snapshot })
    }

    /// Keeps what was made from a content; it is written some time later, with others.
    pub fn keep(&self, content: ContentId, kind: u8, octets: Vec<u8>) {
        let full = {
            let mut pending = self.inner.pending.lock();
            pending.octets += octets.len();
            pending.entries.push((key(content, kind), octets));
            pending.entries.len() >= PENDING_ENTRIES_MAX || pending.octets >= PENDING_OCTETS_MAX
        };
        if full {
            self.flush();
        }
    }

    /// Writes what waits. What cannot be written is made again when it is wanted.
    pub fn flush(&self) {
        let entries = std::mem::take(&mut *self.inner.pending.lock()).entries;
        if entries.is_empty() {
            return;
        }
        // A disk that lags must not have the rest gather in memory.
        let Ok(turn) = Arc::clone(&self.inner.writes).try_acquire_owned() else { return };
        let derived = self.clone();
        tokio::spawn(async move {
            derived.write(entries).await;
            drop(turn);
        });
    }

    async fn write(&self, entries: Vec<([u8; 9], Vec<u8>)>) {
        let storage = &self.inner.storage;
        let mut batch = Batch::new();
        let mut octets = 0;
        for (key, value) in entries {
            octets += value.len() + key.len();
            batch.put(DERIVED, &key, value);
        }
        // Written twice it is counted twice: the bound is one of order, and holds.
        batch.add(DERIVED_COUNTERS, OCTETS_KEY, &[(OCTETS, i64::try_from(octets).unwrap_or(i64::MAX))]);
        if storage.commit(batch).await.is_err() {
            return;
        }
        let kept = storage.read().and_then(|read| read.counter(DERIVED_COUNTERS, OCTETS_KEY, OCTETS));
        if kept.is_ok_and(|kept| kept > self.inner.octets_max) {
            self.remove_oldest().await;
        }
    }

    /// Removes what was made from the oldest contents.
    async fn remove_oldest(&self) {
        let storage = &self.inner.storage;
        let mut batch = Batch::new();
        let (mut entries, mut octets) = (0, 0);
        {
            let Ok(snapshot) = storage.read() else { return };
            let _ = snapshot.scan(DERIVED, &[0], &[0xff; 10], &mut |key, value| {
                batch.delete(DERIVED, key);
                octets += i64::try_from(key.len() + value.len()).unwrap_or(0);
                entries += 1;
                if entries < REMOVED_AT_ONCE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            let kept = snapshot.counter(DERIVED_COUNTERS, OCTETS_KEY, OCTETS).unwrap_or(0);
            if entries < REMOVED_AT_ONCE {
                // Nothing is left: what was counted twice is forgotten, too.
                octets = i64::try_from(kept).unwrap_or(i64::MAX);
            }
        }
        batch.add(DERIVED_COUNTERS, OCTETS_KEY, &[(OCTETS, -octets)]);
        let _ = storage.commit(batch).await;
    }
}

/// What is kept, at one moment.
pub struct DerivedReader {
    snapshot: Snapshot,
}

impl DerivedReader {
    /// What was made of a kind from a content.
    #[must_use]
    pub fn get(&self, content: ContentId, kind: u8) -> Option<Vec<u8>> {
        self.with(content, kind, <[u8]>::to_vec)
    }

    /// The same, without a copy.
    pub fn with<T>(&self, content: ContentId, kind: u8, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        self.snapshot.get(DERIVED, &key(content, kind)).ok().flatten().map(|octets| read(&octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage(dir: &std::path::Path) -> Storage {
        let options = storage::Options { size_max: 1 << 28, synced: false, ..storage::Options::default() };
        Storage::open(dir, DERIVED_SPACES, &options).unwrap()
    }

    #[tokio::test]
    async fn what_a_slow_disk_cannot_take_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let derived = Derived::new(storage(dir.path()));
        let kept = |derived: &Derived| {
            let reader = derived.reader().unwrap();
            (1..=9).filter(|content| reader.get(ContentId(*content), 1).is_some()).collect::<Vec<_>>()
        };
        // Nothing is awaited: no write can end before the last has begun.
        for content in 1..=WRITES_MAX as u64 + 2 {
            derived.keep(ContentId(content), 1, b"made".to_vec());
            derived.flush();
        }
        assert_eq!(derived.inner.writes.available_permits(), 0);
        let all = u32::try_from(WRITES_MAX).unwrap();
        drop(derived.inner.writes.acquire_many(all).await.unwrap());
        assert_eq!(kept(&derived), (1..=WRITES_MAX as u64).collect::<Vec<_>>());
        derived.keep(ContentId(9), 1, b"made".to_vec());
        derived.flush();
        drop(derived.inner.writes.acquire_many(all).await.unwrap());
        assert!(kept(&derived).contains(&9));
        derived.inner.storage.close().await;
    }

    #[tokio::test]
    async fn what_is_kept_is_found_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let derived = Derived::bounded(storage(dir.path()), 10_000_000);
        let get = |content, kind| derived.reader().unwrap().get(ContentId(content), kind);
        derived
            .write(vec![(key(ContentId(1), 1), b"one".to_vec()), (key(ContentId(1), 2), b"two".to_vec())])
            .await;
        assert_eq!((get(1, 1), get(1, 2), get(2, 1)), (Some(b"one".to_vec()), Some(b"two".to_vec()), None));
        for content in 10..20 {
            let entries = (0..1_000).map(|kind| (key(ContentId(content * 1_000 + kind), 1), vec![7; 1_200]));
            derived.write(entries.collect()).await;
        }
        // Twelve million octets came, ten may stay.
        assert_eq!((get(1, 1), get(19_999, 1)), (None, Some(vec![7; 1_200])));
        derived.inner.storage.close().await;
    }
}
