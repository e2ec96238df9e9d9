//! TRANSACTION: what is in the maildrop, and the messages themselves (RFC 1939 §5 and §7).

use events::Event;
use store::{StoreError, Uid};

use crate::io::End;
use crate::maildrop::{Entry, Maildrop, Mark, NoMessage};
use crate::session::{Next, Session, State};
use crate::shown::{PIECE_OCTETS, Piece, Shown};
use crate::wire::command::{Command, MessageNumber};
use crate::wire::response::{Code, Response};
use crate::wire::stuffing::{Stuffer, Top};

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
        let message = match self.open(number).await {
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

    async fn open(&mut self, number: MessageNumber) -> Result<Shown, Refused> {
        let State::Transaction(maildrop) = &mut self.state else {
            return Err(Refused::Said(Response::refused("log in first")));
        };
        let uid: Uid = maildrop.entry(number).map_err(Refused::from)?.uid;
        let Some(octets) = maildrop.octets(&self.shared.parts.store, uid).map_err(Refused::Store)? else {
            return Err(Refused::Said(Response::refused("the message was removed by another session")));
        };
        if self.utf8 || !self.options.surrogates {
            return Ok(Shown::whole(octets));
        }
        let shown = Shown::conventional(octets, &self.shared.whole_messages).await.map_err(Refused::Store)?;
        shown.ok_or_else(|| {
            let text = "the message has UTF-8 in its header: say UTF8 before you log in";
            Refused::Said(Response::refused_with(Code::Utf8, text))
        })
    }

    /// Sends a message piece by piece. When it cannot be read to its end there is no way to say so: the connection
    /// is closed, and the client keeps nothing.
    async fn stream(&mut self, message: &Shown, mut top: Option<Top>) -> Result<(), End> {
        let mut stuffer = Stuffer::default();
        // Of the top, how much of a piece, and whether there is more to come.
        let mut cut = |piece: &[u8]| top.as_mut().map_or(piece.len(), |top| top.cut(piece));
        'message: for piece in &message.pieces {
            let mut left = match piece {
                Piece::Stored(range) => range.clone(),
                Piece::Made(made) => {
                    let kept = cut(made);
                    stuffer.push(&made[..kept], self.io.stream.sending());
                    if kept < made.len() {
                        break;
                    }
                    continue;
                }
            };
            while left.start < left.end {
                let want = usize::try_from(left.end - left.start).unwrap_or(usize::MAX).min(PIECE_OCTETS);
                let octets = message.octets.range(left.start, want);
                let octets = octets.map_err(|error| End::Lost(error.to_string().into()))?;
                if octets.is_empty() {
                    return Err(End::Lost("a message is shorter than its size".into()));
                }
                left.start += octets.len() as u64;
                let kept = cut(&octets);
                stuffer.push(&octets[..kept], self.io.stream.sending());
                self.io.flush_if_full().await?;
                if kept < octets.len() {
                    break 'message;
                }
            }
        }
        stuffer.finish(self.io.stream.sending());
        Ok(())
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
