//! LOGIN and AUTHENTICATE (RFC 3501 §6.2.2, §6.2.3, RFC 4959).

use std::sync::Arc;

use auth::{AuthError, Exchange, Identity, Service, Step};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use events::Event;
use imap_wire::{Code, Response, Secret};

use super::{Login, refusal};
use crate::answer::Answer;
use crate::io::End;
use crate::session::{Session, State};

/// One line of an exchange: a password of the largest size in base64, and names.
const LINE_OCTETS_MAX: usize = 16 * 1024;

impl Session {
    /// The mechanisms that are offered on this connection; none where passwords may not cross it.
    pub(crate) fn mechanisms(&self) -> &'static [auth::Mechanism] {
        self.shared.parts.authenticator.mechanisms(self.io.stream.tls())
    }

    fn auth_context(&self) -> auth::Context {
        auth::Context { service: Service::Imap, peer: self.peer, tls: self.io.stream.tls().cloned() }
    }

    pub(crate) async fn login(&mut self, user: &[u8], password: &[u8]) -> Result<Answer, End> {
        let (Ok(user), Ok(password)) = (std::str::from_utf8(user), std::str::from_utf8(password)) else {
            return Ok(Answer::bad("name and password must be UTF-8"));
        };
        let context = self.auth_context();
        match self.shared.parts.authenticator.check_password(user, password, &context).await {
            Ok(identity) => Ok(self.enter(identity, "LOGIN").await),
            Err(error) => Ok(self.fail(&error, "LOGIN", user).await),
        }
    }

    pub(crate) async fn authenticate(
        &mut self,
        mechanism: &str,
        initial: Option<Secret>,
    ) -> Result<Answer, End> {
        let mut exchange = match self.shared.parts.authenticator.start(mechanism, &self.auth_context()) {
            Ok(exchange) => exchange,
            Err(error) => return Ok(self.fail(&error, mechanism, "").await),
        };
        match self.exchange(&mut exchange, initial).await? {
            Ok(identity) => Ok(self.enter(identity, mechanism).await),
            Err(error) => Ok(self.fail(&error, mechanism, exchange.login()).await),
        }
    }

    /// `authenticate = "AUTHENTICATE" SP auth-type [SP initial-resp] *(CRLF base64)`
    async fn exchange(
        &mut self,
        exchange: &mut Exchange,
        initial: Option<Secret>,
    ) -> Result<Result<Identity, AuthError>, End> {
        let mut message = match initial {
            Some(initial) => decode(initial.as_bytes()),
            None => self.ask(exchange.first_challenge()).await?,
        };
        loop {
            let octets = match message {
                Ok(octets) => octets,
                Err(error) => return Ok(Err(error)),
            };
            match exchange.step(&octets).await {
                Step::Challenge(challenge) => message = self.ask(&challenge).await?,
                Step::Failed(error) => return Ok(Err(error)),
                Step::Succeeded { identity, last: None } => return Ok(Ok(identity)),
                // RFC 3501 has no data beside OK: they go as a challenge, answered by nothing.
                Step::Succeeded { identity, last: Some(last) } => {
                    return Ok(self.ask(&last).await?.map(|_| identity));
                }
            }
        }
    }

    /// Sends a challenge and waits for the client's answer.
    async fn ask(&mut self, challenge: &[u8]) -> Result<Result<Vec<u8>, AuthError>, End> {
        self.io.say(&Response::Continuation(STANDARD.encode(challenge)));
        let line = self.io.line(LINE_OCTETS_MAX, self.options.inactivity_before_login_max).await?;
        Ok(decode(&line))
    }

    /// The session becomes the account's.
    async fn enter(&mut self, identity: Identity, mechanism: &str) -> Answer {
        let max = self.options.sessions_per_account_max;
        let Some(session) = self.shared.enter(&identity.account, max) else {
            return Answer::no("too many sessions of this account").code(Code::Limit);
        };
        let account = match self.shared.parts.store.enter_account(&identity.account).await {
            Ok(account) => account,
            Err(error) => return refusal(&error),
        };
        let event = Event::AuthenticationSucceeded {
            service: &self.options.name,
            peer: self.peer,
            session: self.open.number(),
            account: &identity.account,
            mechanism,
        };
        self.open.belongs_to(Some(&identity.account));
        self.shared.parts.events.emit(&event);
        self.shared = Arc::new(self.shared.on_behalf_of(account, &identity.account));
        let who = self.shared.parts.authenticator.begin_session(identity);
        self.state = State::Authenticated(Login { account, who, _session: session });
        // RFC 3501 §7.2.1: spares the client a command.
        Answer::ok("logged in").code(Code::Capability(self.capabilities()))
    }

    /// Ends the session of somebody whose account was removed or shut, or who has another password since: whoever has got
    /// hold of one must not go on with it.
    pub(crate) fn heed_standing(&mut self) -> Result<(), End> {
        let context = self.auth_context();
        let (State::Authenticated(login) | State::Selected(login, _)) = &mut self.state else {
            return Ok(());
        };
        let Err(error) = self.shared.parts.authenticator.may_go_on(&mut login.who, &context) else {
            return Ok(());
        };
        self.shared.parts.events.emit(&Event::AuthenticationFailed {
            service: &self.options.name,
            peer: self.peer,
            login: login.who.account().as_str(),
            session: self.open.number(),
            mechanism: "session",
            cause: &format!("{error}, since the session began"),
        });
        Err(End::Bye("the account has changed, log in again".into()))
    }

    async fn fail(&mut self, error: &AuthError, mechanism: &str, login: &str) -> Answer {
        let event = Event::AuthenticationFailed {
            service: &self.options.name,
            peer: self.peer,
            session: self.open.number(),
            login,
            mechanism,
            cause: &error.to_string(),
        };
        self.shared.parts.events.emit(&event);
        if matches!(error, AuthError::Credentials | AuthError::Throttled | AuthError::Disabled(_)) {
            self.login_failures += 1;
            let delay = self.options.login_delay.saturating_mul(self.login_failures);
            tokio::time::sleep(delay).await;
        }
        match error {
            AuthError::Credentials => Answer::no(error.to_string()).code(Code::AuthenticationFailed),
            AuthError::Unavailable(_) => Answer::no("try again later").code(Code::Unavailable),
            AuthError::Mechanism => Answer::no(error.to_string()).code(Code::Cannot),
            AuthError::Encryption => Answer::no(error.to_string()).code(Code::PrivacyRequired),
            AuthError::Cancelled | AuthError::Malformed => Answer::bad(error.to_string()),
            AuthError::Throttled => Answer::no(error.to_string()).code(Code::Limit),
            AuthError::Disabled(_) => Answer::no(error.to_string()).code(Code::ContactAdmin),
        }
    }
}

/// What the client says in an exchange: base64, `=` for nothing (RFC 4959 §3), or `*` to end it.
fn decode(line: &[u8]) -> Result<Vec<u8>, AuthError> {
    match line {
        b"*" => Err(AuthError::Cancelled),
        b"=" => Ok(Vec::new()),
        line => STANDARD.decode(line).map_err(|_| AuthError::Malformed),
    }
}
