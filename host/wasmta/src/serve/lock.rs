//! One process at a time over a data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::restored;

/// What is said of a data directory that somebody holds.
pub(crate) const IN_USE: &str = "is in use by another process";

/// Holds the data directory until dropped. The system lets go of it when the process dies, however
/// it dies.
#[derive(Debug)]
pub struct DataLock(#[expect(dead_code, reason = "held, never read")] File);

impl DataLock {
    /// Takes the directory, creating it for its owner alone where it is absent.
    pub fn take(data: &Path) -> Result<Self, String> {
        create(data)?;
        let path = data.join("lock");
        let fault = |e: std::io::Error| format!("{}: {e}", path.display());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(fault)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = file.read_to_string(&mut owner);
                let owner = owner.trim();
                return Err(format!("{} {IN_USE} ({owner})", data.display()));
            }
            Err(TryLockError::Error(e)) => return Err(fault(e)),
        }
        // Written over what is there, which takes no room; where a full disk has none for the first one, it says less.
        let owner = format!("process {}\n", std::process::id());
        let _ = file.rewind().and_then(|()| file.write_all(owner.as_bytes()));
        file.set_len(owner.len() as u64).map_err(fault)?;
        // Before anything is opened.
        restored::finish(data)
            .map_err(|e| format!("{}: a restore cannot be finished: {e}", data.display()))?;
        Ok(Self(file))
    }
}

fn create(data: &Path) -> Result<(), String> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(|e| format!("{} cannot be created: {e}", data.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let lock = DataLock::take(&data).unwrap();
        let why = DataLock::take(&data).unwrap_err();
        assert!(why.contains("in use by another process"), "{why}");
        drop(lock);
        DataLock::take(&data).unwrap();
    }
}
