//! Shadow: a candidate answers the same questions as the version in force, without effect; what differs is counted and
//! kept for a look.
//!
//! The candidate plays the host answers that the live call got, so that it sees the very same world; where it asks for
//! something else, that is a difference too. It runs after the live answer was given, on a bounded number of tasks:
//! what is too much is counted as left out, and so is what is too large to be played.
//!
//! What it is held against is the plugin as it is in force: other settings, or another version, begin a trial anew. It ends with
//! the plugin, for what it keeps for a look is from messages.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hooks::{Content, FailureKind, PluginName, Sitting};
use mail_types::{Domain, Timestamp};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::component::{Digest, Manifest, Unfit};
use crate::engine::{Engine, Inner};
use crate::notes;
use crate::plugin::{Asked, Manner, Plugin};
use crate::question::{Answer, Question};
use crate::recording::Recording;
use crate::tape::Tape;
use crate::trust::Offered;

/// Differences that are kept for a look.
const KEPT_MAX: usize = 100;
/// Calls of one candidate under way.
const PARALLEL_MAX: usize = 4;

/// What a candidate said otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The live call.
    pub live: Recording,
    /// What the candidate said.
    pub candidate: Result<Answer, (FailureKind, String)>,
}

/// How a candidate does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShadowReport {
    /// The candidate.
    pub digest: Digest,
    /// Same answers.
    pub same: u64,
    /// Other answers.
    pub different: u64,
    /// Calls that were not tried: others were under way, or the live one got no answer in time.
    pub left_out: u64,
    /// Calls that were not tried, because they are larger than a recording may be.
    #[serde(default)]
    pub too_large: u64,
    /// The latest other answers.
    pub differences: Vec<Difference>,
}

/// A candidate under trial.
pub(crate) struct Shadow {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) same: AtomicU64,
    pub(crate) different: AtomicU64,
    pub(crate) left_out: AtomicU64,
    pub(crate) too_large: AtomicU64,
    /// The version that it answers beside.
    beside: Digest,
    pub(crate) kept: Mutex<VecDeque<Difference>>,
    places: Arc<Semaphore>,
}

/// All candidates, by the name of the plugin that they would replace.
#[derive(Default)]
pub(crate) struct Shadows(RwLock<HashMap<PluginName, Arc<Shadow>>>);

impl Shadows {
    pub(crate) fn of(&self, name: &PluginName) -> Option<Arc<Shadow>> {
        self.0.read().get(name).cloned()
    }

    pub(crate) fn names(&self) -> Vec<PluginName> {
        self.0.read().keys().cloned().collect()
    }

    /// Begins with a candidate beside the version in force; counts begin anew.
    pub(crate) fn begin(&self, name: PluginName, plugin: Plugin, beside: Digest) {
        let shadow = Shadow {
            plugin: Arc::new(plugin),
            beside,
            same: AtomicU64::new(0),
            different: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            too_large: AtomicU64::new(0),
            kept: Mutex::default(),
            places: Arc::new(Semaphore::new(PARALLEL_MAX)),
        };
        self.0.write().insert(name, Arc::new(shadow));
    }

    pub(crate) fn end(&self, name: &PluginName) -> Option<Arc<Shadow>> {
        self.0.write().remove(name)
    }

    /// Forgets what was kept for a look of calls for a tenant.
    pub(crate) fn forget_tenant(&self, tenant: &Domain) {
        for shadow in self.0.read().values() {
            shadow.kept.lock().retain(|one| one.live.question.tenant() != tenant.as_str());
        }
    }

    /// Whether a component is under trial.
    pub(crate) fn uses(&self, digest: &str) -> bool {
        self.0.read().values().any(|shadow| shadow.plugin.manifest.digest.as_str() == digest)
    }

    /// Lets a candidate answer what the live version answered.
    pub(crate) fn compare(&self, shadow: Arc<Shadow>, live: Recording) {
        let Ok(place) = Arc::clone(&shadow.places).try_acquire_owned() else {
            shadow.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        };
        tokio::spawn(async move {
            let candidate = replay(&shadow.plugin, &live).await;
            if candidate == live.answer {
                shadow.same.fetch_add(1, Ordering::Relaxed);
            } else {
                shadow.different.fetch_add(1, Ordering::Relaxed);
                let mut kept = shadow.kept.lock();
                if kept.len() >= KEPT_MAX {
                    kept.pop_front();
                }
                kept.push_back(Difference { live, candidate });
            }
            drop(place);
        });
    }
}

/// What becomes of a trial when something else is in force.
pub(crate) enum Followed {
    /// The candidate, with the settings of now, beside the version of now.
    Anew(Box<Plugin>, Digest),
    /// It ends: why.
    Ends(String),
}

impl Inner {
    /// What becomes of a plugin's trial beside what is in force of it from now on; `None`: it goes on.
    pub(crate) async fn followed(&self, name: &PluginName, live: &Plugin) -> Option<Followed> {
        let shadow = self.shadows.of(name)?;
        let (candidate, beside) = (&shadow.plugin.manifest.digest, &live.manifest.digest);
        if *candidate == *beside && shadow.beside != *beside {
            return Some(Followed::Ends("it is in force".to_owned()));
        }
        if shadow.beside == *beside && *shadow.plugin.settings == *live.settings {
            return None;
        }
        Some(match self.start(candidate, &live.settings, true).await {
            Ok(plugin) => Followed::Anew(Box::new(plugin), beside.clone()),
            Err(unfit) => Followed::Ends(unfit.to_string()),
        })
    }

    /// Lets a trial follow, and tells it.
    pub(crate) fn let_follow(&self, name: &PluginName, followed: Followed) -> Option<String> {
        let candidate = self.shadows.of(name)?.plugin.manifest.digest.short().to_owned();
        let what = match followed {
            Followed::Anew(plugin, beside) => {
                self.shadows.begin(name.clone(), *plugin, beside);
                format!("the trial of {candidate} begins anew, beside what is in force now")
            }
            Followed::Ends(why) => {
                self.shadows.end(name);
                self.sweep();
                format!("the trial of {candidate} has ended: {why}")
            }
        };
        notes::changed(&self.events, name, None, &what);
        Some(what)
    }

    /// The same after a change of one plugin.
    pub(crate) async fn shadow_follows(&self, name: &PluginName) -> Option<String> {
        let live = self.active.load().plugins.get(name).cloned()?;
        let followed = self.followed(name, &live).await?;
        self.let_follow(name, followed)
    }
}

impl Engine {
    /// Begins to try a candidate beside the version in force, on real traffic, without effect.
    ///
    /// # Errors
    /// It cannot be started, or there is nothing that it would replace.
    pub async fn shadow_begin<'a>(
        &self,
        name: &PluginName,
        offered: impl Into<Offered<'a>>,
    ) -> Result<Manifest, Unfit> {
        let offered = offered.into();
        self.0.trust.load().verify(offered)?;
        let none = || Unfit::new(format!("there is no plugin {name} in force"), "install one first");
        let live = || self.0.active.load().plugins.get(name).cloned().ok_or_else(none);
        live()?;
        let taken = self.0.artefacts.take_in(offered.octets, &self.0.machine).await;
        let _one = self.0.changing.lock().await;
        // It may have gone meanwhile.
        let Ok(live) = live() else {
            drop(taken);
            self.0.sweep();
            return Err(none());
        };
        let (plugin, (manifest, _in_use)) = self.0.candidate(taken, &live.settings).await?;
        self.0.shadows.begin(name.clone(), plugin, live.manifest.digest.clone());
        // The one before may be nobody's now.
        self.0.sweep();
        notes::changed(&self.0.events, name, None, &format!("is shadowed by {}", manifest.digest.short()));
        Ok(manifest)
    }

    /// How a candidate does; with `end`, its trial ends.
    ///
    /// # Errors
    /// There is no candidate.
    pub fn shadow_report(&self, name: &PluginName, end: bool) -> Result<ShadowReport, Unfit> {
        let shadow = if end { self.0.shadows.end(name) } else { self.0.shadows.of(name) };
        let Some(shadow) = shadow else {
            return Err(Unfit::new(format!("{name} has no candidate"), "begin with `wasmta plugin shadow`"));
        };
        if end {
            self.0.sweep();
        }
        Ok(ShadowReport {
            digest: shadow.plugin.manifest.digest.clone(),
            same: shadow.same.load(Ordering::Relaxed),
            different: shadow.different.load(Ordering::Relaxed),
            left_out: shadow.left_out.load(Ordering::Relaxed),
            too_large: shadow.too_large.load(Ordering::Relaxed),
            differences: shadow.kept.lock().iter().cloned().collect(),
        })
    }
}

/// A content that is not asked: what the message said stands on the tape.
struct Taped;

impl hooks::MessageView for Taped {
    fn text(&self, _: &str, _: usize) -> Option<String> {
        None
    }
    fn page(&self, _: usize, _: usize) -> Vec<(String, Vec<u8>)> {
        Vec::new()
    }
    fn size(&self) -> u64 {
        0
    }
    fn body(&self, _: u64, _: usize) -> Vec<u8> {
        Vec::new()
    }
}

/// What a plugin says to a recorded call.
pub(crate) async fn replay(plugin: &Plugin, live: &Recording) -> Result<Answer, (FailureKind, String)> {
    replayed(plugin, live).await.answer
}

/// Plays a recorded call on a plugin.
pub(crate) async fn replayed(plugin: &Plugin, live: &Recording) -> Asked {
    let tenant = match &live.question {
        Question::Rewrite(about, _)
        | Question::Reverse(about, _)
        | Question::AuthorizeSender(about, _)
        | Question::Disposition(about, _) => Domain::parse(&about.tenant).ok(),
        Question::RouteTable(domain, _) => Domain::parse(domain).ok(),
    };
    let share = plugin.tenants.of(tenant.as_ref());
    let content: Content = Arc::new(Taped);
    let manner = Manner {
        tape: Tape::playing(&live.asked, &live.host),
        now: Timestamp(live.at),
        seed: live.seed,
        fresh: true,
        explains: false,
        content: Some(content),
    };
    plugin.ask(&live.question, tenant.as_ref(), &share, manner, &mut Sitting::default()).await
}
