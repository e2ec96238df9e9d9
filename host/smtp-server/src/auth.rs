//! AUTH: the SASL exchange between client and `auth` (RFC 4954).

use auth::{AuthError, Context, Exchange, Identity, Service};
use events::Event;
use smtp_wire::{SaslLine, decode_sasl_line};

use crate::answer::Answer;
use crate::session::{Next, Session};

/// A SASL exchange about to begin.
pub(crate) struct Authentication {
    pub(crate) exchange: Exchange,
    pub(crate) mechanism: String,
    /// The initial response, where the client sent one.
    pub(crate) initial: Option<Vec<u8>>,
}

/// The reply to a response that is no base64 (RFC 4954 §4).
pub(crate) const NOT_BASE64: Answer = Answer::Line("501 5.5.2 The response is not in base64");
/// The reply to `*` (RFC 4954 §4).
pub(crate) const CANCELLED: Answer = Answer::Line("501 5.7.0 Authentication cancelled");
/// The reply to a response that is too long (RFC 4954 §4).
pub(crate) const TOO_LONG: Answer = Answer::Line("500 5.5.6 The response is too long");

impl Session {
    /// AUTH: begins an exchange.
    pub(crate) fn auth(&mut self, mechanism: &str, initial: Option<&str>) -> Next {
        let initial = match initial.map(|text| decode_sasl_line(text.as_bytes())) {
            None => None,
            Some(Ok(SaslLine::Response(octets))) => Some(octets),
            Some(Ok(SaslLine::Cancel)) => return self.fault(CANCELLED),
            Some(Err(_)) => return self.fault(NOT_BASE64),
        };
        let mechanism = mechanism.to_ascii_uppercase();
        match self.server.authenticator.start(&mechanism, &self.auth_context()) {
            Ok(exchange) => Next::Authenticate(Box::new(Authentication { exchange, mechanism, initial })),
            Err(error) => self.auth_failed(&mechanism, "", &error),
        }
    }

    /// The exchange proved who the client is.
    pub(crate) fn authenticated(&mut self, mechanism: &str, identity: Identity) -> Answer {
        self.server.events.emit(&Event::AuthenticationSucceeded {
            service: &self.options.name,
            peer: self.client.address.ip(),
            session: self.open.number(),
            account: &identity.account,
            mechanism,
        });
        self.open.belongs_to(Some(&identity.account));
        self.client.account = Some(identity.account.clone());
        self.client.identity = Some(Box::new(identity));
        Answer::Line("235 2.7.0 Authentication succeeded")
    }

    /// Whether who logged in may still send: an account may have been shut since, or its password changed, because
    /// somebody else sends by it. What to say where it may not.
    pub(crate) fn standing(&self) -> Result<(), Next> {
        let Some(identity) = self.client.identity.as_deref() else { return Ok(()) };
        match self.server.authenticator.still_stands(identity, &self.auth_context()) {
            Ok(()) => Ok(()),
            Err(error @ AuthError::Unavailable(_)) => Err(Next::Say(Answer::Reply(error.reply()))),
            Err(error) => {
                self.server.events.emit(&Event::AuthenticationFailed {
                    service: &self.options.name,
                    peer: self.client.address.ip(),
                    session: self.open.number(),
                    login: identity.account.as_str(),
                    mechanism: identity.mechanism.as_str(),
                    cause: &format!("{error}, since the session began"),
                });
                Err(Next::Close(Answer::Line("421 4.7.0 The account has changed, log in again")))
            }
        }
    }

    fn auth_context(&self) -> Context {
        Context { service: Service::Smtp, peer: self.client.address.ip(), tls: self.tls.clone() }
    }

    /// The exchange failed.
    pub(crate) fn auth_failed(&mut self, mechanism: &str, login: &str, error: &AuthError) -> Next {
        let cause = error.to_string();
        self.server.events.emit(&Event::AuthenticationFailed {
            service: &self.options.name,
            peer: self.client.address.ip(),
            session: self.open.number(),
            login,
            mechanism,
            cause: &cause,
        });
        self.counts.auth_failures += 1;
        let answer = Answer::Reply(error.reply());
        if self.counts.auth_failures >= self.options.limits.auth_failures_max {
            return Next::Close(Answer::Line("421 4.7.0 Too many failed authentications"));
        }
        Next::Say(answer)
    }
}
