//! One connection's octets: reads commands and content, writes replies, and keeps the times.
//!
//! Replies are gathered and go out together as soon as the client's input is used up (RFC 2920 §3.2).

use ::auth::Step;
use mail_types::Refusal;
use runtime::{Shutdown, Stream};
use smtp_wire::{Bdat, DataDecoder, Line, LineEndings, Then, encode_sasl, next_line};
use tokio::time::{Instant, timeout_at};

use crate::answer::{Answer, reply};
use crate::auth::{self as sasl, Authentication};
use crate::complete::complete;
use crate::intake::{Intake, too_large};
use crate::pace::Pace;
use crate::sasl_line::{Heard, hear};
use crate::session::{Next, Session};
use crate::transaction::{Chunked, Chunks};

/// How much refused content is read away so that the client hears the refusal; with more to come the
/// connection is closed on it.
const DISCARD_MAX: u64 = 64 << 20;
/// How much of an overlong line is read away before the connection is closed.
const SKIP_MAX: usize = 1 << 20;
/// Unsent replies beyond this go out though the client still talks.
const UNSENT_MAX: usize = 32 * 1024;

/// How a conversation ends.
pub(crate) enum End {
    /// The client went, or the network.
    Gone(&'static str),
    /// We say this, and close.
    Close(Answer, &'static str),
}

impl End {
    fn close(line: &'static str, cause: &'static str) -> Self {
        Self::Close(Answer::Line(line), cause)
    }
}

/// A session with its stream.
pub(crate) struct Conversation {
    pub(crate) stream: Stream,
    pub(crate) session: Session,
    pub(crate) shutdown: Shutdown,
}

impl Conversation {
    /// From the greeting to the end; gives why it ended. What happens seldom, or holds much while it
    /// happens, lives in a box of its own: so an idle session stays small.
    pub(crate) async fn run(mut self) -> &'static str {
        self.say(&self.session.greeting());
        loop {
            let next = match self.next().await {
                Ok(next) => next,
                Err(end) => return Box::pin(self.end(end)).await,
            };
            let done = match next {
                Next::Say(answer) => {
                    self.say(&answer);
                    Ok(())
                }
                Next::Close(answer) => Err(End::Close(answer, "done")),
                Next::Content(intake) => Box::pin(self.content(*intake)).await,
                Next::Chunk(bdat, chunked) => Box::pin(self.chunk(bdat, chunked)).await,
                Next::Discard(bdat, answer) => self.discard(bdat, answer).await,
                Next::Authenticate(begun) => Box::pin(self.authenticate(*begun)).await,
                Next::StartTls => match Box::pin(self.start_tls()).await {
                    Ok(started) => {
                        self = started;
                        Ok(())
                    }
                    Err(cause) => return cause,
                },
            };
            if let Err(end) = done {
                return Box::pin(self.end(end)).await;
            }
        }
    }

    fn say(&mut self, answer: &Answer) {
        answer.write(self.stream.sending());
    }

    async fn end(mut self, end: End) -> &'static str {
        match end {
            End::Gone(cause) => cause,
            End::Close(answer, cause) => {
                self.say(&answer);
                // With input unread a plain close would reset the connection, and the reply with it.
                if self.stream.buffered().is_empty() {
                    self.stream.close().await;
                } else {
                    self.stream.close_after_refusal().await;
                }
                cause
            }
        }
    }

    /// Reads the next command and hands it to the session.
    async fn next(&mut self) -> Result<Next, End> {
        let max = self.session.options.limits.command_line_max;
        let deadline = self.command_deadline();
        let mut skipped = 0;
        loop {
            let (next, consumed) = match next_line(self.stream.buffered(), max) {
                Line::Incomplete if skipped == 0 => {
                    self.more_of_a_line(deadline).await?;
                    continue;
                }
                // The tail of a line that was too long.
                Line::Complete(_, consumed) | Line::Loose(consumed) if skipped > 0 => {
                    (self.session.fault(Answer::Line("500 5.5.6 Line too long")), consumed)
                }
                Line::Complete(line, consumed) => (self.session.command(line).await, consumed),
                Line::Loose(consumed) => (self.loose_line(consumed).await, consumed),
                Line::Incomplete => {
                    skipped += self.skip(self.stream.buffered().len(), skipped)?;
                    self.more_of_a_line(deadline).await?;
                    continue;
                }
                Line::TooLong(consumed) if self.stream.buffered()[consumed - 1] == b'\n' => {
                    (self.session.fault(Answer::Line("500 5.5.6 Line too long")), consumed)
                }
                Line::TooLong(consumed) => {
                    skipped += self.skip(consumed, skipped)?;
                    continue;
                }
            };
            self.stream.consume(consumed);
            if self.stream.unsent() > UNSENT_MAX {
                self.flush().await?;
            }
            return Ok(next);
        }
    }

    /// Reads away a piece of an overlong line, of which so much was read away before.
    fn skip(&mut self, octets: usize, skipped: usize) -> Result<usize, End> {
        self.stream.consume(octets);
        if skipped + octets > SKIP_MAX {
            return Err(End::close("421 4.7.0 Line too long", "line too long"));
        }
        Ok(octets)
    }

    /// A line that a bare LF ends, or with a CR or NUL inside: another server might read it otherwise.
    async fn loose_line(&mut self, consumed: usize) -> Next {
        if self.session.options.line_endings == LineEndings::Normalize {
            let line = self.stream.buffered()[..consumed].strip_suffix(b"\n").unwrap_or_default();
            if !line.iter().any(|octet| matches!(octet, b'\r' | 0)) {
                return self.session.command(line).await;
            }
        }
        self.session.fault(Answer::Line("500 5.5.2 Lines end with CRLF and with nothing else"))
    }

    fn command_deadline(&self) -> Instant {
        let limits = &self.session.options.limits;
        (Instant::now() + limits.command_timeout).min(self.session.began + limits.session_timeout)
    }

    /// Sends what was gathered, and waits for more. An idle session ends when the server stops.
    async fn more_of_a_line(&mut self, deadline: Instant) -> Result<(), End> {
        self.flush().await?;
        let idle = self.stream.buffered().is_empty();
        let filled = tokio::select! {
            biased;
            filled = timeout_at(deadline, self.stream.fill()) => filled,
            () = self.shutdown.wait(), if idle => {
                return Err(End::close("421 4.3.2 The server is shutting down", "shutdown"));
            }
        };
        match filled {
            Ok(Ok(0)) => Err(End::Gone("closed by the client")),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(End::Gone("connection lost")),
            Err(_) => Err(End::close("421 4.4.2 Timeout, closing", "timeout")),
        }
    }

    async fn flush(&mut self) -> Result<(), End> {
        if self.stream.unsent() == 0 {
            return Ok(());
        }
        let deadline = Instant::now() + self.session.options.limits.command_timeout;
        match timeout_at(deadline, self.stream.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone("connection lost")),
            Err(_) => Err(End::Gone("the client takes no replies")),
        }
    }

    /// DATA: from 354 to CRLF.CRLF.
    async fn content(&mut self, mut intake: Intake) -> Result<(), End> {
        self.say(&Answer::Line("354 Send the message, end it with a dot on a line of its own"));
        let mut decoder = DataDecoder::new(self.session.options.line_endings);
        let pace = Pace::new(&self.session.options.limits);
        loop {
            let step = decoder.decode(self.stream.buffered());
            intake.push(step.content);
            let (consumed, then) = (step.consumed, step.then);
            self.stream.consume(consumed);
            if let Some(fault) = decoder.fault().filter(|_| !intake.is_refused()) {
                intake.refuse_lines(fault);
            }
            match then {
                Then::End => break,
                Then::Again => {}
                Then::Starved => {
                    self.spill(&mut intake).await;
                    if let Err(end) = self.more_content(&pace, &intake).await {
                        return Err(self.content_ended_early(intake, end).await);
                    }
                }
            }
        }
        let answer = complete(&mut self.session, intake).await;
        self.say(&answer);
        Ok(())
    }

    async fn spill(&mut self, intake: &mut Intake) {
        if intake.must_spill(self.session.options.limits.header_size_max) {
            self.session.look_at_header(intake, false).await;
            intake.spill().await;
        }
    }

    /// Waits for more content, within its times.
    async fn more_content(&mut self, pace: &Pace, intake: &Intake) -> Result<(), End> {
        self.flush().await?;
        let filled = timeout_at(pace.deadline(intake.is_refused()), self.stream.fill()).await;
        let most = self.session.options.limits.message_size_max.saturating_add(DISCARD_MAX);
        match filled {
            Ok(Ok(0)) => Err(End::Gone("closed by the client within content")),
            Ok(Ok(_)) if pace.is_too_slow(intake.octets()) => {
                Err(End::close("421 4.4.2 The content comes too slowly, closing", "content too slow"))
            }
            Ok(Ok(_)) if intake.octets() > most => {
                Err(End::close("421 4.3.4 The message is too large, closing", "content too large"))
            }
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(End::Gone("connection lost within content")),
            Err(_) => Err(End::close("421 4.4.2 Timeout, closing", "timeout within content")),
        }
    }

    /// Content that never came to its end: where it was refused already, the client hears why.
    async fn content_ended_early(&mut self, intake: Intake, end: End) -> End {
        match end {
            End::Close(_, cause) if intake.is_refused() => {
                End::Close(complete(&mut self.session, intake).await, cause)
            }
            end => end,
        }
    }

    /// BDAT: so many octets, then a reply (RFC 3030 §2).
    async fn chunk(&mut self, bdat: Bdat, mut chunked: Box<Chunked>) -> Result<(), End> {
        let max = self.session.options.limits.message_size_max;
        if chunked.intake.octets().saturating_add(bdat.size) > max {
            chunked.intake.refuse(too_large(max));
        }
        let pace = Pace::new(&self.session.options.limits);
        let mut rest = bdat.size;
        if chunked.intake.is_refused() && rest > DISCARD_MAX {
            return Err(End::Close(complete(&mut self.session, chunked.intake).await, "chunk too large"));
        }
        while rest > 0 {
            let taken = self.take_chunk(&mut chunked, rest);
            rest -= taken;
            if taken == 0 {
                self.spill(&mut chunked.intake).await;
                if let Err(end) = self.more_content(&pace, &chunked.intake).await {
                    return Err(self.content_ended_early(chunked.intake, end).await);
                }
            }
        }
        self.spill(&mut chunked.intake).await;
        let answer = self.chunk_done(bdat, chunked).await;
        self.say(&answer);
        Ok(())
    }

    /// Takes what is buffered of a chunk; gives how much.
    fn take_chunk(&mut self, chunked: &mut Chunked, rest: u64) -> u64 {
        let buffered = self.stream.buffered();
        let length = buffered.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
        let mut octets = &buffered[..length];
        match &mut chunked.decoder {
            None => chunked.intake.push(octets),
            Some(decoder) => {
                loop {
                    let step = decoder.decode(octets);
                    chunked.intake.push(step.content);
                    octets = &octets[step.consumed..];
                    if step.then == Then::Starved {
                        break;
                    }
                }
                if let Some(fault) = decoder.fault().filter(|_| !chunked.intake.is_refused()) {
                    chunked.intake.refuse_lines(fault);
                }
            }
        }
        self.stream.consume(length);
        length as u64
    }

    async fn chunk_done(&mut self, bdat: Bdat, mut chunked: Box<Chunked>) -> Answer {
        if bdat.last {
            if let Some(decoder) = &mut chunked.decoder {
                chunked.intake.push(decoder.finish());
                if let Some(fault) = decoder.fault() {
                    chunked.intake.refuse_lines(fault);
                }
            }
            return complete(&mut self.session, chunked.intake).await;
        }
        if chunked.intake.is_refused() {
            // The transaction stays, failed, until RSET or the last chunk's 503 (RFC 3030 §2).
            return match chunked.intake.finish().await {
                Err(refusal) => self.chunk_refused(refusal),
                Ok(_) => Answer::Line("451 4.3.0 The chunk could not be stored"),
            };
        }
        if let Some(open) = &mut self.session.transaction {
            open.chunks = Chunks::Some(chunked);
        }
        reply(250, 0, 0, format!("{} octets received", bdat.size)).into()
    }

    fn chunk_refused(&mut self, refusal: Refusal) -> Answer {
        let path = self.session.transaction.as_ref().map(|open| open.reverse_path());
        self.session.refused(events::Stage::Content, path, None, &refusal);
        refusal.into()
    }

    /// Reads a chunk away, so that it is not taken for commands.
    async fn discard(&mut self, bdat: Bdat, answer: Answer) -> Result<(), End> {
        if bdat.size > DISCARD_MAX {
            return Err(End::Close(answer, "chunk too large"));
        }
        let deadline = self.command_deadline();
        let mut rest = bdat.size;
        loop {
            let length = self.stream.buffered().len().min(usize::try_from(rest).unwrap_or(usize::MAX));
            self.stream.consume(length);
            rest -= length as u64;
            if rest == 0 {
                break;
            }
            self.more_of_a_line(deadline).await?;
        }
        self.say(&answer);
        Ok(())
    }

    /// The exchange that AUTH began.
    async fn authenticate(&mut self, begun: Authentication) -> Result<(), End> {
        let Authentication { mut exchange, mechanism, initial } = begun;
        let mut challenge = Vec::new();
        let mut response = initial;
        if response.is_none() {
            challenge.extend_from_slice(exchange.first_challenge());
        }
        let next = loop {
            let heard = match response.take() {
                Some(octets) => octets,
                None => match self.challenge(&challenge).await? {
                    Ok(octets) => octets,
                    Err(answer) => break self.session.fault(answer),
                },
            };
            match exchange.step(&heard).await {
                Step::Challenge(next) => challenge = next,
                Step::Failed(error) => break self.session.auth_failed(&mechanism, exchange.login(), &error),
                Step::Succeeded { identity, last } => {
                    // SMTP carries no data with success: they go as one more challenge (RFC 4954 §4).
                    if let Some(last) = last
                        && let Err(answer) = self.challenge(&last).await?
                    {
                        break self.session.fault(answer);
                    }
                    break Next::Say(self.session.authenticated(&mechanism, identity));
                }
            }
        };
        match next {
            Next::Close(answer) => Err(End::Close(answer, "authentication failed")),
            Next::Say(answer) => {
                self.say(&answer);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Sends a challenge and waits for the response; the inner error ends the exchange.
    async fn challenge(&mut self, challenge: &[u8]) -> Result<Result<Vec<u8>, Answer>, End> {
        self.stream.send(b"334 ");
        self.stream.send(encode_sasl(challenge).as_bytes());
        self.stream.send(b"\r\n");
        let deadline = self.command_deadline();
        loop {
            let (heard, consumed) = hear(self.stream.buffered());
            self.stream.consume(consumed);
            match heard {
                Heard::Response(octets) => return Ok(Ok(octets)),
                Heard::Refused(answer) => return Ok(Err(answer)),
                Heard::TooLong => return Err(End::Close(sasl::TOO_LONG, "line too long")),
                Heard::Nothing => self.more_of_a_line(deadline).await?,
            }
        }
    }

    /// Answers STARTTLS and shakes hands. Whatever the client sent ahead in clear is thrown away.
    async fn start_tls(mut self) -> Result<Self, &'static str> {
        let Some(tls) = self.session.server.tls.clone() else { return Err("TLS is gone") };
        self.say(&Answer::Line("220 2.0.0 Ready to start TLS"));
        if self.flush().await.is_err() {
            return Err("connection lost");
        }
        let Self { stream, mut session, shutdown } = self;
        let stream = stream.start_tls(&tls).await.map_err(|_| "TLS handshake failed")?;
        if let Some(info) = stream.tls() {
            session.tls_started(info.clone());
        }
        Ok(Self { stream, session, shutdown })
    }
}
