//! What can go wrong, by what the caller does about it.

use std::io;
use std::path::Path;
use std::sync::Arc;

/// The system's number for an error of input or output, on all systems that we run on.
const EIO: i32 = 5;
/// What a disk has to have left, in octets, lest a failing write be taken for want of room: LMDB writes up to so much in one
/// go.
pub(crate) const ROOM_MIN: u64 = 1 << 20;

/// Whether the disk has room; also where it does not say.
fn has_room(folder: &Path) -> bool {
    runtime::files::free_octets(folder).map_or(true, |free| free >= ROOM_MIN)
}

/// Why storage did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// An assertion of the batch does not hold: nothing was written. Read again and decide anew.
    #[error("another change came first: {0}")]
    Conflict(String),
    /// The disk is full or failing, or the writer is overloaded: nothing was written. Try later.
    #[error("storage is unavailable while {doing}: {cause}")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// The system's own words.
        cause: Arc<str>,
    },
    /// The disk has no room, or its user may not have more of it. Nothing was written. Try later.
    #[error("no space left while {doing}: {cause}")]
    Full {
        /// What was being done.
        doing: &'static str,
        /// What is full, or the system's own words.
        cause: Arc<str>,
    },
    /// Storage has grown as far as the operator lets it. Nothing was written. Try later.
    #[error("no space left while {doing}: storage.size-max is reached")]
    AtSizeMax {
        /// What was being done.
        doing: &'static str,
    },
    /// Content is larger than the maximum that its writer was given, in octets.
    #[error("content is larger than {0} octets")]
    TooLarge(u64),
    /// What is on disk breaks its own rules.
    #[error("storage is corrupt: {0}; run `wasmta check`, and restore from a backup if it agrees")]
    Corrupt(String),
    /// What is on disk is right, and this program does not know its format.
    #[error("{0}: it was written by a newer version of wasmta: start that version over these data")]
    Newer(String),
    /// The storage has been closed.
    #[error("storage is closed")]
    Closed,
}

impl StorageError {
    /// An error of the system while doing something.
    pub fn unavailable(doing: &'static str, cause: impl std::fmt::Display) -> Self {
        Self::Unavailable { doing, cause: cause.to_string().into() }
    }

    /// Whether there is no room, for whichever reason.
    #[must_use]
    pub fn is_want_of_room(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::AtSizeMax { .. })
    }

    /// An error of the system while something was written below a folder.
    pub(crate) fn of_writing(doing: &'static str, error: &io::Error, folder: &Path) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { doing, cause: error.to_string().into() }
            }
            // LMDB says so of a write that the disk took a part of, as it does when it is full.
            _ if error.raw_os_error() == Some(EIO) && !has_room(folder) => {
                let cause = format!("the disk of {} is full ({error})", folder.display());
                Self::Full { doing, cause: cause.into() }
            }
            _ => Self::unavailable(doing, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_room_is_told_from_a_failing_disk() {
        let here = Path::new(".");
        for number in [28, 122] {
            // ENOSPC, EDQUOT
            let error = StorageError::of_writing("committing", &io::Error::from_raw_os_error(number), here);
            assert!(error.to_string().starts_with("no space left while committing: "), "{error}");
        }
        let failing = io::Error::from_raw_os_error(EIO);
        // This disk has room.
        let error = StorageError::of_writing("committing", &failing, here);
        assert!(matches!(error, StorageError::Unavailable { .. }), "{error}");
        // A file system without any room at all.
        let error = StorageError::of_writing("committing", &failing, Path::new("/proc"));
        assert!(matches!(error, StorageError::Full { .. }), "{error}");
    }
}
