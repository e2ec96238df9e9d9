//! What a program of others may: who it is, where it works, how much it may use.
//!
//! The server starts its own program once more, which starts the other one within these limits ([`supervise`](crate::supervise)).
//! So nothing of ours runs between `fork` and `exec` of a process with many threads, where few calls are safe.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit};

/// What a program may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confinement {
    /// Its uid and gid, with no other groups; the server's own where absent. Only root can become somebody else, and
    /// root itself is never taken.
    pub user: Option<(u32, u32)>,
    /// Where it works.
    pub folder: PathBuf,
    /// Processor time of each of its processes, in seconds.
    pub cpu_seconds: u64,
    /// Address space of each of its processes, in octets.
    pub memory: u64,
    /// Files that each of its processes may hold open.
    pub open_files: u64,
    /// Processes and threads that its user may have, all its programs together; 0: not limited here.
    pub processes: u64,
    /// Size of a file that it may write, in octets.
    pub file_size: u64,
}

/// Words of a confinement on the launcher's command line.
const WORDS: usize = 8;
/// Stands for "the server's own user".
const OWN: &str = "-";

impl Confinement {
    /// As words for the launcher's command line.
    pub(crate) fn to_words(&self) -> [OsString; WORDS] {
        let number = |number: u64| number.to_string().into();
        let own = || OWN.into();
        [
            self.user.map_or_else(own, |(uid, _)| number(uid.into())),
            self.user.map_or_else(own, |(_, gid)| number(gid.into())),
            self.folder.clone().into(),
            number(self.cpu_seconds),
            number(self.memory),
            number(self.open_files),
            number(self.processes),
            number(self.file_size),
        ]
    }

    /// Back from words; `None` where they are none of ours.
    fn of_words(words: &[OsString; WORDS]) -> Option<Self> {
        let [uid, gid, folder, rest @ ..] = words;
        let user = match (uid.to_str()?, gid.to_str()?) {
            (OWN, OWN) => None,
            (uid, gid) => Some((uid.parse().ok()?, gid.parse().ok()?)),
        };
        let mut numbers = [0_u64; WORDS - 3];
        for (number, word) in numbers.iter_mut().zip(rest) {
            *number = word.to_str()?.parse().ok()?;
        }
        let [cpu_seconds, memory, open_files, processes, file_size] = numbers;
        let folder = folder.into();
        Some(Self { user, folder, cpu_seconds, memory, open_files, processes, file_size })
    }

    /// What a launcher's command line says: the confinement, and the program with its arguments.
    pub(crate) fn of_command_line(words: &[OsString]) -> Result<(Self, &[OsString]), String> {
        let by_server = || "it is started by the server alone".to_owned();
        let (own, command) = words.split_first_chunk::<WORDS>().ok_or_else(by_server)?;
        let confinement = Self::of_words(own).filter(|_| !command.is_empty()).ok_or_else(by_server)?;
        match confinement.user {
            None if is_root() => Err("no program of others runs as root".to_owned()),
            Some((0, _)) => Err("no program of others runs as root".to_owned()),
            _ => Ok((confinement, command)),
        }
    }

    /// Confines this process for good, but for its user and folder.
    pub(crate) fn enter(&self) -> std::io::Result<()> {
        // A session of its own: no terminal, and a group that can be ended as a whole.
        rustix::process::setsid()?;
        // What is set-uid gives nothing that the confinement took.
        rustix::thread::set_no_new_privs(true)?;
        rustix::process::umask(Mode::RWXG | Mode::RWXO);
        close_on_exec();
        self.limit()
    }

    /// Sets the limits of this process for good.
    fn limit(&self) -> std::io::Result<()> {
        let both = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
        let set = |what, limit| rustix::process::setrlimit(what, limit);
        set(Resource::Core, both(0))?;
        // SIGXCPU at first, for whoever wants to say something about it; then the system kills.
        let cpu =
            Rlimit { current: Some(self.cpu_seconds), maximum: Some(self.cpu_seconds.saturating_add(1)) };
        set(Resource::Cpu, cpu)?;
        set(Resource::Nofile, both(self.open_files))?;
        set(Resource::Fsize, both(self.file_size))?;
        if self.processes > 0 {
            set(Resource::Nproc, both(self.processes))?;
        }
        // Last: from here on there may be no room for anything but to become the other program.
        set(Resource::As, both(self.memory))?;
        Ok(())
    }
}

/// Whether this process may become other users.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Lets no descriptor but the standard three go over: ours never do, but whoever started the server may have left some.
#[allow(unsafe_code)]
fn close_on_exec() {
    // SAFETY: the call takes numbers alone, and closes nothing that this process still uses: not before `exec`. Where
    // the system does not know it (before Linux 5.11), our own descriptors still do not go over.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// Whether a command may be trusted to be what the operator meant: an absolute path to an executable file that belongs to
/// root or to the server, and that nobody else can write or exchange.
///
/// # Errors
/// What is wrong with it.
pub fn check_command(path: &Path) -> Result<(), String> {
    if !path.is_absolute() {
        return Err("is no absolute path".to_owned());
    }
    let found = fs::metadata(path).map_err(|error| format!("cannot be looked at: {error}"))?;
    if !found.is_file() {
        return Err("is no file".to_owned());
    }
    if found.mode() & 0o111 == 0 {
        return Err("cannot be executed".to_owned());
    }
    let own = rustix::process::geteuid().as_raw();
    if found.uid() != 0 && found.uid() != own {
        return Err("belongs to another user".to_owned());
    }
    if found.mode() & 0o022 != 0 {
        return Err("can be written by others".to_owned());
    }
    for folder in path.ancestors().skip(1).filter(|folder| *folder != OsStr::from_bytes(b"")) {
        let found = fs::metadata(folder).map_err(|error| format!("cannot be looked at: {error}"))?;
        let is_sticky = found.mode() & 0o1000 != 0;
        if found.mode() & 0o002 != 0 && !is_sticky {
            return Err(format!("can be exchanged by others: {} is open to everybody", folder.display()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn words_read_back() {
        for user in [None, Some((1000, 100))] {
            let confinement = Confinement {
                user,
                folder: PathBuf::from("/var/spool/a b"),
                cpu_seconds: 1,
                memory: 2,
                open_files: 3,
                processes: 4,
                file_size: 5,
            };
            assert_eq!(Confinement::of_words(&confinement.to_words()), Some(confinement));
        }
        assert_eq!(Confinement::of_words(&["x"; WORDS].map(OsString::from)), None);
        assert!(Confinement::of_command_line(&[]).unwrap_err().contains("by the server alone"));
    }

    #[test]
    fn root_is_never_taken() {
        let words = ["0", "0", "/", "1", "1", "1", "1", "1", "/bin/true"].map(OsString::from);
        assert!(Confinement::of_command_line(&words).unwrap_err().contains("as root"));
    }

    #[test]
    fn commands_that_others_could_change_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        let check = |mode: u32| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            check_command(&path)
        };
        assert_eq!(check(0o755), Ok(()));
        assert!(check(0o644).unwrap_err().contains("executed"));
        assert!(check(0o775).unwrap_err().contains("written by others"));
        assert_eq!(check(0o555), Ok(()));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(check_command(&path).unwrap_err().contains("exchanged"));
        assert!(check_command(Path::new("true")).unwrap_err().contains("absolute"));
        assert!(check_command(folder.path()).unwrap_err().contains("no file"));
        assert!(check_command(&folder.path().join("none")).is_err());
    }
}
