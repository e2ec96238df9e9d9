//! What a storage takes up, for operators.

use std::ops::ControlFlow;

use crate::apply::references_of;
use crate::content::{ContentId, LoadedContent};
use crate::error::StorageError;
use crate::open::{Snapshot, Storage};
use crate::pack::packed_len;
use crate::space::{CONTENT, CONTENT_FILES, CONTENT_PACKED};

/// What an engine takes up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineStats {
    /// Octets of its file.
    pub file_octets: u64,
    /// Octets of it that hold nothing now, and are used before it grows.
    pub free_octets: u64,
    /// The most that it may grow to, in octets.
    pub size_max: u64,
    /// Its spaces.
    pub spaces: Vec<SpaceStats>,
}

/// What a space takes up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceStats {
    /// Its name.
    pub name: &'static str,
    /// Its keys.
    pub entries: u64,
    /// Octets of its pages.
    pub octets: u64,
}

/// What content takes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ContentStats {
    /// Contents.
    pub contents: u64,
    /// Of them, those in files of their own.
    pub files: u64,
    /// Of them, those that are packed.
    pub packed: u64,
    /// Octets of all, each counted once, as readers see them.
    pub octets: u64,
    /// Octets that packing saves.
    pub packing_saves_octets: u64,
    /// References to them.
    pub references: u64,
    /// Octets that would be there more if each reference had a copy of its own.
    pub saved_octets: u64,
}

impl Storage {
    /// What the engine takes up; `None` where it cannot say.
    pub fn stats(&self) -> Result<Option<EngineStats>, StorageError> {
        self.engine.stats()
    }
}

impl Snapshot {
    /// What content takes up. Visits all of it, but for the octets; blocks as long as that takes.
    pub fn content_stats(&self) -> Result<ContentStats, StorageError> {
        let mut stats = ContentStats::default();
        let mut failed = None;
        for space in [CONTENT, CONTENT_PACKED, CONTENT_FILES] {
            self.scan(space, &[], &[0xff; 9], &mut |key, value| {
                let Ok(key) = <[u8; 8]>::try_from(key) else { return ControlFlow::Continue(()) };
                let id = ContentId(u64::from_be_bytes(key));
                let len = if space == CONTENT {
                    Ok(value.len() as u64)
                } else if space == CONTENT_PACKED {
                    let len = packed_len(value).unwrap_or(0);
                    stats.packed += 1;
                    stats.packing_saves_octets += len.saturating_sub(value.len() as u64);
                    Ok(len)
                } else {
                    stats.files += 1;
                    self.content(id).map(|content| {
                        if let Some(LoadedContent::Packed(file)) = &content {
                            stats.packed += 1;
                            stats.packing_saves_octets += file.len().saturating_sub(file.file_len());
                        }
                        content.map_or(0, |content| content.len())
                    })
                };
                match (len, references_of(&*self.reading, id)) {
                    (Ok(len), Ok(references)) => {
                        stats.contents += 1;
                        stats.octets += len;
                        stats.references += references;
                        stats.saved_octets += len * references.saturating_sub(1);
                        ControlFlow::Continue(())
                    }
                    (Err(error), _) | (_, Err(error)) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })?;
        }
        failed.map_or(Ok(stats), Err)
    }
}
