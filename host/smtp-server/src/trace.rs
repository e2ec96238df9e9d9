//! The Received field and the source of a message.

use mail_types::QueueId;
use message::{Protocol, ReceivedField, Tls};
use queue::Source;

use crate::options::Kind;
use crate::session::Session;
use crate::transaction::Transaction;

/// What the session spoke (RFC 3848).
fn protocol(session: &Session, transaction: &Transaction) -> Protocol {
    Protocol {
        lmtp: session.options.kind == Kind::Lmtp,
        extended: session.client.hello.as_ref().is_some_and(|hello| hello.extended),
        utf8: transaction.mail.transport.smtputf8,
        tls: session.tls.is_some(),
        authenticated: session.client.account.is_some(),
    }
}

/// What the client called itself, to us or to a front end.
fn helo(session: &Session) -> &str {
    let own = || session.client.hello.as_ref().map(|hello| hello.name.as_str());
    session.client.hello_told.as_deref().or_else(own).unwrap_or_default()
}

/// The Received field that we add (RFC 5321 §4.4).
pub(crate) fn received(session: &Session, transaction: &Transaction, id: QueueId) -> Vec<u8> {
    let field = ReceivedField {
        helo: helo(session),
        peer: session.client.ip(),
        peer_name: session.client.name.as_deref(),
        by: &session.options.host,
        protocol: protocol(session, transaction),
        tls: session.tls.as_ref().map(|tls| Tls { version: tls.version, cipher: tls.cipher }),
        id,
        recipient: transaction.first.as_ref().filter(|_| transaction.accepted == 1),
        date: session.server.clock.now(),
    };
    field.to_octets()
}

/// Where the message came from, for the queue.
pub(crate) fn source(session: &Session, transaction: &Transaction) -> Source {
    Source {
        channel: session.options.kind.source().to_owned(),
        peer: session.client.ip(),
        helo: helo(session).to_owned(),
        protocol: protocol(session, transaction).word().to_owned(),
        authenticated: session.client.account.clone(),
    }
}
