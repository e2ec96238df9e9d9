//! A session: its states, and what each command does there.
//!
//! AUTHORIZATION and TRANSACTION are values that own what belongs to them; UPDATE is what QUIT does with the
//! maildrop of TRANSACTION. A session that ends in any other way drops the maildrop, and with it lock and marks:
//! nothing is deleted (RFC 1939 §6).

use std::net::IpAddr;
use std::sync::Arc;

use auth::{LoggedIn, OpenSession};
use runtime::{Shutdown, Stream};

use crate::authorization::Authorization;
use crate::capabilities::capabilities;
use crate::io::{End, Io};
use crate::maildrop::Maildrop;
use crate::options::{Options, TlsMode};
use crate::server::Shared;
use crate::table::{StateName, admits};
use crate::wire::command::{Command, Malformed};
use crate::wire::response::Response;

/// The only language of our texts (RFC 6856 §3): its tag, and its own name.
const LANGUAGE: (&str, &str) = ("en", "English");

/// Where a session stands.
pub(crate) enum State {
    /// Nobody is logged in.
    Authorization(Authorization),
    /// Somebody is, and holds the maildrop.
    Transaction(Box<Maildrop>),
}

impl State {
    fn name(&self) -> StateName {
        match self {
            Self::Authorization(_) => StateName::Authorization,
            Self::Transaction(_) => StateName::Transaction,
        }
    }
}

/// The dialogue with one client.
pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: Arc<Options>,
    pub(crate) shutdown: Shutdown,
    pub(crate) peer: IpAddr,
    /// Its entry among those of all servers.
    pub(crate) open: Arc<OpenSession>,
    pub(crate) io: Io,
    pub(crate) state: State,
    /// Who has logged in.
    pub(crate) who: Option<LoggedIn>,
    /// Whether UTF8 was said (RFC 6856 §2.1).
    pub(crate) utf8: bool,
    errors: u32,
    commands_before_login: u32,
}

/// Commands of a client that does not log in: more than any client says, and an end to a flood of them.
const COMMANDS_BEFORE_LOGIN_MAX: u32 = 50;

/// What follows a command.
pub(crate) enum Next {
    /// The answer is gathered.
    Answered,
    /// So is it, and it was a refusal of a command that should not have come.
    Mistaken,
    /// The client waits for the handshake.
    StartTls,
}

impl Session {
    pub(crate) fn new(
        shared: Arc<Shared>,
        stream: Stream,
        (peer, open): (IpAddr, Arc<OpenSession>),
        options: Arc<Options>,
        shutdown: Shutdown,
    ) -> Self {
        let io = Io::new(stream, options.write_timeout);
        let state = State::Authorization(Authorization::default());
        Self {
            shared,
            options,
            shutdown,
            peer,
            open,
            io,
            state,
            who: None,
            utf8: false,
            errors: 0,
            commands_before_login: 0,
        }
    }

    /// From the greeting to the end.
    pub(crate) async fn run(mut self) -> End {
        // No timestamp in angle brackets: APOP wants passwords in clear on the server (RFC 1939 §7).
        self.io.say(&Response::ok(format!("{} POP3 server ready", self.options.host)));
        loop {
            match self.turn().await {
                Ok(Next::Answered) => {}
                Ok(Next::Mistaken) => {
                    self.errors += 1;
                    if self.errors >= self.options.errors_max {
                        let end = self.io.refuse("too many errors").await;
                        return self.closed_on(end).await;
                    }
                }
                Ok(Next::StartTls) => match self.start_tls().await {
                    Ok(session) => self = session,
                    Err(end) => return end,
                },
                Err(End::Quit) => {
                    self.io.stream.close().await;
                    return End::Quit;
                }
                Err(end) => return self.closed_on(end).await,
            }
        }
    }

    /// With input unread a plain close would reset the connection, and destroy our last word on its way.
    async fn closed_on(self, end: End) -> End {
        if matches!(end, End::Refused(_)) {
            Box::pin(self.io.stream.close_after_refusal()).await;
        }
        end
    }

    /// One command.
    async fn turn(&mut self) -> Result<Next, End> {
        let silence_max = match self.state {
            State::Authorization(_) if self.commands_before_login == COMMANDS_BEFORE_LOGIN_MAX => {
                return Err(self.io.refuse("too many commands before log-in").await);
            }
            State::Authorization(_) => {
                self.commands_before_login += 1;
                self.options.login_timeout
            }
            State::Transaction(_) => self.options.idle_timeout,
        };
        let command = self.io.command(silence_max, &self.shutdown).await?;
        self.heed_standing().await?;
        match command {
            Ok(command) if admits(self.state.name(), &command) => self.apply(command).await,
            Ok(command) => {
                let when = match self.state.name() {
                    StateName::Authorization => "log in first",
                    StateName::Transaction => "you are logged in already",
                };
                Ok(self.mistaken(&format!("{} is not valid here: {when}", command.keyword())))
            }
            Err(malformed) => Ok(self.malformed(malformed)),
        }
    }

    fn malformed(&mut self, malformed: Malformed) -> Next {
        self.mistaken(&malformed.to_string())
    }

    /// Refuses what a client that knows the protocol would not have said.
    pub(crate) fn mistaken(&mut self, text: &str) -> Next {
        self.io.say(&Response::refused(text));
        Next::Mistaken
    }

    /// Does what the command says; it is valid in this state.
    async fn apply(&mut self, command: Command) -> Result<Next, End> {
        match command {
            Command::Capa => Ok(self.capa()),
            Command::Lang(range) => Ok(self.lang(range.as_deref())),
            Command::Quit => Err(self.quit().await?),
            Command::Stls => Ok(self.stls()),
            Command::Utf8 => {
                self.utf8 = true;
                self.io.say(&Response::ok("UTF-8 it is"));
                Ok(Next::Answered)
            }
            command => match &self.state {
                State::Authorization(_) => self.log_in(command).await,
                State::Transaction(_) => self.read_mail(command).await,
            },
        }
    }

    fn capa(&mut self) -> Next {
        let (state, mechanisms) = (self.state.name(), self.mechanisms());
        self.io.say(&Response::ok("capabilities follow"));
        for line in capabilities(&self.options, state, self.tls_on_offer(), &mechanisms) {
            self.io.line(&line);
        }
        self.io.line(".");
        Next::Answered
    }

    /// RFC 6856 §3.2: no argument lists the languages, `*` asks for the one we prefer.
    fn lang(&mut self, range: Option<&str>) -> Next {
        let (tag, name) = LANGUAGE;
        match range {
            None => {
                self.io.say(&Response::ok("languages follow"));
                self.io.line(&format!("{tag} {name}"));
                self.io.line(".");
            }
            Some(range) if range == "*" || range.eq_ignore_ascii_case(tag) => {
                self.io.say(&Response::ok(format!("{tag} {name} it is")));
            }
            Some(_) => self.io.say(&Response::refused("there is no such language here")),
        }
        Next::Answered
    }

    /// Whether STLS would be answered with a handshake.
    fn tls_on_offer(&self) -> bool {
        self.options.tls == TlsMode::StartTls
            && self.shared.parts.tls.is_some()
            && self.io.stream.tls().is_none()
            && !self.utf8
    }

    fn stls(&mut self) -> Next {
        if self.tls_on_offer() {
            self.io.say(&Response::ok("begin TLS now"));
            return Next::StartTls;
        }
        if self.io.stream.tls().is_some() {
            return self.mistaken("TLS is running already");
        }
        if self.utf8 {
            // RFC 6856 §2.1: the order is a mistake of the client.
            return self.mistaken("STLS comes before UTF8");
        }
        self.mistaken("there is no TLS here")
    }

    /// A session that knows nothing of what was said in clear (RFC 2595 §4); its errors stay counted.
    async fn start_tls(mut self) -> Result<Self, End> {
        self.io.flush().await?;
        let Self { shared, options, shutdown, peer, open, io, errors, .. } = self;
        let Some(tls) = shared.parts.tls.clone() else { return Err(End::Lost("no certificate".into())) };
        // The handshake's state is large and short-lived: it must not stay in the session's task.
        let stream = Box::pin(io.stream.start_tls(&tls)).await?;
        Ok(Self { errors, ..Self::new(shared, stream, (peer, open), options, shutdown) })
    }

    /// UPDATE, where there is something to update, and the goodbye.
    async fn quit(&mut self) -> Result<End, End> {
        let state = std::mem::replace(&mut self.state, State::Authorization(Authorization::default()));
        let response = match state {
            State::Authorization(_) => Response::ok("goodbye"),
            State::Transaction(maildrop) => {
                maildrop.update(&self.shared.parts.store, &self.shared.parts.events).await
            }
        };
        self.io.say(&response);
        self.io.flush().await?;
        Ok(End::Quit)
    }
}
