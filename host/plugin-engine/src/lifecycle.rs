//! Installing, enabling, going back: every change is compiled, started and tried before it takes force, and takes force
//! as a whole; what fails leaves everything as it was. Nothing here needs a network: fetching is not activating.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hooks::{FailureKind, PluginName};
use mail_types::Domain;
use serde::{Deserialize, Serialize};

use crate::capability::Capability;
use crate::card::Description;
use crate::component::{Digest, Manifest, Unfit};
use crate::doubts::denied;
use crate::engine::{Active, Engine};
use crate::kv::KvError;
use crate::notes;
use crate::recording::LeftOut;
use crate::registry::Installed;
use crate::settings::Settings;
use crate::shadow::Followed;
use crate::trust::{Offered, Signed, Trust};

/// What is forgotten of a tenant that is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// How many values of plugins' small stores.
    pub values: usize,
    /// How many recorded calls.
    pub calls: usize,
}

/// What an installation comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installation {
    /// What it says of itself.
    pub description: Description,
    /// What it is.
    pub manifest: Manifest,
    /// The version before.
    pub before: Option<Digest>,
    /// Whether the version before has the same number, and other content.
    #[serde(default)]
    pub same_version: bool,
    /// Capabilities that the version before did not import.
    pub gains: Vec<Capability>,
    /// Capabilities that it no longer imports.
    pub loses: Vec<Capability>,
    /// Capabilities that it imports and that are not granted: using one ends a call.
    pub denied: Vec<Capability>,
    /// Recorded calls that were played on it.
    pub replayed: usize,
    /// For how many, older ones, there was no time left.
    #[serde(default)]
    pub unplayed: usize,
    /// Of those played, so many came out otherwise.
    pub different: usize,
    /// Of those played, how many were made with another `config` or `allow` than they are played with.
    #[serde(default)]
    pub otherwise_configured: usize,
    /// Of those played, how many do not say with what they were made: they are of before that was kept.
    #[serde(default)]
    pub unknown_configured: usize,
    /// What was not recorded.
    #[serde(default)]
    pub left_out: LeftOut,
    /// What became of a trial beside the version before.
    #[serde(default)]
    pub trial: Option<String>,
    /// Whether only the latest of what is recorded was played.
    #[serde(default)]
    pub latest: bool,
    /// What is kept as recordings and is none: so many lines.
    #[serde(default)]
    pub unreadable: usize,
    /// Who vouches for it.
    pub signed: Option<Signed>,
    /// Whether it is in force now.
    pub in_force: bool,
}

/// A plugin, for lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// What is installed.
    pub installed: Installed,
    /// What it says of itself; where it does not run, what it said when it was installed.
    pub description: Option<Description>,
    /// What it is, whether it runs or not.
    pub manifest: Option<Manifest>,
    /// Capabilities that it imports and that are not granted: using one ends a call.
    #[serde(default)]
    pub denied: Vec<Capability>,
    /// Why it does not run.
    pub missing: Option<String>,
    /// The tenants for which it rests after repeated failures, each with the seconds that are left; `None`: for what belongs to no
    /// tenant.
    #[serde(default)]
    pub resting: Vec<(Option<Domain>, u64)>,
    /// Calls that ran.
    pub calls: u64,
    /// Remembered answers.
    pub remembered: u64,
    /// Questions that no interest matched.
    pub passed_over: u64,
    /// Mean time of a call, in microseconds.
    pub microseconds: u64,
    /// Failures by kind.
    pub failures: BTreeMap<String, u64>,
    /// Calls that were to be recorded and are not.
    #[serde(default)]
    pub left_out: LeftOut,
    /// The candidate that answers beside it.
    #[serde(default)]
    pub candidate: Option<Digest>,
}

/// Settings with their plugins started, not in force yet.
#[must_use]
pub struct Prepared<'e> {
    engine: &'e Engine,
    active: Active,
    record: HashMap<PluginName, u64>,
    trials: Vec<(PluginName, Followed)>,
    notes: Vec<String>,
    broken: Vec<String>,
    _one: tokio::sync::MutexGuard<'e, ()>,
}

impl Prepared<'_> {
    /// Plugins that run now and could not be started with these settings: they would go on with those before.
    #[must_use]
    pub fn broken(&self) -> &[String] {
        &self.broken
    }

    /// With sections besides that name a file which cannot be used, each with why: what they bind is missing.
    pub fn without(mut self, unusable: Vec<(Settings, String)>) -> Self {
        let Active { mut settings, plugins, mut missing, .. } = self.active;
        let mut why_not = HashMap::new();
        for (one, why) in unusable {
            self.notes.push(format!("plugin {}: {why}", one.name));
            missing.insert(one.name.clone(), why.clone());
            why_not.insert(one.name.clone(), why);
            settings.insert(one.name.clone(), one);
        }
        self.active = Active::new(settings, plugins, missing).with_unusable(why_not);
        self
    }

    /// Puts them in force. Gives a note for each plugin that something is to be told of.
    pub fn put_in_force(self) -> Vec<String> {
        let Self { engine, active, record, trials, mut notes, broken, .. } = self;
        notes.extend(broken);
        let mut names: Vec<&PluginName> = active.plugins.keys().collect();
        names.sort();
        notes.extend(names.into_iter().filter_map(|name| engine.0.untrusted(name)));
        active.plugins.values().for_each(|plugin| engine.0.runs_by(plugin));
        engine.0.active.store(Arc::new(active));
        engine.0.recorder.choose(record);
        for (name, followed) in trials {
            let told = engine.0.let_follow(&name, followed);
            notes.extend(told.map(|told| format!("plugin {name}: {told}")));
        }
        notes
    }
}

/// That a plugin imports what it may not use, with the mend.
fn not_granted(name: &PluginName, denied: &[Capability]) -> String {
    let denied: Vec<String> = denied.iter().map(ToString::to_string).collect();
    let denied = denied.join(", ");
    format!("it imports {denied}, and using what is not granted ends the call: add to plugins.{name}.allow")
}

impl Engine {
    /// Whose signatures count from now on. What is in force stays.
    pub fn set_trust(&self, trust: Trust) {
        self.0.trust.store(Arc::new(trust));
    }

    /// Starts every installed and enabled plugin that settings name with them; nothing is in force yet, and no other
    /// change is made before that is decided.
    pub async fn prepare(&self, settings: Vec<Settings>, record: HashMap<PluginName, u64>) -> Prepared<'_> {
        let one = self.0.changing.lock().await;
        let before = self.0.active.load_full();
        let mut prepared = Prepared {
            engine: self,
            active: Active::default(),
            record,
            trials: Vec::new(),
            notes: Vec::new(),
            broken: Vec::new(),
            _one: one,
        };
        let (mut plugins, mut missing) = (HashMap::new(), HashMap::new());
        for one in &settings {
            let name = &one.name;
            match self.0.bring_up(one, &before).await {
                Ok(Some(plugin)) => {
                    let denied = denied(&plugin.manifest.imports, one);
                    let is_new = before.plugins.get(name).is_none_or(|old| !Arc::ptr_eq(old, &plugin));
                    if is_new && !denied.is_empty() {
                        prepared.notes.push(format!("plugin {name}: {}", not_granted(name, &denied)));
                    }
                    plugins.insert(name.clone(), plugin);
                }
                Ok(None) => {
                    let why = self.0.why_absent(name);
                    prepared.notes.push(format!("plugin {name}: {why}"));
                    missing.insert(name.clone(), why);
                }
                Err(unfit) => match before.plugins.get(name) {
                    Some(old) => {
                        prepared.broken.push(format!("plugin {name}: {unfit}"));
                        plugins.insert(name.clone(), Arc::clone(old));
                    }
                    None => {
                        prepared.notes.push(format!("plugin {name}: {unfit}"));
                        missing.insert(name.clone(), unfit.to_string());
                    }
                },
            }
        }
        let settings = settings.into_iter().map(|one| (one.name.clone(), one)).collect();
        prepared.active = Active::new(settings, plugins, missing);
        for name in self.0.shadows.names() {
            let Some(live) = prepared.active.plugins.get(&name) else { continue };
            let followed = self.0.followed(&name, live).await;
            prepared.trials.extend(followed.map(|followed| (name, followed)));
        }
        prepared
    }

    /// Puts settings in force, with every installed and enabled plugin that they name. A plugin that cannot be started
    /// with its new settings keeps running with the old ones where it did; else it is missing, and its `on-failure`
    /// applies. Gives a note for each.
    pub async fn configure(&self, settings: Vec<Settings>, record: HashMap<PluginName, u64>) -> Vec<String> {
        self.prepare(settings, record).await.put_in_force()
    }

    /// Takes a component in under its own name, or another, tries it, and puts it in force.
    ///
    /// # Errors
    /// Why it is not taken; what was in force stays.
    pub async fn install<'a>(
        &self,
        offered: impl Into<Offered<'a>>,
        name: Option<PluginName>,
        pin: Option<Digest>,
        source: &str,
        force: bool,
    ) -> Result<Installation, Unfit> {
        let offered = offered.into();
        let digest = Digest::of(offered.octets);
        if let Some(pin) = pin.filter(|pin| *pin != digest) {
            return Err(Unfit::new(
                format!("its digest is {digest}, not {pin}"),
                "fetch it again, or mend the pin",
            ));
        }
        let signed = self.0.trust.load().verify(offered)?;
        let taken = self.0.artefacts.take_in(offered.octets, &self.0.machine).await;
        // Only now: nobody else's change waits for what is hard to compile.
        let _one = self.0.changing.lock().await;
        let tried = match taken {
            Ok((manifest, in_use)) => {
                self.0.try_out(manifest, name, force).await.map(|tried| (tried, in_use))
            }
            Err(unfit) => Err(unfit),
        };
        match tried {
            Ok(((name, mut installation, plugin), in_use)) => {
                let before = self.0.registry.of(&name);
                let description = installation.description.clone();
                self.0.note_installed(&name, &digest, (source, signed.clone(), description), before)?;
                installation.signed = signed;
                installation.in_force = self.0.swap_in(&name, plugin);
                installation.trial = self.0.shadow_follows(&name).await;
                drop(in_use);
                self.0.sweep();
                let change =
                    format!("version {} {} is installed", installation.description.version, digest.short());
                notes::changed(&self.0.events, &name, None, &change);
                Ok(installation)
            }
            Err(unfit) => {
                self.0.sweep();
                Err(unfit)
            }
        }
    }

    /// Lets a plugin be asked, or not.
    ///
    /// # Errors
    /// It is not installed, or cannot be started.
    pub async fn enable(&self, name: &PluginName, enabled: bool) -> Result<(), Unfit> {
        let _one = self.0.changing.lock().await;
        let mut installed = self.0.installed(name)?;
        if enabled {
            self.0.trust.load().admits(&installed.active, installed.signature())?;
        }
        installed.enabled = enabled;
        self.0.replace(name, Some(installed)).await?;
        self.0.shadow_follows(name).await;
        notes::changed(&self.0.events, name, None, if enabled { "is enabled" } else { "is disabled" });
        Ok(())
    }

    /// Goes back to the version before the one in force.
    ///
    /// # Errors
    /// There is none, or it cannot be started; what is in force stays.
    pub async fn roll_back(&self, name: &PluginName) -> Result<Digest, Unfit> {
        let _one = self.0.changing.lock().await;
        let mut installed = self.0.installed(name)?;
        let Some(digest) = installed.previous.pop() else {
            return Err(Unfit::new(
                format!("{name} has no version before {}", installed.active.short()),
                "install one",
            ));
        };
        self.0.trust.load().admits(&digest, installed.signed.get(&digest))?;
        installed.active = digest.clone();
        "rolled back".clone_into(&mut installed.source);
        installed.installed_at = self.0.clock.now().as_seconds();
        self.0.replace(name, Some(installed)).await?;
        self.0.shadow_follows(name).await;
        notes::changed(&self.0.events, name, None, &format!("went back to {}", digest.short()));
        Ok(digest)
    }

    /// Removes a plugin with all its versions, its trial, and what was recorded of it: that has parts of messages in it. Gives why
    /// that could not be. What it kept in `kv` stays, for a plugin of the same name, until [`Engine::forget_kv`].
    ///
    /// # Errors
    /// It is not installed.
    pub async fn remove(&self, name: &PluginName) -> Result<Option<Unfit>, Unfit> {
        let _one = self.0.changing.lock().await;
        self.0.installed(name)?;
        self.0.replace(name, None).await?;
        self.0.ran_by.lock().remove(name);
        self.0.shadows.end(name);
        self.0.sweep();
        notes::changed(&self.0.events, name, None, "is removed");
        let kept = self.0.recorder.forget(name).await.err();
        Ok(kept.map(|error| {
            let what = format!("what was recorded of it cannot be removed: {error}");
            Unfit::new(what, format!("remove plugins/recordings/{name}.jsonl and {name}.old.jsonl"))
        }))
    }

    /// Whether something is kept in `kv` for a plugin, installed or not.
    #[must_use]
    pub fn keeps_kv(&self, name: &PluginName) -> bool {
        // What cannot be read may be there.
        self.0.surroundings.kv.keeps(name).unwrap_or(true)
    }

    /// Removes what a plugin that was removed kept in `kv`, for all tenants; gives how many values.
    ///
    /// # Errors
    /// It is installed, or the store does not take it.
    pub async fn forget_kv(&self, name: &PluginName) -> Result<usize, Unfit> {
        let _one = self.0.changing.lock().await;
        if self.0.registry.of(name).is_some() {
            return Err(Unfit::new(
                format!("{name} is installed, and may need what it kept"),
                "remove it first",
            ));
        }
        self.0.surroundings.kv.forget(name).await.map_err(|error| {
            let (KvError::Unavailable(why) | KvError::Refused(why)) = error;
            Unfit::new(format!("what {name} kept cannot be removed: {why}"), "look at the disk")
        })
    }

    /// Removes what plugins keep for a tenant that is gone, and what is recorded of its calls, after those that are under way.
    ///
    /// # Errors
    /// The store cannot be read or written, or the recordings.
    pub async fn forget_tenant(&self, tenant: &Domain) -> Result<Forgotten, String> {
        for plugin in self.in_force().into_values() {
            if let Some(share) = plugin.tenants.known(tenant) {
                share.settled(plugin.settings.limits.wall).await;
            }
        }
        let values = self.0.surroundings.kv.forget_tenant(tenant).await.map_err(|error| {
            let (KvError::Unavailable(why) | KvError::Refused(why)) = error;
            format!("what plugins keep for {tenant} cannot be removed: {why}")
        })?;
        self.0.shadows.forget_tenant(tenant);
        let calls = self.0.recorder.forget_tenant(tenant).await.map_err(|error| {
            format!(
                "what is recorded of plugins' calls for {tenant} cannot be removed: {error}; remove plugins/recordings from the \
                 data directory"
            )
        })?;
        Ok(Forgotten { values, calls })
    }

    /// The tenants for which plugins keep anything in their small stores, or calls are recorded.
    ///
    /// # Errors
    /// The store cannot be read, or the recordings.
    pub async fn tenants_kept(&self) -> Result<BTreeSet<Domain>, String> {
        let mut kept = self.0.surroundings.kv.tenants().map_err(|error| {
            let (KvError::Unavailable(why) | KvError::Refused(why)) = error;
            why
        })?;
        kept.extend(self.0.recorder.tenants().await.map_err(|error| error.to_string())?);
        Ok(kept)
    }

    /// All installed plugins.
    #[must_use]
    pub fn list(&self) -> BTreeMap<PluginName, Listed> {
        let active = self.0.active.load();
        let listed = |(name, installed): (PluginName, Installed)| {
            let plugin = active.plugins.get(&name);
            let numbers = plugin.map(|plugin| &*plugin.numbers);
            let number = |count: fn(&crate::numbers::Numbers) -> u64| numbers.map_or(0, count);
            let calls = number(|numbers| numbers.calls.load(Ordering::Relaxed));
            let mut failures = numbers.map(crate::numbers::Numbers::failures).unwrap_or_default();
            let missed = self.0.missed.count(&name);
            failures.extend((missed > 0).then_some((FailureKind::Missing, missed)));
            let listed = Listed {
                description: match plugin {
                    Some(plugin) => Some(plugin.description.clone()),
                    None => installed.description().cloned(),
                },
                denied: plugin
                    .map(|plugin| denied(&plugin.manifest.imports, &plugin.settings))
                    .unwrap_or_default(),
                manifest: match plugin {
                    Some(plugin) => Some(plugin.manifest.clone()),
                    None => self.0.artefacts.manifest(&installed.active),
                },
                missing: match plugin {
                    Some(_) => None,
                    None => Some(active.missing.get(&name).cloned().unwrap_or_else(|| {
                        if installed.enabled {
                            format!("the configuration has no section [plugins.{name}]")
                        } else {
                            "it is disabled".to_owned()
                        }
                    })),
                },
                resting: plugin
                    .map(|plugin| plugin.tenants.resting(self.0.clock.steady()))
                    .unwrap_or_default(),
                calls,
                remembered: number(|numbers| numbers.remembered.load(Ordering::Relaxed)),
                passed_over: number(|numbers| numbers.passed_over.load(Ordering::Relaxed)),
                microseconds: number(|numbers| numbers.microseconds.load(Ordering::Relaxed)) / calls.max(1),
                failures: failures
                    .into_iter()
                    .map(|(kind, count)| (kind.as_str().to_owned(), count))
                    .collect(),
                left_out: self.0.recorder.left_out(&name),
                candidate: self.0.shadows.of(&name).map(|shadow| shadow.plugin.manifest.digest.clone()),
                installed,
            };
            (name, listed)
        };
        self.0.registry.all().into_iter().map(listed).collect()
    }
}
