//! Questions to plugins that are not there, or not for whoever asks: nobody but the engine knows of them, so it counts and
//! tells them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hooks::PluginName;
use parking_lot::Mutex;

use crate::engine::Engine;
use crate::settings::DomainPattern;

/// How often it is told, at most: each message meets it.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// Most names that are remembered. Entries of the directory name plugins, too, and may name what was never there; with more,
/// all are counted anew.
const NAMES_MAX: usize = 1000;

#[derive(Default)]
struct Of {
    count: u64,
    told: Option<Duration>,
}

/// Such questions since the server began, by the plugin that they were for.
#[derive(Default)]
pub(crate) struct Missed(Mutex<HashMap<PluginName, Of>>);

impl Missed {
    /// Counts one; says whether it is to be told.
    pub(crate) fn met(&self, name: &PluginName, now: Duration) -> bool {
        let mut all = self.0.lock();
        if all.len() >= NAMES_MAX && !all.contains_key(name) {
            all.clear();
        }
        let of = all.entry(name.clone()).or_default();
        of.count += 1;
        let is_due = of.told.is_none_or(|last| now.saturating_sub(last) >= TOLD_EVERY);
        if is_due {
            of.told = Some(now);
        }
        is_due
    }

    pub(crate) fn count(&self, name: &PluginName) -> u64 {
        self.0.lock().get(name).map_or(0, |of| of.count)
    }
}

/// A plugin that the configuration has, and that is not installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// To which domains it is bound.
    pub domains: Vec<DomainPattern>,
    /// Why it does not run.
    pub why: String,
    /// How often it was asked in vain.
    pub missed: u64,
}

impl Engine {
    /// Questions to plugins that were not there, or not for whoever asked, since the server began.
    #[must_use]
    pub fn missed(&self) -> BTreeMap<PluginName, u64> {
        self.0.missed.0.lock().iter().map(|(name, of)| (name.clone(), of.count)).collect()
    }

    /// Plugins of the configuration in force that are not installed.
    #[must_use]
    pub fn absent(&self) -> BTreeMap<PluginName, Absent> {
        let active = self.0.active.load();
        let all = active.settings.values().filter(|one| self.0.registry.of(&one.name).is_none());
        let absent = all.map(|one| {
            let why = active.missing.get(&one.name).cloned().unwrap_or_default();
            let absent = Absent { domains: one.domains.clone(), why, missed: self.0.missed.count(&one.name) };
            (one.name.clone(), absent)
        });
        absent.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_counted_always_and_told_now_and_then() {
        let (missed, name) = (Missed::default(), "policy".parse().unwrap());
        let told = (1..=21).filter(|second| missed.met(&name, Duration::from_secs(*second)));
        assert_eq!(told.collect::<Vec<_>>(), [1, 11, 21]);
        assert_eq!(missed.count(&name), 21);
        for other in 0..2 * NAMES_MAX {
            missed.met(&format!("p{other}").parse().unwrap(), Duration::ZERO);
            assert!(missed.0.lock().len() <= NAMES_MAX);
        }
    }
}
