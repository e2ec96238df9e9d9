//! Room on the disk that is kept for the time when there is none.
//!
//! To delete, too, takes room: pages that a commit replaces are free only after it. So a file keeps some, and goes when a
//! commit that brings no content finds none, or a start does. From then on nothing new is taken in, lest that use the room up,
//! until the disk has room for the file again and more.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use runtime::files::{allocate, free_octets};

use crate::error::{ROOM_MIN, StorageError};

/// The file's name in the folder of a storage.
const FILE: &str = "RESERVE";
/// Its octets: thousands of pages, and few on any disk that mail is kept on.
const OCTETS: u64 = 8 << 20;
/// Octets that a disk has to have beside it before it is made.
const BESIDE_MIN: u64 = 8 << 20;

/// The reserve of a data directory; clones are the same one.
#[derive(Debug, Clone)]
pub struct Reserve(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    is_held: AtomicBool,
    making: Mutex<()>,
}

impl Reserve {
    /// Takes the reserve of a folder, whether it is there or not. Where one of these folders' disks is full, it is given up: what
    /// opens them has to write a little.
    #[must_use]
    pub fn open(folder: &Path, needing: &[&Path]) -> Self {
        let is_held = folder.join(FILE).metadata().is_ok_and(|file| file.len() == OCTETS);
        let inner =
            Inner { folder: folder.to_owned(), is_held: AtomicBool::new(is_held), making: Mutex::default() };
        let reserve = Self(Arc::new(inner));
        if needing.iter().any(|folder| !has_octets(folder, ROOM_MIN)) {
            reserve.give_up();
        }
        reserve
    }

    /// Whether new content may be taken in: the reserve is there, or is made now that the disk has room.
    pub(crate) fn admits(&self) -> Result<(), StorageError> {
        if self.0.is_held.load(Ordering::Acquire) {
            return Ok(());
        }
        self.make()
            .map_err(|e| StorageError::Full { doing: "keeping a reserve", cause: e.to_string().into() })
    }

    /// Makes it, where it is not there.
    ///
    /// # Errors
    /// The disk has not enough room, or something else is wrong with it.
    pub fn make(&self) -> io::Result<()> {
        let Inner { folder, is_held, making } = &*self.0;
        let _one = making.lock();
        if is_held.load(Ordering::Acquire) {
            return Ok(());
        }
        if !has_octets(folder, OCTETS + BESIDE_MIN) {
            let (shown, needed) = (folder.display(), (OCTETS + BESIDE_MIN) >> 20);
            return Err(io::Error::other(format!(
                "the disk of {shown} is full: nothing new is stored until it has {needed} MiB; reading and deleting work"
            )));
        }
        let path = folder.join(FILE);
        let file = File::options().write(true).create(true).truncate(true).open(&path)?;
        let made = allocate(&file, OCTETS).and_then(|()| file.sync_all());
        made.inspect_err(|_| {
            // What is there of it is not needed by anybody.
            let _ = std::fs::remove_file(&path);
        })?;
        is_held.store(true, Ordering::Release);
        Ok(())
    }

    /// Lets its room be used, where it is held; whether it did.
    pub(crate) fn give_up(&self) -> bool {
        let _one = self.0.making.lock();
        let was_held = self.0.is_held.swap(false, Ordering::AcqRel);
        was_held && std::fs::remove_file(self.0.folder.join(FILE)).is_ok()
    }
}

/// Whether a disk has so many octets; also where it does not say, or the folder is not there yet.
fn has_octets(folder: &Path, octets: u64) -> bool {
    free_octets(folder).map_or(true, |free| free >= octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_goes_where_a_disk_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::open(dir.path(), &[dir.path()]);
        let file = dir.path().join(FILE);
        assert!(!file.exists(), "it is made by who serves");
        reserve.admits().unwrap();
        assert_eq!(file.metadata().unwrap().len(), OCTETS);
        let again = Reserve::open(dir.path(), &[dir.path()]);
        assert!(again.0.is_held.load(Ordering::Acquire));
        // A file system without any room at all.
        let full = Reserve::open(dir.path(), &[Path::new("/proc")]);
        assert!(!file.exists());
        full.make().unwrap();
        assert!(full.give_up() && !file.exists());
        assert!(!full.give_up(), "once");
        let nowhere = Reserve::open(Path::new("/proc"), &[]);
        let why = nowhere.admits().unwrap_err();
        assert!(matches!(why, StorageError::Full { .. }), "{why}");
        assert!(why.to_string().contains("the disk of /proc is full"), "{why}");
    }
}
