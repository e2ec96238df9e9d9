//! Of what an operator decides about a plugin, what its answers depend on: kept with recordings, so that a call can be played
//! again after the configuration has changed. Secrets are not in it: they stay where they are.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::capability::Capability;
use crate::settings::Settings;

/// The configuration and the grants that a call was made with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MadeWith {
    config: serde_json::Value,
    allow: BTreeSet<Capability>,
}

/// A line of its own among recordings; what follows was made with it. `None`: with one too large to be kept.
#[derive(Serialize, Deserialize)]
struct Line<T> {
    made_with: Option<T>,
}

/// How such a line begins.
const BEGINNING: &[u8] = b"{\"made_with\":";

impl MadeWith {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self { config: settings.config.clone(), allow: settings.grants.clone() }
    }

    /// Settings as they are now, but for what stands here.
    pub(crate) fn over(&self, now: &Settings) -> Settings {
        Settings { config: self.config.clone(), grants: self.allow.clone(), ..now.clone() }
    }

    /// Whether settings are the same in what stands here.
    pub(crate) fn is_of(&self, settings: &Settings) -> bool {
        self.config == settings.config && self.allow == settings.grants
    }
}

/// The line that says with what the recordings after it were made: at most `max` octets.
pub(crate) fn line(made_with: Option<&Arc<MadeWith>>, max: usize) -> Vec<u8> {
    let line = |made_with: Option<&Arc<MadeWith>>| {
        // What came from TOML can always be written.
        let mut line = serde_json::to_vec(&Line { made_with: made_with.map(|made_with| &**made_with) })
            .unwrap_or_default();
        line.push(b'\n');
        line
    };
    let whole = line(made_with);
    if whole.len() > max { line(None) } else { whole }
}

/// What a line says of the recordings after it; `None` where it is no such line.
pub(crate) fn read(line: &[u8]) -> Option<Option<Arc<MadeWith>>> {
    if !line.starts_with(BEGINNING) {
        return None;
    }
    serde_json::from_slice::<Line<MadeWith>>(line).ok().map(|line| line.made_with.map(Arc::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_was_in_force_and_one_too_large_that_it_is_unknown() {
        let mut settings = Settings::new("policy".parse().unwrap());
        settings.config = serde_json::json!({"a": {"b": [1, "x"]}});
        settings.grants = BTreeSet::from([Capability::Log]);
        let made_with = Arc::new(MadeWith::of(&settings));
        let text = line(Some(&made_with), 1000);
        assert_eq!(read(&text), Some(Some(Arc::clone(&made_with))));
        assert!(made_with.is_of(&settings) && made_with.over(&settings) == settings);
        let now = Settings::new("policy".parse().unwrap());
        assert!(!made_with.is_of(&now) && made_with.over(&now) == settings);
        assert_eq!(read(&line(Some(&made_with), 10)), Some(None));
        assert_eq!(read(b"{\"at\":1}"), None);
        assert_eq!(read(b"{\"made_with\":{\"conf"), None, "a crash may cut it");
    }
}
