//! Delivery to programs: those, and only those, that the operator has registered under a name (R65).
//!
//! A user chooses a name; command, arguments, user and limits are the operator's. Nothing of a message or its addresses
//! is ever read by a shell, and no value becomes an option.

mod argument;
mod verdict;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use events::{Event, Events};
use mail_types::{ChannelName, QueueId, Recipient};
use queue::{Attempt, BoxFuture, Channel, Outcome, Reach};
use runtime::{Confinement, Job, Launcher, Pieces, Run};

pub use argument::Argument;
use argument::{Blank, Unfit};

use crate::final_copy::{FinalCopy, LineEnds, Lines, from_line};
use crate::named::Named;
use crate::outcome::{deferred, failed};

/// Where programs of programs are looked for.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A registered program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its file, by an absolute path.
    pub command: PathBuf,
    /// Its arguments.
    pub arguments: Vec<Argument>,
    /// What it may.
    pub confinement: Confinement,
    /// How long it may take by the clock.
    pub timeout: Duration,
    /// Octets of its output that are kept.
    pub output_max: usize,
    /// How lines end that it reads.
    pub line_ends: LineEnds,
    /// Whether a line `From SENDER DATE` stands on top.
    pub from_line: bool,
}

/// Runs a registered program for each recipient.
pub struct ProgramChannel {
    programs: BTreeMap<String, Program>,
    launcher: Launcher,
    /// What separates user and detail in a local part.
    separator: char,
    events: Events,
}

/// What came of one recipient.
#[derive(Debug)]
pub struct Tried {
    /// What it means for the mail.
    pub outcome: Outcome,
    /// What the program did; absent where it did not run.
    pub run: Option<Run>,
}

impl ProgramChannel {
    /// With these programs by their names, started by this launcher.
    #[must_use]
    pub fn new(
        programs: BTreeMap<String, Program>,
        launcher: Launcher,
        separator: char,
        events: Events,
    ) -> Self {
        Self { programs, launcher, separator, events }
    }

    /// Tries for one recipient.
    pub async fn try_for(&self, attempt: &Attempt, recipient: &Recipient) -> Tried {
        let Some(named) = Named::of(&attempt.route, recipient) else {
            let outcome = deferred((3, 5), "The route names no program", "no name", Reach::Recipient);
            return Tried { outcome, run: None };
        };
        match self.run(attempt, recipient, &named).await {
            Ok(run) => Tried { outcome: verdict::of(&named.name, &run), run: Some(run) },
            Err(outcome) => Tried { outcome, run: None },
        }
    }

    async fn run(&self, attempt: &Attempt, recipient: &Recipient, named: &Named) -> Result<Run, Outcome> {
        let name = named.name.as_str();
        let Some(program) = self.programs.get(&name.to_ascii_lowercase()) else {
            let cause = format!("there is no program {name:?} in the configuration");
            self.tell(attempt.id, named, &cause);
            return Err(deferred((3, 5), "The program is not registered here", cause, Reach::Recipient));
        };
        let copy = FinalCopy::of(attempt, recipient);
        let unreadable = |error: io::Error| {
            let cause = format!("content cannot be read: {error}");
            deferred((3, 0), "The message cannot be read now", cause, Reach::Recipient)
        };
        if copy.has_been_at(recipient).map_err(unreadable)? {
            let cause = "Delivered-To names the recipient already";
            return Err(failed(554, (4, 6), "The message has been here before", cause));
        }
        let values = Values::of(attempt, recipient, named, self.separator);
        let job = values.job(program).map_err(|unfit| {
            let text = format!("The program {name:?} cannot be told of it: {:?} {}", unfit.blank, unfit.what);
            self.tell(attempt.id, named, &text);
            // RFC 3463 §3.2: a bad address, of recipient or sender.
            let detail = if unfit.blank == Blank::Sender { 7 } else { 3 };
            failed(553, (1, detail), &text, "a value would be no value to the program")
        })?;
        let mut input = Input::of(copy, program, attempt);
        runtime::run(&self.launcher, &job, &mut input).await.map_err(|error| {
            let cause = format!("program {name}: {error}");
            deferred((3, 0), "The program cannot be run now", cause, Reach::Recipient)
        })
    }

    fn tell(&self, id: QueueId, named: &Named, cause: &str) {
        let Named { account, name } = named;
        let channel = ChannelName::PROGRAM;
        self.events.emit(&Event::TargetRefused { id, account, channel, target: name, cause });
    }
}

impl Channel for ProgramChannel {
    fn attempt<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(attempt.recipients.len());
            for recipient in &attempt.recipients {
                outcomes.push(self.try_for(attempt, recipient).await.outcome);
            }
            outcomes
        })
    }
}

/// What a program is told of a message.
struct Values {
    recipient: String,
    sender: String,
    account: String,
    local: String,
    detail: String,
    domain: String,
    id: String,
}

impl Values {
    fn of(attempt: &Attempt, recipient: &Recipient, named: &Named, separator: char) -> Self {
        let address = &recipient.address;
        let (local, detail) =
            address.local.as_str().split_once(separator).unwrap_or((address.local.as_str(), ""));
        Self {
            recipient: address.to_string(),
            sender: attempt.reverse_path.address().map_or_else(|| "<>".to_owned(), ToString::to_string),
            account: named.account.clone(),
            local: local.to_owned(),
            detail: detail.to_owned(),
            domain: address.domain.to_string(),
            id: attempt.id.to_string(),
        }
    }

    fn job(&self, program: &Program) -> Result<Job, Unfit> {
        let value = |blank| match blank {
            Blank::Recipient => self.recipient.as_str(),
            Blank::Sender => &self.sender,
            Blank::Account => &self.account,
            Blank::Detail => &self.detail,
            Blank::Id => &self.id,
        };
        let filled = program.arguments.iter().map(|argument| argument.filled(value).map(OsString::from));
        Ok(Job {
            command: program.command.clone(),
            arguments: filled.collect::<Result<_, _>>()?,
            environment: self.environment()?,
            confinement: program.confinement.clone(),
            timeout: program.timeout,
            output_max: program.output_max,
        })
    }

    /// All of the environment.
    fn environment(&self) -> Result<Vec<(&'static str, OsString)>, Unfit> {
        let own = [
            ("RECIPIENT", &self.recipient, Blank::Recipient),
            ("SENDER", &self.sender, Blank::Sender),
            ("ACCOUNT", &self.account, Blank::Account),
            ("LOCAL", &self.local, Blank::Recipient),
            ("DETAIL", &self.detail, Blank::Detail),
            ("DOMAIN", &self.domain, Blank::Recipient),
            ("QUEUE_ID", &self.id, Blank::Id),
        ];
        let mut environment = vec![("PATH", OsString::from(PATH))];
        for (name, value, blank) in own {
            if value.chars().any(char::is_control) {
                return Err(Unfit { blank, what: "has control characters" });
            }
            environment.push((name, value.into()));
        }
        Ok(environment)
    }
}

/// The message as a program reads it.
struct Input {
    copy: FinalCopy,
    offset: u64,
    lines: Lines,
    /// What stands before the message; then nothing.
    first: Option<String>,
    ended: bool,
}

impl Input {
    fn of(copy: FinalCopy, program: &Program, attempt: &Attempt) -> Self {
        let first = program.from_line.then(|| {
            let line = from_line(&attempt.reverse_path, attempt.arrived);
            if program.line_ends == LineEnds::Crlf { line.replace('\n', "\r\n") } else { line }
        });
        Self { copy, offset: 0, lines: Lines::ending(program.line_ends), first, ended: false }
    }

    async fn read(&self) -> io::Result<Bytes> {
        if self.copy.in_memory() {
            return self.copy.piece(self.offset);
        }
        let (copy, offset) = (self.copy.clone(), self.offset);
        tokio::task::spawn_blocking(move || copy.piece(offset)).await.map_err(io::Error::other)?
    }
}

impl Pieces for Input {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.ended {
            return Ok(None);
        }
        let mut out = self.first.take().unwrap_or_default().into_bytes();
        let piece = self.read().await?;
        self.offset += piece.len() as u64;
        if self.offset < self.copy.len() && piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.lines.take(&piece, &mut out);
        if self.offset >= self.copy.len() {
            self.ended = true;
            self.lines.end(&mut out);
        }
        Ok(Some(out.into()))
    }
}
