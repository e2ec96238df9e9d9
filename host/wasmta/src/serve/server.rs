//! A running server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use events::{Event, Events};
use mail_types::Timestamp;
use parking_lot::Mutex;
use runtime::{Shutdown, TlsServer};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::gone_tenants::GoneTenants;
use super::new_data::NewData;
use super::numbers::Numbers;
use super::plugin_files::{self, Loaded};
use super::services::{InForce, Servers, Services};
use super::{
    DataLock, Parts, Place, certificates, contradictions, domain_tables, doubts, groups, logging, plugins,
    policy, settings, ways,
};
use crate::config::{self, Config};
use crate::control::{self, Answer, Door, Line, Performer, Request};
use crate::operate;

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
    /// The configuration that it started with: some of it stays in force until the next start.
    started_with: Config,
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

/// A server, and its work.
type Begun = (Arc<Running>, Vec<JoinHandle<()>>);

impl Server {
    /// Builds everything and listens. Where that fails, a data directory that was new is as empty as before.
    pub async fn start(config: Config, place: Place, lock: DataLock, events: Events) -> Result<Self, String> {
        let new = NewData::look(&place.data);
        let (running, tasks) = Self::begin(config, place, events).await?;
        if let Some(new) = new {
            new.keep();
        }
        Ok(Self { running, tasks, _lock: lock })
    }

    async fn begin(config: Config, place: Place, events: Events) -> Result<Begun, String> {
        let parts = Parts::open(&config, &place.data, events).await?;
        if let Err(why) = parts.reserve.make() {
            parts.events.emit(&Event::StorageUnavailable { cause: &why.to_string() });
        }
        let tls = certificates::load(&config, &place.data)?;
        let in_force = InForce::default();
        let servers = servers(&parts, tls.clone(), in_force.clone());
        let services = Services::new(servers, in_force, parts.events.clone());
        let running = Arc::new(Running {
            started: parts.clock.now(),
            services,
            tls,
            place,
            parts,
            shutdown: Shutdown::new(),
            no_more_attempts: Shutdown::new(),
            reloading: tokio::sync::Mutex::new(()),
            started_with: config.clone(),
            config: Mutex::new(Arc::new(config)),
        });
        let config = Arc::clone(&running.config.lock());
        let planned = running.services.plan(&config)?;
        let socket = control::socket_path(&running.place.data);
        let commands =
            control::listen((&socket, Door::Owner), Arc::clone(&running), running.shutdown.clone())
                .map_err(|e| format!("the control socket {}: {e}", socket.display()))?;
        let of_delegates = running.hear_delegates(&config)?;
        let mut tasks = running.begin_work();
        tasks.push(commands);
        tasks.extend(of_delegates);
        running.services.enforce(&config, planned);
        running.tell_contradictions(&config);
        Ok((running, tasks))
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

    /// Whether the directory was filled just now, and a user has this password in it.
    pub(super) fn begins_with(&self, login: &str, password: &str) -> bool {
        let parts = &self.running.parts;
        parts.first_start && doubts::has_password(&parts.directory, login, password)
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
fn servers(parts: &Parts, tls: Option<TlsServer>, in_force: InForce) -> Servers {
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
            derived: parts.derived.clone(),
            storage,
            authenticator: authenticator.clone(),
            events: events.clone(),
            tls: tls.clone(),
        }),
        pop3: pop3_server::Server::new(pop3_server::Parts { store, authenticator, events, tls }),
        metrics: metrics::Server::new(Numbers::new(parts.clone(), in_force)),
    }
}

impl Running {
    /// Begins what goes on beside the sessions.
    fn begin_work(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let (queue, stop) = (self.parts.queue.clone(), self.no_more_attempts.clone());
        let delivering = tokio::spawn(async move { queue.run(stop).await });
        let (parts, stop) = (self.parts.clone(), self.shutdown.clone());
        let following = self.parts.background.spawn(async move {
            parts.routing.tables().follow(&parts.directory, &parts.builders(), &stop).await;
        });
        let (parts, stop) = (self.parts.clone(), self.shutdown.clone());
        let keeping = tokio::spawn(async move {
            let mut gone = GoneTenants::default();
            loop {
                tokio::select! {
                    () = tokio::time::sleep(PLUGIN_UPKEEP) => {}
                    () = stop.wait() => return,
                }
                parts.plugins.maintain().await;
                gone.look(&parts).await;
            }
        });
        let (parts, stop, host) =
            (self.parts.clone(), self.shutdown.clone(), self.started_with.server.name.to_string());
        let warning = tokio::spawn(async move {
            parts.quotas.watch().run(&parts.store, &parts.random, &host, &stop).await;
        });
        let (parts, stop) = (self.parts.clone(), self.shutdown.clone());
        let waking = tokio::spawn(async move {
            groups::follow(&parts.directory, &parts.store, &parts.events, &stop).await;
        });
        let (running, stop) = (Arc::clone(self), self.shutdown.clone());
        let looking = tokio::spawn(async move { running.look_at_certificates(&stop).await });
        let running = Arc::clone(self);
        let doubting = tokio::spawn(async move {
            let Running { place, parts, started_with, .. } = &*running;
            doubts::tell(started_with, parts, &place.config, &parts.events).await;
        });
        let mut tasks = vec![delivering, following, keeping, warning, waking, looking, doubting];
        if let Some(mirror) = self.parts.mirror.clone() {
            let stop = self.shutdown.clone();
            tasks.push(tokio::spawn(async move { mirror.run(&stop).await }));
        }
        tasks.extend(self.parts.followed.begin(&self.parts.events, &self.shutdown));
        if let Some(publishing) = &self.parts.publishing {
            tasks.extend(publishing.begin(&self.parts.background, &self.parts.events, &self.shutdown));
        }
        tasks
    }

    /// Tells at the start what a reload would note.
    fn tell_contradictions(&self, config: &Config) {
        let notes = contradictions::in_force(config, &self.parts);
        if !notes.is_empty() {
            let file = self.place.config.display().to_string();
            self.parts.events.emit(&Event::ConfigurationLoaded { file: &file, notes: &notes.join("; ") });
        }
    }

    /// Tells of certificates that clients will refuse: of all that is wrong at the start, later of those that come to their
    /// end.
    async fn look_at_certificates(&self, stop: &Shutdown) {
        let mut is_first = true;
        loop {
            let (config, now) = (Arc::clone(&self.config.lock()), self.parts.clock.now());
            let looked = tokio::task::spawn_blocking(move || certificates::look(&config, now)).await;
            // A panic has said so itself.
            for note in looked.unwrap_or_default().iter().filter(|note| is_first || note.is_about_end()) {
                note.emit(&self.parts.events);
            }
            is_first = false;
            tokio::select! {
                () = tokio::time::sleep(certificates::LOOKED_AT_EVERY) => {}
                () = stop.wait() => return,
            }
        }
    }

    /// Where delegates' commands come in, if there are any.
    fn hear_delegates(self: &Arc<Self>, config: &Config) -> Result<Option<JoinHandle<()>>, String> {
        let Some(socket) = &config.delegation.socket else { return Ok(None) };
        let performer = Arc::new(Delegates(Arc::clone(self)));
        let task = control::listen((socket, Door::Everybody), performer, self.shutdown.clone())
            .map_err(|e| format!("delegation.socket {}: {e}", socket.display()))?;
        Ok(Some(task))
    }

    /// The sections of plugins as the file has them now; none where it cannot be read: what is in force stays so.
    fn sections_now(&self) -> Vec<plugin_engine::Settings> {
        self.place.load_whole().map(|config| plugin_files::load(&config).settings).unwrap_or_default()
    }

    async fn reload(&self) -> Result<Answer, String> {
        let _one = self.reloading.lock().await;
        let file = self.place.config.display().to_string();
        let taken_up = async {
            let new = self.place.load_whole()?;
            let Loaded { settings, unusable, record } = plugin_files::load(&new);
            if !unusable.is_empty() {
                let faults: Vec<String> = unusable.into_iter().map(|(_, why)| why).collect();
                return Err(faults.join("\n"));
            }
            let prepared = self.parts.plugins.prepare(settings, record).await;
            match prepared.broken() {
                [] => self.take_up(new).map(|notes| (notes, prepared)),
                broken => Err(broken.join("\n")),
            }
        };
        match taken_up.await {
            Ok((mut notes, prepared)) => {
                notes.extend(prepared.put_in_force());
                notes.extend(self.parts.follow_plugins().await.err());
                let config = self.config.lock().clone();
                notes.extend(contradictions::in_force(&config, &self.parts));
                notes.extend(doubts::in_force(&config, &self.parts).await);
                self.parts.events.emit(&Event::ConfigurationLoaded { file: &file, notes: &notes.join("; ") });
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
    fn take_up(&self, new: Config) -> Result<Vec<String>, String> {
        let (rules, options) = policy::load(&new).map_err(|why| why.to_string())?;
        let Parts { directory, followed, routing, profiles, store, clock, random, events, .. } = &self.parts;
        let (stores, chance) = ((directory, store, &followed.tables), (clock, random));
        let agents = ways::prepare(&new, stores, routing, profiles, chance, events)?;
        let exchanged = plugins::Exchanged::new(&new, random)?;
        let planned = self.services.plan(&new)?;
        // From here on nothing fails.
        self.parts.surroundings.exchange(exchanged);
        let mut notes = waiting(&self.started_with, &new);
        if let Some(tls) = &self.tls
            && let Err(why) = tls.reload()
        {
            notes.push(format!("the certificate stays as it was: {why}"));
        }
        notes.extend(certificates::look(&new, clock.now()).iter().map(certificates::Note::text));
        self.parts.events.set_options(logging::options(&new.log));
        let (unencrypted, channel_binding) = settings::auth_offers(&new);
        self.parts.authenticator.set_offers(unencrypted, channel_binding);
        // Channels before the rules that name them.
        self.parts.queue.set_channels(agents);
        self.parts.queue.set_options(settings::queue(&new));
        self.parts.routing.reconfigure(rules, options);
        self.parts.quotas.replace(&new.quotas);
        self.parts.groups.replace(&new);
        self.parts.plugins.set_trust(new.trust.clone());
        notes.extend(self.left_behind(&new));
        notes.extend(self.services.enforce(&new, planned));
        *self.config.lock() = Arc::new(new);
        Ok(notes)
    }

    /// Mail that waits for a channel which is not there any more.
    fn left_behind(&self, config: &Config) -> Vec<String> {
        let mut waiting = std::collections::BTreeMap::<String, u64>::new();
        // A summary that cannot be read now has been told of as an event.
        for sum in self.parts.queue.summary().unwrap_or_default() {
            let name = sum.route.channel.as_str();
            if !config.channels.iter().any(|channel| channel.name.eq_ignore_ascii_case(name)) {
                *waiting.entry(name.to_owned()).or_default() += sum.waiting + sum.held;
            }
        }
        let note = |(name, count)| {
            format!(
                "{count} recipients wait for the channel {name}, which is not there any more: `wasmta queue reroute --channel {name} --to reprocess` decides anew"
            )
        };
        waiting.into_iter().map(note).collect()
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
        Answer::new(json, text)
    }
}

/// What a changed configuration has to wait for.
fn waiting(old: &Config, new: &Config) -> Vec<String> {
    let auth = config::Auth {
        cleartext: old.auth.cleartext,
        channel_binding: old.auth.channel_binding,
        ..new.auth.clone()
    };
    let changes = [
        (old.storage != new.storage, "[storage]"),
        (old.auth != auth, "[auth] (but for cleartext and channel-binding, which are in force)"),
        (old.directory != new.directory, "[directory]"),
        (old.tls != new.tls, "[tls] (new files; new content of the same files is in force)"),
        (old.dns.publish != new.dns.publish, "[dns.publish]"),
        (
            old.dns.tables != new.dns.tables || old.dns.notify_listen != new.dns.notify_listen,
            "[dns.tables] and dns.notify-listen",
        ),
        (
            !new.dns.tables.is_empty() && domain_tables::own_names(old) != domain_tables::own_names(new),
            "our own names, as [dns.tables] compares them,",
        ),
        (old.delegation.socket != new.delegation.socket, "delegation.socket"),
        (old.server.threads != new.server.threads, "server.threads"),
        (old.server.open_files != new.server.open_files, "server.open-files"),
    ];
    let changed = changes.into_iter().filter(|(changed, _)| *changed);
    changed.map(|(_, what)| format!("{what} takes effect at the next start")).collect()
}

/// The socket of those who administer domains of their own.
struct Delegates(Arc<Running>);

impl Performer for Delegates {
    fn knows(&self, uid: u32) -> bool {
        self.0.config.lock().delegation.delegates.iter().any(|one| one.uid == uid)
    }

    async fn perform(
        &self,
        uid: u32,
        request: Request,
        progress: mpsc::Sender<Line>,
    ) -> Result<Answer, String> {
        let config = Arc::clone(&self.0.config.lock());
        let Some(delegate) = config.delegation.delegates.iter().find(|one| one.uid == uid) else {
            // No more, since a reload a moment ago.
            return Err(format!("the user {uid} of this host administers nothing here"));
        };
        operate::delegated::perform(&self.0.parts, &config, delegate, request, progress).await
    }
}

impl Performer for Running {
    /// Nobody but the owner of the data directory can open its socket.
    fn knows(&self, _: u32) -> bool {
        true
    }

    async fn perform(
        &self,
        _: u32,
        request: Request,
        progress: mpsc::Sender<Line>,
    ) -> Result<Answer, String> {
        match request {
            Request::Status => Ok(self.status()),
            Request::Reload => self.reload().await,
            request => {
                if request.may_start_plugins() {
                    self.parts.plugins.offer(self.sections_now());
                }
                let config = Arc::clone(&self.config.lock());
                operate::perform(&self.parts, &config, request, progress).await
            }
        }
    }
}
