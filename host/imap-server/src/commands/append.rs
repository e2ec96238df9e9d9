//! APPEND (RFC 3501 §6.3.11): the message goes from the wire to storage in pieces.

use imap_wire::{Append, Code, LiteralMode, Response};
use mail_types::Timestamp;
use storage::{Content, StorageError};
use store::{MailboxId, NewMessage, Usage};

use super::{Context, copy, refusal};
use crate::answer::Answer;
use crate::io::End;
use crate::selected::split_flags;
use crate::session::{Session, State};

/// The end of the line after the message: nothing else may stand there.
const LINE_END_OCTETS_MAX: usize = 1024;

impl Session {
    /// Takes one message, or refuses it before it is sent.
    pub(crate) async fn append(&mut self, append: Append) -> Result<Answer, End> {
        let (target, message) = match self.prepare_append(&append) {
            Ok(prepared) => prepared,
            Err(answer) => return self.refuse_append(&append, answer).await,
        };
        let content = self.receive(&append).await?;
        if !self.line_ends().await? {
            return Ok(Answer::bad("expected the end of the line after the message"));
        }
        let content = match content {
            Ok(content) => content,
            Err(error) => return Ok(refusal(&error.into())),
        };
        let message = NewMessage { content, ..message };
        match self.shared.parts.store.append(target, vec![message]).await {
            Ok((uid_validity, uids)) => {
                let uid = uids.first().map_or(0, |uid| uid.0);
                Ok(Answer::ok("APPEND done").code(Code::AppendUid { uid_validity: uid_validity.0, uid }))
            }
            Err(error) => Ok(refusal(&error)),
        }
    }

    /// All that can be known before the message comes.
    fn prepare_append(&mut self, append: &Append) -> Result<(MailboxId, NewMessage), Answer> {
        let (State::Authenticated(login) | State::Selected(login, _)) = &self.state else {
            return Err(Answer::bad("log in first"));
        };
        let (flags, keywords) = split_flags(&append.flags).map_err(Answer::bad)?;
        if append.octets == 0 {
            return Err(Answer::no("an empty message is not kept"));
        }
        let shared = &*self.shared;
        let context = Context { io: &mut self.io, shared, login };
        let target = copy::target(&context, &append.mailbox)?;
        let more = Usage { messages: 1, octets: append.octets };
        shared.parts.store.check_room(target.account, more).map_err(|error| refusal(&error))?;
        let internal_date = append.internal_date.map(|date| {
            // Before 1970 nothing can be kept; nobody had mail to append then.
            Timestamp(u64::try_from(date.as_unix_seconds()).unwrap_or(0) * 1000)
        });
        Ok((target, NewMessage { content: Content::from(Vec::new()), flags, keywords, internal_date }))
    }

    /// Answers, and swallows the message where it comes unasked.
    pub(crate) async fn refuse_append(&mut self, append: &Append, answer: Answer) -> Result<Answer, End> {
        if append.mode == LiteralMode::NonSynchronizing {
            let mut left = append.octets;
            while left > 0 {
                let count = self.piece(left).await?;
                self.io.stream.consume(count);
                left -= count as u64;
            }
            self.line_ends().await?;
        }
        Ok(answer)
    }

    /// The message into storage. When storage fails half-way the rest is still taken off the wire.
    async fn receive(&mut self, append: &Append) -> Result<Result<Content, StorageError>, End> {
        if append.mode == LiteralMode::Synchronizing {
            self.io.say(&Response::Continuation("go on".to_owned()));
            self.io.flush().await?;
        }
        let mut writer = Ok(self.shared.parts.storage.content(self.options.message_octets_max));
        if let Ok(writer) = &mut writer {
            writer.reserve(append.octets);
        }
        let mut left = append.octets;
        while left > 0 {
            let count = self.piece(left).await?;
            if let Ok(open) = &mut writer
                && let Err(error) = open.write(&self.io.stream.buffered()[..count]).await
            {
                writer = Err(error);
            }
            self.io.stream.consume(count);
            left -= count as u64;
        }
        Ok(match writer {
            Ok(writer) => writer.finish().await,
            Err(error) => Err(error),
        })
    }

    /// How many octets of the message are buffered; waits where there are none.
    async fn piece(&mut self, left: u64) -> Result<usize, End> {
        while self.io.stream.buffered().is_empty() {
            self.io.fill(self.options.command_pause_max).await?;
        }
        Ok(self.io.stream.buffered().len().min(usize::try_from(left).unwrap_or(usize::MAX)))
    }

    /// Whether the line ends after the message.
    async fn line_ends(&mut self) -> Result<bool, End> {
        Ok(self.io.line(LINE_END_OCTETS_MAX, self.options.command_pause_max).await?.is_empty())
    }
}
