//! IDLE (RFC 2177).

use imap_wire::{Line, Response, next_line};
use tokio::time::{Instant, timeout_at};

use super::notify::noticed;
use crate::answer::Answer;
use crate::io::End;
use crate::selected::Expunges;
use crate::session::{Session, State};

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
            let selected = match &mut self.state {
                State::Selected(_, selected) => Some(&mut **selected),
                _ => None,
            };
            tokio::select! {
                filled = timeout_at(until, self.io.stream.fill()) => match filled {
                    Ok(Ok(0)) => return Err(End::Lost("the client closed the connection".into())),
                    Ok(filled) => drop(filled?),
                    Err(_) => return Err(End::Bye("autologout: idle for too long".into())),
                },
                () = noticed(self.notify.as_deref(), selected) => {
                    Box::pin(self.push(Expunges::Told)).await?;
                    self.io.flush().await?;
                }
                () = self.shutdown.wait() => return Err(End::Bye("the server is stopping".into())),
            }
        }
    }
}
