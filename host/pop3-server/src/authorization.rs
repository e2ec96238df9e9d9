//! AUTHORIZATION: USER and PASS, AUTH (RFC 1939 §4 and §7, RFC 5034).

use auth::{AuthError, Context, Identity, Service, Step};
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
    pub(crate) user: Option<String>,
    pub(crate) failures: u32,
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

    /// Whether USER and PASS, and mechanisms that show the password, may be used now.
    pub(crate) fn passwords_allowed(&self) -> bool {
        self.options.cleartext || self.io.stream.tls().is_some()
    }

    fn user(&mut self, name: String) -> Next {
        if !self.passwords_allowed() {
            return self.mistaken("passwords need TLS: say STLS first");
        }
        // The same answer whether or not the name is known (RFC 3206 §5, note).
        self.io.say(&Response::ok("send your password"));
        if let State::Authorization(authorization) = &mut self.state {
            authorization.user = Some(name);
        }
        Next::Answered
    }
}
