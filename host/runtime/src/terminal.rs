//! A question at the terminal whose answer is not seen. A signal that ends or stops the process while it waits for the answer
//! leaves the terminal as it was: whoever typed ^C sees again what is typed.

use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::Signal;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{self, SignalKind, signal};

/// What a shell adds to a signal's number where a program has ended by it.
const ENDED_BY_SIGNAL: i32 = 128;

/// Asks on standard error, and reads a line from standard input, which is a terminal, without showing what is typed. Once in a
/// process: it keeps hearing of the signals that would end it, and ends by them.
///
/// # Errors
/// The terminal cannot be set or read.
pub fn ask_unseen(prompt: &str) -> io::Result<String> {
    let shown = tcgetattr(io::stdin())?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    let asking = Arc::new(Mutex::new(Some(Asking { prompt: prompt.to_owned(), shown, hidden })));
    // Before anything is hidden.
    watch(Arc::clone(&asking))?;
    if let Some(now) = &*locked(&asking) {
        now.begin()?;
    }
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    if let Some(now) = locked(&asking).take() {
        now.end();
    }
    read.map(|_| line)
}

/// A question that waits for its answer.
struct Asking {
    prompt: String,
    shown: Termios,
    hidden: Termios,
}

impl Asking {
    fn begin(&self) -> io::Result<()> {
        eprint!("{}", self.prompt);
        io::stderr().flush()?;
        Ok(tcsetattr(io::stdin(), OptionalActions::Drain, &self.hidden)?)
    }

    fn end(&self) {
        // Nothing is to be done when the terminal is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.shown);
        let _ = writeln!(io::stderr());
    }
}

fn locked(asking: &Mutex<Option<Asking>>) -> MutexGuard<'_, Option<Asking>> {
    asking.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The signals that are heard of: tokio's handlers stay for the life of the process, and so does who listens.
struct Heard {
    interrupt: unix::Signal,
    quit: unix::Signal,
    terminate: unix::Signal,
    hangup: unix::Signal,
    stop: unix::Signal,
    go_on: unix::Signal,
}

fn watch(asking: Arc<Mutex<Option<Asking>>>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut heard = {
        let _entered = runtime.enter();
        let of = |known: Signal| signal(SignalKind::from_raw(known.as_raw()));
        Heard {
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            stop: of(Signal::TSTP)?,
            go_on: of(Signal::CONT)?,
        }
    };
    let listen = move || runtime.block_on(async { while heard.one(&asking).await {} });
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen)?;
    Ok(())
}

impl Heard {
    /// Waits for a signal and does as it says; whether there may be more.
    async fn one(&mut self, asking: &Mutex<Option<Asking>>) -> bool {
        let ending = tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.quit.recv() => Signal::QUIT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.hangup.recv() => Signal::HUP,
            // A session that goes on by itself has nothing to restore.
            _ = self.go_on.recv() => return true,
            _ = self.stop.recv() => {
                self.stopped(asking).await;
                return true;
            }
        };
        if let Some(now) = &*locked(asking) {
            now.end();
        }
        end_by(ending);
        false
    }

    /// Stops, and asks again when it is told to go on.
    async fn stopped(&mut self, asking: &Mutex<Option<Asking>>) {
        if let Some(now) = &*locked(asking) {
            now.end();
        }
        // The one that was heard of stops nothing any more.
        if rustix::process::kill_process(rustix::process::getpid(), Signal::STOP).is_ok() {
            self.go_on.recv().await;
        }
        if let Some(now) = &*locked(asking) {
            // Nothing is to be done when the terminal is gone: reading fails, too.
            let _ = now.begin();
        }
    }
}

/// Ends the process by a signal, so that a shell's loop around it ends too. Its own handler, which cannot be taken back, goes with
/// the program: another one takes the process over, and ends it.
fn end_by(signal: Signal) {
    let number = signal.as_raw();
    let _ = Command::new("/bin/sh").arg("-c").arg(format!("kill -{number} $$")).exec();
    // Without a shell nobody learns more than the number.
    std::process::exit(ENDED_BY_SIGNAL + number);
}
