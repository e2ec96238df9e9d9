//! The two directions of a connection: whole commands in, bounded output out.

use std::borrow::Cow;
use std::time::Duration;

use imap_wire::{Code, CommandReader, Condition, Limits, Line, Received, Response, Status, Tag, next_line};
use runtime::{Shutdown, Stream};
use tokio::time::{Instant, timeout, timeout_at};

/// Octets gathered before they are sent: what a client that reads slowly costs us.
pub(crate) const OUTPUT_OCTETS_MAX: usize = 64 * 1024;

/// Why a session ends.
#[derive(Debug)]
pub(crate) enum End {
    /// The client said LOGOUT.
    Logout,
    /// We end it, and tell the client why.
    Bye(Cow<'static, str>),
    /// The connection is gone: nobody to tell. The cause is for the log.
    Lost(Cow<'static, str>),
}

impl From<std::io::Error> for End {
    fn from(error: std::io::Error) -> Self {
        Self::Lost(error.to_string().into())
    }
}

/// How long the client may be silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Until a command is whole.
    pub(crate) inactivity: Duration,
    /// Within a command.
    pub(crate) pause: Duration,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) stream: Stream,
    reader: CommandReader,
    write_pause: Duration,
}

impl Io {
    pub(crate) fn new(stream: Stream, write_pause: Duration) -> Self {
        Self { stream, reader: CommandReader::new(), write_pause }
    }

    /// Gathers a response.
    pub(crate) fn say(&mut self, response: &Response) {
        response.write(self.stream.sending());
    }

    /// Gathers a status response; untagged without a tag.
    pub(crate) fn status(&mut self, tag: Option<Tag>, condition: Condition, code: Option<Code>, text: &str) {
        self.say(&Response::Status(Status { tag, condition, code, text: text.to_owned() }));
    }

    /// Where encoders write to.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        self.stream.sending()
    }

    /// Sends all that was gathered.
    pub(crate) async fn flush(&mut self) -> Result<(), End> {
        self.flush_with(&[]).await
    }

    /// Sends what was gathered, and then these octets, uncopied.
    pub(crate) async fn flush_with(&mut self, octets: &[u8]) -> Result<(), End> {
        match timeout(self.write_pause, self.stream.flush_with(&[octets])).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(End::Lost("the client takes no more output".into())),
        }
    }

    /// Sends what was gathered if it is much.
    pub(crate) async fn flush_if_full(&mut self) -> Result<(), End> {
        if self.stream.unsent() >= OUTPUT_OCTETS_MAX { self.flush().await } else { Ok(()) }
    }

    /// Waits for more octets.
    pub(crate) async fn fill(&mut self, pause: Duration) -> Result<(), End> {
        match timeout(pause, self.stream.fill()).await {
            Ok(Ok(0)) => Err(End::Lost("the client closed the connection".into())),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(End::Bye("you took too long".into())),
        }
    }

    /// A line outside of commands, at most `max` octets, whole within `pause`.
    pub(crate) async fn line(&mut self, max: usize, pause: Duration) -> Result<Vec<u8>, End> {
        self.flush().await?;
        let until = Instant::now() + pause;
        loop {
            match next_line(self.stream.buffered(), max) {
                Line::Whole(line, used) => {
                    let line = line.to_vec();
                    self.stream.consume(used);
                    return Ok(line);
                }
                Line::TooLong => return Err(End::Bye("line too long".into())),
                Line::NeedMore => self.fill(until.saturating_duration_since(Instant::now())).await?,
            }
        }
    }

    /// The next command, or what is wrong with it. What was gathered is sent before waiting, not
    /// between commands that came together.
    pub(crate) async fn command(
        &mut self,
        limits: &Limits,
        patience: Patience,
        shutdown: &Shutdown,
    ) -> Result<Received, End> {
        let deadline = Instant::now() + patience.inactivity;
        loop {
            while !self.stream.buffered().is_empty() {
                let (used, received) = self.reader.feed(self.stream.buffered(), limits);
                self.stream.consume(used);
                match received {
                    Received::NeedMore => {}
                    Received::WantsContinuation => self.say(&Response::Continuation("go on".to_owned())),
                    found => return Ok(found),
                }
            }
            self.flush().await?;
            if self.reader.is_in_command() {
                let until = deadline.min(Instant::now() + patience.pause);
                self.wait(until, shutdown).await?;
            } else {
                self.wait(deadline, shutdown).await?;
            }
        }
    }

    async fn wait(&mut self, until: Instant, shutdown: &Shutdown) -> Result<(), End> {
        let filled = tokio::select! {
            filled = timeout_at(until, self.stream.fill()) => filled,
            () = shutdown.wait() => return Err(End::Bye("the server is stopping".into())),
        };
        match filled {
            Ok(Ok(0)) => Err(End::Lost("the client closed the connection".into())),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(End::Bye("autologout: no command for too long".into())),
        }
    }
}
