//! Listeners to sessions.

use std::net::IpAddr;
use std::sync::Arc;

use auth::{Authenticator, OpenSession};
use events::{Event, Events};
use runtime::{Accepted, Connection, Listener, Refused, Shutdown, TlsServer};
use store::Store;
use tokio::sync::{Semaphore, watch};

use crate::delays::Delays;
use crate::io::End;
use crate::options::{Options, TlsMode};
use crate::session::Session;
use crate::shown::WHOLE_KIB_MAX;
use crate::wire::response::{Code, Response};

/// What sessions work with.
#[derive(Clone)]
pub struct Parts {
    /// Mailboxes and messages.
    pub store: Store,
    /// Who may log in.
    pub authenticator: Authenticator,
    /// What happens.
    pub events: Events,
    /// For STLS and implicit TLS; without it there is no TLS.
    pub tls: Option<TlsServer>,
}

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) parts: Parts,
    pub(crate) delays: Delays,
    /// KiB of messages that are looked at as wholes.
    pub(crate) whole_messages: Semaphore,
}

/// The POP3 server: turns connections into sessions. Clones are the same server.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

impl Server {
    /// Over these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let whole_messages = Semaphore::new(WHOLE_KIB_MAX as usize);
        Self { shared: Arc::new(Shared { parts, delays: Delays::default(), whole_messages }) }
    }

    /// Serves a listener until the order to stop. Each session takes the options that are current when it begins.
    ///
    /// # Errors
    /// The listening socket is broken.
    pub async fn serve(
        &self,
        listener: Listener,
        options: watch::Receiver<Arc<Options>>,
        shutdown: Shutdown,
    ) -> std::io::Result<()> {
        loop {
            let accepted = tokio::select! {
                // In this order: once it is to stop, another one may accept at this socket.
                biased;
                () = shutdown.wait() => return Ok(()),
                accepted = listener.accept() => accepted?,
            };
            let options = Arc::clone(&options.borrow());
            match accepted {
                Accepted::Connection(connection) => {
                    tokio::spawn(attend(Arc::clone(&self.shared), connection, options, shutdown.clone()));
                }
                Accepted::Refused(refused) => {
                    tokio::spawn(refuse(self.shared.parts.events.clone(), refused, options));
                }
            }
        }
    }
}

async fn attend(shared: Arc<Shared>, connection: Connection, options: Arc<Options>, shutdown: Shutdown) {
    let _live = shutdown.guard();
    let Connection { stream, peer, permit: _permit, .. } = connection;
    let peer = peer.ip().to_canonical();
    let (events, name) = (shared.parts.events.clone(), options.name.clone());
    let open = Arc::new(shared.parts.authenticator.sessions().open(&name, peer));
    events.emit(&Event::ConnectionOpened { service: &name, peer, session: open.number() });
    let stream = match (options.tls, &shared.parts.tls) {
        // The handshake's state is large and short-lived: it must not stay in the session's task.
        (TlsMode::Implicit, Some(tls)) => match Box::pin(stream.accept_tls(tls)).await {
            Ok(stream) => stream,
            Err(error) => return closed(&events, &name, (peer, &open), &error.to_string()),
        },
        (TlsMode::Implicit, None) => return closed(&events, &name, (peer, &open), "no certificate"),
        _ => stream,
    };
    let session = Session::new(shared, stream, (peer, Arc::clone(&open)), options, shutdown);
    let end = tokio::select! {
        end = session.run() => Some(end),
        () = open.ended() => None,
    };
    let cause = end.as_ref().map_or("ended by an operator", End::cause);
    closed(&events, &name, (peer, &open), cause);
}

fn closed(events: &Events, service: &str, (peer, open): (IpAddr, &OpenSession), cause: &str) {
    let (session, account) = (open.number(), open.account());
    events.emit(&Event::ConnectionClosed { service, peer, session, account: account.as_ref(), cause });
}

/// Says why there is no session, where that can be said in clear.
async fn refuse(events: Events, refused: Refused, options: Arc<Options>) {
    let Refused { mut stream, peer, why, .. } = refused;
    let cause = why.to_string();
    events.emit(&Event::ConnectionRefused {
        service: &options.name,
        peer: peer.ip().to_canonical(),
        cause: &cause,
    });
    if options.tls != TlsMode::Implicit {
        Response::refused_with(Code::SysTemp, format!("{cause}, try again later")).encode(stream.sending());
    }
    stream.close_after_refusal().await;
}
