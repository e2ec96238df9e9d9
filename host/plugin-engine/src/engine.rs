//! The engine: which plugins are in force, and what they say.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use events::{Event, Events};
use hooks::{CallContext, Content, Failed, FailureKind, PluginName, Role, Sitting, Told, World};
use mail_types::Domain;
use runtime::{Clock, Random};
use storage::Storage;

use crate::artefacts::Artefacts;
use crate::breaker::{Breaker, Ended, Gate, Turned};
use crate::call::Surroundings;
use crate::compiler::Compiler;
use crate::component::Digest;
use crate::kv::Kv;
use crate::machine::{Allocation, INSTANCES_MAX, Machine, Profile};
use crate::meter::Meter;
use crate::missed::Missed;
use crate::notes;
use crate::places::Places;
use crate::plugin::{Asked, Manner, Plugin};
use crate::question::{Answer, Question};
use crate::reads::Reads;
use crate::recording::{self, LeftOut, Recorder, Recording, Why};
use crate::registry::Registry;
use crate::settings::{DomainPattern, Settings};
use crate::shadow::{Shadow, Shadows};
use crate::tape::Tape;
use crate::trust::Trust;
use crate::validate::{Invalid, Judge};

/// Places for instances: fewer than the pool has slots, so that it never runs out.
pub(crate) const PLACES: u32 = INSTANCES_MAX - 32;

/// What the engine works with.
pub struct EngineParts {
    /// What plugins may ask.
    pub world: Arc<dyn World>,
    /// Their small stores: opened with [`crate::SPACES`].
    pub storage: Storage,
    /// Who compiles.
    pub compiler: Arc<dyn Compiler>,
    /// The time.
    pub clock: Clock,
    /// Chance.
    pub random: Random,
    /// Where everything is told.
    pub events: Events,
}

/// The plugins of a server; clones are the same.
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) machine: Arc<Machine>,
    pub(crate) places: Arc<Places>,
    pub(crate) surroundings: Surroundings,
    pub(crate) artefacts: Artefacts,
    pub(crate) registry: Registry,
    pub(crate) active: ArcSwap<Active>,
    pub(crate) shadows: Shadows,
    /// Sections that are not in force yet.
    pub(crate) newer: parking_lot::Mutex<Vec<Settings>>,
    /// By which section each version last ran, the latest last: for who goes back in a hurry.
    pub(crate) ran_by: parking_lot::Mutex<HashMap<PluginName, VecDeque<(Digest, Settings)>>>,
    pub(crate) recorder: Recorder,
    pub(crate) meter: Meter,
    pub(crate) missed: Missed,
    /// Whose signatures count.
    pub(crate) trust: ArcSwap<Trust>,
    /// One change of what is installed at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) events: Events,
}

/// What is in force: swapped as one.
#[derive(Default)]
pub(crate) struct Active {
    pub(crate) settings: HashMap<PluginName, Settings>,
    pub(crate) plugins: HashMap<PluginName, Arc<Plugin>>,
    /// Why a plugin of the configuration is not there.
    pub(crate) missing: HashMap<PluginName, String>,
    /// Why a section is good for its bindings alone: a file that it names cannot be used.
    pub(crate) unusable: HashMap<PluginName, String>,
    /// Bindings of the configuration, in order.
    bound: HashMap<Role, Vec<(DomainPattern, PluginName)>>,
}

impl Active {
    pub(crate) fn new(
        settings: HashMap<PluginName, Settings>,
        plugins: HashMap<PluginName, Arc<Plugin>>,
        missing: HashMap<PluginName, String>,
    ) -> Self {
        let mut all: Vec<&Settings> = settings.values().collect();
        all.sort_by(|a, b| (a.order, &a.name).cmp(&(b.order, &b.name)));
        let mut bound: HashMap<Role, Vec<(DomainPattern, PluginName)>> = HashMap::new();
        for one in all {
            for role in Role::ALL {
                // What is not there is bound all the same: its mail waits, or goes as its on-failure says.
                let has = plugins.get(&one.name).is_none_or(|plugin| plugin.manifest.roles.contains(&role));
                if !has || (!one.roles.is_empty() && !one.roles.contains(&role)) {
                    continue;
                }
                let patterns = one.domains.iter().map(|pattern| (pattern.clone(), one.name.clone()));
                bound.entry(role).or_default().extend(patterns);
            }
        }
        bound.retain(|_, patterns| !patterns.is_empty());
        Self { settings, plugins, missing, unusable: HashMap::new(), bound }
    }

    /// With sections that are good for their bindings alone.
    pub(crate) fn with_unusable(self, unusable: HashMap<PluginName, String>) -> Self {
        Self { unusable, ..self }
    }

    pub(crate) fn bound(&self, role: Role, domain: &Domain) -> Vec<PluginName> {
        let Some(patterns) = self.bound.get(&role) else { return Vec::new() };
        let mut names: Vec<PluginName> = Vec::new();
        for (pattern, name) in patterns {
            if pattern.matches(domain) && !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    pub(crate) fn any_bound(&self, role: Role) -> bool {
        self.bound.contains_key(&role)
    }

    /// What is in force for a role: components, configurations and bindings, those too of plugins that are not there now.
    /// Secrets are not part of it, nor limits: neither is what answers depend on.
    pub(crate) fn stamp(&self, role: Role) -> String {
        let has_role = |settings: &Settings| match self.plugins.get(&settings.name) {
            Some(plugin) => plugin.manifest.roles.contains(&role),
            // What it has nobody knows: it may have built something before.
            None => {
                !settings.domains.is_empty() && (settings.roles.is_empty() || settings.roles.contains(&role))
            }
        };
        let mut with_role: Vec<&Settings> =
            self.settings.values().filter(|settings| has_role(settings)).collect();
        if with_role.is_empty() {
            return String::new();
        }
        with_role.sort_by(|a, b| a.name.cmp(&b.name));
        let of_one = |given: &Settings| {
            let plugin = self.plugins.get(&given.name);
            // A plugin that could not be started anew runs with its settings of before.
            let settings = plugin.map_or(given, |plugin| &*plugin.settings);
            let Settings { name, domains, roles, order, tenants, config, .. } = settings;
            let digest = plugin.map_or("absent", |plugin| plugin.manifest.digest.as_str());
            format!("{name} {digest} {domains:?} {roles:?} {order} {tenants:?} {config}\n")
        };
        let all: String = with_role.into_iter().map(of_one).collect();
        Digest::of(all.as_bytes()).to_string()
    }
}

impl Engine {
    /// Opens the folder of installed plugins. Nothing is in force until [`Engine::configure`].
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn open(folder: &Path, parts: EngineParts) -> Result<Self, String> {
        let EngineParts { world, storage, compiler, clock, random, events } = parts;
        let place = |error: std::io::Error| format!("the folder of plugins {}: {error}", folder.display());
        let (artefacts, note) = Artefacts::open(folder, compiler, &random).map_err(place)?;
        if let Some(cause) = note {
            events.emit(&Event::ConfigurationRefused { file: "plugins", cause: &cause });
        }
        let registry = Registry::open(folder.join("installed.json"))?;
        let machine =
            Machine::new(Profile::Serving).map_err(|e| format!("plugins cannot run here: {e:#}"))?;
        let surroundings = Surroundings { world, kv: Kv::new(storage) };
        let recordings = folder.join("recordings");
        // Where nothing was ever installed, or the list was lost, nobody knows what is left over.
        if registry.is_written() {
            // A crash in the middle of a change left it. It costs room, but for recordings: they are of mail.
            let _ = artefacts.sweep(|digest| registry.names(digest));
            let is_installed = |name: &PluginName| registry.of(name).is_some();
            recording::forget_others(&recordings, is_installed).map_err(place)?;
        }
        let recorder = Recorder::open(recordings).map_err(place)?;
        Ok(Self(Arc::new(Inner {
            machine: Arc::new(machine),
            places: Places::new(PLACES),
            surroundings,
            artefacts,
            registry,
            active: ArcSwap::from_pointee(Active::default()),
            shadows: Shadows::default(),
            newer: parking_lot::Mutex::default(),
            ran_by: parking_lot::Mutex::default(),
            recorder,
            meter: Meter::default(),
            missed: Missed::default(),
            trust: ArcSwap::default(),
            changing: tokio::sync::Mutex::new(()),
            clock,
            random,
            events,
        })))
    }

    /// Where instances come from: a pool where the machine has the room.
    #[must_use]
    pub fn allocation(&self) -> Allocation {
        self.0.machine.allocation()
    }

    /// A plugin in force.
    #[must_use]
    pub fn plugin(&self, name: &PluginName) -> Option<Arc<Plugin>> {
        self.0.active.load().plugins.get(name).cloned()
    }

    /// Sections as the file of the configuration has them now: where a version does not fit the one in force, and fits this one,
    /// both take force together. Until the next time that this is called.
    pub fn offer(&self, newer: Vec<Settings>) {
        *self.0.newer.lock() = newer;
    }

    /// Whether the file has this section now, as it was last offered.
    #[must_use]
    pub fn is_offered(&self, section: &Settings) -> bool {
        self.0.newer.lock().contains(section)
    }

    /// All plugins in force, by their names.
    #[must_use]
    pub fn in_force(&self) -> BTreeMap<PluginName, Arc<Plugin>> {
        let active = self.0.active.load();
        active.plugins.iter().map(|(name, plugin)| (name.clone(), Arc::clone(plugin))).collect()
    }

    /// What was to be recorded of a plugin since the server began, and is not.
    #[must_use]
    pub fn left_out(&self, plugin: &PluginName) -> LeftOut {
        self.0.recorder.left_out(plugin)
    }

    /// Ends what writes, so that the folders can be opened anew.
    pub async fn close(&self) {
        self.0.surroundings.kv.close().await;
    }

    /// Housekeeping, once a minute: expired values, idle instances.
    pub async fn maintain(&self) {
        // A failing disk is told by whoever needs it.
        let _ = self.0.surroundings.kv.sweep(self.0.clock.now()).await;
        self.0.places.sweep();
    }
}

impl Inner {
    /// The plugin that is to be asked, or why there is none.
    pub(crate) fn find(
        &self,
        name: &PluginName,
        role: Role,
        tenant: Option<&Domain>,
    ) -> Result<Arc<Plugin>, Failed> {
        let active = self.active.load();
        let missing = |why: String| {
            let settings = active.settings.get(name);
            let kind = FailureKind::Missing;
            let on_failure = settings.map(|settings| settings.on_failure(role, kind)).unwrap_or_default();
            Failed { plugin: name.clone(), kind, message: why, on_failure }
        };
        let Some(plugin) = active.plugins.get(name) else {
            let why = active.missing.get(name).cloned();
            return Err(missing(why.unwrap_or_else(|| {
                format!("there is no plugin {name}: `wasmta plugin install`, and a section [plugins.{name}]")
            })));
        };
        if !plugin.manifest.roles.contains(&role) {
            return Err(missing(format!("it does not have the role {role}")));
        }
        if !plugin.settings.acts_for(tenant) {
            let of = tenant.map_or("the server itself", Domain::as_str);
            return Err(missing(format!("it does not act for {of} (plugins.{name}.tenants)")));
        }
        Ok(Arc::clone(plugin))
    }

    /// What a question may be narrowed to from the start: what the plugin reads, unless others may be asked the same.
    pub(crate) fn reads(&self, name: &PluginName) -> Arc<Reads> {
        let kept = self.recorder.wants(name) || self.shadows.of(name).is_some();
        let active = self.active.load();
        active.plugins.get(name).filter(|_| !kept).map(|one| Arc::clone(&one.reads)).unwrap_or_default()
    }

    /// Asks a plugin one question that is not followed by others.
    pub(crate) async fn put<T>(
        &self,
        name: &PluginName,
        context: &CallContext,
        question: Question,
        check: impl FnOnce(&Judge<'_>, Answer) -> Result<T, Invalid>,
    ) -> Told<T> {
        self.put_in(&mut Sitting::default(), name, context, question, None, check).await
    }

    /// Asks a plugin, checks what it says, and books how it went.
    pub(crate) async fn put_in<T>(
        &self,
        sitting: &mut Sitting,
        name: &PluginName,
        context: &CallContext,
        question: Question,
        content: Option<Content>,
        check: impl FnOnce(&Judge<'_>, Answer) -> Result<T, Invalid>,
    ) -> Told<T> {
        match self.find(name, question.role(), context.tenant.as_ref()) {
            Ok(plugin) => self.put_to(&plugin, sitting, context, question, content, check).await,
            Err(failed) => self.in_vain(sitting, context, &question, failed),
        }
    }

    /// The same, of a plugin that was found, and has the role.
    pub(crate) async fn put_to<T>(
        &self,
        plugin: &Plugin,
        sitting: &mut Sitting,
        context: &CallContext,
        question: Question,
        content: Option<Content>,
        check: impl FnOnce(&Judge<'_>, Answer) -> Result<T, Invalid>,
    ) -> Told<T> {
        let (role, only_changes) = (question.role(), question.only_changes());
        let (name, tenant) = (&plugin.settings.name, context.tenant.as_ref());
        // An explanation shows what would be, and changes nothing: neither what waits for the next message, nor what is known
        // of the plugin.
        let explains = sitting.is_counted();
        let share = plugin.tenants.of(tenant);
        let now = self.clock.now();
        let gate = match plugin.gate(&share, role, (self.clock.steady(), explains)) {
            Ok(gate) => gate,
            Err(failed) if explains => return Told::at_once(Err(failed)),
            Err(failed) => {
                self.note_barred(plugin, &share, context, (role, only_changes), &failed);
                return Told::at_once(Err(failed));
            }
        };
        let recorded = self.recorder.wants(name) && !explains;
        let (taped, shadow) = (recorded, self.shadows.of(name).filter(|_| !explains));
        let keeps = taped || shadow.is_some() || explains;
        let tape = if keeps { Tape::recording() } else { Tape::Off };
        let seed = self.random.u64();
        let manner = Manner { tape, now, seed, fresh: false, explains, content };
        let Asked { answer, mut report, tape } = plugin.ask(&question, tenant, &share, manner, sitting).await;
        report.digest = plugin.manifest.digest.short().to_owned();
        if !explains {
            plugin.numbers.calls.fetch_add(1, Ordering::Relaxed);
            plugin.numbers.microseconds.fetch_add(report.microseconds, Ordering::Relaxed);
            notes::logged(&self.events, plugin, context, &report);
        }
        let lost = if tape.is_lost() { Why::TooLarge } else { Why::Unanswered };
        if let Some(kept) = tape.into_kept() {
            let recording = Recording::new(plugin, context, now, seed, question, kept, &answer);
            if explains {
                // On the heap: what is rare must not make every call larger.
                Box::pin(self.count(plugin, &recording, &mut report)).await;
            }
            self.keep(name, recording, (taped, shadow));
        } else if keeps && !explains {
            self.not_kept(name, (taped, shadow), lost);
        }
        let checked = match answer {
            Ok(answer) => {
                let judge = Judge { settings: &plugin.settings, tenant, world: plugin.world() };
                check(&judge, answer).map_err(|invalid| match invalid {
                    Invalid::Answer(why) => (FailureKind::Answer, why),
                    Invalid::Unavailable(why) => (FailureKind::Temporary, why),
                })
            }
            Err(failure) => Err(failure),
        };
        let kind = checked.as_ref().err().map(|(kind, _)| *kind);
        if !explains && role != Role::RouteTable {
            self.book(name, tenant, (&share.breaker, gate), kind);
        }
        match checked {
            Ok(value) => Told { answer: Ok(value), report },
            Err((kind, why)) if explains => Told { answer: Err(plugin.failed(role, kind, why)), report },
            Err((kind, why)) => {
                let failed = plugin.failed(role, kind, why);
                plugin.numbers.failed(failed.kind);
                notes::failed(&self.events, context, (role, only_changes), &failed);
                Told { answer: Err(failed), report }
            }
        }
    }

    /// Records a call, and lets a candidate answer it, too.
    fn keep(&self, name: &PluginName, recording: Recording, (taped, shadow): (bool, Option<Arc<Shadow>>)) {
        if let Some(shadow) = shadow {
            self.shadows.compare(shadow, recording.clone());
        }
        // What was removed meanwhile took its recordings along.
        if taped && self.active.load().plugins.contains_key(name) {
            self.recorder.keep(recording);
        }
    }

    /// Counts a call that can be neither.
    fn not_kept(&self, name: &PluginName, (taped, shadow): (bool, Option<Arc<Shadow>>), why: Why) {
        if let Some(shadow) = shadow {
            let count = if matches!(why, Why::TooLarge) { &shadow.too_large } else { &shadow.left_out };
            count.fetch_add(1, Ordering::Relaxed);
        }
        if taped && self.active.load().plugins.contains_key(name) {
            self.recorder.leave_out(name, why);
        }
    }

    /// Lets the breaker know how a call ended, and tells where that turned it.
    fn book(
        &self,
        name: &PluginName,
        tenant: Option<&Domain>,
        (breaker, gate): (&Breaker, Gate),
        failed: Option<FailureKind>,
    ) {
        let ended = match failed {
            Some(FailureKind::Busy) => Ended::Unasked,
            Some(kind) if kind.is_fault() => Ended::Fault,
            _ => Ended::Well,
        };
        // The ordinary way, which turns nothing: no clock is read for it.
        if (gate, ended) == (Gate::Closed, Ended::Well) {
            return;
        }
        match breaker.outcome(gate, ended, self.clock.steady()) {
            Turned::Not => {}
            Turned::Opened => notes::changed(&self.events, name, tenant, "rests after repeated failures"),
            Turned::Recovered => notes::changed(&self.events, name, tenant, "works again"),
        }
    }

    /// Books that a plugin was asked which is not there, or not for whoever asks.
    pub(crate) fn in_vain<T>(
        &self,
        sitting: &Sitting,
        context: &CallContext,
        question: &Question,
        failed: Failed,
    ) -> Told<T> {
        let about = (question.role(), question.only_changes());
        if !sitting.is_counted() && self.missed.met(&failed.plugin, self.clock.steady()) {
            notes::failed(&self.events, context, about, &failed);
        }
        Told::at_once(Err(failed))
    }
}
