//! What plugins make of an address: those of its domain's chain before the rules, and those that rules call.
//!
//! | verdict | the address | then |
//! |---|---|---|
//! | no-match | stays | the next plugin of the chain, the next rule |
//! | again | the new one | chain and rules from the start, [`super::engine::REWRITES_MAX`] times at most: then it failed |
//! | settled | the new one | rules from the start; no plugin is asked any more |
//! | route | the new one | out by the channel |
//! | refuse | | refused |
//! | failed: tempfail, reject | | 451 4.3.0, 550 5.3.0 |
//! | failed: skip | stays | as no-match |
//! | failed: keep | stays | the next rule; no plugin is asked any more |
//!
//! After `again` and `settled` even `$*` is looked at anew, which after `A%B` it is not: it is by `$*` that the rules
//! we ship find out which domains are ours, and the new address may have another domain.

use std::sync::Arc;

use hooks::{CallReport, Failed, FailureKind, OnFailure, PluginName, RewriteRequest, RewriteVerdict};
use mail_types::{Address, Domain, EnhancedStatus, LocalPart, Lookup, Refusal, Reply};

use super::call::Call;
use super::control::{Direction, Place, Position};
use super::engine::{Failure, Fired, Next, Run, Subject};
use super::rules::Rule;
use super::substitution::{Matched, expand};
use super::unroutable::Unroutable;
use crate::holds::RELEASED;
use crate::recorder::{Recorder, Step, StepKind};

/// A plugin of a chain, and who put it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The plugin.
    pub plugin: PluginName,
    /// The DN of an entry, or the configuration.
    pub origin: Arc<str>,
}

/// What was heard of a plugin.
#[derive(Debug, Clone)]
pub enum Heard {
    /// Its answer.
    Said(Said),
    /// Nothing yet: it has to be asked.
    Open,
    /// Nothing, because on whose behalf it is to be asked cannot be looked up.
    Unavailable(String),
}

/// An answer, with how it came about.
#[derive(Debug, Clone)]
pub struct Said {
    /// The verdict, or why there is none.
    pub answer: Result<RewriteVerdict, Failed>,
    /// The call; none where nothing had to run: the plugin is not interested, rests, or its answer is remembered.
    pub call: Option<Arc<CallReport>>,
    /// How many addresses shared the call.
    pub batch: usize,
}

impl Said {
    /// An answer for which nothing had to run.
    #[must_use]
    pub fn at_once(answer: Result<RewriteVerdict, Failed>) -> Self {
        Self { answer, call: None, batch: 0 }
    }

    /// How long it took, in words.
    fn time(&self) -> String {
        match (&self.call, self.batch) {
            (None, _) => "at once".to_owned(),
            (Some(call), 0 | 1) => format!("{} µs", call.microseconds),
            (Some(call), batch) => format!("{} µs for {batch} addresses", call.microseconds),
        }
    }

    fn text(&self, plugin: &PluginName) -> String {
        match &self.answer {
            Ok(verdict) => format!("plugin {plugin}: {verdict} ({})", self.time()),
            Err(Failed { kind, message, on_failure, .. }) => {
                format!("plugin {plugin}: failed, {kind}: {message}; {on_failure} ({})", self.time())
            }
        }
    }

    /// The call, for explanations: what was asked, what it cost, what was logged.
    fn details(&self, request: &RewriteRequest) -> Vec<String> {
        let RewriteRequest { address, position, direction, function, argument } = request;
        let mut lines = vec![format!("asked: {} {} {address}", position.as_str(), direction.as_str())];
        if !function.is_empty() {
            lines[0].push_str(&format!(", function {function:?}, argument {argument:?}"));
        }
        let nothing = CallReport::default();
        lines.extend(self.call.as_deref().unwrap_or(&nothing).lines());
        lines
    }
}

/// Plugins that send an address back to the start with another one.
#[derive(Debug, Default)]
pub(super) struct Again {
    /// The last one that did, and how often any did.
    last: Option<(PluginName, usize)>,
    /// Those that are not asked any more.
    over: Vec<PluginName>,
}

impl Again {
    fn note(&mut self, plugin: &PluginName) {
        let count = self.last.take().map_or(0, |(_, count)| count);
        self.last = Some((plugin.clone(), count + 1));
    }

    /// Whose answers lead round in a circle, where they do: one `again` alone does not, then it is the rules.
    pub(super) fn blamed(&mut self) -> Option<PluginName> {
        self.last.take().filter(|(_, count)| *count > 1).map(|(plugin, _)| plugin)
    }
}

impl<'r, R: Recorder> Run<'r, '_, R> {
    /// A plugin's answers lead round in a circle: each was one, all together are none. What becomes of the mail is said where it
    /// is said of other failures.
    pub(super) fn leads_round(&mut self, plugin: PluginName) -> Result<(), Unroutable> {
        let on_failure = self.facts.on_failure(&plugin);
        let message = "its answers `again` lead round in a circle".to_owned();
        let failed = Failed { plugin: plugin.clone(), kind: FailureKind::Answer, message, on_failure };
        let text = Said::at_once(Err(failed.clone())).text(&plugin);
        self.recorder.note(|| Step::new(StepKind::Plugin, text));
        self.again.over.push(plugin);
        match self.endure(failed) {
            Failure::Next(_) => Ok(()),
            Failure::Final(unroutable) => Err(unroutable),
        }
    }

    /// Asks the chain of the address's domain; `None` where nobody there has anything to say.
    pub(super) fn chain(&mut self, subject: &Subject<'_>) -> Result<Option<Fired>, Unroutable> {
        // What stands in a local part becomes an address only when a rule takes it for one.
        if self.settled || subject.position != Position::At || !self.facts.has_chains() {
            return Ok(None);
        }
        let mut links = match self.facts.chain(&subject.host) {
            Lookup::Found(links) => links,
            Lookup::NotFound => return Ok(None),
            Lookup::Unavailable(why) => return Err(Unroutable::Unavailable(why)),
        };
        links.retain(|link| !self.again.over.contains(&link.plugin));
        if links.is_empty() {
            return Ok(None);
        }
        let Some(address) = address_of(subject) else { return Ok(None) };
        let request = self.request(address, String::new(), String::new());
        for (at, link) in links.iter().enumerate() {
            match self.ask(&link.plugin, &request, &links[at + 1..], || link.origin.to_string()) {
                Ok(fired) if self.is_released(&format!("plugin {}", link.plugin), ": ", &fired) => {
                    let text = format!("plugin {}: {RELEASED}", link.plugin);
                    self.recorder.note(|| Step::new(StepKind::Plugin, text).at(link.origin.to_string()));
                }
                Ok(fired) => return Ok(Some(fired)),
                Err(Failure::Next(_)) if self.settled => return Ok(None),
                Err(Failure::Next(_)) => {}
                Err(Failure::Final(unroutable)) => return Err(unroutable),
            }
        }
        Ok(None)
    }

    /// Asks the plugin of a rule.
    pub(super) fn call(
        &mut self,
        rule: &'r Rule,
        call: &Call,
        matched: &Matched<'_>,
        subject: &Subject<'_>,
    ) -> Result<Fired, Failure> {
        if self.settled {
            return Err(Failure::Next("no plugin is asked any more for this address".to_owned()));
        }
        let (mut function, mut argument) = (String::new(), String::new());
        expand(&call.function, matched, self.facts, &mut function)?;
        expand(&call.argument, matched, self.facts, &mut argument)?;
        let Some(address) = address_of(subject) else {
            return Err(Failure::Next("what it matches is no address".to_owned()));
        };
        let request = self.request(address, function, argument);
        self.ask(&call.plugin, &request, &[], || rule.origin())
    }

    fn request(&self, address: Address, function: String, argument: String) -> RewriteRequest {
        let position = match self.context.place {
            Place::Envelope => hooks::Position::Envelope,
            Place::Header => hooks::Position::Header,
        };
        let direction = match self.context.direction {
            Direction::Forward => hooks::Direction::To,
            Direction::Backward => hooks::Direction::From,
        };
        RewriteRequest { address, position, direction, function, argument }
    }

    fn ask(
        &mut self,
        plugin: &PluginName,
        request: &RewriteRequest,
        then: &[Link],
        origin: impl Fn() -> String,
    ) -> Result<Fired, Failure> {
        if self.again.over.contains(plugin) {
            return Err(Failure::Next(format!("plugin {plugin} is not asked any more for this address")));
        }
        let said = match self.facts.hear(plugin, request, then) {
            Heard::Said(said) => said,
            Heard::Open => return Err(Failure::Final(Unroutable::Open)),
            Heard::Unavailable(why) => return Err(Failure::Final(Unroutable::Unavailable(why))),
        };
        let step = || Step::new(StepKind::Plugin, said.text(plugin)).at(origin());
        // As of rules, a trail has those that did something.
        match &said.answer {
            Ok(RewriteVerdict::NoMatch) => self.recorder.detail(step),
            _ => self.recorder.note(step),
        }
        self.recorder.details(|| {
            let step = |line| Step::new(StepKind::Plugin, format!("{plugin} {line}"));
            said.details(request).into_iter().map(step).collect()
        });
        match said.answer {
            Ok(verdict) => self.obey(plugin, verdict),
            Err(failed) => Err(self.endure(failed)),
        }
    }

    /// No plugin is asked any more: what goes round from here is the rules.
    fn settles(&mut self) {
        self.settled = true;
        self.again.last = None;
    }

    fn obey(&mut self, plugin: &PluginName, verdict: RewriteVerdict) -> Result<Fired, Failure> {
        let fired = |address: Address, next| Fired {
            user: Some(address.local.as_str().to_owned()),
            host: Some(String::from(address.domain)),
            next,
            by_plugin: true,
        };
        match verdict {
            RewriteVerdict::NoMatch => Err(Failure::Next(format!("plugin {plugin} has no match"))),
            RewriteVerdict::Again(address) => {
                self.again.note(plugin);
                Ok(fired(address, Next::Anew))
            }
            RewriteVerdict::Settled(address) => {
                self.settles();
                Ok(fired(address, Next::Anew))
            }
            RewriteVerdict::Route { address, channel, host } => {
                match self.rules.tags().target(channel.as_str()) {
                    Some(target) => Ok(fired(address, Next::Route(target.clone(), host))),
                    None => {
                        let why = format!("plugin {plugin} names the channel {channel}, which is not there");
                        Err(Failure::Final(Unroutable::NoChannel(why)))
                    }
                }
            }
            RewriteVerdict::Refuse(reply) => Err(refused(reply, format!("plugin {plugin} refuses it"))),
        }
    }

    /// A failure: what becomes of the mail stands in it. What the peer reads names no plugin.
    fn endure(&mut self, failed: Failed) -> Failure {
        match failed.on_failure {
            OnFailure::Tempfail => {
                let text = "This address cannot be decided on now, try again later";
                refused(Reply::new(451, EnhancedStatus::transient(3, 0), text), failed.to_string())
            }
            OnFailure::Reject => {
                let text = "This address cannot be decided on";
                refused(Reply::new(550, EnhancedStatus::permanent(3, 0), text), failed.to_string())
            }
            OnFailure::Skip => Failure::Next(failed.to_string()),
            OnFailure::Keep => {
                self.settles();
                Failure::Next(failed.to_string())
            }
        }
    }
}

fn refused(reply: Reply, cause: String) -> Failure {
    Failure::Final(Unroutable::Refused(Box::new(Refusal::new(reply, cause))))
}

fn address_of(subject: &Subject<'_>) -> Option<Address> {
    let local = LocalPart::new(&*subject.user).ok()?;
    Some(Address::new(local, Domain::parse(&subject.host).ok()?))
}
