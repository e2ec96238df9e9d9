//! What is heard of plugins: for delivery nothing beyond the answers, for an explanation each call.

use std::fmt::Display;

use hooks::{Failed, PluginName, Sitting, Told};

/// How plugins are asked, and what is kept of their calls.
#[derive(Debug, Default)]
pub struct Hearing {
    explains: bool,
    lines: Vec<String>,
}

/// Most lines that are kept of the calls of one explanation; later ones are dropped.
const LINES_MAX: usize = 10_000;

impl Hearing {
    /// For an explanation: calls are counted and leave nothing behind ([`Sitting::counted`]), and each is told of.
    #[must_use]
    pub fn explaining() -> Self {
        Self { explains: true, lines: Vec::new() }
    }

    pub(crate) fn explains(&self) -> bool {
        self.explains
    }

    /// What was heard, a line each, in order; nothing but for an explanation.
    #[must_use]
    pub fn into_lines(self) -> Vec<String> {
        self.lines
    }

    /// What the questions of one decision are asked in.
    pub(crate) fn sitting(&self) -> Sitting {
        if self.explains { Sitting::counted() } else { Sitting::default() }
    }

    /// Keeps a line that is no call.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if self.explains && self.lines.len() < LINES_MAX {
            self.lines.push(line());
        }
    }

    /// Keeps a call: what was said, what was asked, what ran, what was logged.
    pub(crate) fn call<T>(
        &mut self,
        plugin: &PluginName,
        told: &Told<T>,
        asked: impl FnOnce() -> String,
        said: impl FnOnce(&T) -> String,
    ) {
        if !self.explains {
            return;
        }
        let time = match told.report.digest.is_empty() {
            true => "at once".to_owned(),
            false => format!("{} µs", told.report.microseconds),
        };
        let said = match &told.answer {
            Ok(answer) => said(answer),
            Err(Failed { kind, message, on_failure, .. }) => {
                format!("failed, {kind}: {message}; {on_failure}")
            }
        };
        self.note(|| format!("plugin {plugin}: {said} ({time})"));
        self.note(|| format!("{plugin} asked: {}", asked()));
        for line in told.report.lines() {
            self.note(|| format!("{plugin} {line}"));
        }
    }
}

/// Several things in one line; a word where there are none.
pub(crate) fn listed<T: Display>(things: &[T], none: &str) -> String {
    if things.is_empty() {
        return none.to_owned();
    }
    things.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
