//! APPEND (RFC 3501 §6.3.11, RFC 3502, RFC 4469) and REPLACE (RFC 8508): messages go from the wire to storage in pieces.

use imap_wire::{
    Append, AppendLiteral, AppendMessage, AppendRest, AppendStep, By, Code, Condition, LiteralMode,
    NameEncoding, Response, SequenceSet, Tag, parse_append_rest,
};
use mail_types::Timestamp;
use storage::{Content, ContentWriter};
use store::{Flags, MailboxId, NewMessage, Uid, UidValidity, Usage};

use super::{Context, copy, refusal};
use crate::answer::{Answer, uid_required};
use crate::io::End;
use crate::selected::{Access, split_flags};
use crate::session::{Session, State};

/// The rest of a line behind a literal: what is said of a message, URLs, and the next literal.
const LINE_OCTETS_MAX: usize = 16 * 1024;
/// Longest URL that comes as a literal, in octets.
const URL_LITERAL_OCTETS_MAX: u64 = 4 * 1024;
/// Most messages of one APPEND.
const MESSAGES_MAX: usize = 1_000;
/// Most parts that messages of one APPEND are put together from (RFC 4469).
const PARTS_MAX: usize = 1_000;

/// Octets of messages that wait in memory for the others of their APPEND: small ones; large ones are in files.
const WAITING_OCTETS_MAX: u64 = 16 << 20;

/// What is going to be appended.
pub(super) struct Appending {
    target: MailboxId,
    /// The message that goes for the new one: REPLACE.
    replaced: Option<(MailboxId, Uid)>,
    messages: Vec<NewMessage>,
    /// Octets of all that have come.
    octets: u64,
    /// Of these, octets in memory.
    waiting: u64,
    parts: usize,
    /// The message that is coming.
    pub(super) open: Option<Open>,
}

/// A message that is coming.
pub(super) struct Open {
    flags: Flags,
    keywords: Vec<String>,
    internal_date: Option<Timestamp>,
    catenated: bool,
    pub(super) writer: ContentWriter,
}

impl Session {
    /// Takes messages, or refuses them before they are sent: all or none.
    pub(crate) async fn append(&mut self, tag: &Tag, append: Append) -> Result<Answer, End> {
        let prepared = self.replaced(&append).and_then(|replaced| {
            let target = self.append_target(tag, &append)?;
            Ok(Appending {
                target,
                replaced,
                messages: Vec::new(),
                octets: 0,
                waiting: 0,
                parts: 0,
                open: None,
            })
        });
        let (mut appending, mut refused) = match prepared {
            Ok(appending) => (Some(appending), None),
            Err(answer) => (None, Some(answer)),
        };
        let (mut steps, mut catenated, mut begun) = (append.steps, false, 0);
        loop {
            begun += steps.iter().filter(|step| matches!(step, AppendStep::Message(_))).count();
            if append.replaces.is_some() && begun > 1 {
                return Err(End::Bye("REPLACE takes one message".into()));
            }
            catenated = is_open_after(&steps, catenated);
            let literal = steps.pop_if(|step| matches!(step, AppendStep::Literal(_)));
            if let Some(open) = &mut appending
                && let Err(answer) = self.take_steps(open, steps, literal.as_ref()).await
            {
                (appending, refused) = (None, Some(answer));
            }
            let Some(AppendStep::Literal(literal)) = literal else { break };
            match &mut appending {
                Some(open) => {
                    if let Err(answer) = self.receive(open, &literal, catenated).await? {
                        (appending, refused) = (None, Some(answer));
                    }
                }
                // Nothing comes unasked.
                None if literal.mode == LiteralMode::Synchronizing => break,
                None => self.swallow(literal.octets).await?,
            }
            steps = match self.following(&literal, catenated).await? {
                Ok(steps) => steps,
                Err(answer) => return Ok(refused.unwrap_or(answer)),
            };
        }
        match (appending, refused) {
            (Some(appending), None) => self.commit_append(appending).await,
            (_, refused) => Ok(refused.unwrap_or_else(|| Answer::bad("no message"))),
        }
    }

    /// Takes what comes before a literal, or before the end, and looks whether the literal may come.
    async fn take_steps(
        &mut self,
        appending: &mut Appending,
        steps: Vec<AppendStep>,
        literal: Option<&AppendStep>,
    ) -> Result<(), Answer> {
        for step in steps {
            match step {
                AppendStep::Message(message) => self.begin_message(appending, &message)?,
                AppendStep::Url(url) => {
                    appending.count_part()?;
                    let max = self.room_for_more(appending, 0)?;
                    self.catenate(appending, &url, max).await?;
                    self.room_for_more(appending, 0)?;
                }
                AppendStep::End => appending.end_message().await?,
                AppendStep::Literal(_) => {}
            }
        }
        if let Some(AppendStep::Literal(literal)) = literal {
            appending.count_part()?;
            self.admit_literal(appending, literal)?;
        }
        Ok(())
    }

    async fn commit_append(&mut self, mut appending: Appending) -> Result<Answer, End> {
        let store = self.shared.parts.store.clone();
        let target = appending.target;
        let appended = match (appending.replaced, appending.messages.pop()) {
            (Some(replaced), Some(message)) => store
                .replace(replaced, target, message)
                .await
                .map(|(uid_validity, uid)| (uid_validity, vec![uid])),
            (_, last) => {
                appending.messages.extend(last);
                store.append(target, appending.messages).await
            }
        };
        let (uid_validity, uids) = match appended {
            Ok(appended) => appended,
            Err(error) => return Ok(refusal(&error)),
        };
        let code = append_uid(uid_validity, &uids);
        if let State::Selected(_, selected) = &mut self.state
            && selected.mailbox == target
        {
            selected.makes(uids);
        }
        if appending.replaced.is_some() {
            // RFC 8508 §4.3: the new message is told before the old one's end.
            self.io.status(None, Condition::Ok, code, "the new message is here");
            return Ok(Answer::ok("REPLACE done").removed(true));
        }
        let answer = Answer::ok("APPEND done");
        Ok(match code {
            Some(code) => answer.code(code),
            None => answer,
        })
    }

    /// The message that a REPLACE is for; `None` for APPEND.
    fn replaced(&self, append: &Append) -> Result<Option<(MailboxId, Uid)>, Answer> {
        let Some((by, number)) = append.replaces else { return Ok(None) };
        if by == By::SequenceNumber && self.io.dialect.uid_only {
            return Err(uid_required());
        }
        let State::Selected(_, selected) = &self.state else {
            return Err(Answer::bad("select a mailbox first"));
        };
        if selected.access == Access::ReadOnly {
            return Err(Answer::no("the mailbox is read-only").code(Code::NoPerm));
        }
        let set = SequenceSet::from_rising([number]);
        let members = set.and_then(|set| selected.view.resolve(by, &set).ok()).unwrap_or_default();
        match (members.first(), by) {
            (Some(member), _) => Ok(Some((selected.mailbox, Uid(member.uid)))),
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
    fn begin_message(&self, appending: &mut Appending, message: &AppendMessage) -> Result<(), Answer> {
        let (flags, keywords) = split_flags(&message.flags).map_err(Answer::bad)?;
        if appending.messages.len() >= MESSAGES_MAX {
            return Err(Answer::no(format!("more than {MESSAGES_MAX} messages at once")).code(Code::Limit));
        }
        if appending.waiting > WAITING_OCTETS_MAX {
            let max = WAITING_OCTETS_MAX >> 20;
            let text = format!("more than {max} MiB of small messages at once: append fewer");
            return Err(Answer::no(text).code(Code::Limit));
        }
        let internal_date = message.internal_date.map(|date| {
            // Before 1970 nothing can be kept; nobody had mail to append then.
            Timestamp(u64::try_from(date.as_unix_seconds()).unwrap_or(0) * 1000)
        });
        let writer = self.shared.parts.storage.content(self.options.message_octets_max);
        let catenated = message.catenated;
        appending.open = Some(Open { flags, keywords, internal_date, catenated, writer });
        Ok(())
    }

    fn admit_literal(&self, appending: &mut Appending, literal: &AppendLiteral) -> Result<(), Answer> {
        if literal.utf8 && self.io.dialect.names() != NameEncoding::Utf8 {
            // RFC 6855 §4.
            return Err(Answer::bad("ENABLE UTF8=ACCEPT comes first"));
        }
        let unasked = literal.mode == LiteralMode::NonSynchronizing;
        if unasked && literal.octets > self.limits(true).non_synchronizing_octets {
            return Err(too_big());
        }
        self.room_for_more(appending, literal.octets)?;
        if let Some(open) = &mut appending.open {
            if literal.octets == 0 && !open.catenated {
                return Err(empty());
            }
            open.writer.reserve(open.writer.len() + literal.octets);
        }
        Ok(())
    }

    /// How many octets may still come of the message that is coming, where so many more may.
    fn room_for_more(&self, appending: &Appending, more: u64) -> Result<u64, Answer> {
        let max = self.limits(true).append_octets;
        let octets = appending.open.as_ref().map_or(0, |open| open.writer.len()).saturating_add(more);
        if octets > max {
            return Err(too_big());
        }
        let (store, target) = (&self.shared.parts.store, appending.target);
        let messages = appending.messages.len() as u64 + 1;
        let more = match appending.replaced {
            Some(replaced) => store.more_by_replacing(replaced, target, octets),
            None => Ok(Usage { messages, octets: appending.octets.saturating_add(octets) }),
        };
        let has_room = more.and_then(|more| store.check_room(target.account, more));
        has_room.map_err(|error| refusal(&error))?;
        Ok(max - octets)
    }

    /// What follows a literal on its line.
    async fn following(
        &mut self,
        literal: &AppendLiteral,
        catenated: bool,
    ) -> Result<Result<Vec<AppendStep>, Answer>, End> {
        let pause = self.options.command_pause_max;
        let mut line = self.io.line(LINE_OCTETS_MAX, pause).await?;
        if literal.utf8 {
            match line.strip_prefix(b")") {
                Some(rest) => line = rest.to_vec(),
                None => return Ok(Err(Answer::bad("expected ) after the message"))),
            }
        }
        let limits = self.limits(true);
        loop {
            let (octets, mode) = match parse_append_rest(&line, catenated, &limits) {
                Ok(AppendRest::Steps(steps)) => return Ok(Ok(steps)),
                Ok(AppendRest::UrlLiteral(octets, mode)) => (octets, mode),
                // What follows cannot be told from commands any more where it announced a literal unasked.
                Err(error) if line.ends_with(b"+}") => return Err(End::Bye(error.to_string().into())),
                Err(error) => return Ok(Err(Answer::bad(error.to_string()))),
            };
            if octets > URL_LITERAL_OCTETS_MAX || line.len() > LINE_OCTETS_MAX {
                return Err(End::Bye("URL too long".into()));
            }
            if mode == LiteralMode::Synchronizing {
                self.io.say(&Response::Continuation("go on".to_owned()));
                self.io.flush().await?;
            }
            line.extend_from_slice(b"\r\n");
            let mut left = octets;
            while left > 0 {
                let count = self.piece(left).await?;
                line.extend_from_slice(&self.io.stream.buffered()[..count]);
                self.io.stream.consume(count);
                left -= count as u64;
            }
            line.extend(self.io.line(LINE_OCTETS_MAX, pause).await?);
        }
    }

    /// Takes octets off the wire that come unasked.
    async fn swallow(&mut self, octets: u64) -> Result<(), End> {
        let mut left = octets;
        while left > 0 {
            let count = self.piece(left).await?;
            self.io.stream.consume(count);
            left -= count as u64;
        }
        Ok(())
    }

    /// Octets of a message into storage. When storage fails half-way the rest is still taken off the wire.
    async fn receive(
        &mut self,
        appending: &mut Appending,
        literal: &AppendLiteral,
        catenated: bool,
    ) -> Result<Result<(), Answer>, End> {
        if literal.mode == LiteralMode::Synchronizing {
            self.io.say(&Response::Continuation("go on".to_owned()));
            self.io.flush().await?;
        }
        let Some(open) = &mut appending.open else { return Ok(Err(Answer::bad("no message"))) };
        let (mut left, mut has_nul, mut written) = (literal.octets, false, Ok(()));
        while left > 0 {
            let count = self.piece(left).await?;
            let piece = &self.io.stream.buffered()[..count];
            has_nul |= (literal.binary || literal.utf8) && piece.contains(&0);
            if written.is_ok() {
                written = open.writer.write(piece).await;
            }
            self.io.stream.consume(count);
            left -= count as u64;
        }
        if let Err(error) = written {
            return Ok(Err(refusal(&error.into())));
        }
        if has_nul {
            // RFC 3516 §4.4: what cannot be given back as it came is not taken.
            return Ok(Err(Answer::no("NUL octets are not kept").code(Code::UnknownCte)));
        }
        Ok(if catenated { Ok(()) } else { appending.end_message().await })
    }

    /// How many octets of the message are buffered; waits where there are none.
    async fn piece(&mut self, left: u64) -> Result<usize, End> {
        while self.io.stream.buffered().is_empty() {
            self.io.fill(self.options.command_pause_max).await?;
        }
        Ok(self.io.stream.buffered().len().min(usize::try_from(left).unwrap_or(usize::MAX)))
    }
}

impl Appending {
    fn count_part(&mut self) -> Result<(), Answer> {
        self.parts += 1;
        if self.parts > PARTS_MAX {
            return Err(Answer::no(format!("more than {PARTS_MAX} parts at once")).code(Code::Limit));
        }
        Ok(())
    }

    /// The message that was coming is whole.
    async fn end_message(&mut self) -> Result<(), Answer> {
        let Some(Open { flags, keywords, internal_date, writer, .. }) = self.open.take() else {
            return Ok(());
        };
        if writer.is_empty() {
            return Err(empty());
        }
        let content = writer.finish().await.map_err(|error| refusal(&error.into()))?;
        self.octets = self.octets.saturating_add(content.len());
        if matches!(content, Content::Inline(_)) {
            self.waiting += content.len();
        }
        self.messages.push(NewMessage { content, flags, keywords, internal_date });
        Ok(())
    }
}

/// Whether parts of a message follow after these steps.
fn is_open_after(steps: &[AppendStep], was_open: bool) -> bool {
    steps.iter().fold(was_open, |is_open, step| match step {
        AppendStep::Message(message) => message.catenated,
        AppendStep::End => false,
        AppendStep::Literal(_) | AppendStep::Url(_) => is_open,
    })
}

/// RFC 3502: so a client takes an APPEND back.
fn empty() -> Answer {
    Answer::no("an empty message is not kept")
}

fn too_big() -> Answer {
    Answer::no("message too big").code(Code::TooBig)
}

/// RFC 4315 §3, RFC 3502.
fn append_uid(uid_validity: UidValidity, uids: &[Uid]) -> Option<Code> {
    let uids = SequenceSet::from_rising(uids.iter().map(|uid| uid.0))?;
    Some(Code::AppendUid { uid_validity: uid_validity.0, uids })
}
