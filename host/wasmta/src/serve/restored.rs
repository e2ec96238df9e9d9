//! Putting a restored data directory in the place of the old one, however often that is interrupted.
//!
//! What was restored and looked at lies in the folder `restoring` of the data directory itself: on the same disk, and under
//! the same lock. A mark, once written, says that it counts: whoever takes the lock next, after a crash too, finishes
//! moving it into place before anything is opened.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use runtime::files::{Readers, sync_dir, write_durably};

/// Where a restored copy lies until it counts.
pub(crate) const RESTORING: &str = "restoring";
/// Before the time in the names of folders that keep what was there before.
const BEFORE: &str = "before-restore-";
/// Most such folders of one moment.
const ASIDE_MAX: u32 = 100;
/// The mark; in it, the name of the folder for what was there before.
const MARK: &str = "RESTORE";
/// Longest mark, in octets.
const MARK_OCTETS_MAX: u64 = 256;
/// What belongs to the process that holds the lock, or is built anew.
const OF_A_PROCESS: [&str; 4] = ["lock", "control.sock", "tables", "derived"];
/// What was built from the data that go: it would be taken for that of the data that come.
const BUILT: [&str; 2] = ["tables", "derived"];
/// The environments that a backup holds; they are copied by their own rules.
pub(crate) const DURABLE: [&str; 3] = ["directory", "plugin-store", "store"];

/// Whether an entry of a data directory is an environment, or none of a server's lasting files.
pub(crate) fn is_own_file(name: &str) -> bool {
    OF_A_PROCESS.contains(&name)
        || DURABLE.contains(&name)
        || [RESTORING, MARK].contains(&name)
        || name.starts_with(BEFORE)
        || name.ends_with(".new")
}

/// Refuses where something that would be moved cannot be: a file system that is mounted in the place of a part. It is asked before
/// anything counts, because afterwards nobody could finish.
pub(crate) fn movable<'n>(data: &Path, names: impl Iterator<Item = &'n OsStr>) -> Result<(), String> {
    for name in BUILT.iter().map(OsStr::new).chain(names) {
        let place = data.join(name);
        // What is not there is in nobody's way; of what cannot be looked at, the move says more.
        if runtime::files::is_mount_point(&place).unwrap_or(false) {
            return Err(format!(
                "{0} is a file system of its own, which a restore cannot move aside; nothing was changed: umount {0}, and give \
                 the command again. What is restored then lies on the disk of {1}, and what is on that file system stays as it \
                 is: to have the new data there, copy them and mount it again before the server starts",
                place.display(),
                data.display()
            ));
        }
    }
    Ok(())
}

/// Lets what lies in `restoring` count, and moves it into place; where the old data are now. The lock must be held.
pub(crate) fn put_in_place(data: &Path, moment: u64) -> io::Result<PathBuf> {
    let aside = new_aside(data, moment)?;
    sync_dir(data)?;
    write_durably(&data.join(MARK), aside.as_bytes(), Readers::Owner)?;
    finish(data)?;
    Ok(data.join(aside))
}

/// Makes the folder for what was there before, by the moment; several of one moment are numbered.
fn new_aside(data: &Path, moment: u64) -> io::Result<String> {
    for number in 1..=ASIDE_MAX {
        let more = if number == 1 { String::new() } else { format!("-{number}") };
        let aside = format!("{BEFORE}{moment}{more}");
        match fs::create_dir(data.join(&aside)) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| aside),
        }
    }
    Err(io::Error::other(format!("{ASIDE_MAX} folders {BEFORE}{moment} are there: remove some")))
}

/// Whether a restore counts and is not finished: whoever takes the lock finishes it, and until then parts may be missing.
pub(crate) fn is_under_way(data: &Path) -> bool {
    data.join(MARK).exists()
}

/// Finishes what a mark says; nothing where there is none.
pub(super) fn finish(data: &Path) -> io::Result<()> {
    let mark = match runtime::files::read(&data.join(MARK), MARK_OCTETS_MAX) {
        Ok(mark) => String::from_utf8_lossy(&mark).into_owned(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    if !mark.starts_with(BEFORE) || mark.contains('/') {
        return Err(io::Error::other(format!("{MARK} does not name a folder {BEFORE}…")));
    }
    let (from, aside) = (data.join(RESTORING), data.join(mark));
    for name in BUILT {
        if data.join(name).exists() && !aside.join(name).exists() {
            rename(&data.join(name), &aside.join(name))?;
        }
    }
    // What is still in `restoring` is not in place yet: where the old one has gone already, only the new one is moved.
    let left = if from.exists() { fs::read_dir(&from)?.collect::<io::Result<Vec<_>>>()? } else { Vec::new() };
    for entry in left {
        let name = entry.file_name();
        let (place, kept) = (data.join(&name), aside.join(&name));
        if place.exists() && !kept.exists() {
            rename(&place, &kept)?;
        }
        rename(&from.join(&name), &place)?;
    }
    for folder in [&aside, data] {
        sync_dir(folder)?;
    }
    if from.exists() {
        fs::remove_dir(&from)?;
    }
    fs::remove_file(data.join(MARK))?;
    sync_dir(data)
}

/// Moves one part; an error says which, and what is in the way.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to).map_err(|e| {
        let way_out = match e.kind() {
            io::ErrorKind::ResourceBusy => format!(
                "; it is a file system of its own: umount {}, and give any command again, which goes on from here",
                from.display()
            ),
            _ => "; mend that, and give any command again, which goes on from here".to_owned(),
        };
        io::Error::new(e.kind(), format!("{} to {}: {e}{way_out}", from.display(), to.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(data: &Path) {
        for (folder, text) in [("store", "old"), ("restoring/store", "new"), ("restoring/directory", "new")] {
            fs::create_dir_all(data.join(folder)).unwrap();
            fs::write(data.join(folder).join("x"), text).unwrap();
        }
        for built in BUILT {
            fs::create_dir(data.join(built)).unwrap();
        }
    }

    fn text(data: &Path, name: &str) -> String {
        fs::read_to_string(data.join(name)).unwrap_or_default()
    }

    #[test]
    fn a_move_is_finished_from_wherever_it_stopped() {
        for stopped_after in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            let data = dir.path();
            tree(data);
            fs::create_dir(data.join("before-restore-7")).unwrap();
            fs::write(data.join(MARK), "before-restore-7").unwrap();
            let steps = [
                ("store", "before-restore-7/store"),
                ("restoring/store", "store"),
                ("restoring/directory", "directory"),
            ];
            for (from, to) in steps.iter().take(stopped_after) {
                fs::rename(data.join(from), data.join(to)).unwrap();
            }
            if stopped_after == 4 {
                fs::remove_dir(data.join(RESTORING)).unwrap();
            }
            finish(data).unwrap();
            assert_eq!((text(data, "store/x"), text(data, "directory/x")), ("new".into(), "new".into()));
            assert_eq!(text(data, "before-restore-7/store/x"), "old");
            for built in BUILT {
                assert!(!data.join(built).exists() && data.join("before-restore-7").join(built).exists());
            }
            assert!(!data.join(RESTORING).exists() && !data.join(MARK).exists());
            finish(data).unwrap();
        }
    }

    #[test]
    fn what_is_mounted_is_not_moved() {
        let none = std::iter::empty;
        movable(Path::new("/"), none()).unwrap();
        let why = movable(Path::new("/"), ["none", "proc"].into_iter().map(OsStr::new)).unwrap_err();
        assert!(why.starts_with("/proc is a file system of its own"), "{why}");
        // Of what is found out later, it is said which.
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("none");
        let why = rename(&from, &dir.path().join("aside")).unwrap_err().to_string();
        assert!(
            why.starts_with(&from.display().to_string()) && why.contains("give any command again"),
            "{why}"
        );
    }

    #[test]
    fn nothing_counts_before_its_mark() {
        let dir = tempfile::tempdir().unwrap();
        tree(dir.path());
        finish(dir.path()).unwrap();
        assert_eq!(text(dir.path(), "store/x"), "old");
        let aside = put_in_place(dir.path(), 5).unwrap();
        assert_eq!((text(dir.path(), "store/x"), text(&aside, "store/x")), ("new".into(), "old".into()));
    }
}
