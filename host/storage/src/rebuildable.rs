//! Folders of what can be built anew, whose commits are not synced. A power cut may tear them in ways
//! that nobody notices until a page of another time is read; so a mark tells which boot of the machine
//! wrote them, and what another boot left open is thrown away unread.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use runtime::files::{self, Readers};

/// The file with the mark.
const MARK: &str = "UNSYNCED";
/// What the mark says after everything was synced.
const CLOSED: &[u8] = b"closed\n";
/// Largest mark, in octets.
const MARK_OCTETS_MAX: u64 = 256;

/// Before the folder is opened: empties it unless it was closed in order, or left by a process of this
/// boot, whose writes the system has kept. A folder without a mark is of unknown age.
pub(crate) fn enter(dir: &Path, boot: Option<&str>) -> io::Result<()> {
    let mine = boot.map(|boot| format!("open, boot {boot}\n").into_bytes());
    let found = files::read(&dir.join(MARK), MARK_OCTETS_MAX).ok();
    let whole = found.is_some() && (found.as_deref() == Some(CLOSED) || found == mine);
    if !whole {
        empty(dir)?;
    }
    // Without a boot's name no later start can know that the system has kept the writes.
    let mark = mine.unwrap_or_else(|| b"open\n".to_vec());
    write(dir, &mark)
}

/// Writes the mark, on a full disk in its own place: one that is torn there is not known, and the folder is emptied.
fn write(dir: &Path, mark: &[u8]) -> io::Result<()> {
    let path = dir.join(MARK);
    match files::write_durably(&path, mark, Readers::Owner) {
        Err(e) if matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            let file = File::options().write(true).open(&path).map_err(|_| e)?;
            file.write_all_at(mark, 0)?;
            file.set_len(mark.len() as u64)?;
            file.sync_all()
        }
        written => written,
    }
}

/// After all was written and synced.
pub(crate) fn leave(dir: &Path) -> io::Result<()> {
    write(dir, CLOSED)
}

/// Removes all that is in the folder.
pub(crate) fn empty(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    files::sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_boot_left_open_is_thrown_away() {
        let left = |first: Option<&str>, closed: bool, then: Option<&str>| {
            let dir = tempfile::tempdir().unwrap();
            enter(dir.path(), first).unwrap();
            std::fs::write(dir.path().join("data.mdb"), "x").unwrap();
            if closed {
                leave(dir.path()).unwrap();
            }
            enter(dir.path(), then).unwrap();
            dir.path().join("data.mdb").exists()
        };
        assert!(left(Some("a"), false, Some("a")), "a crash of the process alone");
        assert!(left(Some("a"), true, Some("b")), "closed in order");
        assert!(left(None, true, None));
        assert!(!left(Some("a"), false, Some("b")), "a power cut");
        assert!(!left(None, false, None), "perhaps a power cut");
    }

    #[test]
    fn a_folder_without_a_mark_is_thrown_away() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("content")).unwrap();
        std::fs::write(dir.path().join("data.mdb"), "x").unwrap();
        enter(dir.path(), Some("a")).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
