//! AUTHORIZATION: USER and PASS, AUTH (RFC 1939 §4 and §7, RFC 5034).

use auth::{AuthError, Context, Exchange, Identity, Service, Step};
use events::Event;

use crate::io::End;
use crate::maildrop::{Maildrop, OpenError};
use crate::session::{Next, Session, State};
use crate::wire::command::{Command, Secret};
use crate::wire::response::{Code, Response, SaslLine, decode_initial, encode_challenge};

/// Steps of one SASL exchange.
const SASL_STEPS_MAX: usize = 8;

/// What AUTHORIZATION knows.
#[derive(Debug, Default)]
pub(crate) struct Authorization {
    /// The name that USER gave, for the PASS that must follow at once.
    user: Option<String>,
    failures: u32,
}

impl Session {
    /// A command of AUTHORIZATION alone.
    pub(crate) async fn log_in(&mut self, command: Command) -> Result<Next, End> {
        let State::Authorization(authorization) = &mut self.state else { return Ok(Next::Answered) };
        // RFC 1939 §7: PASS is valid immediately after USER only.
        let user = authorization.user.take();
        match (command, user) {
            (Command::User(name), _) => Ok(self.user(name)),
            (Command::Pass(secret), Some(user)) => self.pass(&user, &secret).await,
            (Command::Pass(_), None) => Ok(self.mistaken("USER comes first")),
            (Command::Auth { mechanism, initial }, _) => self.auth(&mechanism, initial.as_ref()).await,
            (other, _) => Ok(self.mistaken(&format!("there is no {} here", other.keyword()))),
        }
    }

    /// The mechanisms that may be used now; none in clear, unless configured (RFC 5034 §4).
    pub(crate) fn mechanisms(&self) -> Vec<&'static str> {
        let offered = self.shared.parts.authenticator.mechanisms(self.io.stream.tls());
        offered.iter().map(|mechanism| mechanism.as_str()).collect()
    }

    fn user(&mut self, name: String) -> Next {
        if self.mechanisms().is_empty() {
            return self.mistaken("passwords need TLS: say STLS first");
        }
        // The same answer whether or not the name is known (RFC 3206 §5, note).
        self.io.say(&Response::ok("send your password"));
        if let State::Authorization(authorization) = &mut self.state {
            authorization.user = Some(name);
        }
        Next::Answered
    }

    async fn pass(&mut self, user: &str, secret: &Secret) -> Result<Next, End> {
        let checked = self.shared.parts.authenticator.check_password(user, &secret.0, &self.context()).await;
        match checked {
            Ok(identity) => self.enter(identity, "USER").await,
            Err(error) => self.not_authenticated(user, "USER", &error).await,
        }
    }

    async fn auth(&mut self, mechanism: &str, initial: Option<&Secret>) -> Result<Next, End> {
        let mut exchange = match self.shared.parts.authenticator.start(mechanism, &self.context()) {
            Ok(exchange) => exchange,
            Err(error) => return self.not_authenticated("", mechanism, &error).await,
        };
        let name = exchange.mechanism().as_str();
        match self.exchange(&mut exchange, initial).await? {
            Ok(identity) => self.enter(identity, name).await,
            Err(error) => self.not_authenticated(exchange.login(), name, &error).await,
        }
    }

    /// Challenges and answers, until one side has had enough.
    async fn exchange(
        &mut self,
        exchange: &mut Exchange,
        initial: Option<&Secret>,
    ) -> Result<Result<Identity, AuthError>, End> {
        let mut line = match initial {
            Some(initial) => decode_initial(&initial.0),
            None => self.challenge(exchange.first_challenge()).await?,
        };
        for _ in 0..SASL_STEPS_MAX {
            let answer = match line {
                SaslLine::Answer(answer) => answer,
                SaslLine::Cancelled => return Ok(Err(AuthError::Cancelled)),
                SaslLine::Malformed => return Ok(Err(AuthError::Malformed)),
            };
            match exchange.step(&answer).await {
                Step::Challenge(challenge) => line = self.challenge(&challenge).await?,
                Step::Succeeded { identity, last: None } => return Ok(Ok(identity)),
                Step::Succeeded { identity, last: Some(last) } => {
                    // POP3 sends no data with success (RFC 5034 §4): they go first, and are acknowledged.
                    let acknowledged = self.challenge(&last).await? == SaslLine::Answer(Vec::new());
                    return Ok(if acknowledged { Ok(identity) } else { Err(AuthError::Cancelled) });
                }
                Step::Failed(error) => return Ok(Err(error)),
            }
        }
        Ok(Err(AuthError::Malformed))
    }

    async fn challenge(&mut self, challenge: &[u8]) -> Result<SaslLine, End> {
        encode_challenge(challenge, self.io.stream.sending());
        self.io.sasl_line(self.options.login_timeout, &self.shutdown).await
    }

    fn context(&self) -> Context {
        Context { service: Service::Pop3, peer: self.peer, tls: self.io.stream.tls().cloned() }
    }

    /// Ends the session of somebody whose account was removed or shut, or who has another password since; nothing is
    /// deleted.
    pub(crate) async fn heed_standing(&mut self) -> Result<(), End> {
        let context = self.context();
        let Some(who) = &mut self.who else { return Ok(()) };
        let Err(error) = self.shared.parts.authenticator.may_go_on(who, &context) else { return Ok(()) };
        self.shared.parts.events.emit(&Event::AuthenticationFailed {
            service: self.options.name.as_str(),
            peer: self.peer,
            login: who.account().as_str(),
            session: self.open.number(),
            mechanism: "session",
            cause: &format!("{error}, since the session began"),
        });
        let text = "the account has changed, log in again";
        self.io.say(&Response::refused_with(Code::Auth, text));
        self.io.flush().await?;
        Err(End::Refused(text))
    }

    /// Takes the maildrop of somebody who has proved who they are.
    async fn enter(&mut self, identity: Identity, mechanism: &str) -> Result<Next, End> {
        let (shared, account) = (&self.shared, &identity.account);
        let service = self.options.name.as_str();
        shared.parts.events.emit(&Event::AuthenticationSucceeded {
            service,
            peer: self.peer,
            session: self.open.number(),
            account,
            mechanism,
        });
        self.open.belongs_to(Some(account));
        if !shared.delays.admit(account, self.options.login_delay) {
            let text = "you have logged in a moment ago";
            self.io.say(&Response::refused_with(Code::LoginDelay, text));
            return Ok(Next::Answered);
        }
        match Maildrop::open(&shared.parts.store, account).await {
            Ok(maildrop) => {
                let (count, octets) = maildrop.totals();
                self.io.say(&Response::ok(format!("maildrop has {count} messages ({octets} octets)")));
                self.state = State::Transaction(Box::new(maildrop));
                self.who = Some(shared.parts.authenticator.begin_session(identity));
            }
            Err(error @ OpenError::InUse) => {
                self.io.say(&Response::refused_with(Code::InUse, error.to_string()));
            }
            Err(OpenError::Store(error)) => self.store_failed("the maildrop cannot be opened now", &error),
        }
        Ok(Next::Answered)
    }

    /// Says no, in the words that let a client know whether to ask its user for another password (RFC 3206).
    async fn not_authenticated(
        &mut self,
        login: &str,
        mechanism: &str,
        error: &AuthError,
    ) -> Result<Next, End> {
        let response = match error {
            AuthError::Credentials | AuthError::Disabled(_) => {
                Response::refused_with(Code::Auth, error.to_string())
            }
            AuthError::Unavailable(_) => {
                Response::refused_with(Code::SysTemp, "authentication is not available now, try again later")
            }
            AuthError::Throttled => Response::refused_with(Code::SysTemp, error.to_string()),
            AuthError::Mechanism | AuthError::Encryption | AuthError::Cancelled | AuthError::Malformed => {
                Response::refused(error.to_string())
            }
        };
        self.io.say(&response);
        if matches!(error, AuthError::Cancelled) {
            return Ok(Next::Answered);
        }
        self.shared.parts.events.emit(&Event::AuthenticationFailed {
            service: &self.options.name,
            peer: self.peer,
            session: self.open.number(),
            login,
            mechanism,
            cause: &error.to_string(),
        });
        if let State::Authorization(authorization) = &mut self.state {
            authorization.failures += 1;
            if authorization.failures >= self.options.failures_max {
                return Err(self.io.refuse("too many failures").await);
            }
        }
        Ok(Next::Answered)
    }
}
