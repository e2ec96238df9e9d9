//! How a call went: for `explain`, for the trail of a message, for `shadow` and `replay`.

use serde::{Deserialize, Serialize};

use crate::failure::Failed;

/// A line that a plugin logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// `trace`, `debug`, `info`, `warn`, `error`.
    pub level: String,
    /// With its fields.
    pub text: String,
}

/// How a call went.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CallReport {
    /// The component that answered: the first octets of its digest, in hex.
    pub digest: String,
    /// Time by the wall clock, in microseconds; 0 where nothing ran.
    pub microseconds: u64,
    /// Milliseconds of its own processor time that began.
    pub cpu_milliseconds: u64,
    /// Largest memory, in octets.
    pub memory: u64,
    /// Calls to the host.
    pub host_calls: u32,
    /// Instructions, more or less, where they are counted: the same on every run.
    pub fuel: Option<u64>,
    /// Why there is none, where they were to be counted.
    #[serde(default)]
    pub uncounted: Option<Box<str>>,
    /// Whether the answer was remembered from an equal call.
    pub remembered: bool,
    /// What it logged.
    pub log: Vec<LogLine>,
    /// Where it broke, where it broke by itself: a line for each function, the innermost first. For its author's tools.
    #[serde(default)]
    pub backtrace: Vec<String>,
}

impl CallReport {
    /// For explanations, a line each: what ran and what it cost; what was logged.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        if self.digest.is_empty() {
            return vec!["nothing had to run".to_owned()];
        }
        let Self { digest, cpu_milliseconds, memory, host_calls, fuel, uncounted, remembered, log, .. } =
            self;
        let fuel = match (fuel, uncounted) {
            (Some(fuel), _) => format!(", fuel {fuel}"),
            (None, Some(why)) => format!(", fuel not counted ({why})"),
            (None, None) => String::new(),
        };
        let remembered = if *remembered { ", remembered" } else { "" };
        let mut lines = vec![format!(
            "ran: component {digest}, {cpu_milliseconds} ms of processor, {memory} octets, \
             {host_calls} calls of the host{fuel}{remembered}"
        )];
        lines.extend(log.iter().map(|line| format!("log {}: {}", line.level, line.text)));
        lines
    }
}

/// An answer, or a failure, with how it came about.
#[derive(Debug, Clone)]
pub struct Told<T> {
    /// What was said.
    pub answer: Result<T, Failed>,
    /// How it went.
    pub report: CallReport,
}

impl<T> Told<T> {
    /// An answer for which nothing had to run.
    pub fn at_once(answer: Result<T, Failed>) -> Self {
        Self { answer, report: CallReport::default() }
    }
}
