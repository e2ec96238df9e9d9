//! One message over one connection: MAIL, RCPT, the content, and what the replies mean.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use mail_types::{ForwardPath, Notify, Reply};
use queue::{Attempt, Duty, Outcome, Reach};
use smtp_wire::{Bdat, Command, DotStuffer, Mail, Rcpt};

use crate::outcome::{Verdicts, refused};
use crate::remote::content::{Content, Lines, PIECE};
use crate::remote::needs::Fit;
use crate::remote::options::{Dialect, Timeouts};
use crate::remote::peer::{Peer, PeerError};

/// Commands sent ahead of their replies at most: both sides' socket buffers hold as much (RFC 2920 §3.1).
const WINDOW_MAX: usize = 100;
/// Content up to this size goes together with the commands, where the peer takes BDAT: one round trip.
const TOGETHER_MAX: u64 = 32 * 1024;
/// How long a peer's last word is waited for when it broke off.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A command whose reply is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Reset,
    Mail,
    Rcpt(usize),
    Data,
    /// The whole content in one chunk; there is one reply, or with LMTP one for each accepted recipient.
    Chunk,
}

/// How far a transaction came when the connection was lost.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) error: PeerError,
    /// The whole content may have been taken: trying at once elsewhere could deliver it twice.
    pub(crate) content_sent: bool,
}

/// A transaction as its replies come in. Pure: the driver below does the talking.
#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    attempt: &'a Attempt,
    fit: &'a Fit,
    remote: &'a str,
    mail_taken: bool,
    /// Recipients that were accepted, in order.
    accepted: Vec<usize>,
    /// Recipients over the peer's limit: for another transaction (RFC 5321 §4.5.3.1.10).
    postponed: Vec<(usize, Outcome)>,
    /// DATA was answered with 354.
    invited: bool,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(attempt: &'a Attempt, fit: &'a Fit, remote: &'a str) -> Self {
        let (accepted, postponed) = (Vec::new(), Vec::new());
        Self { attempt, fit, remote, mail_taken: false, accepted, postponed, invited: false }
    }

    /// The commands up to the content.
    pub(crate) fn script(&self, reset: bool, recipients: &[usize]) -> VecDeque<Sent> {
        let mut script = VecDeque::with_capacity(recipients.len() + 3);
        script.extend(reset.then_some(Sent::Reset));
        script.push_back(Sent::Mail);
        script.extend(recipients.iter().map(|index| Sent::Rcpt(*index)));
        script.push_back(if self.fit.chunking { Sent::Chunk } else { Sent::Data });
        script
    }

    /// Writes a command; a chunk's octets follow by other hands.
    pub(crate) fn encode(&self, sent: Sent, size: u64, wire: &mut Vec<u8>) {
        let command = match sent {
            Sent::Reset => Command::Rset,
            Sent::Mail => Command::Mail(Mail {
                path: self.attempt.reverse_path.clone(),
                internationalized: self.fit.transport.smtputf8,
                transport: self.fit.transport.clone(),
                size: self.fit.size,
                submitter: None,
            }),
            Sent::Rcpt(index) => {
                let recipient = &self.attempt.recipients[index];
                let dsn = self.fit.dsn;
                Command::Rcpt(Rcpt {
                    path: ForwardPath::from(recipient.address.clone()),
                    internationalized: self.fit.transport.smtputf8,
                    notify: if dsn { recipient.notify } else { Notify::Unspecified },
                    orcpt: recipient.orcpt.clone().filter(|_| dsn),
                })
            }
            Sent::Data => Command::Data,
            Sent::Chunk => Command::Bdat(Bdat { size, last: true }),
        };
        command.encode(wire);
    }

    /// Takes the reply to one command of the script (not to a chunk).
    pub(crate) fn take(&mut self, sent: Sent, reply: Reply, verdicts: &mut Verdicts) {
        let refuse = |reply, command| refused(reply, self.remote, command, Reach::Recipient);
        match sent {
            Sent::Reset | Sent::Chunk => {}
            Sent::Mail if reply.is_success() => self.mail_taken = true,
            Sent::Mail => verdicts.settle_rest(&refuse(reply, "MAIL")),
            // The replies behind a refused MAIL only say that there was none.
            _ if !self.mail_taken => {}
            Sent::Rcpt(index) if reply.is_success() => self.accepted.push(index),
            Sent::Rcpt(index) => {
                let too_many = over_recipient_limit(&reply);
                let outcome = refuse(reply, "RCPT");
                if too_many && !self.accepted.is_empty() {
                    self.postponed.push((index, outcome));
                } else {
                    verdicts.settle(index, outcome);
                }
            }
            Sent::Data if reply.code == 354 => self.invited = true,
            // With no recipient left its refusal is expected.
            Sent::Data => self.settle_accepted(&refuse(reply, "DATA"), verdicts),
        }
    }

    /// Whether the peer waits for content.
    pub(crate) fn wants_content(&self) -> bool {
        !self.accepted.is_empty() && (self.invited || self.fit.chunking)
    }

    fn settle_accepted(&mut self, outcome: &Outcome, verdicts: &mut Verdicts) {
        for index in self.accepted.drain(..) {
            verdicts.settle(index, outcome.clone());
        }
    }

    /// The reply after the content, for all recipients or (LMTP) for the next one.
    fn conclude(&self, reply: &Reply, recipients: &[usize], taken: Duty, verdicts: &mut Verdicts) {
        // RFC 3461 §5.2.2: a peer that took NOTIFY has taken over the duty to report.
        let duty = if self.fit.dsn { Duty::PassedOn } else { taken };
        for index in recipients {
            let outcome = if reply.is_success() {
                let remote = Some(self.remote.to_owned());
                Outcome::Delivered { reply: reply.clone(), remote, duty }
            } else {
                refused(reply.clone(), self.remote, "end of content", Reach::Recipient)
            };
            verdicts.settle(*index, outcome);
        }
    }
}

/// RFC 5321 §4.5.3.1.10: 452, and 552 from older servers; with a status where the peer gives one.
fn over_recipient_limit(reply: &Reply) -> bool {
    matches!(reply.code, 452 | 552)
        && reply.status.is_none_or(|status| (status.subject, status.detail) == (5, 3))
}

/// Sends a message to the recipients without an outcome. Gives whether some are left for another
/// transaction on this connection.
pub(crate) async fn transact(
    peer: &mut Peer,
    message: Message<'_>,
    fit: &Fit,
    verdicts: &mut Verdicts,
) -> Result<bool, Lost> {
    let remote = peer.remote.clone();
    let Message { attempt, content, dialect, timeouts } = message;
    let mut driver = Driver { peer, content, timeouts, dialect, content_sent: false, heard: false };
    let mut transaction = Transaction::new(attempt, fit, &remote);
    let result = driver.run(&mut transaction, verdicts).await;
    let delivered = result.is_ok() && !transaction.accepted.is_empty();
    if !delivered {
        // Nobody took the message: what was said of the recipients over the limit stands.
        for (index, outcome) in transaction.postponed.drain(..) {
            verdicts.settle(index, outcome);
        }
    }
    let Driver { content_sent, heard, peer, .. } = driver;
    match result {
        Ok(()) => {
            peer.messages += 1;
            Ok(!transaction.postponed.is_empty())
        }
        Err(error) => {
            let content_sent = content_sent && (heard || matches!(error, PeerError::Timeout(_)));
            Err(Lost { error, content_sent })
        }
    }
}

/// What is to be sent, and how.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) attempt: &'a Attempt,
    pub(crate) content: &'a Content,
    pub(crate) dialect: Dialect,
    pub(crate) timeouts: &'a Timeouts,
}

struct Driver<'p> {
    peer: &'p mut Peer,
    content: &'p Content,
    timeouts: &'p Timeouts,
    dialect: Dialect,
    /// The end of the content was handed to the network.
    content_sent: bool,
    /// The peer has answered something since. A connection that died while it was unused answers
    /// nothing, whatever was sent into it.
    heard: bool,
}

impl Driver<'_> {
    async fn run(
        &mut self,
        transaction: &mut Transaction<'_>,
        verdicts: &mut Verdicts,
    ) -> Result<(), PeerError> {
        let mut script = transaction.script(self.peer.needs_reset, &verdicts.pending());
        self.peer.needs_reset = true;
        let together = self.sends_together(transaction);
        let window = if self.peer.capabilities.pipelining { WINDOW_MAX } else { 1 };
        while !script.is_empty() {
            let mut group: Vec<Sent> = script.drain(..window.min(script.len())).collect();
            if !together && group.last() == Some(&Sent::Chunk) {
                group.pop();
            }
            self.send(&group, transaction).await?;
            for sent in group.into_iter().filter(|sent| *sent != Sent::Chunk) {
                let reply = self.reply_to(sent).await?;
                transaction.take(sent, reply, verdicts);
            }
            let refused = !transaction.mail_taken && !script.contains(&Sent::Mail);
            let content_next = matches!(script.front(), Some(Sent::Data | Sent::Chunk));
            if refused || (content_next && transaction.accepted.is_empty()) {
                break;
            }
        }
        if together {
            return self.conclude(transaction, verdicts).await;
        }
        if transaction.wants_content() {
            if let Err(error) = self.send_content(transaction).await {
                self.hear_last_word(transaction, verdicts).await;
                return Err(error);
            }
            return self.conclude(transaction, verdicts).await;
        }
        if transaction.invited {
            // RFC 2920 §3.1: nobody is left, but the peer waits for an end.
            self.peer.stream.send(b".\r\n");
            self.peer.flush("end of nothing", self.timeouts.block).await?;
            self.peer.reply("end of nothing", self.timeouts.end).await?;
        }
        Ok(())
    }

    async fn reply_to(&mut self, sent: Sent) -> Result<Reply, PeerError> {
        let (what, wait) = match sent {
            Sent::Reset => ("RSET", self.timeouts.command),
            Sent::Mail => ("MAIL", self.timeouts.command),
            Sent::Rcpt(_) => ("RCPT", self.timeouts.command),
            Sent::Data | Sent::Chunk => ("DATA", self.timeouts.data),
        };
        let reply = self.peer.reply(what, wait).await?;
        self.heard = true;
        Ok(reply)
    }

    /// A peer that refuses in the middle of the content and hangs up may have said why.
    async fn hear_last_word(&mut self, transaction: &mut Transaction<'_>, verdicts: &mut Verdicts) {
        if let Ok(reply) = self.peer.reply("content", LAST_WORD).await {
            let outcome = refused(reply, transaction.remote, "content", Reach::Recipient);
            transaction.settle_accepted(&outcome, verdicts);
        }
    }

    /// Whether the content goes out with the commands, before any reply. Not by LMTP: a chunk has as many replies
    /// as recipients were accepted, and none where none was (RFC 2033 §4.3), so that who does not know yet cannot
    /// tell how long to wait, and a server that answers all the same would put every later reply out of step.
    fn sends_together(&self, transaction: &Transaction<'_>) -> bool {
        transaction.fit.chunking
            && self.dialect == Dialect::Smtp
            && self.peer.capabilities.pipelining
            && self.content.len() <= TOGETHER_MAX
            && self.content.in_memory().is_some()
            && transaction.attempt.recipients.len() < WINDOW_MAX - 3
    }

    async fn send(&mut self, group: &[Sent], transaction: &Transaction<'_>) -> Result<(), PeerError> {
        for sent in group {
            transaction.encode(*sent, self.content.len(), self.peer.stream.sending());
        }
        if group.last() != Some(&Sent::Chunk) {
            return self.peer.flush("commands", self.timeouts.command).await;
        }
        let content = self.content.in_memory().cloned().unwrap_or_default();
        check_lines(transaction, &[self.content.prefix(), &content], true, &mut Lines::default())?;
        // A peer that dies now may have taken it.
        self.content_sent = true;
        let slices: [&[u8]; 2] = [self.content.prefix(), &content];
        self.peer.flush_with(&slices, "content", self.timeouts.block).await
    }

    async fn send_content(&mut self, transaction: &Transaction<'_>) -> Result<(), PeerError> {
        if transaction.fit.chunking {
            transaction.encode(Sent::Chunk, self.content.len(), self.peer.stream.sending());
            self.send_chunk(transaction).await
        } else {
            self.send_data().await
        }
    }

    /// By DATA: dots doubled, the end behind it.
    async fn send_data(&mut self) -> Result<(), PeerError> {
        let unfit = |error: smtp_wire::LooseLineEnding| PeerError::Content(error.to_string());
        let mut stuffer = DotStuffer::new();
        stuffer.stuff(self.content.prefix(), self.peer.stream.sending()).map_err(unfit)?;
        let mut offset = 0;
        loop {
            let piece = self.content.piece(offset).await.map_err(unread)?;
            if piece.is_empty() {
                break;
            }
            offset += piece.len() as u64;
            if self.peer.stream.unsent() + piece.len() > PIECE {
                self.peer.flush("content", self.timeouts.block).await?;
            }
            stuffer.stuff(&piece, self.peer.stream.sending()).map_err(unfit)?;
        }
        stuffer.finish(self.peer.stream.sending()).map_err(unfit)?;
        self.content_sent = true;
        self.peer.flush("content", self.timeouts.block).await
    }

    /// By BDAT: octets as they are, without a copy.
    async fn send_chunk(&mut self, transaction: &Transaction<'_>) -> Result<(), PeerError> {
        let mut lines = Lines::default();
        let prefix = self.content.prefix();
        check_lines(transaction, &[prefix], false, &mut lines)?;
        self.peer.stream.send(prefix);
        let total = self.content.len() - prefix.len() as u64;
        let mut offset = 0;
        while offset < total {
            let piece = self.content.piece(offset).await.map_err(unread)?;
            if piece.is_empty() {
                return Err(unread(io::ErrorKind::UnexpectedEof.into()));
            }
            offset += piece.len() as u64;
            check_lines(transaction, &[&piece], offset >= total, &mut lines)?;
            self.content_sent = offset >= total;
            self.peer.flush_with(&[&piece], "content", self.timeouts.block).await?;
        }
        self.content_sent = true;
        self.peer.flush("content", self.timeouts.block).await
    }

    /// The replies after the content.
    async fn conclude(
        &mut self,
        transaction: &mut Transaction<'_>,
        verdicts: &mut Verdicts,
    ) -> Result<(), PeerError> {
        let end = ("end of content", self.timeouts.end);
        if transaction.accepted.is_empty() {
            // A chunk that nobody was to get; its reply says so.
            self.content_sent = false;
            self.peer.reply(end.0, end.1).await?;
            return Ok(());
        }
        match self.dialect {
            Dialect::Smtp => {
                let reply = self.peer.reply(end.0, end.1).await?;
                transaction.conclude(&reply, &transaction.accepted, Duty::Relayed, verdicts);
            }
            // RFC 2033 §4.2: one for each accepted recipient, in order; such a server delivers.
            Dialect::Lmtp => {
                for index in &transaction.accepted {
                    let reply = self.peer.reply(end.0, end.1).await?;
                    transaction.conclude(&reply, &[*index], Duty::Delivered, verdicts);
                }
            }
        }
        self.peer.needs_reset = false;
        Ok(())
    }
}

fn unread(error: io::Error) -> PeerError {
    PeerError::Unread(error)
}

/// Nothing leaves with a bare CR or LF, unless it is binary by declaration.
fn check_lines(
    transaction: &Transaction<'_>,
    pieces: &[&[u8]],
    last: bool,
    lines: &mut Lines,
) -> Result<(), PeerError> {
    if transaction.fit.transport.body == mail_types::BodyType::BinaryMime {
        return Ok(());
    }
    let proper = pieces.iter().all(|piece| lines.take(piece)) && (!last || lines.end());
    if proper {
        return Ok(());
    }
    Err(PeerError::Content("the content has a bare CR or LF, which must not be sent".to_owned()))
}
