//! Applies rules to one address.
//!
//! For the host `a.b.c` these keys are looked up in turn: `$*`, `a.b.c`, `*.b.c`, `.b.c`, `*.*.c`, `.c`, `*.*.*`,
//! `.`; for the literal `[1.2.3.4]`: `$*`, `[1.2.3.4]`, `[1.2.3.]`, `[1.2.]`, `[1.]`, `[]`, `.`. Under one key
//! the rules are tried in the order of the file. A rule that fails leaves the address as it was, and the next one is tried.

use std::borrow::Cow;

use mail_types::{Address, ChannelName, Domain, LocalPart};

use super::control::{Direction, Place, Position};
use super::message::Message;
use super::pattern::WILDCARDS_MAX;
use super::plugin::Again;
use super::rules::{Rule, Rules};
use super::substitution::{Facts, Matched, Missing};
use super::tags::Target;
use super::unroutable::Unroutable;
use crate::holds::RELEASED;
use crate::recorder::{Recorder, Step, StepKind};

/// Most rules that may fire on one address: `A%B` templates can loop.
pub const REWRITES_MAX: usize = 20;

/// What the rules may know of the address's surroundings.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Envelope or header.
    pub place: Place,
    /// To the receiver, or back.
    pub direction: Direction,
    /// The channel by which the message came.
    pub source: &'a str,
    /// The channel by which it leaves: not asked for while envelope recipients are rewritten, and for other addresses
    /// unknown where the copies leave by several.
    pub destination: Option<&'a str>,
    /// Between a local part and its subaddress.
    pub separator: char,
    /// What has parked the address before, in the words of a trail: no rule or plugin that is named here parks it again.
    pub released: &'a [String],
}

/// Where a rewritten address goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// The final address; `None` where it stayed as it was.
    pub address: Option<Address>,
    /// The channel that the last rule named.
    pub target: Target,
    /// The host to hand over to first, where a rule inserted one.
    pub via: Option<Domain>,
    /// Whether the domain is as a plugin gave it: no rule changed it afterwards.
    pub by_plugin: bool,
}

/// The address as it stands between two rules.
pub(super) struct Subject<'a> {
    pub(super) user: Cow<'a, str>,
    pub(super) host: Cow<'a, str>,
    pub(super) position: Position,
}

impl Subject<'_> {
    fn take(&mut self, user: Option<String>, host: Option<String>) {
        if let Some(user) = user {
            self.user = Cow::Owned(user);
        }
        if let Some(host) = host {
            self.host = Cow::Owned(host);
        }
    }
}

/// What a template or a plugin did; `None` for a part that stayed as it was.
pub(super) struct Fired {
    pub(super) user: Option<String>,
    pub(super) host: Option<String>,
    pub(super) next: Next,
    pub(super) by_plugin: bool,
}

/// Where it goes from there.
pub(super) enum Next {
    Again,
    /// Even `$*` is looked at again.
    Anew,
    Route(Target, Option<Domain>),
    Refuse,
}

/// Why a rule did not apply.
pub(super) enum Failure {
    /// The next one is tried.
    Next(String),
    /// Nothing more can be said of the address.
    Final(Unroutable),
}

impl From<Missing> for Failure {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Part(why) => Self::Next(why),
            Missing::Unavailable(why) => Self::Final(Unroutable::Unavailable(why)),
        }
    }
}

/// Rewrites one address until a rule names its channel.
///
/// # Errors
/// [`Unroutable`] says why none did.
pub fn rewrite<R: Recorder>(
    rules: &Rules,
    address: &Address,
    context: Context<'_>,
    facts: &dyn Facts,
    recorder: &mut R,
) -> Result<Rewritten, Unroutable> {
    let again = Again::default();
    let mut run = Run { rules, context, facts, recorder, tag: "", message: None, settled: false, again };
    loop {
        match walk(&mut run, address) {
            Err(Unroutable::Loop(why)) => match run.again.blamed() {
                // From the start, without that plugin: each time there is one fewer.
                Some(plugin) => run.leads_round(plugin)?,
                None => return Err(Unroutable::Loop(why)),
            },
            end => return end,
        }
        (run.tag, run.message) = ("", None);
    }
}

/// The way of an address through plugins and rules.
fn walk<R: Recorder>(run: &mut Run<'_, '_, R>, address: &Address) -> Result<Rewritten, Unroutable> {
    let mut subject = Subject {
        user: Cow::Borrowed(address.local.as_str()),
        host: Cow::Borrowed(address.domain.as_str()),
        position: Position::At,
    };
    let mut settled: Option<Rewritten> = None;
    let (mut first, mut by_plugin) = (true, false);
    for _ in 0..REWRITES_MAX {
        let fired = match run.chain(&subject)? {
            Some(fired) => fired,
            None => match run.once(&subject, first)? {
                Some(fired) => fired,
                None => return settled.ok_or_else(|| run.no_rule()),
            },
        };
        by_plugin = fired.by_plugin || by_plugin && fired.host.is_none();
        subject.take(fired.user, fired.host);
        first = matches!(fired.next, Next::Anew);
        match fired.next {
            Next::Again | Next::Anew => {}
            Next::Refuse => return Err(run.no_rule()),
            Next::Route(target, via) => {
                let rewritten = Rewritten { by_plugin, ..finish(address, &subject, target, via)? };
                let apart = match rewritten.target {
                    Target::Local => take_apart(run.rules, &subject.user),
                    Target::Channel(_) => None,
                };
                let Some(apart) = apart else { return Ok(rewritten) };
                settled = Some(rewritten);
                (subject, by_plugin) = (apart, false);
            }
        }
    }
    Err(Unroutable::Loop(format!("more than {REWRITES_MAX} rules fired, the last for {:?}", subject.host)))
}

/// The address that the rules settled on.
fn finish(
    before: &Address,
    subject: &Subject<'_>,
    target: Target,
    via: Option<Domain>,
) -> Result<Rewritten, Unroutable> {
    let unchanged = subject.user == before.local.as_str() && subject.host == before.domain.as_str();
    let address = if unchanged {
        None
    } else {
        let local = LocalPart::new(&*subject.user);
        let domain = Domain::parse(&subject.host);
        match (local, domain) {
            (Ok(local), Ok(domain)) => Some(Address::new(local, domain)),
            // Each rule's result was checked when it fired.
            (Err(error), _) | (_, Err(error)) => return Err(Unroutable::NoChannel(error.to_string())),
        }
    };
    Ok(Rewritten { address, target, via, by_plugin: false })
}

/// `user%host` and `host!user`, where the rules ask for them.
fn take_apart(rules: &Rules, user: &str) -> Option<Subject<'static>> {
    if rules.takes_percent()
        && let Some((user, host)) = user.rsplit_once('%')
        && !user.is_empty()
        && let Ok(host) = Domain::parse(host)
    {
        let (user, host) = (user.to_owned().into(), String::from(host).into());
        return Some(Subject { user, host, position: Position::Percent });
    }
    if rules.takes_bang()
        && let Some((host, user)) = user.split_once('!')
        && !user.is_empty()
        && let Ok(host) = Domain::parse(host)
    {
        let (user, host) = (user.to_owned().into(), String::from(host).into());
        return Some(Subject { user, host, position: Position::Bang });
    }
    None
}

pub(super) struct Run<'r, 'c, R> {
    pub(super) rules: &'r Rules,
    pub(super) context: Context<'c>,
    pub(super) facts: &'c dyn Facts,
    pub(super) recorder: &'c mut R,
    tag: &'r str,
    message: Option<(&'r Message, &'r Rule)>,
    /// Whether no plugin is asked any more.
    pub(super) settled: bool,
    /// Who has sent it back to the start.
    pub(super) again: Again,
}

impl<'r, R: Recorder> Run<'r, '_, R> {
    fn no_rule(&self) -> Unroutable {
        match self.message {
            Some((message, rule)) => Unroutable::NoRule(Some(message.clone()), Some(rule.origin())),
            None => Unroutable::NoRule(None, None),
        }
    }

    /// Whether the text of a rule is for this address. Envelope senders are refused by rules that are for senders, and
    /// by no others: `. $?We do not relay` says nothing about who may write to us.
    fn may_refuse(&self, rule: &Rule) -> bool {
        let sender = self.context.place == Place::Envelope && self.context.direction == Direction::Backward;
        !sender || rule.template.controls.direction == Some(Direction::Backward)
    }

    /// Looks for one rule that fires, from the most specific key to the least.
    fn once(&mut self, subject: &Subject<'_>, first: bool) -> Result<Option<Fired>, Unroutable> {
        let host = &*subject.host;
        let whole = self.matched(subject, host, "", "");
        if first && let Some(fired) = self.under("$*", &whole, subject)? {
            return Ok(Some(fired));
        }
        let hit = if host.starts_with('[') { self.literal(subject)? } else { self.named(subject)? };
        if hit.is_some() {
            return Ok(hit);
        }
        // The catch-all is no ground to take a local part for a foreign address.
        let last = match subject.position {
            Position::Percent => "$%",
            Position::Bang => "$!",
            Position::At | Position::SourceRoute => ".",
        };
        self.under(last, &whole, subject)
    }

    fn matched<'s>(
        &self,
        subject: &'s Subject<'_>,
        host: &'s str,
        domain: &'s str,
        literal: &'s str,
    ) -> Matched<'s> {
        Matched { user: &subject.user, host, domain, literal, separator: self.context.separator }
    }

    /// The keys of a host name.
    fn named(&mut self, subject: &Subject<'_>) -> Result<Option<Fired>, Unroutable> {
        let host = &*subject.host;
        let matched = self.matched(subject, "", host, "");
        let hit = self.under(host, &matched, subject)?;
        if hit.is_some() {
            return Ok(hit);
        }
        let wildcards = self.rules.wildcards().min(WILDCARDS_MAX);
        let dots = host.match_indices('.').map(|(at, _)| at).chain(std::iter::once(host.len()));
        for (nth, dot) in dots.enumerate() {
            let matched = self.matched(subject, &host[..dot], &host[dot..], "");
            if nth < wildcards {
                let key = format!("{}{}", vec!["*"; nth + 1].join("."), &host[dot..]);
                let hit = self.under(&key, &matched, subject)?;
                if hit.is_some() {
                    return Ok(hit);
                }
            }
            if dot < host.len() {
                let hit = self.under(&host[dot..], &matched, subject)?;
                if hit.is_some() {
                    return Ok(hit);
                }
            }
        }
        Ok(None)
    }

    /// The keys of an address literal.
    fn literal(&mut self, subject: &Subject<'_>) -> Result<Option<Fired>, Unroutable> {
        let host = &*subject.host;
        let inner = host.trim_start_matches('[').trim_end_matches(']');
        let matched = self.matched(subject, "", host, "");
        let hit = self.under(host, &matched, subject)?;
        if hit.is_some() {
            return Ok(hit);
        }
        for (dot, _) in inner.rmatch_indices('.') {
            let matched = self.matched(subject, "", &inner[..=dot], &inner[dot + 1..]);
            let hit = self.under(&format!("[{}]", &inner[..=dot]), &matched, subject)?;
            if hit.is_some() {
                return Ok(hit);
            }
        }
        let matched = self.matched(subject, "", "", inner);
        self.under("[]", &matched, subject)
    }

    /// Tries the rules of one key, in the order of the file.
    fn under(
        &mut self,
        key: &str,
        matched: &Matched<'_>,
        subject: &Subject<'_>,
    ) -> Result<Option<Fired>, Unroutable> {
        let tagged;
        let key = if self.tag.is_empty() {
            key
        } else {
            tagged = format!("{}{key}", self.tag);
            &tagged
        };
        for rule in self.rules.under(key) {
            if let Some(message) = &rule.template.message
                && self.may_refuse(rule)
            {
                self.message = Some((message, rule));
            }
            match self.apply(rule, matched, subject) {
                Ok(fired) if self.is_released(&rule.text, " -> ", &fired) => {
                    let step = || Step::new(StepKind::RuleTried, format!("{}: {RELEASED}", rule.text));
                    self.recorder.note(|| step().at(rule.origin()));
                }
                Ok(fired) => {
                    self.record(rule, &fired, subject);
                    self.tag = rule.template.set_tag.as_deref().unwrap_or(self.tag);
                    return Ok(Some(fired));
                }
                Err(Failure::Next(why)) => {
                    let step = || Step::new(StepKind::RuleTried, format!("{}: {why}", rule.text));
                    self.recorder.detail(|| step().at(rule.origin()));
                }
                Err(Failure::Final(Unroutable::Open)) => return Err(Unroutable::Open),
                Err(Failure::Final(unroutable)) => {
                    let step = || Step::new(StepKind::Refused, format!("{}: {unroutable}", rule.text));
                    self.recorder.note(|| step().at(rule.origin()));
                    return Err(unroutable);
                }
            }
        }
        Ok(None)
    }

    /// Whether a rule or plugin parks what an operator has let past it. The trail names it first, and then this mark.
    pub(super) fn is_released(&self, name: &str, mark: &str, fired: &Fired) -> bool {
        let parks = matches!(&fired.next, Next::Route(Target::Channel(channel), _) if channel.as_str() == ChannelName::HOLD);
        parks && crate::holds::is_released(self.context.released, name, mark)
    }

    fn record(&mut self, rule: &Rule, fired: &Fired, subject: &Subject<'_>) {
        self.recorder.note(|| {
            let user = fired.user.as_deref().unwrap_or(&subject.user);
            let host = fired.host.as_deref().unwrap_or(&subject.host);
            let text = match &fired.next {
                Next::Again | Next::Anew => format!("{} -> {user}@{host}, again", rule.text),
                Next::Refuse => format!("{} -> refused", rule.text),
                Next::Route(Target::Local, _) => format!("{} -> {user}@{host}, local", rule.text),
                Next::Route(Target::Channel(channel), None) => {
                    format!("{} -> {user}@{host}, channel {channel}", rule.text)
                }
                Next::Route(Target::Channel(channel), Some(via)) => {
                    format!("{} -> {user}@{host}, channel {channel} by way of {via}", rule.text)
                }
            };
            Step::new(StepKind::RuleFired, text).at(rule.origin())
        });
    }
}
