//! SASL exchanges (RFC 4422): PLAIN (RFC 4616), LOGIN, SCRAM-SHA-256 and -PLUS (RFC 5802, RFC 7677).
//! Messages come and go without base64: that is the protocol's own affair.

use std::fmt;

use crate::authenticator::{Authenticator, Context, Identity};
use crate::error::AuthError;
use crate::scram::{self, Binding, ClientFirst, ScramError};
use crate::secret::{PASSWORD_MAX, Secret};

/// Longest login or authorization name, in octets.
pub const LOGIN_MAX: usize = 400;

/// A mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// SCRAM-SHA-256-PLUS: bound to the TLS channel.
    ScramSha256Plus,
    /// SCRAM-SHA-256.
    ScramSha256,
    /// PLAIN.
    Plain,
    /// LOGIN, for clients that know nothing else.
    Login,
}

impl Mechanism {
    /// All, strongest first; the first needs a bound channel.
    pub const ALL: &[Mechanism] = &[Self::ScramSha256Plus, Self::ScramSha256, Self::Plain, Self::Login];

    /// Reads a name, without case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|mechanism| mechanism.as_str().eq_ignore_ascii_case(name))
    }

    /// The registered name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the server does next.
#[derive(Debug)]
pub enum Step {
    /// Sends this challenge and waits for the client's next message.
    Challenge(Vec<u8>),
    /// Lets the client in. Where there is `last`, a protocol that cannot carry data with success
    /// (SMTP, IMAP, POP3) sends it as a challenge first, and awaits an empty answer.
    Succeeded {
        /// Who it is.
        identity: Identity,
        /// Data that go with success.
        last: Option<Vec<u8>>,
    },
    /// Refuses.
    Failed(AuthError),
}

/// One exchange in progress.
pub struct Exchange {
    authenticator: Authenticator,
    mechanism: Mechanism,
    context: Context,
    state: State,
    /// As whom the client wants in, as far as it has said.
    login: String,
}

enum State {
    Plain,
    LoginName,
    LoginPassword(String),
    ScramFirst,
    ScramFinal(Box<Scram>),
    Over,
}

struct Scram {
    exchange: scram::Exchange,
    user: Option<directory::UserEntry>,
    /// What the channel must be bound to; empty for none.
    channel: Vec<u8>,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exchange({})", self.mechanism)
    }
}

impl Exchange {
    pub(crate) fn new(authenticator: Authenticator, mechanism: Mechanism, context: Context) -> Self {
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginName,
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => State::ScramFirst,
        };
        Self { authenticator, mechanism, context, state, login: String::new() }
    }

    /// The mechanism in use.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The login that the client has named: empty before it has. For the log; it may name nobody.
    #[must_use]
    pub fn login(&self) -> &str {
        &self.login
    }

    /// The challenge to send where the client came without an initial response.
    #[must_use]
    pub fn first_challenge(&self) -> &'static [u8] {
        match self.mechanism {
            Mechanism::Login => b"Username:",
            _ => b"",
        }
    }

    /// Takes the client's next message. After success or failure the exchange is over.
    pub async fn step(&mut self, message: &[u8]) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Plain => self.plain(message).await,
            State::LoginName => self.login_name(message),
            State::LoginPassword(login) => self.login_password(login, message).await,
            State::ScramFirst => self.scram_first(message).await,
            State::ScramFinal(scram) => self.scram_final(*scram, message).await,
            State::Over => Step::Failed(AuthError::Malformed),
        }
    }

    /// `[authzid] NUL authcid NUL passwd` (RFC 4616 §2).
    async fn plain(&mut self, message: &[u8]) -> Step {
        let bounded = message.len() <= 2 * LOGIN_MAX + PASSWORD_MAX + 2;
        let Some(text) = std::str::from_utf8(message).ok().filter(|_| bounded) else {
            return Step::Failed(AuthError::Malformed);
        };
        let parts: Vec<&str> = text.split('\0').collect();
        let [authorization, login, password] = parts[..] else { return Step::Failed(AuthError::Malformed) };
        if login.is_empty() || login.len() > LOGIN_MAX || authorization.len() > LOGIN_MAX {
            return Step::Failed(AuthError::Malformed);
        }
        login.clone_into(&mut self.login);
        self.check(login, Some(authorization), password).await
    }

    fn login_name(&mut self, message: &[u8]) -> Step {
        match std::str::from_utf8(message) {
            Ok(login) if !login.is_empty() && login.len() <= LOGIN_MAX && !login.contains('\0') => {
                login.clone_into(&mut self.login);
                self.state = State::LoginPassword(login.to_owned());
                Step::Challenge(b"Password:".to_vec())
            }
            _ => Step::Failed(AuthError::Malformed),
        }
    }

    async fn login_password(&mut self, login: String, message: &[u8]) -> Step {
        match std::str::from_utf8(message) {
            Ok(password) => self.check(&login, None, password).await,
            Err(_) => Step::Failed(AuthError::Malformed),
        }
    }

    async fn check(&self, login: &str, authorization: Option<&str>, password: &str) -> Step {
        let secret = Secret::new(password.to_owned());
        match self.authenticator.verify(login, authorization, secret, self.mechanism, &self.context).await {
            Ok(identity) => Step::Succeeded { identity, last: None },
            Err(error) => Step::Failed(error),
        }
    }

    async fn scram_first(&mut self, message: &[u8]) -> Step {
        let Ok(first) = ClientFirst::parse(message) else { return Step::Failed(AuthError::Malformed) };
        if first.login.len() > LOGIN_MAX {
            return Step::Failed(AuthError::Malformed);
        }
        first.login.clone_into(&mut self.login);
        let channel = match self.channel(&first.binding) {
            Ok(channel) => channel,
            Err(error) => return Step::Failed(error),
        };
        let authenticator = &self.authenticator;
        if let Err(error) = authenticator.admit(&authenticator.account_key(&first.login), &self.context) {
            tokio::time::sleep_until(authenticator.refusal_at()).await;
            return Step::Failed(error);
        }
        let user = match authenticator.user_or_asked(&first.login).await {
            Ok(user) => user,
            Err(error) => return Step::Failed(error),
        };
        let keys = authenticator.scram_keys(user.as_ref(), &first.login);
        let exchange = scram::Exchange::new(first, &authenticator.nonce(), keys);
        let challenge = exchange.server_first().as_bytes().to_vec();
        self.state = State::ScramFinal(Box::new(Scram { exchange, user, channel }));
        Step::Challenge(challenge)
    }

    /// The octets that the client must have bound to (RFC 5802 §6).
    fn channel(&self, binding: &Binding) -> Result<Vec<u8>, AuthError> {
        let tls = self.context.tls.as_ref();
        let plus = self.mechanism == Mechanism::ScramSha256Plus;
        let offered = self.authenticator.mechanisms(tls).contains(&Mechanism::ScramSha256Plus);
        match binding {
            Binding::Required(name) if plus => {
                let octets = tls.and_then(|tls| match name.as_str() {
                    "tls-exporter" => tls.exporter.map(|octets| octets.to_vec()),
                    "tls-server-end-point" => tls.server_end_point.as_ref().map(|octets| octets.to_vec()),
                    _ => None,
                });
                octets.ok_or(AuthError::Malformed)
            }
            // The client saw no -PLUS, though it was offered: somebody took it out on the way.
            Binding::NotOffered if offered => Err(AuthError::Credentials),
            Binding::Unsupported | Binding::NotOffered if !plus => Ok(Vec::new()),
            _ => Err(AuthError::Malformed),
        }
    }

    async fn scram_final(&mut self, scram: Scram, message: &[u8]) -> Step {
        let refusal_at = self.authenticator.refusal_at();
        let first = scram.exchange.first();
        let account = self.authenticator.account_key(&first.login);
        // Of exchanges that were begun together no more come to their end than of those that are begun one after the other.
        if let Err(error) = self.authenticator.admit(&account, &self.context) {
            tokio::time::sleep_until(refusal_at).await;
            return Step::Failed(error);
        }
        let proof = scram.exchange.finish(message, &scram.channel);
        let outcome = match (&proof, &scram.user) {
            (Ok(_), Some(user)) => self.authenticator.identity(
                user,
                first.authorization.as_deref(),
                self.mechanism,
                &self.context,
            ),
            (Err(ScramError::Malformed), _) => Err(AuthError::Malformed),
            _ => Err(AuthError::Credentials),
        };
        self.authenticator.settle((&account, &first.login), &self.context, &outcome);
        match outcome {
            Ok(identity) => Step::Succeeded { identity, last: proof.ok() },
            Err(error) => {
                tokio::time::sleep_until(refusal_at).await;
                Step::Failed(error)
            }
        }
    }
}
