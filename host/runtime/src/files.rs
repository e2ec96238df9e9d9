//! Files that survive a power cut.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::Random;

/// Names of a temporary folder that are tried: one is enough, unless somebody knows our chance.
const NAMES_MAX: usize = 16;
/// How often somebody else who writes the same file may come first.
const BESIDE_MAX: usize = 10_000;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Only the server's own user (0600): keys, passwords.
    Owner,
    /// Everybody (0644).
    All,
}

impl Readers {
    fn mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::All => 0o644,
        }
    }
}

/// Puts a file in place so that after a crash there is either the old content or the new, whole: written
/// beside, synced, renamed, and the folder synced. Of several writers, in this process or others, one writes at a time, and
/// the last one's content stands in the end; none writes into what is in place. Blocks, also for who writes the same.
///
/// # Errors
/// Any step failed; the old file then still stands (but for an error of the last sync, where both are possible).
pub fn write_durably(path: &Path, octets: &[u8], readers: Readers) -> io::Result<()> {
    let beside = beside(path)?;
    // Locked until it is in place, or gone.
    let mut file = create_beside(&beside, readers)?;
    let written = file.write_all(octets).and_then(|()| file.sync_all());
    let result = written.and_then(|()| fs::rename(&beside, path));
    if result.is_err() {
        // Best effort: the leftover is replaced next time.
        let _ = fs::remove_file(&beside);
    }
    result?;
    sync_dir(folder_of(path))
}

/// Makes the file beside anew, and locks it: its name is the same for every writer, so that a crash leaves no more than one.
/// What stands there is waited for while somebody writes it, and is else a leftover, which could have other permissions.
fn create_beside(beside: &Path, readers: Readers) -> io::Result<File> {
    for _ in 0..BESIDE_MAX {
        match OpenOptions::new().write(true).create_new(true).mode(readers.mode()).open(beside) {
            Ok(file) => {
                file.lock()?;
                // Whoever had it between the two took it for a leftover.
                if is_at(&file, beside)? {
                    return Ok(file);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => remove_leftover(beside)?,
            Err(error) => return Err(error),
        }
    }
    let why = format!("others write {} all the time", beside.display());
    Err(io::Error::new(io::ErrorKind::ResourceBusy, why))
}

fn remove_leftover(beside: &Path) -> io::Result<()> {
    // What is no file, or may not be opened by us, is nothing that we write.
    let opened = match fs::symlink_metadata(beside) {
        Ok(found) if found.is_file() => OpenOptions::new().write(true).open(beside).ok(),
        _ => None,
    };
    if let Some(file) = &opened {
        file.lock()?;
        if !is_at(file, beside)? {
            return Ok(());
        }
    }
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether a file still has a name.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let file = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (file.dev(), file.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn beside(path: &Path) -> io::Result<PathBuf> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".new");
    Ok(path.with_file_name(name))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Sees to it that a file has so many octets, and that the disk has room for them: what is not there yet is zeros.
pub fn allocate(file: &File, octets: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    const CHUNK: u64 = 64 << 10;
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, octets) {
        Err(rustix::io::Errno::OPNOTSUPP) => {}
        done => return Ok(done?),
    }
    let mut at = file.metadata()?.len();
    while at < octets {
        let piece = CHUNK.min(octets - at);
        file.write_all_at(&vec![0; usize::try_from(piece).unwrap_or(0)], at)?;
        at += piece;
    }
    Ok(())
}

/// What the system calls this boot of the machine: another one after every power cut. `None` where the
/// system does not say.
#[must_use]
pub fn boot_id() -> Option<String> {
    const BOOT_ID_OCTETS_MAX: u64 = 128;
    let octets = read(Path::new("/proc/sys/kernel/random/boot_id"), BOOT_ID_OCTETS_MAX).ok()?;
    let text = String::from_utf8(octets).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Makes a folder's entries durable: names made, renamed or removed in it. Blocks.
///
/// # Errors
/// The folder cannot be opened or synced.
pub fn sync_dir(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes a new folder among the system's temporary ones, in which nobody but its owner can write; who is told a name in it
/// may read that. Its own name cannot be guessed, and is never one that was there before: whoever writes beside it can neither
/// lay something in its way nor change what is put into it.
///
/// # Errors
/// There is no room for it, or no right to make it.
pub fn temporary_folder(purpose: &str) -> io::Result<PathBuf> {
    let random = Random::system();
    for _ in 0..NAMES_MAX {
        let folder = std::env::temp_dir().join(format!("wasmta-{purpose}-{:016x}", random.u64()));
        match fs::DirBuilder::new().mode(0o711).create(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| folder),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "no name of a temporary folder is free"))
}

/// Makes a folder and its missing parents, each durable in its parent. Blocks.
///
/// # Errors
/// A folder cannot be made or synced, or something else has its name (`NotADirectory`).
pub fn create_dir_durably(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder_of(folder);
    create_dir_durably(parent)?;
    match fs::create_dir(folder) {
        // What stands there may be a pipe, and who opens that waits for its other end.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !folder.is_dir() => {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is there, and is no folder"));
        }
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_dir(parent)
}

/// Opens a regular file for reading, and nothing else: whoever names a file to us must not make us wait for the other end of
/// a pipe, or read a device without end. Links are followed. Blocks as long as the disk takes, and no longer.
///
/// # Errors
/// It cannot be opened, or is a pipe, a device, a socket or a folder (`InvalidInput`).
pub fn open(path: &Path) -> io::Result<File> {
    let regular = |found: &fs::Metadata| {
        let what =
            "it is no regular file; what comes from a pipe or a device has to be put into a file first";
        if found.is_file() { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, what)) }
    };
    // Looked at before, so that opening makes no device act; and after, for it may have been exchanged.
    regular(&fs::metadata(path)?)?;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

/// Reads a whole regular file of at most `octets_max`. Blocks.
///
/// # Errors
/// As [`open`]; or it cannot be read, or is larger (`InvalidData`).
pub fn read(path: &Path, octets_max: u64) -> io::Result<Vec<u8>> {
    read_whole(open(path)?, octets_max)
}

/// The same for a file below a folder that somebody else may write to: see [`crate::open_beneath`].
///
/// # Errors
/// It cannot be opened or read, or is larger (`InvalidData`).
pub fn read_beneath(root: &Path, path: &Path, octets_max: u64) -> io::Result<Vec<u8>> {
    read_whole(crate::open_beneath(root, path)?, octets_max)
}

fn read_whole(file: File, octets_max: u64) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    file.take(octets_max.saturating_add(1)).read_to_end(&mut octets)?;
    if octets.len() as u64 > octets_max {
        let text = format!("the file is larger than {octets_max} octets");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(octets)
}

/// Octets that the file system of a folder has left for this process.
///
/// # Errors
/// The system does not say.
pub fn free_octets(folder: &Path) -> io::Result<u64> {
    let known = rustix::fs::statvfs(folder)?;
    Ok(known.f_bavail.saturating_mul(known.f_frsize))
}

/// Whether a file system of its own is mounted at a path: it cannot be renamed. Links are not followed. Blocks.
///
/// # Errors
/// There is nothing at the path, or the system does not let one look.
pub fn is_mount_point(path: &Path) -> io::Result<bool> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
    let found = rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE)?;
    Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/key.pem");
        create_dir_durably(path.parent().unwrap()).unwrap();
        create_dir_durably(path.parent().unwrap()).unwrap();
        fs::write(path.with_file_name("key.pem.new"), "leftover of a crash").unwrap();
        for content in ["first", "second"] {
            write_durably(&path, content.as_bytes(), Readers::Owner).unwrap();
            assert_eq!(read(&path, 6).unwrap(), content.as_bytes());
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(read(&path, 5).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_mounted_is_told_from_what_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/proc", &link).unwrap();
        for (path, expected) in [(Path::new("/proc"), true), (folder.path(), false), (&link, false)] {
            assert_eq!(is_mount_point(path).unwrap(), expected, "{}", path.display());
        }
        assert_eq!(is_mount_point(&folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn only_regular_files_are_read_and_nothing_else_is_waited_for() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let folder = tempfile::tempdir().unwrap();
        let (file, pipe) = (folder.path().join("file"), folder.path().join("pipe"));
        fs::write(&file, "x").unwrap();
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
        for (to, name) in [(&file, "to-file"), (&pipe, "to-pipe")] {
            std::os::unix::fs::symlink(to, folder.path().join(name)).unwrap();
        }
        let place = |name: &str| folder.path().join(name);
        assert_eq!(read(&place("to-file"), 1).unwrap(), b"x");
        for other in [pipe, place("to-pipe"), folder.path().to_owned(), "/dev/zero".into()] {
            let (tell, told) = std::sync::mpsc::channel();
            let path = other.clone();
            std::thread::spawn(move || tell.send(read(&path, 1).map_err(|e| e.kind())));
            let read = told.recv_timeout(std::time::Duration::from_secs(10));
            assert_eq!(read, Ok(Err(io::ErrorKind::InvalidInput)), "{}", other.display());
        }
        assert_eq!(read(&place("none"), 1).unwrap_err().kind(), io::ErrorKind::NotFound);
        let refused = create_dir_durably(&place("pipe")).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        write_durably(&path, b"old", Readers::All).unwrap();
        fs::create_dir(folder.path().join("kept.new")).unwrap();
        assert!(write_durably(&path, b"new", Readers::All).is_err());
        assert_eq!(read(&path, 10).unwrap(), b"old");
    }

    #[test]
    fn who_writes_the_same_at_once_succeeds_and_nobody_touches_what_is_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code");
        let content = |writer: u8| vec![writer; 100_000];
        write_durably(&path, &content(0), Readers::Owner).unwrap();
        std::thread::scope(|scope| {
            for writer in 1..=4 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..25 {
                        write_durably(path, &content(writer), Readers::Owner).unwrap();
                        let mut mapped = File::open(path).unwrap();
                        for _ in 0..2 {
                            let mut found = Vec::new();
                            io::Seek::rewind(&mut mapped).unwrap();
                            mapped.read_to_end(&mut found).unwrap();
                            assert!(found.len() == 100_000 && found.iter().all(|octet| *octet == found[0]));
                        }
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_temporary_folder_is_new_and_nobody_elses() {
        let (one, other) = (temporary_folder("test").unwrap(), temporary_folder("test").unwrap());
        assert_ne!(one, other);
        for folder in [one, other] {
            let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&folder).unwrap().permissions());
            assert_eq!((mode & 0o066, fs::read_dir(&folder).unwrap().count()), (0, 0));
            fs::remove_dir(folder).unwrap();
        }
    }
}
