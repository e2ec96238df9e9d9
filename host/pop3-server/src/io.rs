//! The two directions of a connection: commands in, bounded output out.

use std::borrow::Cow;
use std::time::Duration;

use runtime::{Shutdown, Stream};
use tokio::time::{Instant, timeout, timeout_at};

use crate::wire::command::{Command, Malformed};
use crate::wire::line::{COMMAND_OCTETS_MAX, Line, SASL_OCTETS_MAX, next_line};
use crate::wire::response::{Response, SaslLine, decode_sasl_line};

/// Octets gathered before they are sent: what a client that reads slowly costs us.
pub(crate) const OUTPUT_OCTETS_MAX: usize = 64 * 1024;

/// How long commands that came together are answered before others have their turn; then it is the next one's.
const TURN_MAX: Duration = Duration::from_millis(1);

/// Why a session ends.
#[derive(Debug)]
pub(crate) enum End {
    /// The client said QUIT, and has its answer.
    Quit,
    /// We end it, and have told the client why.
    Refused(&'static str),
    /// Nothing more is said: the client is gone, or silent for too long (RFC 1939 §3 forbids a response then).
    Lost(Cow<'static, str>),
}

impl End {
    /// For the log.
    pub(crate) fn cause(&self) -> &str {
        match self {
            Self::Quit => "quit",
            Self::Refused(cause) => cause,
            Self::Lost(cause) => cause,
        }
    }
}

impl From<std::io::Error> for End {
    fn from(error: std::io::Error) -> Self {
        Self::Lost(error.to_string().into())
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) stream: Stream,
    write_timeout: Duration,
    /// When others had their turn.
    turn_began: Instant,
}

impl Io {
    pub(crate) fn new(stream: Stream, write_timeout: Duration) -> Self {
        Self { stream, write_timeout, turn_began: Instant::now() }
    }

    /// Gathers a response.
    pub(crate) fn say(&mut self, response: &Response) {
        response.encode(self.stream.sending());
    }

    /// Gathers one line of a multi-line response; never one that begins with a dot.
    pub(crate) fn line(&mut self, line: &str) {
        self.stream.send(line.as_bytes());
        self.stream.send(b"\r\n");
    }

    /// Sends all that was gathered.
    pub(crate) async fn flush(&mut self) -> Result<(), End> {
        match timeout(self.write_timeout, self.stream.flush()).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(End::Lost("the client takes no more output".into())),
        }
    }

    /// Sends what was gathered if it is much.
    pub(crate) async fn flush_if_full(&mut self) -> Result<(), End> {
        if self.stream.unsent() >= OUTPUT_OCTETS_MAX { self.flush().await } else { Ok(()) }
    }

    /// The next command, or what is wrong with the line. What was gathered is sent before waiting, not between
    /// commands that came together (RFC 2449 §6.6); but others have their turn between these.
    pub(crate) async fn command(
        &mut self,
        silence_max: Duration,
        shutdown: &Shutdown,
    ) -> Result<Result<Command, Malformed>, End> {
        let until = Instant::now() + silence_max;
        if !self.stream.buffered().is_empty() && self.turn_began.elapsed() > TURN_MAX {
            // A buffer full of commands would take seconds.
            tokio::task::yield_now().await;
            self.turn_began = Instant::now();
        }
        loop {
            match next_line(self.stream.buffered(), COMMAND_OCTETS_MAX) {
                Line::Whole { text, consumed } => {
                    let command = Command::parse(text);
                    self.stream.consume(consumed);
                    self.flush_if_full().await?;
                    return Ok(command);
                }
                Line::TooLong => return Err(self.refuse("line too long").await),
                Line::Partial => self.wait(until, shutdown).await?,
            }
        }
    }

    /// The client's next line in a SASL exchange.
    pub(crate) async fn sasl_line(
        &mut self,
        silence_max: Duration,
        shutdown: &Shutdown,
    ) -> Result<SaslLine, End> {
        let until = Instant::now() + silence_max;
        loop {
            match next_line(self.stream.buffered(), SASL_OCTETS_MAX) {
                Line::Whole { text, consumed } => {
                    let line = decode_sasl_line(text);
                    self.stream.consume(consumed);
                    return Ok(line);
                }
                Line::TooLong => return Err(self.refuse("line too long").await),
                Line::Partial => self.wait(until, shutdown).await?,
            }
        }
    }

    /// Tells the client why this is the end.
    pub(crate) async fn refuse(&mut self, why: &'static str) -> End {
        self.say(&Response::refused(why));
        match self.flush().await {
            Ok(()) => End::Refused(why),
            Err(end) => end,
        }
    }

    /// The time is that of the whole line: a client that sends an octet now and then gains nothing.
    async fn wait(&mut self, until: Instant, shutdown: &Shutdown) -> Result<(), End> {
        self.flush().await?;
        let filled = tokio::select! {
            filled = timeout_at(until, self.stream.fill()) => filled,
            () = shutdown.wait() => return Err(End::Lost("the server is stopping".into())),
        };
        self.turn_began = Instant::now();
        match filled {
            Ok(Ok(0)) => Err(End::Lost("the client closed the connection".into())),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(End::Lost("no command for too long".into())),
        }
    }
}
