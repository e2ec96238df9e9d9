//! From what is installed to what runs: started and tried before it takes force, written before it is swapped.

use std::sync::Arc;
use std::time::Duration;

use hooks::PluginName;

use crate::artefacts::InUse;
use crate::card::Description;
use crate::component::{Digest, Manifest, Unfit};
use crate::doubts::denied;
use crate::engine::{Active, Inner};
use crate::lifecycle::Installation;
use crate::machine::MEMORY_MAX;
use crate::made_with::MadeWith;
use crate::plugin::Plugin;
use crate::recordings::{PLAYED_OCTETS_MAX, Recordings};
use crate::registry::{HISTORY_MAX, Installed};
use crate::settings::Settings;
use crate::shadow::replay;
use crate::trust::Signed;

/// Longest that recorded calls are played on a new version before it takes force: everybody else who changes something waits
/// for it, and a plugin can make each call take all the time that it may.
const PLAYING_MAX: Duration = Duration::from_secs(10);

/// How a version did on what is recorded.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Tried {
    pub(crate) replayed: usize,
    /// There was no time left for these, the oldest.
    pub(crate) unplayed: usize,
    different: usize,
    /// Made with another configuration than it is played with.
    otherwise_configured: usize,
    /// Made with nobody knows what.
    unknown_configured: usize,
    latest: bool,
    unreadable: usize,
}

impl Inner {
    pub(crate) fn installed(&self, name: &PluginName) -> Result<Installed, Unfit> {
        self.registry.of(name).ok_or_else(|| {
            Unfit::new(format!("there is no plugin {name}"), "`wasmta plugin list` shows what is installed")
        })
    }

    /// Why a plugin with a section cannot be asked, where nothing stands against starting it.
    pub(crate) fn why_absent(&self, name: &PluginName) -> String {
        match self.registry.of(name) {
            None => "it is not installed: `wasmta plugin install`".to_owned(),
            Some(_) => format!("it is disabled: `wasmta plugin enable {name}`"),
        }
    }

    /// That a plugin in force would not be let in today.
    pub(crate) fn untrusted(&self, name: &PluginName) -> Option<String> {
        let installed = self.registry.of(name)?;
        let unfit = self.trust.load().admits(&installed.active, installed.signature()).err()?;
        Some(format!("plugin {name} stays in force: {unfit}"))
    }

    /// Starts an installed component with settings.
    pub(crate) async fn start(
        &self,
        digest: &Digest,
        settings: &Settings,
        shadow: bool,
    ) -> Result<Plugin, Unfit> {
        let (component, manifest) = self.artefacts.load(digest, &self.machine).await?;
        let surroundings = self.surroundings.clone();
        let settings = settings.clone();
        let name = settings.name.clone();
        let mut plugin =
            Plugin::load(&self.machine, &self.places, &component, manifest, settings, surroundings).await?;
        // Another version, or another section: it is the same plugin that is counted.
        if let Some(before) = self.active.load().plugins.get(&name).filter(|_| !shadow) {
            plugin.numbers = Arc::clone(&before.numbers);
        }
        Ok(plugin)
    }

    /// Starts a component that was taken in to be tried; what cannot be is not kept.
    pub(crate) async fn candidate(
        &self,
        taken: Result<(Manifest, InUse), Unfit>,
        settings: &Settings,
    ) -> Result<(Plugin, (Manifest, InUse)), Unfit> {
        let started = match taken {
            Ok(taken) => self.start(&taken.0.digest, settings, true).await.map(|plugin| (plugin, taken)),
            Err(unfit) => Err(unfit),
        };
        if started.is_err() {
            self.sweep();
        }
        started
    }

    /// Notes by which section a version runs.
    pub(crate) fn runs_by(&self, plugin: &Plugin) {
        let mut all = self.ran_by.lock();
        let of_plugin = all.entry(plugin.settings.name.clone()).or_default();
        of_plugin.retain(|(digest, _)| *digest != plugin.manifest.digest);
        of_plugin.push_back((plugin.manifest.digest.clone(), (*plugin.settings).clone()));
        while of_plugin.len() > HISTORY_MAX + 1 {
            of_plugin.pop_front();
        }
    }

    /// The section by which a version last ran since the server began.
    fn ran_by(&self, name: &PluginName, digest: &Digest) -> Option<Settings> {
        let all = self.ran_by.lock();
        all.get(name)?.iter().find(|(ran, _)| ran == digest).map(|(_, settings)| settings.clone())
    }

    /// Starts an installed component with its section in force; where that does not fit it, with the one that the file has now.
    /// `None`: it has no section.
    async fn start_fitting(&self, digest: &Digest, name: &PluginName) -> Option<Result<Plugin, Unfit>> {
        let active = self.active.load_full();
        let in_force = active.settings.get(name)?;
        let unusable = active.unusable.get(name);
        let is_newer = |one: &&Settings| one.name == *name && (unusable.is_some() || *one != in_force);
        let newer = self.newer.lock().iter().find(is_newer).cloned();
        let started = match unusable {
            Some(why) => Err(Unfit::new(why.clone(), "`wasmta check-config` tells when it is mended")),
            None => self.start(digest, in_force, false).await,
        };
        let (Err(unfit), Some(newer)) = (&started, newer) else { return Some(started) };
        let with_newer = self.start(digest, &newer, false).await;
        Some(with_newer.map_err(|newer| {
            let what = format!("{}; and by the section of the file as it is now: {}", unfit.what, newer.what);
            Unfit::new(what, newer.mend)
        }))
    }

    /// The same, and where neither fits, by the section by which it last ran.
    async fn start_again(&self, digest: &Digest, name: &PluginName) -> Option<Result<Plugin, Unfit>> {
        let started = self.start_fitting(digest, name).await?;
        let (Err(_), Some(before)) = (&started, self.ran_by(name, digest)) else { return Some(started) };
        Some(self.start(digest, &before, false).await.or(started))
    }

    /// The plugin of a section: the one that runs already where nothing about it changed.
    pub(crate) async fn bring_up(
        &self,
        settings: &Settings,
        before: &Active,
    ) -> Result<Option<Arc<Plugin>>, Unfit> {
        let Some(installed) = self.registry.of(&settings.name).filter(|installed| installed.enabled) else {
            return Ok(None);
        };
        if let Some(old) = before.plugins.get(&settings.name)
            && *old.settings == *settings
            && old.manifest.digest == installed.active
        {
            return Ok(Some(Arc::clone(old)));
        }
        self.start(&installed.active, settings, false).await.map(|plugin| Some(Arc::new(plugin)))
    }

    /// Starts a component under its settings, and plays on it what is recorded.
    pub(crate) async fn try_out(
        &self,
        manifest: Manifest,
        name: Option<PluginName>,
        force: bool,
    ) -> Result<(PluginName, Installation, Option<Arc<Plugin>>), Unfit> {
        let section = |name: &PluginName| self.active.load().settings.get(name).cloned();
        // Its own name is only known once it has described itself, and what it is started with once its name is.
        let (name, described) = match name {
            Some(name) if section(&name).is_some() => (name, None),
            given => {
                let described = self.describe(&manifest, given.clone()).await?;
                (given.unwrap_or_else(|| described.name.clone()), Some(described))
            }
        };
        let settings = section(&name);
        let plugin = self.start_fitting(&manifest.digest, &name).await.transpose()?.map(Arc::new);
        let settings = plugin.as_ref().map(|plugin| (*plugin.settings).clone()).or(settings);
        let description = match (&plugin, described) {
            (Some(plugin), _) => plugin.description.clone(),
            (None, Some(described)) => described,
            (None, None) => self.describe(&manifest, Some(name.clone())).await?,
        };
        if let (None, [why, ..]) = (&plugin, &description.faults(None)[..]) {
            return Err(Unfit::new(format!("what it describes does not hold: {why}"), "mend describe()"));
        }
        let tried = match &plugin {
            Some(plugin) => self.try_on_recordings(&name, plugin, force).await?,
            None => Tried::default(),
        };
        let before = self.registry.of(&name);
        let number = before.as_ref().and_then(Installed::description).map(|before| before.version.clone());
        let before = before.map(|installed| installed.active);
        let is_other = before.as_ref().is_some_and(|before| *before != manifest.digest);
        // Whether it runs or not: what it may do is what the operator has agreed to.
        let old = before.as_ref().and_then(|before| self.artefacts.manifest(before));
        let old = old.map(|manifest| manifest.imports).unwrap_or_default();
        let settings = settings.unwrap_or_else(|| Settings::new(name.clone()));
        let installation = Installation {
            same_version: is_other && number.is_some_and(|number| number == description.version),
            gains: manifest.imports.iter().filter(|one| !old.contains(one)).copied().collect(),
            loses: old.iter().filter(|one| !manifest.imports.contains(one)).copied().collect(),
            denied: denied(&manifest.imports, &settings),
            description,
            manifest,
            before,
            replayed: tried.replayed,
            unplayed: tried.unplayed,
            different: tried.different,
            otherwise_configured: tried.otherwise_configured,
            unknown_configured: tried.unknown_configured,
            left_out: self.recorder.left_out(&name),
            trial: None,
            latest: tried.latest,
            unreadable: tried.unreadable,
            signed: None,
            in_force: false,
        };
        Ok((name, installation, plugin))
    }

    /// Plays on a new version the latest that is recorded of the ones before it.
    async fn try_on_recordings(
        &self,
        name: &PluginName,
        plugin: &Plugin,
        force: bool,
    ) -> Result<Tried, Unfit> {
        let recordings = match self.recorder.chosen(name, PLAYED_OCTETS_MAX as u64, |_| true).await {
            Ok(recordings) => recordings,
            Err(_) if force => Recordings::default(),
            Err(error) => {
                let what = format!("it cannot be tried, for recordings cannot be read: {error}");
                return Err(Unfit::new(what, "look at the disk, or install it with --force"));
            }
        };
        let (latest, unreadable) = (recordings.older, recordings.unreadable);
        let nothing = unreadable > 0 && recordings.len() == 0;
        if nothing && !force {
            let what =
                format!("it cannot be tried: of what is recorded, {unreadable} lines, none can be read");
            return Err(Unfit::new(what, "remove the files of recordings, or install it with --force"));
        }
        let tried = Tried { latest, unreadable, ..Tried::default() };
        self.play_within(PLAYING_MAX, recordings, plugin, force, tried).await
    }

    /// The latest first, for what there is no time left for is not played.
    pub(crate) async fn play_within(
        &self,
        longest: Duration,
        recordings: Recordings,
        plugin: &Plugin,
        force: bool,
        mut tried: Tried,
    ) -> Result<Tried, Unfit> {
        let (all, begun) = (recordings.len(), self.clock.steady());
        for recording in recordings.rev() {
            if self.clock.steady().saturating_sub(begun) >= longest {
                tried.unplayed = all - tried.replayed;
                break;
            }
            tried.replayed += 1;
            let answer = replay(plugin, &recording).await;
            tried.different += usize::from(answer != recording.answer);
            let is_of_now = |then: &Arc<MadeWith>| then.is_of(&plugin.settings);
            let like_now = recording.made_with.as_ref().is_none_or(is_of_now);
            tried.otherwise_configured += usize::from(!like_now);
            tried.unknown_configured += usize::from(recording.made_with.is_none());
            let broken = answer.as_ref().err().is_some_and(|(kind, _)| kind.is_fault());
            // Made with another configuration, the version in force might fail on it alike.
            if broken && recording.answer.is_ok() && like_now && !force {
                let why = answer.err().map(|(_, why)| why).unwrap_or_default();
                let what = format!("it fails on a recorded call ({}): {why}", recording.whose());
                return Err(Unfit::new(what, "mend it, or install it with --force"));
            }
        }
        Ok(tried)
    }

    /// What a component says of itself: whatever its configuration is, and whatever memory that allows it.
    async fn describe(&self, manifest: &Manifest, name: Option<PluginName>) -> Result<Description, Unfit> {
        let (component, _) = self.artefacts.load(&manifest.digest, &self.machine).await?;
        let mut anyone = Settings::new(name.unwrap_or_else(unnamed));
        (anyone.limits.memory, anyone.limits.tenant_memory) = (MEMORY_MAX, MEMORY_MAX);
        Plugin::described(&self.machine, &self.places, &component, manifest, anyone).await
    }

    pub(crate) fn note_installed(
        &self,
        name: &PluginName,
        digest: &Digest,
        (source, signature, description): (&str, Option<Signed>, Description),
        before: Option<Installed>,
    ) -> Result<(), Unfit> {
        let mut previous = before.as_ref().map(|one| one.previous.clone()).unwrap_or_default();
        let mut signed = before.as_ref().map(|one| one.signed.clone()).unwrap_or_default();
        signed.extend(signature.map(|signature| (digest.clone(), signature)));
        let mut described = before.as_ref().map(|one| one.described.clone()).unwrap_or_default();
        described.insert(digest.clone(), description);
        if let Some(old) = before.filter(|old| old.active != *digest) {
            previous.retain(|other| *other != old.active && other != digest);
            previous.push(old.active);
        }
        if previous.len() > HISTORY_MAX {
            previous.drain(..previous.len() - HISTORY_MAX);
        }
        signed.retain(|version, _| version == digest || previous.contains(version));
        described.retain(|version, _| version == digest || previous.contains(version));
        let (installed_at, source) = (self.clock.now().as_seconds(), source.to_owned());
        let installed = Installed {
            active: digest.clone(),
            enabled: true,
            previous,
            source,
            installed_at,
            signed,
            described,
        };
        self.registry.set(name, Some(installed))
    }

    /// Puts a started plugin in force, where the configuration has a section for it.
    pub(crate) fn swap_in(&self, name: &PluginName, plugin: Option<Arc<Plugin>>) -> bool {
        let Some(plugin) = plugin else { return false };
        self.exchange(name, Some(plugin));
        true
    }

    /// Its section is in force with it.
    fn exchange(&self, name: &PluginName, plugin: Option<Arc<Plugin>>) {
        let old = self.active.load_full();
        let (mut plugins, mut missing) = (old.plugins.clone(), old.missing.clone());
        let (mut settings, mut unusable) = (old.settings.clone(), old.unusable.clone());
        match plugin {
            Some(plugin) => {
                settings.insert(name.clone(), (*plugin.settings).clone());
                self.runs_by(&plugin);
                plugins.insert(name.clone(), plugin);
                missing.remove(name);
                unusable.remove(name);
            }
            None => {
                plugins.remove(name);
                if old.settings.contains_key(name) {
                    missing.insert(name.clone(), self.why_absent(name));
                }
            }
        }
        self.active.store(Arc::new(Active::new(settings, plugins, missing).with_unusable(unusable)));
    }

    /// Starts what a changed line asks for, then writes the line, then swaps: in this order, so that a failure leaves
    /// everything as it was.
    pub(crate) async fn replace(&self, name: &PluginName, installed: Option<Installed>) -> Result<(), Unfit> {
        let plugin = match installed.as_ref().filter(|installed| installed.enabled) {
            Some(installed) => self.start_again(&installed.active, name).await.transpose()?.map(Arc::new),
            None => None,
        };
        self.registry.set(name, installed)?;
        self.exchange(name, plugin);
        Ok(())
    }

    /// Removes components that nobody names any more.
    pub(crate) fn sweep(&self) {
        let running = |digest: &str| {
            let active = self.active.load();
            active.plugins.values().any(|plugin| plugin.manifest.digest.as_str() == digest)
        };
        // Leftovers cost room and nothing else.
        let _ = self
            .artefacts
            .sweep(|digest| self.registry.names(digest) || self.shadows.uses(digest) || running(digest));
    }
}

/// A name for a component that has not said its own yet.
fn unnamed() -> PluginName {
    "unnamed".parse().unwrap_or_else(|_| unreachable!("a good name"))
}
