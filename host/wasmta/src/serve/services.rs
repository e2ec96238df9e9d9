//! The listeners in force, and how a new configuration changes them without harm to sessions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use events::{Event, Events};
use parking_lot::Mutex;
use runtime::{ConnectionLimits, ListenerOptions, Shutdown};
use tokio::sync::watch;
use tokio::time::Instant;

use super::settings;
use crate::config::{self, Config, Protocol};

/// The options of a listener's sessions: a new value is taken by those that begin after it.
enum Settings {
    Smtp(watch::Sender<Arc<smtp_server::Options>>),
    Imap(watch::Sender<Arc<imap_server::Options>>),
    Pop3(watch::Sender<Arc<pop3_server::Options>>),
    /// There are none.
    Metrics,
}

/// A listener in force.
struct Bound {
    config: config::Listener,
    /// As it was bound.
    backlog: u32,
    local: SocketAddr,
    limits: ConnectionLimits,
    settings: Settings,
    stop: Shutdown,
}

/// The servers of all protocols, each for any number of listeners.
pub(super) struct Servers {
    /// SMTP, submission, LMTP.
    pub(super) smtp: smtp_server::Server,
    /// IMAP.
    pub(super) imap: imap_server::Server,
    /// POP3.
    pub(super) pop3: pop3_server::Server,
    /// Numbers.
    pub(super) metrics: metrics::Server,
}

/// The listeners in force, for who counts. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct InForce(Arc<Mutex<Vec<Bound>>>);

/// What goes on at a listener.
pub(super) struct Traffic {
    /// Its name.
    pub(super) listener: String,
    /// What is spoken.
    pub(super) protocol: Protocol,
    /// Connections that are open.
    pub(super) connections: usize,
    /// Most of them.
    pub(super) connections_max: usize,
}

impl InForce {
    /// What goes on at each.
    pub(super) fn traffic(&self) -> Vec<Traffic> {
        let traffic = |bound: &Bound| Traffic {
            listener: bound.config.name.clone(),
            protocol: bound.config.protocol,
            connections: bound.limits.open(),
            connections_max: bound.config.connections_max,
        };
        self.0.lock().iter().map(traffic).collect()
    }
}

/// All listeners.
pub(super) struct Services {
    servers: Servers,
    events: Events,
    bound: InForce,
    /// Those that a reload has closed, as long as sessions of theirs may run.
    closed: Mutex<Vec<Shutdown>>,
}

/// New listeners, bound and not yet served: nothing has changed so far.
pub(super) struct Planned(Vec<(config::Listener, runtime::Listener)>);

impl Services {
    /// No listener yet: they will be these.
    pub(super) fn new(servers: Servers, bound: InForce, events: Events) -> Self {
        Self { servers, events, bound, closed: Mutex::default() }
    }

    /// Binds what the configuration wants and is not bound yet.
    pub(super) fn plan(&self, config: &Config) -> Result<Planned, String> {
        let bound = self.bound.0.lock();
        let mut planned = Vec::new();
        for listener in &config.listeners {
            if bound.iter().any(|bound| same(&bound.config, listener)) {
                continue;
            }
            let options = ListenerOptions {
                address: listener.address,
                backlog: listener.backlog,
                connections_max: listener.connections_max,
                per_network_max: listener.per_network_max,
            };
            let socket = runtime::Listener::bind(&options).map_err(|e| {
                format!("listeners.{}: {} cannot be listened at: {e}", listener.name, listener.address)
            })?;
            planned.push((listener.clone(), socket));
        }
        Ok(Planned(planned))
    }

    /// Puts a configuration in force: new listeners begin, those that are gone accept no more,
    /// and the others' next sessions take the new options and limits. Gives notes on those that are gone, and on what
    /// waits for the next start.
    pub(super) fn enforce(&self, config: &Config, planned: Planned) -> Vec<String> {
        let mut notes = Vec::new();
        let mut bound = self.bound.0.lock();
        let (kept, gone): (Vec<Bound>, Vec<Bound>) = std::mem::take(&mut *bound)
            .into_iter()
            .partition(|bound| config.listeners.iter().any(|listener| same(&bound.config, listener)));
        for bound in gone {
            notes.push(format!(
                "listeners.{} takes no more connections at {}",
                bound.config.name, bound.local
            ));
            bound.stop.trigger();
            self.closed.lock().push(bound.stop);
        }
        *bound = kept;
        for one in bound.iter_mut() {
            if let Some(listener) = config.listeners.iter().find(|listener| same(&one.config, listener)) {
                if one.backlog != listener.backlog {
                    let what = format!("listeners.{}.backlog takes effect at the next start", listener.name);
                    notes.push(what);
                }
                one.limits.set(listener.connections_max, listener.per_network_max);
                one.config = listener.clone();
                one.settings.replace(config, listener);
            }
        }
        for (listener, socket) in planned.0 {
            bound.push(self.serve(config, listener, socket));
        }
        self.closed.lock().retain(|stop| stop.sessions() > 0);
        notes
    }

    fn serve(&self, config: &Config, listener: config::Listener, socket: runtime::Listener) -> Bound {
        let (local, limits, stop) = (socket.local_addr(), socket.limits(), Shutdown::new());
        self.events.emit(&Event::Listening { service: &listener.name, address: local });
        let (name, events, ending) = (listener.name.clone(), self.events.clone(), stop.clone());
        let broken = move |outcome: std::io::Result<()>| {
            if let Err(e) = outcome {
                let cause = format!("the listener {name} is broken: {e}");
                events.emit(&Event::InternalError { place: "listener", cause: &cause });
            }
        };
        let settings = match listener.protocol {
            Protocol::Smtp | Protocol::Submission | Protocol::Lmtp => {
                let (sender, options) = watch::channel(Arc::new(settings::smtp(config, &listener)));
                let server = self.servers.smtp.clone();
                tokio::spawn(async move { broken(server.serve(socket, options, ending).await) });
                Settings::Smtp(sender)
            }
            Protocol::Imap => {
                let (sender, options) = watch::channel(Arc::new(settings::imap(config, &listener)));
                let server = self.servers.imap.clone();
                tokio::spawn(async move { broken(server.serve(socket, options, ending).await) });
                Settings::Imap(sender)
            }
            Protocol::Metrics => {
                let server = self.servers.metrics.clone();
                tokio::spawn(async move { broken(server.serve(socket, ending).await) });
                Settings::Metrics
            }
            Protocol::Pop3 => {
                let (sender, options) = watch::channel(Arc::new(settings::pop3(config, &listener)));
                let server = self.servers.pop3.clone();
                tokio::spawn(async move { broken(server.serve(socket, options, ending).await) });
                Settings::Pop3(sender)
            }
        };
        Bound { backlog: listener.backlog, config: listener, local, limits, settings, stop }
    }

    /// Names, protocols, true addresses.
    pub(super) fn listeners(&self) -> Vec<(config::Listener, SocketAddr)> {
        self.bound.0.lock().iter().map(|bound| (bound.config.clone(), bound.local)).collect()
    }

    /// Sessions that run.
    pub(super) fn sessions(&self) -> usize {
        let closed: usize = self.closed.lock().iter().map(Shutdown::sessions).sum();
        closed + self.bound.0.lock().iter().map(|bound| bound.stop.sessions()).sum::<usize>()
    }

    /// Accepts no more, and waits for sessions to end. Gives how many did not.
    pub(super) async fn stop(&self, grace: Duration) -> usize {
        let mut all: Vec<Shutdown> = self.bound.0.lock().drain(..).map(|bound| bound.stop).collect();
        all.append(&mut self.closed.lock());
        for stop in &all {
            stop.trigger();
        }
        let until = Instant::now() + grace;
        let mut left = 0;
        for stop in &all {
            left += stop.drained(until.saturating_duration_since(Instant::now())).await;
        }
        left
    }
}

impl Settings {
    /// Nobody listening any more is no fault: the listener has just ended.
    fn replace(&self, config: &Config, listener: &config::Listener) {
        match self {
            Self::Smtp(sender) => drop(sender.send(Arc::new(settings::smtp(config, listener)))),
            Self::Imap(sender) => drop(sender.send(Arc::new(settings::imap(config, listener)))),
            Self::Pop3(sender) => drop(sender.send(Arc::new(settings::pop3(config, listener)))),
            Self::Metrics => {}
        }
    }
}

/// Whether a bound listener can serve what is wanted, with new options and limits.
fn same(bound: &config::Listener, wanted: &config::Listener) -> bool {
    let family = |protocol| match protocol {
        Protocol::Smtp | Protocol::Submission | Protocol::Lmtp => 0,
        Protocol::Imap => 1,
        Protocol::Pop3 => 2,
        Protocol::Metrics => 3,
    };
    // Free ports are told apart by name.
    bound.address == wanted.address
        && family(bound.protocol) == family(wanted.protocol)
        && (bound.address.port() != 0 || bound.name == wanted.name)
}
