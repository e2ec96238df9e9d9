//! Who runs a program of others and ends all that it started: a process of ours for each, between the server and the program.
//!
//! What a program starts may make itself a session of its own, and leave its parent: then no group and no parent leads to it.
//! But it stays a descendant, and whose parent ends becomes a child of the nearest ancestor that wants it so
//! (`PR_SET_CHILD_SUBREAPER`), which is this process. So at the end it kills its children until it has none.
//!
//! The server speaks to it by signals: SIGTERM asks the program to end, [`END`] ends everything at once; so does the end of the
//! server. It ends as the program has ended. A program that runs as the server's own user could kill it, as it could the
//! server.

use std::ffi::OsString;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, getpid, getppid, kill_process,
    kill_process_group, set_child_subreaper, setsid, wait, waitid,
};

use crate::confinement::Confinement;

/// Ends the program and all that it started.
pub(crate) const END: Signal = Signal::USR1;
/// How long what is killed may take to vanish.
const END_WAIT: Duration = Duration::from_secs(4);
/// Pause between two looks at what is left.
const LOOK: Duration = Duration::from_millis(2);
/// How often the server is looked for.
const SERVER_LOOK: Duration = Duration::from_secs(1);

/// Runs a program within limits, and ends this process as that has ended; returns only where it is not started, with the
/// reason. `words` are those of the command line that [`run`](crate::run) has put behind the launcher's own. The environment
/// goes over as it is. This process has one thread.
#[must_use]
pub fn supervise(words: &[OsString]) -> String {
    let (confinement, command) = match Confinement::of_command_line(words) {
        Ok(read) => read,
        Err(why) => return why,
    };
    let server = getppid();
    let prepared = setsid().map(drop).and_then(|()| set_child_subreaper(Some(getpid())));
    let signals = match prepared {
        Ok(()) => Signals::block(),
        Err(error) => return format!("it cannot be supervised: {error}"),
    };
    let program = match start(&confinement, command) {
        Ok(program) => program,
        Err(error) => return format!("{} cannot be started: {error}", command[0].display()),
    };
    if let Err(error) = let_go() {
        end_all(program);
        return format!("it cannot be supervised: {error}");
    }
    loop {
        match signals.next(SERVER_LOOK) {
            Some(libc::SIGTERM) => {
                // The process itself too: it may have left its group.
                let _ = kill_process_group(program, Signal::TERM);
                let _ = kill_process(program, Signal::TERM);
            }
            Some(libc::SIGUSR1) => break,
            _ => {}
        }
        if has_ended(program) || getppid() != server {
            break;
        }
    }
    exit_as(end_all(program))
}

#[allow(unsafe_code)]
fn start(confinement: &Confinement, command: &[OsString]) -> std::io::Result<Pid> {
    let mut program = Command::new(&command[0]);
    program.args(&command[1..]).current_dir(&confinement.folder);
    if let Some((uid, gid)) = confinement.user {
        // The groups of root are dropped with this, too (std::os::unix::process::CommandExt::uid).
        program.gid(gid).uid(uid);
    }
    let confined = confinement.clone();
    // SAFETY: this process has one thread, so that nothing is in the middle of anything when it is doubled.
    unsafe { program.pre_exec(move || confined.enter()) };
    let child = program.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| std::io::ErrorKind::NotFound.into())
}

/// Lets the standard three go: what the program closes is closed.
fn let_go() -> std::io::Result<()> {
    let nothing = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(nothing.as_fd())?;
    rustix::stdio::dup2_stdout(nothing.as_fd())?;
    rustix::stdio::dup2_stderr(nothing.as_fd())?;
    Ok(())
}

/// Whether a child has ended; it keeps its id.
fn has_ended(child: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(child), options), Ok(None) | Err(Errno::INTR))
}

/// Kills the program, and all that it started, until nothing is left; gives how the program ended.
fn end_all(program: Pid) -> Option<WaitStatus> {
    // Its id is its own until it is waited for: nobody else's group can be meant.
    let _ = kill_process_group(program, Signal::KILL);
    let _ = kill_process(program, Signal::KILL);
    let (begun, mut status) = (Instant::now(), None);
    loop {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, ended))) if pid == program => status = Some(ended),
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => break,
                Err(_) => return status,
            }
        }
        if begun.elapsed() > END_WAIT {
            return status;
        }
        // Children alone: nobody but this process waits for them, so their ids are theirs. Theirs come to us with the next look.
        for child in children() {
            let _ = kill_process(child, Signal::KILL);
        }
        std::thread::sleep(LOOK);
    }
}

/// The children of this process that live (proc(5)).
fn children() -> Vec<Pid> {
    let own = getpid().as_raw_nonzero().to_string();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // A name may hold anything: the last ")" ends it. Then state and parent.
        let behind = stat.rsplit_once(')').map(|(_, behind)| behind);
        behind.and_then(|behind| behind.split_whitespace().nth(1)) == Some(own.as_str())
    })
    .filter_map(Pid::from_raw)
    .collect()
}

/// Ends this process as the program has ended.
fn exit_as(status: Option<WaitStatus>) -> ! {
    if let Some(code) = status.and_then(|status| status.exit_status()) {
        std::process::exit(code);
    }
    let signal = status.and_then(|status| status.terminating_signal()).unwrap_or(libc::SIGKILL);
    Signals::die_of(signal)
}

/// The signals that this process waits for; they come in no other way.
struct Signals(libc::sigset_t);

#[allow(unsafe_code)]
impl Signals {
    fn block() -> Self {
        // SAFETY: a set of signals is plain memory, which the first call fills; the others change the mask of this thread.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for signal in [libc::SIGTERM, libc::SIGUSR1, libc::SIGCHLD] {
                libc::sigaddset(&raw mut set, signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
            Self(set)
        }
    }

    /// The next one, waited for so long.
    fn next(&self, wait: Duration) -> Option<i32> {
        let seconds = libc::time_t::try_from(wait.as_secs()).unwrap_or(1);
        let wait = libc::timespec { tv_sec: seconds, tv_nsec: wait.subsec_nanos().into() };
        // SAFETY: both are there for the time of the call, which writes nothing where it is told of no place.
        let signal = unsafe { libc::sigtimedwait(&raw const self.0, std::ptr::null_mut(), &raw const wait) };
        (signal > 0).then_some(signal)
    }

    fn die_of(signal: i32) -> ! {
        // SAFETY: the calls take numbers and a set that the first one fills.
        unsafe {
            let core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            libc::setrlimit(libc::RLIMIT_CORE, &raw const core);
            libc::signal(signal, libc::SIG_DFL);
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, signal);
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
            libc::raise(signal);
        }
        // One that does not end a process ended none.
        std::process::exit(128 + signal)
    }
}
