//! Playing what was recorded: on the version that was recorded, or on another.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use hooks::{FailureKind, PluginName};
use serde::{Deserialize, Serialize};

use crate::artefacts::InUse;
use crate::component::{Digest, Unfit};
use crate::engine::{Engine, Inner};
use crate::made_with::MadeWith;
use crate::plugin::Plugin;
use crate::question::Answer;
use crate::recording::{LeftOut, Recording};
use crate::settings::Settings;
use crate::shadow::replay;
use crate::trust::Offered;

/// How a played call came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replayed {
    /// The recorded call.
    pub recording: Recording,
    /// What the version it was played on said.
    pub answer: Result<Answer, (FailureKind, String)>,
}

impl Replayed {
    /// Whether it was played: its version may be there no more.
    #[must_use]
    pub fn is_played(&self) -> bool {
        // A plugin that is asked is not missing, so no call is recorded with this.
        !matches!(self.answer, Err((FailureKind::Missing, _)))
    }

    /// Whether it came out as recorded.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.answer == self.recording.answer
    }
}

/// Calls that were played.
#[derive(Debug, Clone, PartialEq)]
pub struct Played {
    /// The latest of those that were chosen, oldest first, with those that could not be played.
    pub calls: Vec<Replayed>,
    /// Whether older ones were left out: there is a maximum.
    pub older: bool,
    /// What is kept as recordings and is none: so many lines.
    pub unreadable: usize,
    /// Calls that were made with another configuration than the one in force.
    pub otherwise_configured: usize,
    /// Calls that do not say with what they were made, for they are of before that was kept: played with what is in force.
    pub unknown_configured: usize,
    /// What was not recorded.
    pub left_out: LeftOut,
}

/// Most versions that are started at a time; more begin anew.
const VERSIONS_MAX: usize = 16;

/// A version that calls are played on.
struct Version {
    /// Or why it cannot be.
    started: Result<Plugin, String>,
    _in_use: InUse,
}

impl Inner {
    async fn version(&self, digest: &Digest, settings: &Settings) -> Version {
        let in_use = self.artefacts.using(digest);
        let started = self.start(digest, settings, true).await.map_err(|unfit| {
            let version = digest.short();
            if self.artefacts.has(digest) {
                format!("its version {version} cannot be started any more: {unfit}")
            } else {
                format!("its version {version} is no longer kept")
            }
        });
        Version { started, _in_use: in_use }
    }
}

impl Engine {
    /// Plays recorded calls: on the version that was recorded, with the configuration and the grants that it had then, or on
    /// another component with those of now. `chosen` picks them. A call whose
    /// version is there no more costs itself alone: it fails as [`FailureKind::Missing`].
    ///
    /// # Errors
    /// Nothing is recorded, or the component cannot be started.
    pub async fn replay<'a>(
        &self,
        name: &PluginName,
        candidate: Option<impl Into<Offered<'a>>>,
        chosen: impl Fn(&Recording) -> bool + Send + 'static,
    ) -> Result<Played, Unfit> {
        let recordings = self.0.recorder.chosen(name, u64::MAX, chosen).await;
        let recordings = recordings
            .map_err(|e| Unfit::new(format!("recordings cannot be read: {e}"), "look at the disk"))?;
        let settings = self.0.active.load().settings.get(name).cloned();
        let settings = settings.unwrap_or_else(|| Settings::new(name.clone()));
        let mut candidate = match candidate {
            None => None,
            Some(offered) => {
                let offered = offered.into();
                self.0.trust.load().verify(offered)?;
                let taken = self.0.artefacts.take_in(offered.octets, &self.0.machine).await;
                Some(self.0.candidate(taken, &settings).await?)
            }
        };
        let mut versions: HashMap<(Digest, Option<Arc<MadeWith>>), Version> = HashMap::new();
        let (older, unreadable, others) = (recordings.older, recordings.unreadable, recordings.others);
        let mut played = Played {
            calls: Vec::new(),
            older,
            unreadable,
            otherwise_configured: 0,
            unknown_configured: 0,
            left_out: self.0.recorder.left_out(name),
        };
        for recording in recordings {
            let then = recording.made_with.as_ref().filter(|then| !then.is_of(&settings));
            played.otherwise_configured += usize::from(then.is_some());
            played.unknown_configured += usize::from(recording.made_with.is_none());
            let plugin = match &candidate {
                Some((candidate, _)) => Ok(candidate),
                None => {
                    let key = (recording.digest.clone(), then.cloned());
                    if versions.len() >= VERSIONS_MAX && !versions.contains_key(&key) {
                        versions.clear();
                    }
                    match versions.entry(key) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(free) => {
                            let of_then = then.map(|then| then.over(&settings));
                            let settings = of_then.as_ref().unwrap_or(&settings);
                            free.insert(self.0.version(&recording.digest, settings).await)
                        }
                    }
                    .started
                    .as_ref()
                }
            };
            let answer = match plugin {
                Ok(plugin) => replay(plugin, &recording).await,
                Err(why) => Err((FailureKind::Missing, why.clone())),
            };
            played.calls.push(Replayed { recording, answer });
        }
        if candidate.take().is_some() {
            self.0.sweep();
        }
        if played.calls.is_empty() {
            return Err(nothing_found(name, &played, others));
        }
        Ok(played)
    }
}

/// Why nothing was played, and what to do.
fn nothing_found(name: &PluginName, played: &Played, others: usize) -> Unfit {
    if others > 0 {
        let what = format!("none of the {others} recorded calls is meant");
        return Unfit::new(what, "choose others with --id and --since, or play all");
    }
    let (what, mend) = match (played.unreadable, played.left_out) {
        (0, left_out) if left_out.total() > 0 => {
            let what = format!("no recorded call was found; {left_out}");
            (what, "docs/operator.md has what is not recorded".to_owned())
        }
        (0, _) => (
            "no recorded call was found".to_owned(),
            format!("set plugins.{name}.record to a size, and wait for mail"),
        ),
        (lines, _) => (
            format!("no recorded call was found; {lines} lines of what is kept cannot be read"),
            "look at the files of recordings".to_owned(),
        ),
    };
    Unfit::new(what, mend)
}
