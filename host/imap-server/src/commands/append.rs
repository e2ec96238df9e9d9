//! APPEND (RFC 3501 §6.3.11, RFC 3502) and REPLACE (RFC 8508): messages go from the wire to storage in pieces.

use imap_wire::{
    Append, AppendMessage, By, Code, Condition, LiteralMode, NameEncoding, Response, SequenceSet, Tag,
    parse_next_message,
};
use mail_types::Timestamp;
use storage::{Content, StorageError};
use store::{MailboxId, NewMessage, Uid, UidValidity, Usage};

use super::{Context, copy, refusal};
use crate::answer::Answer;
use crate::io::End;
use crate::selected::{Access, split_flags};
use crate::session::{Session, State};

/// The rest of a line behind a message: flags, a date and the next one's literal.
const LINE_OCTETS_MAX: usize = 16 * 1024;
/// Most messages of one APPEND.
const MESSAGES_MAX: usize = 1_000;

/// Octets of messages that wait in memory for the others of their APPEND: small ones; large ones are in files.
const WAITING_OCTETS_MAX: u64 = 16 << 20;

/// What is going to be appended.
struct Appending {
    target: MailboxId,
    messages: Vec<NewMessage>,
    /// Octets of all that have come.
    octets: u64,
    /// Of these, octets in memory.
    waiting: u64,
}

impl Session {
    /// Takes messages, or refuses them before they are sent: all or none.
    pub(crate) async fn append(&mut self, tag: &Tag, append: Append) -> Result<Answer, End> {
        let replaced = match self.replaced(&append) {
            Ok(replaced) => replaced,
            Err(answer) => return self.refuse_append(&append.message, answer).await,
        };
        let target = match self.append_target(tag, &append) {
            Ok(target) => target,
            Err(answer) => return self.refuse_append(&append.message, answer).await,
        };
        let mut appending = Appending { target, messages: Vec::new(), octets: 0, waiting: 0 };
        let mut next = append.message;
        loop {
            let message = match self.new_message(&appending, &next) {
                Ok(message) => message,
                Err(answer) => return self.refuse_append(&next, answer).await,
            };
            let content = self.receive(&next).await?;
            let Some(line) = self.rest_of_line(&next).await? else {
                return Ok(Answer::bad("expected ) after the message"));
            };
            let following = match parse_next_message(&line, &self.limits(true)) {
                Ok(Some(_)) if replaced.is_some() => {
                    return Err(End::Bye("REPLACE takes one message".into()));
                }
                Ok(following) => following,
                // What follows cannot be told from commands any more where it announced a literal unasked.
                Err(error) if line.ends_with(b"+}") => return Err(End::Bye(error.to_string().into())),
                Err(error) => return Ok(Answer::bad(error.to_string())),
            };
            let content = match content {
                // RFC 3516 §4.4: what cannot be given back as it came is not taken.
                Ok((_, true)) if next.binary || next.utf8 => {
                    let answer = Answer::no("NUL octets are not kept").code(Code::UnknownCte);
                    return self.refuse_following(following, answer).await;
                }
                Ok((content, _)) => content,
                Err(error) => return self.refuse_following(following, refusal(&error.into())).await,
            };
            appending.octets = appending.octets.saturating_add(content.len());
            if matches!(content, Content::Inline(_)) {
                appending.waiting += content.len();
            }
            appending.messages.push(NewMessage { content, ..message });
            match following {
                Some(following) => next = following,
                None => break,
            }
        }
        self.commit_append(appending, replaced).await
    }

    async fn commit_append(&mut self, appending: Appending, replaced: Option<Uid>) -> Result<Answer, End> {
        let store = self.shared.parts.store.clone();
        let (uid_validity, uids) = match store.append(appending.target, appending.messages).await {
            Ok(appended) => appended,
            Err(error) => return Ok(refusal(&error)),
        };
        let code = append_uid(uid_validity, &uids);
        let (State::Selected(_, selected), Some(replaced)) = (&self.state, replaced) else {
            let answer = Answer::ok("APPEND done");
            return Ok(match code {
                Some(code) => answer.code(code),
                None => answer,
            });
        };
        // RFC 8508 §4.3: the new message is told before the old one's end.
        self.io.status(None, Condition::Ok, code, "the new message is here");
        match store.remove(selected.mailbox, &[replaced]).await {
            Ok(_) => Ok(Answer::ok("REPLACE done").removed(true)),
            Err(error) => Ok(refusal(&error)),
        }
    }

    /// The message that a REPLACE is for; `None` for APPEND.
    fn replaced(&self, append: &Append) -> Result<Option<Uid>, Answer> {
        let Some((by, number)) = append.replaces else { return Ok(None) };
        let State::Selected(_, selected) = &self.state else {
            return Err(Answer::bad("select a mailbox first"));
        };
        if selected.access == Access::ReadOnly {
            return Err(Answer::no("the mailbox is read-only").code(Code::NoPerm));
        }
        let set = SequenceSet::from_rising([number]);
        let members = set.and_then(|set| selected.view.resolve(by, &set).ok()).unwrap_or_default();
        match (members.first(), by) {
            (Some(member), _) => Ok(Some(Uid(member.uid))),
            (None, By::SequenceNumber) => Err(Answer::bad("no such message")),
            (None, By::Uid) => Err(Answer::no("no such message").code(Code::NonExistent)),
        }
    }

    fn append_target(&mut self, tag: &Tag, append: &Append) -> Result<MailboxId, Answer> {
        let limits = &self.limits(true);
        let (State::Authenticated(login) | State::Selected(login, _)) = &self.state else {
            return Err(Answer::bad("log in first"));
        };
        let context =
            Context { io: &mut self.io, shared: &self.shared, login, tag, limits, options: &self.options };
        copy::target(&context, &append.mailbox)
    }

    /// All that can be known of a message before it comes.
    fn new_message(&self, appending: &Appending, message: &AppendMessage) -> Result<NewMessage, Answer> {
        let (flags, keywords) = split_flags(&message.flags).map_err(Answer::bad)?;
        if message.utf8 && self.io.dialect.names() != NameEncoding::Utf8 {
            // RFC 6855 §4.
            return Err(Answer::bad("ENABLE UTF8=ACCEPT comes first"));
        }
        if message.octets == 0 {
            // RFC 3502: so a client takes an APPEND back.
            return Err(Answer::no("an empty message is not kept"));
        }
        let limits = self.limits(true);
        let unasked = message.mode == LiteralMode::NonSynchronizing;
        if message.octets > limits.append_octets
            || (unasked && message.octets > limits.non_synchronizing_octets)
        {
            return Err(Answer::no("message too big").code(Code::TooBig));
        }
        let count = appending.messages.len() + 1;
        let octets = appending.octets.saturating_add(message.octets);
        if count > MESSAGES_MAX {
            return Err(Answer::no(format!("more than {MESSAGES_MAX} messages at once")).code(Code::Limit));
        }
        if appending.waiting > WAITING_OCTETS_MAX {
            let max = WAITING_OCTETS_MAX >> 20;
            let text = format!("more than {max} MiB of small messages at once: append fewer");
            return Err(Answer::no(text).code(Code::Limit));
        }
        let more = Usage { messages: count as u64, octets };
        let store = &self.shared.parts.store;
        store.check_room(appending.target.account, more).map_err(|error| refusal(&error))?;
        let internal_date = message.internal_date.map(|date| {
            // Before 1970 nothing can be kept; nobody had mail to append then.
            Timestamp(u64::try_from(date.as_unix_seconds()).unwrap_or(0) * 1000)
        });
        Ok(NewMessage { content: Content::from(Vec::new()), flags, keywords, internal_date })
    }

    /// What stands behind a message on its line; `None` where a parenthesis is missing that should close there.
    async fn rest_of_line(&mut self, message: &AppendMessage) -> Result<Option<Vec<u8>>, End> {
        let line = self.io.line(LINE_OCTETS_MAX, self.options.command_pause_max).await?;
        if !message.utf8 {
            return Ok(Some(line));
        }
        Ok(line.strip_prefix(b")").map(<[u8]>::to_vec))
    }

    /// Refuses what follows a message that was not kept.
    async fn refuse_following(&mut self, next: Option<AppendMessage>, answer: Answer) -> Result<Answer, End> {
        match next {
            Some(next) => self.refuse_append(&next, answer).await,
            None => Ok(answer),
        }
    }

    /// Answers, and swallows messages that come unasked.
    async fn refuse_append(&mut self, message: &AppendMessage, answer: Answer) -> Result<Answer, End> {
        let mut message = Some(message.clone());
        while let Some(refused) = message.take_if(|next| next.mode == LiteralMode::NonSynchronizing) {
            let mut left = refused.octets;
            while left > 0 {
                let count = self.piece(left).await?;
                self.io.stream.consume(count);
                left -= count as u64;
            }
            let Some(line) = self.rest_of_line(&refused).await? else { return Ok(answer) };
            message = match parse_next_message(&line, &self.limits(true)) {
                Ok(following) => following,
                Err(error) if line.ends_with(b"+}") => return Err(End::Bye(error.to_string().into())),
                Err(_) => None,
            };
        }
        Ok(answer)
    }

    /// The message into storage, and whether it has NUL in it. When storage fails half-way the rest is still
    /// taken off the wire.
    async fn receive(
        &mut self,
        append: &AppendMessage,
    ) -> Result<Result<(Content, bool), StorageError>, End> {
        if append.mode == LiteralMode::Synchronizing {
            self.io.say(&Response::Continuation("go on".to_owned()));
            self.io.flush().await?;
        }
        let mut writer = Ok(self.shared.parts.storage.content(self.options.message_octets_max));
        if let Ok(writer) = &mut writer {
            writer.reserve(append.octets);
        }
        let (mut left, mut has_nul) = (append.octets, false);
        while left > 0 {
            let count = self.piece(left).await?;
            has_nul |= (append.binary || append.utf8) && self.io.stream.buffered()[..count].contains(&0);
            if let Ok(open) = &mut writer
                && let Err(error) = open.write(&self.io.stream.buffered()[..count]).await
            {
                writer = Err(error);
            }
            self.io.stream.consume(count);
            left -= count as u64;
        }
        Ok(match writer {
            Ok(writer) => writer.finish().await.map(|content| (content, has_nul)),
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
}

/// RFC 4315 §3, RFC 3502.
fn append_uid(uid_validity: UidValidity, uids: &[Uid]) -> Option<Code> {
    let uids = SequenceSet::from_rising(uids.iter().map(|uid| uid.0))?;
    Some(Code::AppendUid { uid_validity: uid_validity.0, uids })
}
