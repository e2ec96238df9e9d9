//! Asking plugins in the course of a decision.
//!
//! A decision is made by code that never waits, over one view of the tables. Where a plugin has to be asked, the
//! question is noted and the decision halts; the view is closed, the questions are asked, all that go to one plugin for
//! one tenant in one call, and the decision is made again from the start, now with the answers. It has then one view
//! and one set of answers, whichever way they came. Where a plugin of a chain has nothing to say, the next one is asked
//! at once: the decision is not made again for each.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::Guard;
use directory::Dn;
use hooks::{Binding, CallContext, Failed, FailureKind, OnFailure, PluginName, Plugins, Ready, Role};
use hooks::{RewriteRequest, RewriteVerdict, Sitting, Told};
use mail_types::{AccountName, Address, Domain, Refusal};
use runtime::Random;

use crate::resolve::domains::View;
use crate::resolve::{Halt, NESTING_MAX, Request, refusals};
use crate::rewrite::plugin::{Heard, Link, Said};
use crate::rewrite::rules::Rules;
use crate::routing::{Policy, Routing};
use crate::source::{ASKED_OF_SOURCE_MAX, Missed};

/// Most times that plugins are asked for one decision. Each level of groups and forwards may need its own.
pub const ROUNDS_MAX: usize = NESTING_MAX + 16;
/// Most addresses that one call of a plugin is asked about.
pub const BATCH_MAX: usize = 1000;

/// On whose behalf a decision is made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct About<'a> {
    pub(crate) source: &'a str,
    pub(crate) authenticated: Option<&'a AccountName>,
    pub(crate) id: &'a str,
    /// Whether it is counted what plugins cost.
    pub(crate) counted: bool,
}

impl<'a> From<&Request<'a>> for About<'a> {
    fn from(request: &Request<'a>) -> Self {
        let Request { source, authenticated, id, .. } = *request;
        Self { source, authenticated, id, counted: false }
    }
}

impl About<'_> {
    fn context(&self, tenant: Option<Domain>) -> CallContext {
        CallContext {
            tenant,
            channel: self.source.to_owned(),
            authenticated: self.authenticated.cloned(),
            id: self.id.to_owned(),
        }
    }
}

/// A question to a plugin; all else about it is the same for the whole decision.
struct Question {
    plugin: PluginName,
    tenant: Option<Domain>,
    request: RewriteRequest,
    /// Who is asked the same where it has nothing to say, in order.
    then: Vec<Link>,
}

/// An answer for which nothing had to run.
struct AtOnce {
    plugin: PluginName,
    tenant: Option<Domain>,
    request: RewriteRequest,
    said: Said,
}

/// What a plugin said of a request on behalf of a tenant.
struct Answered {
    plugin: PluginName,
    tenant: Option<Domain>,
    said: Said,
}

/// What is known for one decision, over all its rounds.
#[derive(Default)]
pub(crate) struct Gathered {
    answers: HashMap<RewriteRequest, Vec<Answered>>,
    /// Numbers that rules drew (`$W`), in order: a question must not be another one in the next round.
    unique: RefCell<Vec<u64>>,
    /// What the last round looked for and the tables do not have.
    missed: RefCell<Missed>,
}

/// What one round of a decision may ask plugins.
pub(crate) struct Consult<'a> {
    plugins: &'a dyn Plugins,
    about: About<'a>,
    gathered: &'a Gathered,
    open: RefCell<Vec<Question>>,
    /// What was said at once.
    told: RefCell<Vec<AtOnce>>,
    /// The context of the tenant that was asked for last.
    context: RefCell<Option<Rc<CallContext>>>,
    drawn: Cell<usize>,
}

impl<'a> Consult<'a> {
    pub(crate) fn new(plugins: &'a dyn Plugins, about: About<'a>, gathered: &'a Gathered) -> Self {
        let (open, told, context) = (RefCell::default(), RefCell::default(), RefCell::default());
        Self { plugins, about, gathered, open, told, context, drawn: Cell::new(0) }
    }

    /// Notes an address that the tables do not have.
    pub(crate) fn miss(&self, address: &Address) {
        let missed = &mut self.gathered.missed.borrow_mut().addresses;
        if missed.len() < ASKED_OF_SOURCE_MAX && !missed.contains(address) {
            missed.push(address.clone());
        }
    }

    /// Notes an entry of which the tables have no row.
    pub(crate) fn miss_entry(&self, dn: Dn) {
        self.gathered.missed.borrow_mut().entries.insert(dn);
    }

    pub(crate) fn any_bound(&self, role: Role) -> bool {
        self.plugins.any_bound(role)
    }

    /// The plugins that the configuration binds to a role of a domain.
    pub(crate) fn bound(&self, role: Role, domain: &str) -> Vec<Link> {
        if !self.plugins.any_bound(role) {
            return Vec::new();
        }
        let Ok(domain) = Domain::parse(domain) else { return Vec::new() };
        let bound = self.plugins.bound(role, &domain);
        bound.into_iter().map(|plugin| Link { plugin, origin: "configuration".into() }).collect()
    }

    /// Whether what an entry says of a plugin means a role: the one that it names, or else any that the plugin has.
    pub(crate) fn means(&self, binding: &Binding, role: Role) -> bool {
        binding.is_for(role) && (binding.role.is_some() || !self.plugins.lacks(&binding.plugin, role))
    }

    pub(crate) fn on_failure(&self, plugin: &PluginName) -> OnFailure {
        self.plugins.on_failure(plugin, Role::Rewrite)
    }

    pub(crate) fn unique(&self, random: &Random) -> u64 {
        let nth = self.drawn.replace(self.drawn.get() + 1);
        let mut unique = self.gathered.unique.borrow_mut();
        while unique.len() <= nth {
            unique.push(random.u64());
        }
        unique[nth]
    }

    /// What a plugin says of an address: as gathered before, else at once, else later. `then` are those of its chain who
    /// are asked after it.
    pub(crate) fn hear(
        &self,
        plugin: &PluginName,
        tenant: Option<Domain>,
        request: &RewriteRequest,
        then: &[Link],
    ) -> Heard {
        let context = self.context(tenant);
        if let Some(said) = self.gathered.said(plugin, context.tenant.as_ref(), request) {
            return Heard::Said(said.clone());
        }
        let said = at_once(self.plugins, plugin, &context, request);
        let (plugin, tenant, request) = (plugin.clone(), context.tenant.clone(), request.clone());
        match said {
            Some(said) => {
                self.told.borrow_mut().push(AtOnce { plugin, tenant, request, said: said.clone() });
                Heard::Said(said)
            }
            None => {
                let then = then.to_vec();
                self.open.borrow_mut().push(Question { plugin, tenant, request, then });
                Heard::Open
            }
        }
    }

    fn context(&self, tenant: Option<Domain>) -> Rc<CallContext> {
        let mut last = self.context.borrow_mut();
        match &*last {
            Some(context) if context.tenant == tenant => Rc::clone(context),
            _ => Rc::clone(last.insert(Rc::new(self.about.context(tenant)))),
        }
    }
}

impl Gathered {
    fn said(&self, plugin: &PluginName, tenant: Option<&Domain>, request: &RewriteRequest) -> Option<&Said> {
        let answers = self.answers.get(request)?;
        let own = |one: &&Answered| one.plugin == *plugin && one.tenant.as_ref() == tenant;
        answers.iter().find(own).map(|one| &one.said)
    }

    fn note(&mut self, plugin: &PluginName, tenant: Option<&Domain>, request: RewriteRequest, said: Said) {
        let (plugin, tenant) = (plugin.clone(), tenant.cloned());
        self.answers.entry(request).or_default().push(Answered { plugin, tenant, said });
    }

    fn note_all(&mut self, told: Vec<AtOnce>) {
        for AtOnce { plugin, tenant, request, said } in told {
            self.note(&plugin, tenant.as_ref(), request, said);
        }
    }

    /// Asks the open questions, and whoever comes next where the answer is none.
    async fn ask(
        &mut self,
        plugins: &dyn Plugins,
        about: About<'_>,
        open: Vec<Question>,
        sitting: &mut Sitting,
    ) {
        let mut open = open;
        // Each time the chains are shorter.
        while !open.is_empty() {
            let mut further = Vec::new();
            for Group { plugin, tenant, requests, then } in groups(open) {
                let context = about.context(tenant);
                for batch in requests.chunks(BATCH_MAX) {
                    let told = plugins.rewrite(&plugin, &context, batch, sitting).await;
                    self.keep(&plugin, context.tenant.as_ref(), batch, told);
                }
                for (request, then) in requests.into_iter().zip(then) {
                    let said = self.said(&plugin, context.tenant.as_ref(), &request);
                    if said.is_some_and(|said| has_nothing_to_say(&said.answer)) {
                        further.extend(self.next(plugins, &context, request, &then));
                    }
                }
            }
            open = further;
        }
    }

    /// The question to the first of a chain that has to be asked, if it comes to that.
    fn next(
        &mut self,
        plugins: &dyn Plugins,
        context: &CallContext,
        request: RewriteRequest,
        chain: &[Link],
    ) -> Option<Question> {
        for (at, Link { plugin, .. }) in chain.iter().enumerate() {
            let tenant = context.tenant.as_ref();
            let goes_on = match self.said(plugin, tenant, &request) {
                Some(said) => has_nothing_to_say(&said.answer),
                None => {
                    let Some(said) = at_once(plugins, plugin, context, &request) else {
                        let (plugin, tenant) = (plugin.clone(), tenant.cloned());
                        return Some(Question { plugin, tenant, request, then: chain[at + 1..].to_vec() });
                    };
                    let goes_on = has_nothing_to_say(&said.answer);
                    self.note(plugin, tenant, request.clone(), said);
                    goes_on
                }
            };
            if !goes_on {
                return None;
            }
        }
        None
    }

    fn keep(
        &mut self,
        plugin: &PluginName,
        tenant: Option<&Domain>,
        batch: &[RewriteRequest],
        told: Told<Vec<RewriteVerdict>>,
    ) {
        let call = Arc::new(told.report);
        let answers: Vec<Result<RewriteVerdict, Failed>> = match told.answer {
            Ok(verdicts) => verdicts.into_iter().map(Ok).collect(),
            Err(failed) => vec![Err(failed); batch.len()],
        };
        let mut answers = answers.into_iter();
        for request in batch {
            let answer = answers.next().unwrap_or_else(|| Err(too_few(plugin)));
            let said = Said { answer, call: Some(Arc::clone(&call)), batch: batch.len() };
            self.note(plugin, tenant, request.clone(), said);
        }
    }
}

/// What a plugin says without a call, where it does. That is counted, so it is asked for once a decision.
fn at_once(
    plugins: &dyn Plugins,
    plugin: &PluginName,
    context: &CallContext,
    request: &RewriteRequest,
) -> Option<Said> {
    match plugins.ready(plugin, context, request) {
        Ready::Answer(verdict) => Some(Said::at_once(Ok(verdict))),
        Ready::Failed(failed) => Some(Said::at_once(Err(failed))),
        Ready::Ask => None,
    }
}

/// Whether the next plugin of a chain is asked.
fn has_nothing_to_say(answer: &Result<RewriteVerdict, Failed>) -> bool {
    match answer {
        Ok(verdict) => *verdict == RewriteVerdict::NoMatch,
        Err(failed) => failed.on_failure == OnFailure::Skip,
    }
}

/// What one plugin is asked on behalf of one tenant: each request once, with who is asked after it.
struct Group {
    plugin: PluginName,
    tenant: Option<Domain>,
    requests: Vec<RewriteRequest>,
    then: Vec<Vec<Link>>,
}

fn groups(open: Vec<Question>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places = HashMap::new();
    let mut seen = HashSet::new();
    for Question { plugin, tenant, request, then } in open {
        let place = *places.entry((plugin.clone(), tenant.clone())).or_insert_with(|| {
            groups.push(Group { plugin, tenant, requests: Vec::new(), then: Vec::new() });
            groups.len() - 1
        });
        if seen.insert((place, request.clone())) {
            groups[place].requests.push(request);
            groups[place].then.push(then);
        }
    }
    groups
}

/// Answers are checked before they come here; this is for the case that they were not.
fn too_few(plugin: &PluginName) -> Failed {
    Failed {
        plugin: plugin.clone(),
        kind: FailureKind::Answer,
        message: "it gave fewer answers than it was asked questions".to_owned(),
        on_failure: OnFailure::Tempfail,
    }
}

/// What one round came to.
enum Round<T> {
    Done(Result<T, Refusal>),
    Open(Vec<Question>, Vec<AtOnce>),
}

impl Routing {
    /// Makes a decision, in as many rounds as it takes. `run` never waits, and can be run again. Gives with it what it
    /// missed in the tables.
    pub(crate) async fn consult<T, F>(&self, about: About<'_>, run: F) -> (Result<T, Refusal>, Missed)
    where
        F: Fn(&Rules, &View<'_>) -> Result<T, Halt> + Sync,
    {
        let policy = self.policy();
        let gathered = Gathered::default();
        match self.round(&policy, about, &gathered, &run) {
            Round::Done(answer) => (answer, gathered.missed.into_inner()),
            Round::Open(open, told) => {
                let mut gathered = gathered;
                gathered.note_all(told);
                // On the heap: what most decisions do not need must not make them larger.
                Box::pin(self.rounds(Guard::into_inner(policy), about, gathered, open, &run)).await
            }
        }
    }

    async fn rounds<T, F>(
        &self,
        policy: Arc<Policy>,
        about: About<'_>,
        mut gathered: Gathered,
        mut open: Vec<Question>,
        run: &F,
    ) -> (Result<T, Refusal>, Missed)
    where
        F: Fn(&Rules, &View<'_>) -> Result<T, Halt> + Sync,
    {
        let mut sitting = if about.counted { Sitting::counted() } else { Sitting::default() };
        for _ in 0..ROUNDS_MAX {
            gathered.ask(self.plugins(), about, open, &mut sitting).await;
            *gathered.missed.get_mut() = Missed::default();
            match self.round(&policy, about, &gathered, run) {
                Round::Done(answer) => return (answer, gathered.missed.into_inner()),
                Round::Open(further, told) => {
                    gathered.note_all(told);
                    open = further;
                }
            }
        }
        (Err(refusals::asked_too_often(ROUNDS_MAX)), Missed::default())
    }

    fn round<T>(
        &self,
        policy: &Policy,
        about: About<'_>,
        gathered: &Gathered,
        run: impl Fn(&Rules, &View<'_>) -> Result<T, Halt>,
    ) -> Round<T> {
        let consult = Consult::new(self.plugins(), about, gathered);
        let answer = self.view(policy, &consult, |rules, view| run(rules, view));
        match answer {
            Ok(done) => Round::Done(Ok(done)),
            Err(Halt::Refused(refusal)) => Round::Done(Err(refusal)),
            Err(Halt::Open) => Round::Open(consult.open.into_inner(), consult.told.into_inner()),
        }
    }

    /// Runs something that asks no plugin over one view of the tables.
    pub(crate) fn with_view<T>(
        &self,
        run: impl FnOnce(&Rules, &View<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let gathered = Gathered::default();
        let consult = Consult::new(self.plugins(), About::default(), &gathered);
        let answer = self.view(&self.policy(), &consult, |rules, view| Ok(run(rules, view)));
        match answer {
            Ok(answer) => answer,
            Err(Halt::Refused(refusal)) => Err(refusal),
            Err(Halt::Open) => Err(refusals::asked_too_often(0)),
        }
    }
}

#[cfg(test)]
mod tests;
