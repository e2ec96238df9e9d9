//! The lock of a mailbox file that others write to as well: as Debian's mail programs take it.
//!
//! Debian Policy §11.6: `fcntl` first, then a dot lock (`FILE.lock`), and where the second cannot be had, the first is
//! given back before waiting. `flock` is not looked at there, and so not here. The `fcntl` lock is one of the open file
//! (`F_OFD_SETLK`): it meets those of other processes like any, but is not lost when this process closes the same file
//! elsewhere, and keeps our own writers apart too.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::beneath::{BeneathError, Folder, is_named};

/// A dot lock that is older was left behind by a crash: as liblockfile has it.
const STALE: Duration = Duration::from_secs(300);

/// Both locks of a mailbox file, with the file; given back when it is dropped.
#[derive(Debug)]
pub struct MailboxLock {
    folder: Folder,
    name: String,
    file: File,
    /// Whether the file was made for this.
    pub is_new: bool,
}

impl MailboxLock {
    /// Opens and locks a file of a folder, made where it is not there; `None` while somebody else has either lock. Waits
    /// for nothing. Blocks.
    ///
    /// # Errors
    /// As [`Folder::append`]; or the locks cannot be taken at all.
    pub fn take(folder: Folder, name: &str) -> Result<Option<Self>, BeneathError> {
        let (file, is_new) = folder.append(name)?;
        if !lock(&file)? {
            return Ok(None);
        }
        let dot = dot(name);
        if folder.age(&dot)?.is_some_and(|age| age > STALE) {
            // Nobody of us is here meanwhile: the other lock is ours.
            folder.remove(&dot)?;
        }
        if folder.create(&dot)?.is_none() {
            return Ok(None);
        }
        let lock = Self { folder, name: name.to_owned(), file, is_new };
        // Somebody may have put another file in its place before we had the locks.
        Ok(is_named(&lock.file)?.then_some(lock))
    }

    /// The file, open for reading and appending.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// The folder that it is in, and the file.
    pub fn parts(&mut self) -> (&Folder, &mut File) {
        (&self.folder, &mut self.file)
    }

    /// The folder that it is in.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }
}

impl Drop for MailboxLock {
    fn drop(&mut self) {
        // What stays behind ages. The other lock goes with the file.
        let _ = self.folder.remove(&dot(&self.name));
    }
}

fn dot(name: &str) -> String {
    format!("{name}.lock")
}

/// Locks a whole file for writing; `false` where somebody else has it.
#[allow(unsafe_code)]
fn lock(file: &File) -> io::Result<bool> {
    let whole = libc::flock {
        l_type: i16::try_from(libc::F_WRLCK).unwrap_or_default(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open for as long as `file` lives, and the call keeps nothing of the local it reads.
    let taken = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const whole) };
    if taken == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn one_has_it_at_a_time() {
        let place = tempfile::tempdir().unwrap();
        let take = || MailboxLock::take(Folder::root(place.path()).unwrap(), "box").unwrap();
        let first = take().unwrap();
        assert!(first.is_new && place.path().join("box.lock").exists());
        assert!(take().is_none());
        drop(first);
        assert!(!place.path().join("box.lock").exists());
        assert!(!take().unwrap().is_new);
    }

    #[test]
    fn the_lock_of_a_program_that_knows_fcntl_alone_is_respected() {
        let place = tempfile::tempdir().unwrap();
        let take = || MailboxLock::take(Folder::root(place.path()).unwrap(), "box").unwrap();
        let other = std::fs::File::create(place.path().join("box")).unwrap();
        let operation = rustix::fs::FlockOperation::NonBlockingLockExclusive;
        // The kind of lock that other processes take, which meets ours even within one process.
        rustix::fs::fcntl_lock(&other, operation).unwrap();
        assert!(take().is_none());
        drop(other);
        assert!(take().is_some());
    }

    #[test]
    fn dot_locks_of_others_are_kept_until_they_are_stale() {
        let place = tempfile::tempdir().unwrap();
        let take = || MailboxLock::take(Folder::root(place.path()).unwrap(), "box").unwrap();
        let dot = std::fs::File::create(place.path().join("box.lock")).unwrap();
        assert!(take().is_none());
        dot.set_modified(SystemTime::now() - STALE - Duration::from_secs(5)).unwrap();
        assert!(take().is_some());
    }
}
