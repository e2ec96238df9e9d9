//! The reply to EHLO, LHLO and HELO.

use std::fmt::Write as _;

use mail_types::Reply;
use smtp_wire::XclientAttributes;

use crate::options::Kind;
use crate::session::Session;

/// What we can, as this client may use it now (RFC 5321 §4.1.1.1).
pub(crate) fn capabilities(session: &Session) -> Reply {
    let mut lines = vec![session.options.host.clone()];
    let mut offer = |line: &str| lines.push(line.to_owned());
    offer("PIPELINING");
    offer(&format!("SIZE {}", session.options.limits.message_size_max));
    offer("8BITMIME");
    offer("SMTPUTF8");
    offer("CHUNKING");
    offer("BINARYMIME");
    offer("DSN");
    offer("ENHANCEDSTATUSCODES");
    if session.offers_starttls() {
        offer("STARTTLS");
    }
    if session.client.account.is_none() && session.options.kind != Kind::Lmtp {
        let mechanisms = session.server.authenticator.mechanisms(session.tls.as_ref());
        if !mechanisms.is_empty() {
            offer(&mechanisms.iter().fold("AUTH".to_owned(), |mut line, name| {
                let _ = write!(line, " {name}");
                line
            }));
        }
    }
    if session.may_xclient() {
        offer(&format!("XCLIENT {}", XclientAttributes::NAMES));
    }
    offer("HELP");
    Reply { code: 250, status: None, lines }
}

/// The reply to HELO: one line.
pub(crate) fn greeted(session: &Session) -> Reply {
    Reply::plain(250, session.options.host.clone())
}
