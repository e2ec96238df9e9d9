//! Files below a folder that others may write to as well: nothing there leads us anywhere else.
//!
//! Each name is opened in the descriptor of the folder above it, and no link is followed (`O_NOFOLLOW`), so that what was
//! looked at is what is used, whoever exchanges names meanwhile. Linux has one call for all of that (`openat2`); step by
//! step is the same wherever `..` is no name, and needs no second way for systems without it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Longest name of a file or folder, in octets.
const NAME_MAX: usize = 255;

/// Why something below a folder is not used.
#[derive(Debug, thiserror::Error)]
pub enum BeneathError {
    /// It is nothing that we write to, ever: what it is.
    #[error("{0}")]
    Unfit(&'static str),
    /// The system refuses for now.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<Errno> for BeneathError {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl From<BeneathError> for io::Error {
    fn from(error: BeneathError) -> Self {
        match error {
            BeneathError::Unfit(what) => Self::other(what),
            BeneathError::Io(error) => error,
        }
    }
}

/// Opens a file below a folder for reading, whoever's it is: the folder is somebody's for whom this process reads with its
/// own rights. Blocks.
///
/// # Errors
/// [`BeneathError::Unfit`] where it, or a folder on the way, is a link, or `path` does not lead down from `root`.
pub fn open_beneath(root: &Path, path: &Path) -> Result<File, BeneathError> {
    let outside = BeneathError::Unfit("the way to it leads out of its folder");
    let Ok(below) = path.strip_prefix(root) else { return Err(outside) };
    let mut names = Vec::new();
    for component in below.components() {
        let Component::Normal(name) = component else { return Err(outside) };
        names.push(name);
    }
    let Some(file) = names.pop() else { return Err(outside) };
    let mut folder = Folder::root(root)?;
    for name in names {
        folder = folder.inner(name)?;
    }
    folder.read(file)
}

/// An open folder. Everything blocks.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// A folder that the operator names: links on the way there are his own.
    ///
    /// # Errors
    /// It cannot be opened, or is no folder.
    pub fn root(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// A folder in this one.
    ///
    /// # Errors
    /// [`BeneathError::Unfit`] where it is no folder, or a link.
    pub fn folder(&self, name: &str) -> Result<Self, BeneathError> {
        self.inner(checked(name)?.as_ref())
    }

    fn inner(&self, name: &OsStr) -> Result<Self, BeneathError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(descriptor) => Ok(Self(descriptor)),
            Err(Errno::LOOP | Errno::NOTDIR | Errno::MLINK) => {
                Err(BeneathError::Unfit("a link or a file stands where a folder should"))
            }
            Err(other) => Err(other.into()),
        }
    }

    fn read(&self, name: &OsStr) -> Result<File, BeneathError> {
        // A pipe in the place of a file would be waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(descriptor) => File::from(descriptor),
            Err(Errno::LOOP) => return Err(BeneathError::Unfit("it is a link, which is not followed")),
            Err(other) => return Err(other.into()),
        };
        if file.metadata()?.is_file() { Ok(file) } else { Err(BeneathError::Unfit("it is no file")) }
    }

    /// A folder in this one that is ours: made where it is not there, for its owner only, and durably.
    ///
    /// # Errors
    /// As [`Folder::folder`]; also [`BeneathError::Unfit`] where it belongs to somebody else.
    pub fn own_folder(&self, name: &str) -> Result<Self, BeneathError> {
        match rustix::fs::mkdirat(&self.0, checked(name)?, Mode::RWXU) {
            Ok(()) => self.sync()?,
            Err(Errno::EXIST) => {}
            Err(other) => return Err(other.into()),
        }
        let folder = self.folder(name)?;
        check_owner(rustix::fs::fstat(&folder.0)?.st_uid)?;
        Ok(folder)
    }

    /// Opens a file for reading and appending; made where it is not there, for its owner only. Gives whether it was made.
    ///
    /// # Errors
    /// [`BeneathError::Unfit`] where it is a link, a device, a pipe, a folder, has a second name, or belongs to somebody
    /// else. None of that is opened, so that nothing waits for a pipe's other end or makes a device act.
    pub fn append(&self, name: &str) -> Result<(File, bool), BeneathError> {
        let name = checked(name)?;
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => check_file(&found)?,
            Err(Errno::NOENT) => {}
            Err(other) => return Err(other.into()),
        }
        // It may be exchanged here: then the open does not follow, does not wait, and what was opened is looked at.
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = flags | OFlags::CLOEXEC;
        let (made, mode) = (flags | OFlags::CREATE | OFlags::EXCL, Mode::RUSR | Mode::WUSR);
        let (descriptor, is_new) = match rustix::fs::openat(&self.0, name, made, mode) {
            Ok(descriptor) => (descriptor, true),
            Err(Errno::EXIST) => match rustix::fs::openat(&self.0, name, flags, mode) {
                Ok(descriptor) => (descriptor, false),
                Err(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => {
                    return Err(BeneathError::Unfit("it is a link, a pipe or a folder"));
                }
                Err(other) => return Err(other.into()),
            },
            Err(other) => return Err(other.into()),
        };
        check_file(&rustix::fs::fstat(&descriptor)?)?;
        Ok((File::from(descriptor), is_new))
    }

    /// Makes a file that is not there, for its owner only; `None` where there is something of that name.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(&self, name: &str) -> Result<Option<File>, BeneathError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.0, checked(name)?, flags, Mode::RUSR | Mode::WUSR) {
            Ok(descriptor) => Ok(Some(File::from(descriptor))),
            Err(Errno::EXIST) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    /// Whether there is anything of a name.
    ///
    /// # Errors
    /// That cannot be found out.
    pub fn has(&self, name: &str) -> Result<bool, BeneathError> {
        match rustix::fs::statat(&self.0, checked(name)?, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(other) => Err(other.into()),
        }
    }

    /// How long ago something was changed; `None` where it is not there, or is of the future.
    pub(crate) fn age(&self, name: &str) -> Result<Option<Duration>, BeneathError> {
        match rustix::fs::statat(&self.0, checked(name)?, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => {
                let seconds = u64::try_from(found.st_mtime).unwrap_or_default();
                let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
                Ok(SystemTime::now().duration_since(changed).ok())
            }
            Err(Errno::NOENT) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    /// Puts a file in another folder of the same file system, in the place of what has that name there.
    ///
    /// # Errors
    /// It stays where it is.
    pub fn rename(&self, name: &str, to: &Self, new: &str) -> Result<(), BeneathError> {
        Ok(rustix::fs::renameat(&self.0, checked(name)?, &to.0, checked(new)?)?)
    }

    /// Removes a file; one that is not there is removed already.
    ///
    /// # Errors
    /// It is still there.
    pub fn remove(&self, name: &str) -> Result<(), BeneathError> {
        match rustix::fs::unlinkat(&self.0, checked(name)?, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }

    /// Makes names made, renamed and removed in it durable.
    ///
    /// # Errors
    /// They may be lost by a power cut.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }
}

/// One name: no way through folders, and not the folder itself or the one above.
fn checked(name: &str) -> Result<&str, BeneathError> {
    let plain = !name.is_empty() && name.len() <= NAME_MAX && !name.contains(['/', '\0']);
    if plain && name != "." && name != ".." {
        Ok(name)
    } else {
        Err(BeneathError::Unfit("a name on the way is none: empty, too long, \".\", or \"..\""))
    }
}

fn check_file(found: &Stat) -> Result<(), BeneathError> {
    let unfit = |what| Err(BeneathError::Unfit(what));
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => {}
        FileType::Symlink => return unfit("it is a link"),
        FileType::Directory => return unfit("it is a folder"),
        FileType::Fifo => return unfit("it is a pipe"),
        FileType::Socket => return unfit("it is a socket"),
        _ => return unfit("it is a device"),
    }
    if found.st_nlink > 1 {
        return unfit("it has a second name (a hard link)");
    }
    check_owner(found.st_uid)
}

fn check_owner(uid: u32) -> Result<(), BeneathError> {
    if uid == rustix::process::geteuid().as_raw() {
        Ok(())
    } else {
        Err(BeneathError::Unfit("it belongs to another user than the server's"))
    }
}

/// Whether an open file still has a name.
pub(crate) fn is_named(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.nlink() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn unfit<T: std::fmt::Debug>(result: Result<T, BeneathError>) -> &'static str {
        match result {
            Err(BeneathError::Unfit(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_plain_files_of_our_own_are_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let root = Folder::root(path).unwrap();
        assert!(root.append("box").unwrap().1);
        assert!(!root.append("box").unwrap().1);
        symlink("box", path.join("link")).unwrap();
        symlink("nowhere", path.join("dangling")).unwrap();
        std::fs::create_dir(path.join("folder")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path.join("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        std::fs::write(path.join("one"), "").unwrap();
        std::fs::hard_link(path.join("one"), path.join("two")).unwrap();
        for (name, why) in [
            ("link", "a link"),
            ("dangling", "a link"),
            ("folder", "a folder"),
            ("pipe", "a pipe"),
            ("one", "a second name"),
            ("..", "none"),
            ("a/b", "none"),
            ("", "none"),
        ] {
            let said = unfit(root.append(name));
            assert!(said.contains(why), "{name}: {said}");
        }
        assert!(!path.join("nowhere").exists());
        let devices = Folder::root(Path::new("/dev")).unwrap();
        assert!(unfit(devices.append("null")).contains("device"));
    }

    #[test]
    fn no_link_leads_out_of_a_folder() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (root, secret) = (folder.path(), other.path().join("secret"));
        std::fs::write(&secret, "x").unwrap();
        std::fs::create_dir(root.join("inner")).unwrap();
        std::fs::write(root.join("inner/mine"), "mine").unwrap();
        symlink(&secret, root.join("file")).unwrap();
        symlink(other.path(), root.join("folder")).unwrap();
        open_beneath(root, &root.join("inner/mine")).unwrap();
        for (place, why) in [
            ("file", "a link"),
            ("folder/secret", "a link"),
            ("inner/../../x", "out of"),
            ("inner", "no file"),
            ("", "out of"),
        ] {
            let said = unfit(open_beneath(root, &root.join(place)));
            assert!(said.contains(why), "{place}: {said}");
        }
        assert!(unfit(open_beneath(root, &secret)).contains("out of"));
        let none = io::Error::from(open_beneath(root, &root.join("none")).unwrap_err());
        assert_eq!(none.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn folders_are_no_links() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::create_dir(path.join("real")).unwrap();
        symlink("real", path.join("link")).unwrap();
        std::fs::write(path.join("file"), "").unwrap();
        let root = Folder::root(path).unwrap();
        root.folder("real").unwrap();
        root.own_folder("made").unwrap();
        root.own_folder("made").unwrap();
        for name in ["link", "file", ".."] {
            unfit(root.folder(name));
            unfit(root.own_folder(name));
        }
        assert!(matches!(root.folder("none"), Err(BeneathError::Io(_))));
    }

    #[test]
    fn what_belongs_to_others_is_not_ours_to_write() {
        if !crate::is_root() {
            eprintln!("skipped: only root can give a file away");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("theirs");
        std::fs::write(&path, "").unwrap();
        std::os::unix::fs::chown(&path, Some(65_534), Some(65_534)).unwrap();
        let root = Folder::root(folder.path()).unwrap();
        assert!(unfit(root.append("theirs")).contains("another user"));
    }
}
