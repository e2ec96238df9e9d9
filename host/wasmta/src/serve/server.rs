//! A running server.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use events::{Event, Events};
use mail_types::Timestamp;
use parking_lot::Mutex;
use runtime::{Shutdown, TlsServer, make_self_signed};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::services::{Servers, Services};
use super::{DataLock, Parts, Place, logging, plugins, policy, settings, ways};
use crate::config::{self, Config};
use crate::control::{self, Answer, Line, Performer, Request};
use crate::operate;

/// Notes on what waits, and what the plugins are to be put in force with.
type TakenUp = (Vec<String>, Vec<plugin_engine::Settings>, HashMap<hooks::PluginName, u64>);

/// How often what plugins keep is looked through.
const PLUGIN_UPKEEP: Duration = Duration::from_secs(60);

/// A running server. Dropping it does not stop it: [`Server::stop`] does.
pub struct Server {
    running: Arc<Running>,
    /// The queue's work, whoever follows the directory, and the control socket.
    tasks: Vec<JoinHandle<()>>,
    /// Held until everything has ended.
    _lock: DataLock,
}

/// What the server's tasks share.
struct Running {
    place: Place,
    config: Mutex<Arc<Config>>,
    parts: Parts,
    services: Services,
    tls: Option<TlsServer>,
    shutdown: Shutdown,
    /// Tells the queue to begin no more attempts.
    no_more_attempts: Shutdown,
    started: Timestamp,
    /// One reload at a time.
    reloading: tokio::sync::Mutex<()>,
}

impl Server {
    /// Builds everything and listens.
    pub async fn start(config: Config, place: Place, lock: DataLock, events: Events) -> Result<Self, String> {
        let parts = Parts::open(&config, &place.data, events).await?;
        let tls = certificate(&config, &place.data)?;
        let services = Services::new(servers(&parts, tls.clone()), parts.events.clone());
        let running = Arc::new(Running {
            started: parts.clock.now(),
            services,
            tls,
            place,
            parts,
            shutdown: Shutdown::new(),
            no_more_attempts: Shutdown::new(),
            reloading: tokio::sync::Mutex::new(()),
            config: Mutex::new(Arc::new(config)),
        });
        let config = Arc::clone(&running.config.lock());
        let planned = running.services.plan(&config)?;
        let socket = control::socket_path(&running.place.data);
        let commands = control::listen(&socket, Arc::clone(&running), running.shutdown.clone())
            .map_err(|e| format!("the control socket {}: {e}", socket.display()))?;
        let mut tasks = running.begin_work();
        tasks.push(commands);
        running.services.enforce(&config, planned);
        Ok(Self { running, tasks, _lock: lock })
    }

    /// Where everything is told.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.running.parts.events
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.running.config.lock())
    }

    /// The data directory and the rest of the place.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.running.place
    }

    /// The listeners in force with their true addresses.
    #[must_use]
    pub fn listeners(&self) -> Vec<(config::Listener, SocketAddr)> {
        self.running.services.listeners()
    }

    /// The first of these logins that the directory knows as the sample has them.
    pub(super) fn knows(&self, login: &str) -> bool {
        self.running.parts.directory.user_by_login(login).is_found()
    }

    /// Returns when a storage is broken, with what the operator has to know.
    pub(super) async fn storage_broken(&self) -> String {
        let folder = self.running.place.data.join(self.running.parts.storage_broken().await);
        format!(
            "{}: the disk failed while a commit was written, and what is there has to be read anew; nothing that was \
             accepted is lost, and the next start goes on; see whether the disk is failing",
            folder.display()
        )
    }

    /// Takes the configuration up anew, or keeps the old one and says why.
    pub async fn reload(&self) -> Result<Answer, String> {
        self.running.reload().await
    }

    /// Ends: no new sessions; those that run, and attempts, may finish within the grace.
    pub async fn stop(self, grace: Duration) {
        // The queue counts the same grace from the same moment.
        self.running.no_more_attempts.trigger();
        let left = self.running.services.stop(grace).await;
        if left > 0 {
            let reason = format!("the grace is over, {left} sessions are cut off");
            self.events().emit(&Event::Stopping { reason: &reason });
        }
        self.running.shutdown.trigger();
        for task in self.tasks {
            // A task that panicked has said so itself.
            let _ = task.await;
        }
        self.running.parts.close().await;
    }
}

/// The servers of all protocols over the parts.
fn servers(parts: &Parts, tls: Option<TlsServer>) -> Servers {
    let (store, storage, events) = (parts.store.clone(), parts.mail.clone(), parts.events.clone());
    let authenticator = parts.authenticator.clone();
    Servers {
        smtp: smtp_server::Server::new(smtp_server::Parts {
            queue: parts.queue.clone(),
            routing: parts.routing.clone(),
            profiles: parts.profiles.clone(),
            authenticator: authenticator.clone(),
            storage: storage.clone(),
            clock: parts.clock.clone(),
            random: parts.random.clone(),
            events: events.clone(),
            tls: tls.clone(),
        }),
        imap: imap_server::Server::new(imap_server::Parts {
            store: store.clone(),
            storage,
            authenticator: authenticator.clone(),
            events: events.clone(),
            tls: tls.clone(),
        }),
        pop3: pop3_server::Server::new(pop3_server::Parts { store, authenticator, events, tls }),
    }
}

/// The configured certificate, or a self-signed one in the data directory.
fn certificate(config: &Config, data: &Path) -> Result<Option<TlsServer>, String> {
    let (certificate, key) = match &config.tls.files {
        Some(files) => files.clone(),
        None => {
            let names = [config.server.name.to_string(), "localhost".to_owned()];
            make_self_signed(data, &names).map_err(|e| format!("the self-signed certificate: {e}"))?
        }
    };
    TlsServer::load(&certificate, &key).map(Some).map_err(|e| format!("tls: {e}"))
}

impl Running {
    /// Begins what goes on beside the sessions.
    fn begin_work(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let (queue, stop) = (self.parts.queue.clone(), self.no_more_attempts.clone());
        let delivering = tokio::spawn(async move { queue.run(stop).await });
        let (parts, stop) = (self.parts.clone(), self.shutdown.clone());
        let following = tokio::spawn(async move {
            parts.routing.tables().follow(&parts.directory, &parts.clock, &parts.events, &stop).await;
        });
        let (plugins, stop) = (self.parts.plugins.clone(), self.shutdown.clone());
        let keeping = tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(PLUGIN_UPKEEP) => plugins.maintain().await,
                    () = stop.wait() => return,
                }
            }
        });
        vec![delivering, following, keeping]
    }

    async fn reload(&self) -> Result<Answer, String> {
        let _one = self.reloading.lock().await;
        let file = self.place.config.display().to_string();
        match self.take_up() {
            Ok((mut notes, of_each, record)) => {
                notes.extend(self.parts.plugins.configure(of_each, record).await);
                self.parts.events.emit(&Event::ConfigurationLoaded { file: &file });
                let mut text = format!("{file} is in force");
                for note in notes {
                    text.push_str("\n  ");
                    text.push_str(&note);
                }
                Ok(Answer::done(text))
            }
            Err(cause) => {
                self.parts.events.emit(&Event::ConfigurationRefused { file: &file, cause: &cause });
                Err(format!("the old configuration stays: {cause}"))
            }
        }
    }

    /// Prepares everything first, so that nothing has changed when something is wrong. Gives notes
    /// on what takes effect only at the next start.
    fn take_up(&self) -> Result<TakenUp, String> {
        let new = self.place.load()?;
        let old = Arc::clone(&self.config.lock());
        let (rules, options) = policy::load(&new)?;
        let agents = ways::prepare(&new, &self.parts.clock, &self.parts.random, &self.parts.profiles)?;
        if let Some((certificate, key)) = &new.tls.files {
            TlsServer::load(certificate, key).map_err(|e| format!("tls: {e}"))?;
        }
        let (of_plugins, record) = plugins::load(&new)?;
        let exchanged = plugins::Exchanged::new(&new, &self.parts.random)?;
        let planned = self.services.plan(&new)?;
        // From here on nothing fails.
        self.parts.surroundings.exchange(exchanged);
        let mut notes = waiting(&old, &new);
        if let Some(tls) = &self.tls
            && let Err(why) = tls.reload()
        {
            notes.push(format!("the certificate stays as it was: {why}"));
        }
        self.parts.events.set_options(logging::options(&new.log));
        self.parts.routing.reconfigure(rules, options);
        self.parts.queue.set_options(settings::queue(&new));
        for name in self.parts.ways.exchange(agents) {
            notes.push(format!("the new channel {name} takes effect at the next start"));
        }
        self.services.enforce(&new, planned);
        *self.config.lock() = Arc::new(new);
        Ok((notes, of_plugins, record))
    }

    /// Counters and what runs (R101).
    fn status(&self) -> Answer {
        let counters = self.parts.events.counters().all();
        let uptime = self.parts.clock.now().since(self.started).as_secs();
        let json = serde_json::json!({
            "uptime_seconds": uptime,
            "sessions": self.services.sessions(),
            "queued": self.parts.queue.len(),
            "attempts": self.parts.queue.active(),
            "counters": counters.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect::<std::collections::BTreeMap<_, _>>(),
        });
        let mut text = format!(
            "up for {}, {} sessions, {} messages queued, {} attempts under way",
            operate::age_text(self.parts.clock.now().since(self.started)),
            self.services.sessions(),
            self.parts.queue.len(),
            self.parts.queue.active()
        );
        for (name, value) in counters.iter().filter(|(_, value)| *value > 0) {
            text.push_str(&format!("\n{value:>12}  {name}"));
        }
        Answer { json, text }
    }
}

/// What a changed configuration has to wait for.
fn waiting(old: &Config, new: &Config) -> Vec<String> {
    let changes = [
        (old.storage != new.storage, "[storage]"),
        (old.auth != new.auth, "[auth]"),
        (old.tls != new.tls, "[tls] (new files; new content of the same files is in force)"),
        (old.server.threads != new.server.threads, "server.threads"),
        (old.server.open_files != new.server.open_files, "server.open-files"),
    ];
    let changed = changes.into_iter().filter(|(changed, _)| *changed);
    changed.map(|(_, what)| format!("{what} takes effect at the next start")).collect()
}

impl Performer for Running {
    async fn perform(&self, request: Request, progress: mpsc::Sender<Line>) -> Result<Answer, String> {
        match request {
            Request::Status => Ok(self.status()),
            Request::Reload => self.reload().await,
            request => {
                let config = Arc::clone(&self.config.lock());
                operate::perform(&self.parts, &config, request, progress).await
            }
        }
    }
}
