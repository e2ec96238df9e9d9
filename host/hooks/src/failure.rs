//! A call that gave no answer, and what becomes of the mail.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::PluginName;

/// What becomes of the mail when a plugin fails. What each means at each role stands in `docs/plugins/README.md`, and
/// a table of tests shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The sender is told to try again later: nothing is lost, nothing is guessed.
    #[default]
    Tempfail,
    /// The mail goes on as if neither this plugin nor those after it were bound; what those before it said stands.
    Keep,
    /// This plugin is passed over: the next rule or plugin is asked.
    Skip,
    /// The mail is refused for good.
    Reject,
}

impl OnFailure {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tempfail, Self::Keep, Self::Skip, Self::Reject];

    /// The word of the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tempfail => "tempfail",
            Self::Keep => "keep",
            Self::Skip => "skip",
            Self::Reject => "reject",
        }
    }
}

impl fmt::Display for OnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OnFailure {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|word| word.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is not one of tempfail, keep, skip, reject"))
    }
}

/// Why a call gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// No plugin of that name is installed and enabled, or it lacks the role.
    Missing,
    /// The plugin said `failure`, for now.
    Temporary,
    /// The plugin said `failure`, for good.
    Permanent,
    /// It trapped: a panic, an exception, an instruction that cannot be.
    Trap,
    /// It used up its processor time.
    Cpu,
    /// It used up its time by the wall clock.
    Wall,
    /// It wanted more memory than it may have.
    Memory,
    /// It called the host more often, or handed it more, than it may.
    Calls,
    /// It used a capability that was not granted.
    Denied,
    /// Its answer breaks the contract.
    Answer,
    /// There was no room to run it: too many calls at a time.
    Busy,
    /// It failed too often, and rests.
    Resting,
}

impl FailureKind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Missing,
        Self::Temporary,
        Self::Permanent,
        Self::Trap,
        Self::Cpu,
        Self::Wall,
        Self::Memory,
        Self::Calls,
        Self::Denied,
        Self::Answer,
        Self::Busy,
        Self::Resting,
    ];

    /// The word for logs and counters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Temporary => "temporary",
            Self::Permanent => "permanent",
            Self::Trap => "trap",
            Self::Cpu => "cpu",
            Self::Wall => "wall",
            Self::Memory => "memory",
            Self::Calls => "calls",
            Self::Denied => "denied",
            Self::Answer => "answer",
            Self::Busy => "busy",
            Self::Resting => "resting",
        }
    }

    /// Whether it speaks against the plugin: such failures open its circuit breaker.
    #[must_use]
    pub fn is_fault(self) -> bool {
        !matches!(self, Self::Missing | Self::Temporary | Self::Permanent | Self::Busy | Self::Resting)
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A call that gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("plugin {plugin} failed ({kind}): {message}")]
pub struct Failed {
    /// Which plugin.
    pub plugin: PluginName,
    /// How.
    pub kind: FailureKind,
    /// For the operator.
    pub message: String,
    /// What becomes of the mail.
    pub on_failure: OnFailure,
}
