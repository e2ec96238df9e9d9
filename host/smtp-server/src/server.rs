//! The accept loop, and what all sessions share.

use std::net::SocketAddr;
use std::sync::Arc;

use auth::{Authenticator, OpenSession};
use events::{Event, Events};
use profiles::Profiles;
use queue::Queue;
use routing::Routing;
use runtime::{Accepted, Clock, Connection, Listener, Random, Refused, SessionGuard, Shutdown, TlsServer};
use storage::Storage;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::conversation::Conversation;
use crate::options::{Options, TlsMode};
use crate::proxy;
use crate::session::Session;

/// What all sessions share.
pub struct Parts {
    /// Keeps messages.
    pub queue: Queue,
    /// Says where mail goes.
    pub routing: Routing,
    /// Says who may send as whom, and what becomes of mail for a final recipient.
    pub profiles: Profiles,
    /// Says who a client is.
    pub authenticator: Authenticator,
    /// Takes content: the same that the queue commits to.
    pub storage: Storage,
    /// For trace fields.
    pub clock: Clock,
    /// For Message-IDs.
    pub random: Random,
    /// Where events are told.
    pub events: Events,
    /// Our certificate; without one there is no TLS.
    pub tls: Option<TlsServer>,
}

/// The server for any number of listeners of SMTP, submission and LMTP.
pub struct Server {
    parts: Arc<Parts>,
}

impl Clone for Server {
    fn clone(&self) -> Self {
        Self { parts: Arc::clone(&self.parts) }
    }
}

impl Server {
    /// From its parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Accepts connections until the order to stop. Each session takes the options that are current when
    /// it begins. Sessions count themselves in `shutdown`, so that their end can be awaited.
    ///
    /// # Errors
    /// The listening socket is broken.
    pub async fn serve(
        &self,
        listener: Listener,
        options: watch::Receiver<Arc<Options>>,
        shutdown: Shutdown,
    ) -> std::io::Result<()> {
        let stop = shutdown.wait();
        tokio::pin!(stop);
        loop {
            let accepted = tokio::select! {
                // In this order: once it is to stop, another one may accept at this socket.
                biased;
                () = &mut stop => return Ok(()),
                accepted = listener.accept() => accepted?,
            };
            let options = Arc::clone(&options.borrow());
            match accepted {
                Accepted::Connection(connection) => {
                    let (server, guard) = (self.clone(), shutdown.guard());
                    let shutdown = shutdown.clone();
                    tokio::spawn(async move { server.attend(connection, options, shutdown, guard).await });
                }
                Accepted::Refused(refused) => {
                    let server = self.clone();
                    tokio::spawn(async move { server.refuse(refused, &options).await });
                }
            }
        }
    }

    /// Serves one connection from its first octet to its last.
    async fn attend(
        &self,
        connection: Connection,
        options: Arc<Options>,
        shutdown: Shutdown,
        _live: SessionGuard,
    ) {
        let Connection { mut stream, peer, mut permit, .. } = connection;
        let events = &self.parts.events;
        let name = Arc::clone(&options);
        let open = Arc::new(self.parts.authenticator.sessions().open(&name.name, peer.ip()));
        events.emit(&Event::ConnectionOpened {
            service: &name.name,
            peer: peer.ip(),
            session: open.number(),
        });
        let (parts, entry) = (Arc::clone(&self.parts), Arc::clone(&open));
        let mut session = Session::new(parts, Arc::clone(&options), peer, entry);
        let prepared = self.prepare(&mut stream, &mut session).await;
        // Behind a proxy it is the client's network that has so many and no more.
        let counted = permit.hand_over(session.client.address.ip());
        let cause = match prepared {
            Err(cause) => cause,
            Ok(()) if counted.is_err() => {
                if options.tls != TlsMode::Implicit {
                    stream.send(too_many(&options, "too many connections from your network").as_bytes());
                }
                Box::pin(stream.close_after_refusal()).await;
                "too many connections from its network"
            }
            Ok(()) if !session.may_connect() => {
                stream.send(b"554 5.7.1 You may not connect here\r\n");
                Box::pin(stream.close_after_refusal()).await;
                "not allowed to connect"
            }
            Ok(()) if options.tls == TlsMode::Implicit => match self.parts.tls.as_ref() {
                None => "no certificate",
                Some(tls) => match Box::pin(stream.accept_tls(tls)).await {
                    Err(_) => "TLS handshake failed",
                    Ok(stream) => {
                        session.tls = stream.tls().cloned();
                        until_ended(Conversation { stream, session, shutdown }, &open).await
                    }
                },
            },
            Ok(()) => until_ended(Conversation { stream, session, shutdown }, &open).await,
        };
        events.emit(&Event::ConnectionClosed {
            service: &name.name,
            peer: peer.ip(),
            session: open.number(),
            account: open.account().as_ref(),
            cause,
        });
    }

    /// Takes the PROXY header off, where one must stand.
    async fn prepare(&self, stream: &mut runtime::Stream, session: &mut Session) -> Result<(), &'static str> {
        let peer: SocketAddr = session.client.address;
        if session.options.proxy_networks.contains(peer.ip()) {
            let deadline = Instant::now() + session.options.limits.proxy_timeout;
            let told = proxy::read(stream, peer, deadline).await?;
            // A front end on a socket of both families names IPv4 clients by IPv6 addresses (`::ffff:192.0.2.1`).
            session.client.address = SocketAddr::new(told.ip().to_canonical(), told.port());
            session.client.real = session.client.address.ip();
            session.open.comes_from(session.client.real);
        }
        Ok(())
    }

    /// One connection too many: says so, where it can be said in clear.
    async fn refuse(&self, refused: Refused, options: &Options) {
        let Refused { mut stream, peer, why, .. } = refused;
        let cause = why.to_string();
        self.parts.events.emit(&Event::ConnectionRefused {
            service: &options.name,
            peer: peer.ip(),
            cause: &cause,
        });
        if options.tls != TlsMode::Implicit {
            stream.send(too_many(options, &cause).as_bytes());
        }
        stream.close_after_refusal().await;
    }
}

/// To the end of the conversation, or until an operator ends it.
async fn until_ended(conversation: Conversation, open: &OpenSession) -> &'static str {
    tokio::select! {
        cause = conversation.run() => cause,
        () = open.ended() => "ended by an operator",
    }
}

fn too_many(options: &Options, cause: &str) -> String {
    format!("421 4.7.0 {} {cause}, try again later\r\n", options.host)
}
