//! Programs of others, from start to end: fed, listened to, and ended with all that they started.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tokio::io::AsyncWriteExt;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep};

use crate::confinement::Confinement;
use crate::supervisor::END;

/// How long a program that was asked to end (SIGTERM) may take before it is killed.
const TERMINATION_WAIT: Duration = Duration::from_secs(2);
/// How long a killed program may take to vanish, as one does that hangs in a dead file system.
const KILL_WAIT: Duration = Duration::from_secs(5);
/// Octets read from a program at a time.
const OUTPUT_PIECE: usize = 8 * 1024;
/// Pieces that are still read when a program has ended: all that a pipe holds.
const LAST_PIECES_MAX: usize = 32;

/// Who confines: the server's own program, with the words that make it call
/// [`supervise`](crate::supervise).
#[derive(Debug, Clone)]
pub struct Launcher {
    /// The program.
    pub program: PathBuf,
    /// Its words, before those of the confinement.
    pub arguments: Vec<String>,
}

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Job {
    /// The program, by an absolute path.
    pub command: PathBuf,
    /// Its arguments, each handed over as it is: no shell reads them.
    pub arguments: Vec<OsString>,
    /// All of its environment.
    pub environment: Vec<(&'static str, OsString)>,
    /// What it may.
    pub confinement: Confinement,
    /// How long it may take by the clock.
    pub timeout: Duration,
    /// Octets of its output that are kept; the rest is read and dropped.
    pub output_max: usize,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this exit status.
    Exited(i32),
    /// By a signal.
    Killed(i32),
    /// By us, for its time was over.
    TimedOut,
}

/// What a program did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// How it ended.
    pub ended: Ended,
    /// What it said on standard output and standard error, as it came, up to the maximum.
    pub output: Vec<u8>,
    /// Octets that it said beyond.
    pub dropped: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// Why nothing can be said of a program.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It was not started.
    #[error("it cannot be started: {0}")]
    Start(io::Error),
    /// What it was to be fed could not be read: it was killed before it could take a part for the whole.
    #[error("what it reads cannot be read: {0}")]
    Input(io::Error),
    /// It cannot be waited for, or does not die.
    #[error("it was lost: {0}")]
    Lost(io::Error),
}

/// What a program reads, piece by piece.
pub trait Pieces: Send {
    /// The next piece; `None` at the end.
    fn next(&mut self) -> impl Future<Output = io::Result<Option<Bytes>>> + Send;
}

/// Runs a program. Whatever it does, this returns within its time and the seven seconds that ending it may take; dropped
/// before, it takes the program with it. When the program ends, all that it started is killed, whatever session or parent it
/// has now: what it left behind gets no more time than itself.
///
/// That a program does not read all of its input is no failure.
///
/// # Errors
/// [`RunError`] says why nothing is known of it.
pub async fn run(launcher: &Launcher, job: &Job, input: &mut impl Pieces) -> Result<Run, RunError> {
    let begun = Instant::now();
    let (mut child, receiver) = start(launcher, job).map_err(RunError::Start)?;
    let mut supervisor = Supervisor::of(&child).map_err(RunError::Start)?;
    let exit = supervisor.watched().map_err(RunError::Lost)?;
    let mut output = Output { receiver: Some(receiver), kept: Vec::new(), dropped: 0, max: job.output_max };
    let mut patience = Patience::Running;
    {
        let deadline = sleep(job.timeout);
        let feeding = feed(child.stdin.take(), input, &supervisor);
        tokio::pin!(deadline, feeding);
        let mut fed = false;
        loop {
            tokio::select! {
                ready = exit.readable() => break drop(ready.map_err(RunError::Lost)?),
                done = &mut feeding, if !fed => { done.map_err(RunError::Input)?; fed = true; }
                () = output.more(), if output.receiver.is_some() => {}
                () = &mut deadline => {
                    let wait = patience.lose(&supervisor)?;
                    deadline.as_mut().reset(Instant::now() + wait);
                }
            }
        }
    }
    supervisor.pid = None;
    let status = child.wait().await.map_err(RunError::Lost)?;
    output.rest();
    let ended = if patience == Patience::Running { how(status) } else { Ended::TimedOut };
    Ok(Run { ended, output: output.kept, dropped: output.dropped, elapsed: begun.elapsed() })
}

fn start(launcher: &Launcher, job: &Job) -> io::Result<(Child, pipe::Receiver)> {
    // One pipe for both, so that what is said stands in its order.
    let (reader, writer) = io::pipe()?;
    let child = Command::new(&launcher.program)
        .args(&launcher.arguments)
        .args(job.confinement.to_words())
        .arg(&job.command)
        .args(&job.arguments)
        .env_clear()
        .envs(job.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    Ok((child, pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?))
}

fn how(status: ExitStatus) -> Ended {
    use std::os::unix::process::ExitStatusExt;
    match status.code() {
        Some(code) => Ended::Exited(code),
        None => Ended::Killed(status.signal().unwrap_or_default()),
    }
}

/// Feeds until the end, or until the program reads no more.
async fn feed(stdin: Option<ChildStdin>, input: &mut impl Pieces, supervisor: &Supervisor) -> io::Result<()> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    loop {
        match input.next().await {
            Ok(None) => return Ok(()),
            Ok(Some(piece)) => {
                if stdin.write_all(&piece).await.is_err() {
                    return Ok(());
                }
            }
            Err(error) => {
                // Before its input ends: it must not take the part for the whole.
                supervisor.signal(END);
                return Err(error);
            }
        }
    }
}

/// How far we are with a program that takes too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    Running,
    Asked,
    Killed,
}

impl Patience {
    /// Takes the next step; gives how long to wait for its effect.
    fn lose(&mut self, supervisor: &Supervisor) -> Result<Duration, RunError> {
        let (next, signal, wait) = match self {
            Self::Running => (Self::Asked, Signal::TERM, TERMINATION_WAIT),
            Self::Asked => (Self::Killed, END, KILL_WAIT),
            Self::Killed => return Err(RunError::Lost(io::ErrorKind::TimedOut.into())),
        };
        *self = next;
        supervisor.signal(signal);
        Ok(wait)
    }
}

/// Who supervises a program: that and what it started ends when this is dropped.
struct Supervisor {
    pid: Option<Pid>,
}

impl Supervisor {
    fn of(child: &Child) -> io::Result<Self> {
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        pid.map(|pid| Self { pid: Some(pid) }).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Becomes readable when the process itself has ended, and before it is waited for.
    #[allow(unsafe_code)]
    fn watched(&self) -> io::Result<AsyncFd<OwnedFd>> {
        let pid = self.pid.ok_or(io::ErrorKind::NotFound)?;
        let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
        // SAFETY: the descriptor is handed over; nothing else closes it or exchanges what it stands for.
        unsafe { AsyncFd::register(descriptor) }.map_err(io::Error::from)
    }

    fn signal(&self, signal: Signal) {
        let Some(pid) = self.pid else { return };
        // It is killed by no other: then nobody would be left to end what the program started. One that has ended hears nothing.
        let _ = kill_process(pid, signal);
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.signal(END);
    }
}

/// What a program says.
struct Output {
    /// Until everybody who could write has ended.
    receiver: Option<pipe::Receiver>,
    kept: Vec<u8>,
    dropped: u64,
    max: usize,
}

impl Output {
    /// Waits for a piece, and takes it. Nothing is lost where this is dropped while it waits.
    async fn more(&mut self) {
        let Some(receiver) = &self.receiver else { return };
        if receiver.readable().await.is_err() || !self.take() {
            self.receiver = None;
        }
    }

    /// Takes what is there now; others who still hold the pipe are not waited for.
    fn rest(&mut self) {
        for _ in 0..LAST_PIECES_MAX {
            let before = (self.kept.len(), self.dropped);
            if !self.take() || before == (self.kept.len(), self.dropped) {
                break;
            }
        }
    }

    /// Takes a piece, where one is there; `false` at the end.
    fn take(&mut self) -> bool {
        let mut piece = [0; OUTPUT_PIECE];
        let Some(receiver) = &self.receiver else { return false };
        match receiver.try_read(&mut piece) {
            Ok(0) => false,
            Ok(len) => {
                let kept = len.min(self.max.saturating_sub(self.kept.len()));
                self.kept.extend_from_slice(&piece[..kept]);
                self.dropped += (len - kept) as u64;
                true
            }
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

#[cfg(test)]
mod tests;
