//! IDLE (RFC 2177).

use std::time::Duration;

use imap_wire::{Line, Response, next_line};
use tokio::time::{Instant, timeout_at};

use super::notify::noticed;
use crate::answer::Answer;
use crate::io::End;
use crate::selected::Expunges;
use crate::session::{Session, State};

/// How often it is looked whether a session that waits may go on: each look reads an entry, and thousands wait.
const STANDING_EVERY: Duration = Duration::from_secs(60);
/// `DONE` and its line end, with room for what is wrong.
const DONE_OCTETS_MAX: usize = 64;

impl Session {
    /// Tells what changes as it changes, until the client says DONE.
    pub(crate) async fn idle(&mut self) -> Result<Answer, End> {
        self.io.say(&Response::Continuation("idling".to_owned()));
        Box::pin(self.push(Expunges::Told)).await?;
        self.io.flush().await?;
        let until = Instant::now() + self.options.inactivity_max;
        loop {
            match next_line(self.io.stream.buffered(), DONE_OCTETS_MAX) {
                Line::Whole(line, used) => {
                    let done = line.eq_ignore_ascii_case(b"DONE");
                    self.io.stream.consume(used);
                    return Ok(if done { Answer::ok("IDLE done") } else { Answer::bad("expected DONE") });
                }
                Line::TooLong => return Err(End::Bye("expected DONE".into())),
                Line::NeedMore => {}
            }
            if self.wake(until).await? == Woken::ByNews {
                Box::pin(self.push(Expunges::Told)).await?;
                self.io.flush().await?;
            }
        }
    }

    /// Waits until the client says something, or something has happened that is to be told.
    pub(super) async fn wake(&mut self, until: Instant) -> Result<Woken, End> {
        let selected = match &mut self.state {
            State::Selected(_, selected) => Some(&mut **selected),
            _ => None,
        };
        let look = until.min(Instant::now() + STANDING_EVERY);
        let woken = tokio::select! {
            filled = timeout_at(look, self.io.stream.fill()) => match filled {
                Ok(Ok(0)) => Err(End::Lost("the client closed the connection".into())),
                Ok(filled) => Ok(filled.map(|_| Woken::ByClient)?),
                Err(_) if look < until => Ok(Woken::ToLook),
                Err(_) => Err(End::Bye("autologout: nothing was said for too long".into())),
            },
            () = noticed(self.notify.as_deref(), selected) => Ok(Woken::ByNews),
            () = self.shutdown.wait() => Err(End::Bye("the server is stopping".into())),
        }?;
        // What is new is for the owner alone, too.
        self.heed_standing()?;
        Ok(woken)
    }
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    ByClient,
    ByNews,
    /// It is time to look whether the session may go on.
    ToLook,
}
