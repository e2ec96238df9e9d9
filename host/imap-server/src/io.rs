//! The two directions of a connection: whole commands in, bounded output out.

use std::borrow::Cow;
use std::time::Duration;

use imap_wire::{
    Code, CommandReader, Condition, FetchResponse, Limits, Line, Received, Response, Status, Tag, next_line,
};
use runtime::{Shutdown, Stream};
use tokio::time::{Instant, timeout, timeout_at};

use crate::dialect::Dialect;
use crate::view::Member;

/// Octets gathered before they are sent: what a client that reads slowly costs us.
pub(crate) const OUTPUT_OCTETS_MAX: usize = 64 * 1024;

/// Octets that a client has to take within the pause of writing.
const PIECE_OCTETS: usize = 64 * 1024;

/// How long commands that came together are answered before others have their turn; then it is the next one's.
const TURN_MAX: Duration = Duration::from_millis(1);

/// Why a session ends.
#[derive(Debug)]
pub(crate) enum End {
    /// The client said LOGOUT.
    Logout,
    /// We end it, and tell the client why.
    Bye(Cow<'static, str>),
    /// What was announced cannot be read: nothing but closing makes it good. The cause is for the operator.
    Damaged(String),
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
    pub(crate) dialect: Dialect,
    reader: CommandReader,
    write_pause: Duration,
    /// When others had theirs.
    turn_began: Instant,
}

impl Io {
    pub(crate) fn new(stream: Stream, write_pause: Duration) -> Self {
        let (dialect, reader, turn_began) = (Dialect::default(), CommandReader::new(), Instant::now());
        Self { stream, dialect, reader, write_pause, turn_began }
    }

    /// Gathers a response.
    pub(crate) fn say(&mut self, response: &Response) {
        let names = self.dialect.names();
        response.write(self.stream.sending(), names);
    }

    /// Gathers a status response; untagged without a tag.
    pub(crate) fn status(&mut self, tag: Option<Tag>, condition: Condition, code: Option<Code>, text: &str) {
        self.say(&Response::Status(Status { tag, condition, code, text: text.to_owned() }));
    }

    /// Begins a response about a message: FETCH, with its UID where that is wanted; or UIDFETCH, which has it anyway (RFC
    /// 9586 §3.3).
    pub(crate) fn fetch_response(&mut self, member: Member, with_uid: bool) -> FetchResponse {
        let uid_only = self.dialect.uid_only;
        let out = self.out();
        if uid_only {
            return FetchResponse::begin_by_uid(out, member.uid);
        }
        let mut response = FetchResponse::begin(out, member.sequence);
        if with_uid {
            response.uid(out, member.uid);
        }
        response
    }

    /// Where encoders write to.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        self.stream.sending()
    }

    /// Sends all that was gathered.
    pub(crate) async fn flush(&mut self) -> Result<(), End> {
        self.flush_with(&[]).await
    }

    /// Sends what was gathered, and then these octets, uncopied. Each piece has its own time: a slow
    /// client gets all of it, one that takes nothing does not keep us.
    pub(crate) async fn flush_with(&mut self, octets: &[u8]) -> Result<(), End> {
        if self.stream.unsent() > PIECE_OCTETS {
            let gathered = std::mem::take(self.stream.sending());
            for piece in gathered.chunks(PIECE_OCTETS) {
                self.flush_piece(piece).await?;
            }
        }
        let (first, rest) = octets.split_at(octets.len().min(PIECE_OCTETS));
        self.flush_piece(first).await?;
        for piece in rest.chunks(PIECE_OCTETS) {
            self.flush_piece(piece).await?;
        }
        Ok(())
    }

    async fn flush_piece(&mut self, piece: &[u8]) -> Result<(), End> {
        match timeout(self.write_pause, self.stream.flush_with(&[piece])).await {
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
    /// between commands that came together; but others have their turn between these.
    pub(crate) async fn command(
        &mut self,
        limits: &Limits,
        patience: Patience,
        shutdown: &Shutdown,
    ) -> Result<Received, End> {
        let deadline = Instant::now() + patience.inactivity;
        if !self.stream.buffered().is_empty() && self.turn_began.elapsed() > TURN_MAX {
            // A buffer full of commands would take seconds.
            tokio::task::yield_now().await;
            self.turn_began = Instant::now();
        }
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
        self.turn_began = Instant::now();
        match filled {
            Ok(Ok(0)) => Err(End::Lost("the client closed the connection".into())),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(End::Bye("autologout: no command for too long".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    async fn pair(write_pause: Duration) -> (Io, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        (Io::new(Stream::plain(server), write_pause), client)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_gets_all() {
        // The kernel holds some MiB, and asks for more only when a good part of them is gone.
        const OCTETS: usize = 64 << 20;
        let (mut io, mut client) = pair(Duration::from_secs(300)).await;
        // While a thread blocks, paused time moves only when it is told to: a socket that takes its time does not count.
        let (release, held) = std::sync::mpsc::channel::<()>();
        let holding = tokio::task::spawn_blocking(move || held.recv());
        let reading = tokio::spawn(async move {
            let (mut piece, mut total) = (vec![0; 8 << 20], 0);
            while total < OCTETS {
                tokio::time::advance(Duration::from_secs(200)).await;
                let mut filled = 0;
                while filled < piece.len() && total < OCTETS {
                    let count = client.read(&mut piece[filled..]).await.unwrap();
                    assert_ne!(count, 0, "closed after {total} octets");
                    (filled, total) = (filled + count, total + count);
                }
            }
        });
        // As one FETCH of a large part, and as one response that was gathered.
        io.flush_with(&vec![b'x'; OCTETS / 2]).await.unwrap();
        io.out().extend_from_slice(&vec![b'y'; OCTETS / 2]);
        io.flush().await.unwrap();
        reading.await.unwrap();
        drop(release);
        assert!(holding.await.unwrap().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_left() {
        let (mut io, _client) = pair(Duration::from_secs(300)).await;
        let end = io.flush_with(&vec![b'x'; 64 << 20]).await;
        assert!(matches!(end, Err(End::Lost(_))));
    }
}
