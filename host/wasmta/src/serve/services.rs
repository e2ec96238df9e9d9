//! The listeners in force, and how a new configuration changes them without harm to sessions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use events::{Event, Events};
use parking_lot::Mutex;
use runtime::{BoundSocket, ConnectionLimits, ListenerOptions, Shutdown};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::settings;
use crate::config::{self, Config, Protocol, collide};

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
    /// For a listener of another protocol at the same address.
    socket: BoundSocket,
    stop: Shutdown,
    /// Accepts until it is to stop.
    accepting: JoinHandle<()>,
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
pub(super) struct Planned(Vec<One>);

struct One {
    listener: config::Listener,
    accepts: runtime::Listener,
    socket: BoundSocket,
}

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
            // One of another protocol, which goes.
            let goes =
                |bound: &&Bound| !config.listeners.iter().any(|listener| same(&bound.config, listener));
            let has = bound.iter().filter(goes).find(|bound| bound.local == listener.address);
            let accepts = match has {
                Some(bound) => runtime::Listener::take_over(&bound.socket, &options),
                None => runtime::Listener::bind(&options),
            };
            let accepts = accepts.and_then(|accepts| Ok((accepts.socket()?, accepts)));
            let (socket, accepts) = accepts.map_err(|e| {
                let (name, address) = (&listener.name, listener.address);
                let ours = |bound: &&Bound| collide(bound.local, address);
                let mend = bound.iter().find(ours).map_or_else(String::new, |bound| {
                    let (other, local) = (&bound.config.name, bound.local);
                    format!(
                        "; listeners.{other} has {local} until the server stops: stop it and start it again"
                    )
                });
                format!("listeners.{name}: {address} cannot be listened at: {e}{mend}")
            })?;
            planned.push(One { listener: listener.clone(), accepts, socket });
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
        let mut ending = Vec::new();
        for Bound { config, local, stop, accepting, .. } in gone {
            let next = planned.0.iter().find(|one| one.accepts.local_addr() == local);
            notes.push(match next.map(|one| &one.listener) {
                Some(next) => {
                    format!("listeners.{} speaks {} at {local} now", next.name, next.protocol.word())
                }
                None => format!("listeners.{} takes no more connections at {local}", config.name),
            });
            stop.trigger();
            self.closed.lock().push(stop);
            ending.push((local, accepting));
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
        for one in planned.0 {
            let at = ending.iter().position(|(local, _)| *local == one.accepts.local_addr());
            let before = at.map(|at| ending.swap_remove(at).1);
            bound.push(self.serve(config, one, before));
        }
        self.closed.lock().retain(|stop| stop.sessions() > 0);
        notes
    }

    /// Serves at a listener, once whoever accepted there before has ended.
    fn serve(&self, config: &Config, one: One, before: Option<JoinHandle<()>>) -> Bound {
        let One { listener, accepts, socket } = one;
        let (local, limits, stop) = (accepts.local_addr(), accepts.limits(), Shutdown::new());
        self.events.emit(&Event::Listening { service: &listener.name, address: local });
        let (name, events, ending) = (listener.name.clone(), self.events.clone(), stop.clone());
        let broken = move |outcome: std::io::Result<()>| {
            if let Err(e) = outcome {
                let cause = format!("the listener {name} is broken: {e}");
                events.emit(&Event::InternalError { place: "listener", cause: &cause });
            }
        };
        let (settings, accepting) = match listener.protocol {
            Protocol::Smtp | Protocol::Submission | Protocol::Lmtp => {
                let (sender, options) = watch::channel(Arc::new(settings::smtp(config, &listener)));
                let server = self.servers.smtp.clone();
                let serving = async move { broken(server.serve(accepts, options, ending).await) };
                (Settings::Smtp(sender), tokio::spawn(after(before, serving)))
            }
            Protocol::Imap => {
                let (sender, options) = watch::channel(Arc::new(settings::imap(config, &listener)));
                let server = self.servers.imap.clone();
                let serving = async move { broken(server.serve(accepts, options, ending).await) };
                (Settings::Imap(sender), tokio::spawn(after(before, serving)))
            }
            Protocol::Metrics => {
                let server = self.servers.metrics.clone();
                let serving = async move { broken(server.serve(accepts, ending).await) };
                (Settings::Metrics, tokio::spawn(after(before, serving)))
            }
            Protocol::Pop3 => {
                let (sender, options) = watch::channel(Arc::new(settings::pop3(config, &listener)));
                let server = self.servers.pop3.clone();
                let serving = async move { broken(server.serve(accepts, options, ending).await) };
                (Settings::Pop3(sender), tokio::spawn(after(before, serving)))
            }
        };
        Bound {
            backlog: listener.backlog,
            config: listener,
            local,
            limits,
            settings,
            socket,
            stop,
            accepting,
        }
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

/// Does something when a task has ended.
async fn after(before: Option<JoinHandle<()>>, then: impl Future<Output = ()>) {
    if let Some(before) = before {
        // One that panicked has ended, too.
        let _ = before.await;
    }
    then.await;
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

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    use super::super::{DataLock, Place, Server, counting};

    /// What is said first at an address.
    async fn greeting(address: std::net::SocketAddr) -> String {
        let read = tokio::task::spawn_blocking(move || {
            let mut heard = [0; 64];
            let count = TcpStream::connect(address).unwrap().read(&mut heard).unwrap();
            String::from_utf8_lossy(&heard[..count]).into_owned()
        });
        read.await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_address_is_given_to_another_protocol_by_a_reload() {
        let dir = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let place =
            Place { config: dir.path().join("wasmta.toml"), data: dir.path().join("data"), port_offset: 0 };
        let configure = |listeners: String| {
            let text = format!(
                "[auth]\nargon2-memory = \"64 KiB\"\nargon2-passes = 1\n[dns.publish]\nlisten = \"127.0.0.1:0\"\n{listeners}"
            );
            std::fs::write(&place.config, text).unwrap();
        };
        std::fs::write(dir.path().join("rewrite.rules"), "").unwrap();
        std::fs::write(dir.path().join("directory.ldif"), "dn: o=isp\nobjectClass: organization\n").unwrap();
        configure(format!("[listeners.one]\nprotocol = \"smtp\"\naddress = \"{address}\"\n"));
        let lock = DataLock::take(&place.data).unwrap();
        let server = Server::start(place.load().unwrap(), place.clone(), lock, counting()).await.unwrap();
        for (protocol, said) in [("imap", "* OK"), ("pop3", "+OK"), ("smtp", "220 "), ("imap", "* OK")] {
            configure(format!("[listeners.one]\nprotocol = \"{protocol}\"\naddress = \"{address}\"\n"));
            let told = server.reload().await.unwrap().text;
            assert!(told.contains(&format!("listeners.one speaks {protocol} at {address} now")), "{told}");
            for _ in 0..8 {
                let heard = greeting(address).await;
                assert!(heard.starts_with(said), "{protocol}: {heard}");
            }
        }
        // What cannot be taken over is said, and how to mend it.
        let all = format!("0.0.0.0:{}", address.port());
        configure(format!("[listeners.all]\nprotocol = \"imap\"\naddress = \"{all}\"\n"));
        let why = server.reload().await.unwrap_err();
        assert!(why.contains(&format!("listeners.all: {all} cannot be listened at: ")), "{why}");
        assert!(why.contains(&format!("; listeners.one has {address} until the server stops")), "{why}");
        server.stop(std::time::Duration::ZERO).await;
    }
}
