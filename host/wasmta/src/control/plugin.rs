//! What an operator asks of plugins.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A request about plugins. Files are named by absolute paths: the server reads them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "plugin", rename_all = "kebab-case")]
pub enum PluginRequest {
    /// Take a component in, try it, and put it in force.
    Install {
        /// The component.
        file: PathBuf,
        /// Under which name; its own where absent.
        name: Option<String>,
        /// Which digest it must have.
        digest: Option<String>,
        /// Where it came from, for people.
        source: String,
        /// Its signature.
        signature: Option<PathBuf>,
        /// Even where it fails on recorded calls.
        force: bool,
    },
    /// All that are installed.
    List,
    /// One, with everything known of it.
    Inspect {
        /// Its name.
        name: String,
    },
    /// Let it be asked, or not.
    Enable {
        /// Its name.
        name: String,
        /// Or not.
        enabled: bool,
    },
    /// Go back to the version before.
    RollBack {
        /// Its name.
        name: String,
    },
    /// Take it out, with all its versions and what was recorded of it.
    Remove {
        /// Its name.
        name: String,
        /// With what it kept, too; also where it was taken out before.
        #[serde(default)]
        kv: bool,
    },
    /// Try a candidate beside the version in force.
    ShadowBegin {
        /// The plugin that it would replace.
        name: String,
        /// The candidate.
        file: PathBuf,
        /// Its signature.
        signature: Option<PathBuf>,
    },
    /// How a candidate does.
    ShadowReport {
        /// The plugin that it would replace.
        name: String,
        /// Whether its trial ends.
        end: bool,
    },
    /// Play recorded calls again.
    Replay {
        /// The plugin.
        name: String,
        /// On this component instead of the version that was recorded.
        file: Option<PathBuf>,
        /// That component's signature.
        signature: Option<PathBuf>,
        /// Only those of this message or session.
        id: Option<String>,
        /// Only those of the last so many seconds.
        since: Option<u64>,
    },
}
