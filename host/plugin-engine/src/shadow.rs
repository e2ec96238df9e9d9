//! Shadow: a candidate answers the same questions as the version in force, without effect; what differs is counted and
//! kept for a look.
//!
//! The candidate plays the host answers that the live call got, so that it sees the very same world; where it asks for
//! something else, that is a difference too. It runs after the live answer was given, on a bounded number of tasks:
//! what is too much is counted as left out.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hooks::{Content, FailureKind, PluginName, Sitting};
use mail_types::{Domain, Timestamp};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::plugin::{Asked, Manner, Plugin};
use crate::question::{Answer, Question};
use crate::recording::Recording;
use crate::tape::Tape;

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

/// A candidate under trial.
pub(crate) struct Shadow {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) same: AtomicU64,
    pub(crate) different: AtomicU64,
    pub(crate) left_out: AtomicU64,
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

    pub(crate) fn begin(&self, name: PluginName, plugin: Arc<Plugin>) {
        let shadow = Shadow {
            plugin,
            same: AtomicU64::new(0),
            different: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            kept: Mutex::default(),
            places: Arc::new(Semaphore::new(PARALLEL_MAX)),
        };
        self.0.write().insert(name, Arc::new(shadow));
    }

    pub(crate) fn end(&self, name: &PluginName) -> Option<Arc<Shadow>> {
        self.0.write().remove(name)
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
