//! Listeners to sessions.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use auth::{Authenticator, OpenSession};
use events::{Event, Events};
use mail_types::AccountName;
use parking_lot::Mutex;
use runtime::{Accepted, Connection, Listener, Refused, Shutdown, TlsServer};
use storage::Storage;
use store::{AccountId, Derived, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::options::{Options, TlsMode};
use crate::session::Session;

/// Memory for messages that have to be looked at as a whole (structure, text search), in KiB, over
/// all sessions. One message takes what it needs, but never more than all of it.
const WHOLE_MESSAGES_KIB_MAX: u32 = 512 * 1024;

/// Most sessions that are compressed at a time: each takes some 300 KiB (RFC 4978).
const COMPRESSED_SESSIONS_MAX: usize = 1_000;

/// What sessions work with.
#[derive(Clone)]
pub struct Parts {
    /// Mailboxes and messages.
    pub store: Store,
    /// What was made from messages before.
    pub derived: Derived,
    /// Takes the messages of APPEND.
    pub storage: Storage,
    /// Who may log in.
    pub authenticator: Authenticator,
    /// What happens.
    pub events: Events,
    /// For STARTTLS and implicit TLS.
    pub tls: Option<TlsServer>,
}

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) parts: Parts,
    /// See [`WHOLE_MESSAGES_KIB_MAX`].
    whole_messages: Arc<Semaphore>,
    whole_messages_kib: u32,
    /// See [`COMPRESSED_SESSIONS_MAX`].
    compressed: Arc<Semaphore>,
    sessions: Arc<Sessions>,
}

/// How many sessions each account has.
type Sessions = Mutex<HashMap<AccountName, usize>>;

/// One session of an account, counted until dropped.
pub(crate) struct AccountSession {
    sessions: Arc<Sessions>,
    account: AccountName,
}

impl Shared {
    /// Counts a session of an account, unless it is one too many. The table holds only accounts
    /// that have one, so the number of connections bounds it.
    pub(crate) fn enter(&self, account: &AccountName, max: usize) -> Option<AccountSession> {
        let mut sessions = self.sessions.lock();
        let count = sessions.entry(account.clone()).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        drop(sessions);
        Some(AccountSession { sessions: Arc::clone(&self.sessions), account: account.clone() })
    }

    /// The same for a session that is somebody's: whatever it does with the store, it does on their
    /// behalf, by the rights they have (R77).
    pub(crate) fn on_behalf_of(&self, id: AccountId, name: &AccountName) -> Self {
        self.over(self.parts.store.on_behalf_of(id, name))
    }

    /// The same over another store.
    pub(crate) fn over(&self, store: Store) -> Self {
        Self {
            parts: Parts { store, ..self.parts.clone() },
            whole_messages: Arc::clone(&self.whole_messages),
            whole_messages_kib: self.whole_messages_kib,
            compressed: Arc::clone(&self.compressed),
            sessions: Arc::clone(&self.sessions),
        }
    }

    /// Leave to compress a session; `None` where it is one too many.
    pub(crate) fn compression(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.compressed).try_acquire_owned().ok()
    }

    /// Waits for room to hold so many octets at once.
    pub(crate) async fn room_for(&self, octets: u64) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(octets / 1024 + 1).unwrap_or(u32::MAX).min(self.whole_messages_kib);
        Arc::clone(&self.whole_messages).acquire_many_owned(kib).await.ok()
    }
}

impl Drop for AccountSession {
    fn drop(&mut self) {
        let mut sessions = self.sessions.lock();
        match sessions.get_mut(&self.account) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(sessions.remove(&self.account)),
        }
    }
}

/// The IMAP server: turns connections into sessions.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

impl Server {
    /// Over these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self::with_room(parts, WHOLE_MESSAGES_KIB_MAX)
    }

    pub(crate) fn with_room(parts: Parts, whole_messages_kib: u32) -> Self {
        let whole_messages = Arc::new(Semaphore::new(whole_messages_kib as usize));
        let compressed = Arc::new(Semaphore::new(COMPRESSED_SESSIONS_MAX));
        let sessions = Arc::default();
        let shared = Shared { parts, whole_messages, whole_messages_kib, compressed, sessions };
        Self { shared: Arc::new(shared) }
    }

    /// Serves a listener until the order to stop. New sessions take the newest options.
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
                    tokio::spawn(session(Arc::clone(&self.shared), connection, options, shutdown.clone()));
                }
                Accepted::Refused(refused) => {
                    tokio::spawn(refuse(self.shared.parts.events.clone(), refused, options));
                }
            }
        }
    }
}

async fn session(shared: Arc<Shared>, connection: Connection, options: Arc<Options>, shutdown: Shutdown) {
    let _guard = shutdown.guard();
    let Connection { stream, peer, permit, .. } = connection;
    let (peer, _permit) = (peer.ip().to_canonical(), permit);
    let events = shared.parts.events.clone();
    let name = options.name.clone();
    let open = Arc::new(shared.parts.authenticator.sessions().open(&name, peer));
    events.emit(&Event::ConnectionOpened { service: &name, peer, session: open.number() });
    let stream = match (options.tls, &shared.parts.tls) {
        (TlsMode::Implicit, Some(tls)) => {
            // The handshake's state is large and short-lived: it must not stay in the session's task.
            match Box::pin(stream.accept_tls(tls)).await {
                Ok(stream) => stream,
                Err(error) => return closed(&events, &name, (peer, &open), &error.to_string()),
            }
        }
        (TlsMode::Implicit, None) => return closed(&events, &name, (peer, &open), "no certificate"),
        _ => stream,
    };
    let session = Session::new(shared, stream, (peer, Arc::clone(&open)), options, shutdown);
    let cause = tokio::select! {
        cause = session.run() => cause,
        () = open.ended() => "ended by an operator".into(),
    };
    closed(&events, &name, (peer, &open), &cause);
}

fn closed(events: &Events, service: &str, (peer, open): (IpAddr, &OpenSession), cause: &str) {
    let (session, account) = (open.number(), open.account());
    events.emit(&Event::ConnectionClosed { service, peer, session, account: account.as_ref(), cause });
}

/// Says why there is no session, where that can be said in clear.
async fn refuse(events: Events, refused: Refused, options: Arc<Options>) {
    let cause = refused.why.to_string();
    events.emit(&Event::ConnectionRefused { service: &options.name, peer: refused.peer.ip(), cause: &cause });
    let mut stream = refused.stream;
    if options.tls != TlsMode::Implicit {
        // RFC 5530 §3: LIMIT; the greeting may be BYE (RFC 3501 §7.1.5).
        stream.send(format!("* BYE [LIMIT] {cause}\r\n").as_bytes());
    }
    stream.close_after_refusal().await;
}
