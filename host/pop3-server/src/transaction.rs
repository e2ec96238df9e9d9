//! TRANSACTION: what is in the maildrop, and the messages themselves (RFC 1939 §5 and §7).

use events::Event;
use store::{Octets, StoreError, Uid};

use crate::io::End;
use crate::maildrop::{Entry, Maildrop, Mark, NoMessage};
use crate::session::{Next, Session, State};
use crate::wire::command::{Command, MessageNumber};
use crate::wire::response::{Code, Response};
use crate::wire::stuffing::{Stuffer, Top};

/// Octets of a message in memory at a time.
const PIECE_OCTETS: usize = 64 * 1024;
/// Octets of a message in which its header must end, to be looked at for UTF-8.
const HEADER_OCTETS_MAX: usize = 256 * 1024;

/// How a listing writes a message: LIST its size, UIDL its unique-id.
type Written = fn(&Maildrop, &Entry) -> String;

impl Session {
    /// A command of TRANSACTION alone.
    pub(crate) async fn read_mail(&mut self, command: Command) -> Result<Next, End> {
        match command {
            Command::Retr(number) => self.send(number, None).await,
            Command::Top { message, lines } => self.send(message, Some(lines)).await,
            Command::List(number) => self.list(number, |_, entry| entry.size.to_string()).await,
            Command::Uidl(number) => self.list(number, |maildrop, entry| maildrop.unique_id(entry.uid)).await,
            other => {
                if let State::Transaction(maildrop) = &mut self.state {
                    self.io.say(&answer(maildrop, &other));
                }
                Ok(Next::Answered)
            }
        }
    }

    /// Tells the client that the store did not do it, and the log why.
    pub(crate) fn store_failed(&mut self, text: &str, error: &StoreError) {
        self.shared.parts.events.emit(&Event::InternalError { place: "pop3", cause: &error.to_string() });
        self.io.say(&Response::refused_with(Code::SysTemp, text));
    }

    /// LIST and UIDL, of one message or all.
    async fn list(&mut self, number: Option<MessageNumber>, shown: Written) -> Result<Next, End> {
        let State::Transaction(maildrop) = &mut self.state else { return Ok(Next::Answered) };
        if let Some(number) = number {
            let response = match maildrop.entry(number).map(|entry| *entry) {
                Ok(entry) => Response::ok(format!("{number} {}", shown(maildrop, &entry))),
                Err(none) => Response::refused(none.to_string()),
            };
            self.io.say(&response);
            return Ok(Next::Answered);
        }
        let (count, octets) = maildrop.totals();
        self.io.say(&Response::ok(format!("{count} messages ({octets} octets)")));
        for (number, entry) in maildrop.kept() {
            self.io.line(&format!("{number} {}", shown(maildrop, entry)));
            self.io.flush_if_full().await?;
        }
        self.io.line(".");
        Ok(Next::Answered)
    }

    /// RETR, and TOP where `lines` says how many.
    async fn send(&mut self, number: MessageNumber, lines: Option<u64>) -> Result<Next, End> {
        let message = match self.open(number) {
            Ok(message) => message,
            Err(Refused::Said(response)) => {
                self.io.say(&response);
                return Ok(Next::Answered);
            }
            Err(Refused::Store(error)) => {
                self.store_failed("the message cannot be read now", &error);
                return Ok(Next::Answered);
            }
        };
        match lines {
            None => self.io.say(&Response::ok(format!("{} octets", message.len()))),
            Some(_) => self.io.say(&Response::ok("top of message follows")),
        }
        self.stream(&message, lines.map(Top::new)).await?;
        if let (None, State::Transaction(maildrop)) = (lines, &mut self.state)
            && let Ok(entry) = maildrop.entry(number)
        {
            entry.fetched = true;
        }
        Ok(Next::Answered)
    }

    fn open(&mut self, number: MessageNumber) -> Result<Shown, Refused> {
        let State::Transaction(maildrop) = &mut self.state else {
            return Err(Refused::Said(Response::refused("log in first")));
        };
        let uid: Uid = maildrop.entry(number).map_err(Refused::from)?.uid;
        let Some(octets) = maildrop.octets(&self.shared.parts.store, uid).map_err(Refused::Store)? else {
            return Err(Refused::Said(Response::refused("the message was removed by another session")));
        };
        if self.utf8 {
            return Ok(Shown { octets, instead: None });
        }
        match surrogate(&octets).map_err(Refused::Store)? {
            Header::Plain => Ok(Shown { octets, instead: None }),
            Header::Replaced(header, at) => Ok(Shown { octets, instead: Some((header, at)) }),
            Header::TooLarge => {
                let text = "the message has UTF-8 in its header: say UTF8 before you log in";
                Err(Refused::Said(Response::refused_with(Code::Utf8, text)))
            }
        }
    }

    /// Sends a message piece by piece. When it cannot be read to its end there is no way to say so: the connection
    /// is closed, and the client keeps nothing.
    async fn stream(&mut self, message: &Shown, mut top: Option<Top>) -> Result<(), End> {
        let (mut stuffer, mut at) = (Stuffer::default(), 0);
        if let Some((header, after)) = &message.instead {
            let kept = top.as_mut().map_or(header.len(), |top| top.cut(header));
            stuffer.push(&header[..kept], self.io.stream.sending());
            at = if kept < header.len() { message.octets.len() } else { *after };
        }
        while at < message.octets.len() {
            let piece = message.octets.range(at, PIECE_OCTETS);
            let piece = piece.map_err(|error| End::Lost(error.to_string().into()))?;
            if piece.is_empty() {
                return Err(End::Lost("a message is shorter than its size".into()));
            }
            at += piece.len() as u64;
            let kept = top.as_mut().map_or(piece.len(), |top| top.cut(&piece));
            stuffer.push(&piece[..kept], self.io.stream.sending());
            self.io.flush_if_full().await?;
            if kept < piece.len() {
                break;
            }
        }
        stuffer.finish(self.io.stream.sending());
        Ok(())
    }
}

/// A message as the client gets it.
struct Shown {
    octets: Octets,
    /// A header in the place of the message's own, and where that ends.
    instead: Option<(Vec<u8>, u64)>,
}

impl Shown {
    fn len(&self) -> u64 {
        let whole = self.octets.len();
        self.instead.as_ref().map_or(whole, |(header, at)| header.len() as u64 + whole.saturating_sub(*at))
    }
}

/// Why a message is not sent.
enum Refused {
    Said(Response),
    Store(StoreError),
}

impl From<NoMessage> for Refused {
    fn from(none: NoMessage) -> Self {
        Self::Said(Response::refused(none.to_string()))
    }
}

/// STAT, DELE, RSET, NOOP.
fn answer(maildrop: &mut Maildrop, command: &Command) -> Response {
    match command {
        Command::Stat => {
            let (count, octets) = maildrop.totals();
            Response::ok(format!("{count} {octets}"))
        }
        Command::Dele(number) => match maildrop.entry(*number) {
            Ok(entry) => {
                entry.mark = Mark::Deleted;
                Response::ok(format!("message {number} is marked as deleted"))
            }
            Err(none) => Response::refused(none.to_string()),
        },
        Command::Rset => {
            maildrop.reset();
            let (count, octets) = maildrop.totals();
            Response::ok(format!("maildrop has {count} messages ({octets} octets)"))
        }
        _ => Response::ok(""),
    }
}

/// What a client that has not said UTF8 gets of a header (RFC 6856 §2.1).
enum Header {
    /// It as it is.
    Plain,
    /// A surrogate (RFC 6858), in the place of so many octets.
    Replaced(Vec<u8>, u64),
    /// Nothing: it is too large to be looked at.
    TooLarge,
}

fn surrogate(octets: &Octets) -> Result<Header, StoreError> {
    let mut head = Vec::new();
    while (head.len() as u64) < octets.len() && head.len() < HEADER_OCTETS_MAX {
        let piece = octets.range(head.len() as u64, PIECE_OCTETS.min(HEADER_OCTETS_MAX - head.len()))?;
        if piece.is_empty() {
            break;
        }
        head.extend_from_slice(&piece);
        let len = message::header_len(&head);
        if len < head.len() || len as u64 == octets.len() {
            let replaced = message::surrogate_header(&head[..len]);
            return Ok(replaced.map_or(Header::Plain, |header| Header::Replaced(header, len as u64)));
        }
    }
    Ok(if head.is_ascii() { Header::Plain } else { Header::TooLarge })
}
