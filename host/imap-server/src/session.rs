//! One connection, from greeting to goodbye.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use auth::OpenSession;
use events::Event;
use imap_wire::{Code, Command, Condition, Limits, LiteralMode, NameEncoding, Received, Tag, Tagged};
use runtime::{Shutdown, Stream};
use tokio::sync::OwnedSemaphorePermit;

use crate::answer::{Answer, uid_required};
use crate::commands::{self, Context, Login};
use crate::dialect::{asks_for_modseq, names_by_number};
use crate::io::{End, Io, Patience};
use crate::notify::Notify;
use crate::options::{Options, TlsMode};
use crate::selected::{Access, Expunges, Selected};
use crate::server::Shared;
use crate::state::{StateName, admit, forbids_expunge};

/// What a session is (RFC 3501 §3); each state owns what only it has.
pub(crate) enum State {
    NotAuthenticated,
    Authenticated(Login),
    Selected(Login, Box<Selected>),
}

impl State {
    fn name(&self) -> StateName {
        match self {
            Self::NotAuthenticated => StateName::NotAuthenticated,
            Self::Authenticated(_) => StateName::Authenticated,
            Self::Selected(..) => StateName::Selected,
        }
    }
}

/// One session. Small while it waits: buffers are the stream's and the reader's, freed when empty,
/// and the work of commands is boxed for as long as it runs.
pub(crate) struct Session {
    pub(crate) io: Io,
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: Arc<Options>,
    pub(crate) peer: IpAddr,
    /// Its entry among those of all servers.
    pub(crate) open: Arc<OpenSession>,
    pub(crate) state: State,
    pub(crate) login_failures: u32,
    pub(crate) shutdown: Shutdown,
    bad_commands: u32,
    /// What the client wants to hear of unasked, once it has said so.
    pub(crate) notify: Option<Box<Notify>>,
    /// Counts against the compressed sessions.
    compression: Option<OwnedSemaphorePermit>,
    commands_before_login: u32,
}

/// Commands of a client that does not log in: more than any client says, and an end to a flood of them.
const COMMANDS_BEFORE_LOGIN_MAX: u32 = 50;

impl Session {
    pub(crate) fn new(
        shared: Arc<Shared>,
        stream: Stream,
        (peer, open): (IpAddr, Arc<OpenSession>),
        options: Arc<Options>,
        shutdown: Shutdown,
    ) -> Self {
        let mut io = Io::new(stream, options.write_pause_max);
        io.dialect.no_surrogates = !options.surrogates;
        let state = State::NotAuthenticated;
        Self {
            io,
            shared,
            options,
            peer,
            open,
            state,
            login_failures: 0,
            shutdown,
            bad_commands: 0,
            notify: None,
            compression: None,
            commands_before_login: 0,
        }
    }

    /// Until the end; gives its cause, for the log.
    pub(crate) async fn run(mut self) -> Cow<'static, str> {
        self.greet();
        let end = loop {
            match self.next().await {
                Ok(Some(tag)) => match Box::pin(self.start_tls(tag)).await {
                    Ok(session) => self = session,
                    Err(error) => return error.to_string().into(),
                },
                Ok(None) => {}
                Err(end) => break end,
            }
        };
        if let State::Selected(_, selected) = &self.state {
            commands::claim_recent(&self.shared.parts.store, selected).await;
        }
        match end {
            End::Logout => {
                self.io.stream.close().await;
                "logout".into()
            }
            End::Bye(text) => {
                self.io.status(None, Condition::Bye, None, &text);
                self.io.stream.close_after_refusal().await;
                text
            }
            End::Damaged(cause) => {
                self.shared.parts.events.emit(&Event::InternalError { place: "imap", cause: &cause });
                cause.into()
            }
            End::Lost(cause) => cause,
        }
    }

    /// `greeting = "*" SP (resp-cond-auth / resp-cond-bye) CRLF`
    fn greet(&mut self) {
        let code = Code::Capability(self.capabilities());
        let text = format!("{} ready", self.options.host);
        self.io.status(None, Condition::Ok, Some(code), &text);
    }

    /// Reads and answers one command; gives the tag of a STARTTLS to be done.
    async fn next(&mut self) -> Result<Option<Tag>, End> {
        let authenticated = self.state.name() != StateName::NotAuthenticated;
        if !authenticated {
            self.commands_before_login += 1;
            if self.commands_before_login > COMMANDS_BEFORE_LOGIN_MAX {
                return Err(End::Bye("too many commands before login".into()));
            }
        }
        let limits = self.limits(authenticated);
        let inactivity = if authenticated {
            self.options.inactivity_max
        } else {
            self.options.inactivity_before_login_max
        };
        if self.notify.as_ref().is_some_and(|notify| notify.at_once) {
            Box::pin(self.tell_until_asked()).await?;
        }
        let patience = Patience { inactivity, pause: self.options.command_pause_max };
        let received = self.io.command(&limits, patience, &self.shutdown).await?;
        self.heed_standing()?;
        match received {
            Received::Command(tagged) => return self.command(*tagged).await,
            Received::Append(tag, append) => {
                // What state refuses it is looked at there: the message may come unasked.
                let answer = Box::pin(self.append(&tag, *append)).await?;
                self.finish(tag, answer, Expunges::Told).await?;
            }
            Received::Bad { tag, error } => self.bad(tag, &error.to_string())?,
            Received::TooBig { tag, mode } => self.too_big(tag, mode)?,
            Received::LineTooLong { tag } => {
                self.io.status(tag, Condition::Bad, Some(Code::TooBig), "command line too long");
                return Err(End::Bye("command line too long".into()));
            }
            Received::NeedMore | Received::WantsContinuation => {}
        }
        Ok(None)
    }

    /// Answers one command.
    async fn command(&mut self, tagged: Tagged) -> Result<Option<Tag>, End> {
        let Tagged { tag, command } = tagged;
        let verb = command.verb();
        if let Err(why) = admit(self.state.name(), verb) {
            self.bad(Some(tag), &format!("{verb}: {why}"))?;
            return Ok(None);
        }
        // RFC 7162 §3.2.10.2: a search by UID may name messages by number, too.
        let by_number = names_by_number(&command);
        let expunges = if forbids_expunge(verb, by_number) { Expunges::Kept } else { Expunges::Told };
        let answer = match command {
            _ if by_number && self.io.dialect.uid_only => uid_required(),
            Command::Compress => return self.compress(tag).await.map(|()| None),
            Command::StartTls => match self.may_start_tls() {
                Ok(()) => return Ok(Some(tag)),
                Err(answer) => answer,
            },
            // Not boxed: a session idles here for hours, and should be no larger for it.
            Command::Idle => self.idle().await?,
            Command::Logout => {
                self.io.status(None, Condition::Bye, None, "logging out");
                self.io.status(Some(tag), Condition::Ok, None, "LOGOUT done");
                return Err(End::Logout);
            }
            command => {
                if asks_for_modseq(&command) {
                    self.enable_modseq();
                }
                let answer = Box::pin(self.execute(&tag, command)).await?;
                if matches!(verb, "DELETE" | "SETACL" | "DELETEACL") {
                    Box::pin(self.release_if_gone()).await;
                }
                if matches!(verb, "SUBSCRIBE" | "UNSUBSCRIBE" | "CREATE" | "RENAME") {
                    self.listen_anew();
                }
                answer
            }
        };
        self.finish(tag, answer, expunges).await?;
        if self.login_failures >= self.options.login_failures_max {
            return Err(End::Bye("too many failed logins".into()));
        }
        Ok(None)
    }

    /// From now on the client is told mod-sequences; that of the selected mailbox first (RFC 7162 §3.1).
    pub(crate) fn enable_modseq(&mut self) {
        if !self.io.dialect.modseq {
            self.io.dialect.modseq = true;
            if let State::Selected(_, selected) = &self.state {
                let code = Code::HighestModSeq(selected.settled().0);
                self.io.status(None, Condition::Ok, Some(code), "mod-sequences are told from now on");
            }
        }
    }

    /// Tells what has changed meanwhile, then answers.
    async fn finish(&mut self, tag: Tag, mut answer: Answer, expunges: Expunges) -> Result<(), End> {
        if let State::Selected(_, selected) = &mut self.state {
            let removes = answer.removed && expunges == Expunges::Told;
            let expunges = if removes { Expunges::Own } else { expunges };
            Box::pin(selected.tell(&self.shared.parts.store, &mut self.io, expunges)).await?;
            // RFC 7162 §3.2.7; and §6: while expunges are kept back, what is told is not all.
            let tells = answer.removed || selected.view.has_gone();
            if self.io.dialect.vanished && tells && answer.condition == Condition::Ok && answer.code.is_none()
            {
                answer.code = Some(Code::HighestModSeq(selected.settled().0));
            }
        }
        Box::pin(self.update_results()).await?;
        match &self.notify {
            Some(notify) if notify.at_once => Box::pin(self.fetch_fresh()).await?,
            Some(_) => Box::pin(self.tell_feed()).await?,
            None => {}
        }
        if answer.condition == Condition::Bad {
            self.io.status(Some(tag), Condition::Bad, answer.code, &answer.text);
            return self.count_bad();
        }
        self.bad_commands = 0;
        self.io.status(Some(tag), answer.condition, answer.code, &answer.text);
        self.io.flush_if_full().await
    }

    /// Tells what has changed in results that are kept up to date.
    pub(crate) async fn update_results(&mut self) -> Result<(), End> {
        let limits = &self.limits(true);
        let State::Selected(login, selected) = &mut self.state else { return Ok(()) };
        let Some(tag) = selected.live.due().cloned() else { return Ok(()) };
        let (options, shared) = (&*self.options, &*self.shared);
        let mut context = Context { io: &mut self.io, shared, login, tag: &tag, limits, options };
        commands::update(&mut context, selected).await
    }

    fn bad(&mut self, tag: Option<Tag>, why: &str) -> Result<(), End> {
        self.io.status(tag, Condition::Bad, None, why);
        self.count_bad()
    }

    fn count_bad(&mut self) -> Result<(), End> {
        self.bad_commands += 1;
        if self.bad_commands > self.options.bad_commands_max {
            return Err(End::Bye("too many bad commands".into()));
        }
        Ok(())
    }

    /// RFC 7888 §4: after a literal that the client sends unasked, the stream is lost.
    fn too_big(&mut self, tag: Option<Tag>, mode: LiteralMode) -> Result<(), End> {
        let text = "literal too big";
        self.io.status(tag, Condition::No, Some(Code::TooBig), text);
        match mode {
            LiteralMode::Synchronizing => self.count_bad(),
            LiteralMode::NonSynchronizing => Err(End::Bye(text.into())),
        }
    }

    /// The maxima of one command, and how its names are written.
    pub(crate) fn limits(&self, authenticated: bool) -> Limits {
        let utf8_names = self.io.dialect.names() == NameEncoding::Utf8;
        Limits { utf8_names, ..self.options.limits(authenticated) }
    }

    /// RFC 4978 §3: compressed right behind the tagged OK.
    async fn compress(&mut self, tag: Tag) -> Result<(), End> {
        if self.io.stream.is_deflated() {
            let code = Some(Code::CompressionActive);
            self.io.status(Some(tag), Condition::No, code, "DEFLATE is active already");
            return Ok(());
        }
        let Some(room) = self.shared.compression() else {
            self.io.status(Some(tag), Condition::No, Some(Code::Limit), "too many compressed sessions");
            return Ok(());
        };
        self.io.status(Some(tag), Condition::Ok, None, "DEFLATE from here on");
        self.io.flush().await?;
        self.io.stream.start_deflate();
        self.compression = Some(room);
        Ok(())
    }

    fn may_start_tls(&self) -> Result<(), Answer> {
        if self.io.stream.tls().is_some() {
            return Err(Answer::bad("TLS is running already"));
        }
        if self.options.tls != TlsMode::StartTls || self.shared.parts.tls.is_none() {
            return Err(Answer::bad("STARTTLS is not offered here"));
        }
        Ok(())
    }

    /// RFC 3501 §6.2.1: nothing said in clear counts afterwards; the stream drops what was sent ahead.
    async fn start_tls(mut self, tag: Tag) -> std::io::Result<Self> {
        self.io.status(Some(tag), Condition::Ok, None, "begin TLS negotiation now");
        self.io.flush().await.map_err(|_| std::io::ErrorKind::TimedOut)?;
        let Self { io, shared, options, peer, open, shutdown, .. } = self;
        let Some(tls) = &shared.parts.tls else { return Err(std::io::ErrorKind::Unsupported.into()) };
        let stream = io.stream.start_tls(tls).await?;
        Ok(Self::new(shared, stream, (peer, open), options, shutdown))
    }

    /// Runs one command that waits for nothing from the client.
    async fn execute(&mut self, tag: &Tag, command: Command) -> Result<Answer, End> {
        let (limits, options) = (&self.limits(true), &*Arc::clone(&self.options));
        match command {
            Command::Capability => {
                let names = self.capabilities();
                self.io.say(&imap_wire::Response::Capability(names));
                Ok(Answer::ok("CAPABILITY done"))
            }
            Command::Noop => Ok(Answer::ok("NOOP done")),
            Command::Id(_) => Ok(commands::id(&mut self.io)),
            Command::Login { user, password } => self.login(&user, password.as_bytes()).await,
            Command::Authenticate { mechanism, initial } => self.authenticate(&mechanism, initial).await,
            Command::Select { mailbox, parameters } => {
                self.select(&mailbox, Access::ReadWrite, &parameters).await
            }
            Command::Examine { mailbox, parameters } => {
                self.select(&mailbox, Access::ReadOnly, &parameters).await
            }
            Command::Enable(names) => Ok(self.enable(tag, &names)),
            Command::Notify(command) => self.notify(tag, command).await,
            Command::Close => self.close().await,
            Command::Unselect => Ok(self.unselect().await),
            command => match &mut self.state {
                State::NotAuthenticated => Ok(Answer::bad("log in first")),
                State::Authenticated(login) => {
                    let shared = &*self.shared;
                    let mut context = Context { io: &mut self.io, shared, login, tag, limits, options };
                    commands::mailbox(&mut context, command).await
                }
                State::Selected(login, selected) => {
                    let shared = &*self.shared;
                    let mut context = Context { io: &mut self.io, shared, login, tag, limits, options };
                    commands::message(&mut context, selected, command).await
                }
            },
        }
    }
}
