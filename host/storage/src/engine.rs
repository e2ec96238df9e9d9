//! The seam: what an engine must do. Small, ordered-key-value shaped, free of LMDB's words, so
//! that a distributed engine, or one that fails on purpose, fits behind it.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::Path;

use crate::error::StorageError;
use crate::space::Space;
use crate::stats::EngineStats;

/// Called with each key and value of a scan; `Break` ends it.
pub type Visit<'v> = &'v mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// A consistent view: what was committed when it was taken.
pub trait Reading {
    /// The value of a key.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Cow<'_, [u8]>>, StorageError>;

    /// Visits keys in `from..until` in rising order.
    fn scan(&self, space: Space, from: &[u8], until: &[u8], visit: Visit<'_>) -> Result<(), StorageError>;

    /// Visits keys in `from..until` in falling order.
    fn scan_back(
        &self,
        space: Space,
        from: &[u8],
        until: &[u8],
        visit: Visit<'_>,
    ) -> Result<(), StorageError>;
}

/// A transaction being written.
pub trait Writing: Reading {
    /// Sets a key.
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<(), StorageError>;

    /// Sets a key that is higher than all others of its space.
    fn append(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<(), StorageError>;

    /// Removes a key; whether it was there.
    fn delete(&mut self, space: Space, key: &[u8]) -> Result<bool, StorageError>;

    /// Removes all keys of a space.
    fn clear(&mut self, space: Space) -> Result<(), StorageError>;
}

/// Something that keeps spaces durably.
pub trait Engine: Send + Sync + 'static {
    /// A consistent view of what is committed. Cheap; to be dropped soon, because old pages
    /// cannot be used again while it lives.
    fn read(&self) -> Result<Box<dyn Reading + Send + 'static>, StorageError>;

    /// Whether it has failed in a way that only opening it anew mends: it refuses everything from now on.
    fn is_broken(&self) -> bool {
        false
    }

    /// Runs one transaction: what `apply` wrote is on stable storage when this returns `Ok`, and
    /// nothing of it is visible when it returns `Err`. There is one caller at a time.
    fn write(
        &self,
        apply: &mut dyn FnMut(&mut dyn Writing) -> Result<(), StorageError>,
    ) -> Result<(), StorageError>;

    /// Makes usable what the last commit has freed, where that takes a commit more; whether it did.
    fn reclaim(&self) -> bool {
        false
    }

    /// Makes room for commits to come, while nobody waits for one: whatever calls [`Engine::write`] calls this after it, once
    /// it has said what came of it. What fails here costs time alone.
    fn make_room_ahead(&self) {}

    /// Puts on stable storage what commits have not: for engines whose commits are not synced.
    fn sync(&self) -> Result<(), StorageError> {
        Ok(())
    }

    /// What it takes up; `None` where it cannot say.
    fn stats(&self) -> Result<Option<EngineStats>, StorageError> {
        Ok(None)
    }

    /// Writes a copy of what is committed now, without what is free, to a file that is not there yet, and syncs it; how
    /// many octets it has. Others write meanwhile.
    fn copy_to(&self, _file: &Path) -> Result<u64, StorageError> {
        Err(StorageError::unavailable("copying", "this engine keeps no file"))
    }
}
