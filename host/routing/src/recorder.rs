//! Steps of a decision, and who keeps them: one code path serves delivery and explanation.

use serde::{Deserialize, Serialize};

/// What kind of thing happened in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// Whether the sender's address belongs to who submits: told by an explanation only.
    Sender,
    /// Whether the client may send anywhere: told by an explanation only.
    Client,
    /// The address that the way begins with.
    Address,
    /// A rule matched the host but did not apply.
    RuleTried,
    /// A rule rewrote the address.
    RuleFired,
    /// A domain row was read.
    Domain,
    /// An alias row was read.
    Alias,
    /// A group was expanded.
    Group,
    /// A status was checked.
    Status,
    /// A delivery option was followed.
    Delivery,
    /// A channel and next hop were chosen.
    Route,
    /// The address was refused, now or for good.
    Refused,
    /// A plugin was asked.
    Plugin,
}

impl StepKind {
    /// The word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Sender => "sender",
            Self::Client => "client",
            Self::Address => "address",
            Self::RuleTried => "rule tried",
            Self::RuleFired => "rule fired",
            Self::Domain => "domain",
            Self::Alias => "alias",
            Self::Group => "group",
            Self::Status => "status",
            Self::Delivery => "delivery",
            Self::Route => "route",
            Self::Refused => "refused",
            Self::Plugin => "plugin",
        }
    }
}

/// One step of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What happened.
    pub what: StepKind,
    /// In words.
    pub text: String,
    /// Where it is written: `file:line` of a rule, or the DN of an entry.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin: Option<String>,
    /// The sync that brought what is written there, where a source has it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sync: Option<String>,
}

impl Step {
    /// A step without a place.
    #[must_use]
    pub fn new(what: StepKind, text: impl Into<String>) -> Self {
        Self { what, text: text.into(), origin: None, sync: None }
    }

    /// The same step with its place.
    #[must_use]
    pub fn at(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }
}

/// Most steps one decision keeps; later ones are dropped.
pub const STEPS_MAX: usize = 10_000;

/// Takes the steps of a decision. Resolution is generic over it, so that what `explain` shows is what
/// delivery did.
pub trait Recorder: Default {
    /// A step that every decision keeps.
    fn note(&mut self, make: impl FnOnce() -> Step);
    /// A step that only an explanation keeps.
    fn detail(&mut self, make: impl FnOnce() -> Step);
    /// Several such steps.
    fn details(&mut self, make: impl FnOnce() -> Vec<Step>);
    /// What was kept, in order.
    fn into_steps(self) -> Vec<Step>;
}

/// Keeps what the decision trail of a message needs.
#[derive(Debug, Default)]
pub struct Trail(pub Vec<Step>);

impl Recorder for Trail {
    fn note(&mut self, make: impl FnOnce() -> Step) {
        if self.0.len() < STEPS_MAX {
            self.0.push(make());
        }
    }
    fn detail(&mut self, _: impl FnOnce() -> Step) {}
    fn details(&mut self, _: impl FnOnce() -> Vec<Step>) {}
    fn into_steps(self) -> Vec<Step> {
        self.0
    }
}

/// Keeps everything.
#[derive(Debug, Default)]
pub struct Everything(pub Vec<Step>);

impl Recorder for Everything {
    fn note(&mut self, make: impl FnOnce() -> Step) {
        if self.0.len() < STEPS_MAX {
            self.0.push(make());
        }
    }
    fn detail(&mut self, make: impl FnOnce() -> Step) {
        self.note(make);
    }
    fn details(&mut self, make: impl FnOnce() -> Vec<Step>) {
        make().into_iter().for_each(|step| self.note(|| step));
    }
    fn into_steps(self) -> Vec<Step> {
        self.0
    }
}

/// Keeps nothing.
#[derive(Debug, Default)]
pub struct Nothing;

impl Recorder for Nothing {
    fn note(&mut self, _: impl FnOnce() -> Step) {}
    fn detail(&mut self, _: impl FnOnce() -> Step) {}
    fn details(&mut self, _: impl FnOnce() -> Vec<Step>) {}
    fn into_steps(self) -> Vec<Step> {
        Vec::new()
    }
}

impl From<Step> for queue::Step {
    /// As the queue keeps it with the message.
    fn from(step: Step) -> Self {
        let kind = match step.what {
            StepKind::Address | StepKind::RuleTried | StepKind::RuleFired => queue::StepKind::Rewrite,
            StepKind::Domain => queue::StepKind::Domain,
            StepKind::Alias => queue::StepKind::Alias,
            StepKind::Group => queue::StepKind::Group,
            StepKind::Sender | StepKind::Client | StepKind::Status | StepKind::Refused => {
                queue::StepKind::Status
            }
            StepKind::Delivery => queue::StepKind::Delivery,
            StepKind::Route => queue::StepKind::Route,
            StepKind::Plugin => queue::StepKind::Plugin,
        };
        Self { kind, text: step.text, origin: step.origin }
    }
}
