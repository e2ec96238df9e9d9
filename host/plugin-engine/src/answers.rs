//! The port of whoever decides: questions in the host's words, answers checked.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hooks::{
    Action, Attributes, BoxFuture, CallContext, Content, Direction, DispositionRequest, EntryRows,
    PluginName, Plugins, Position, Ready, ReverseRequest, ReverseVerdict, RewriteRequest, RewriteVerdict,
    Role, SenderRequest, SenderVerdict, Sitting, Standing, Told,
};
use hooks::{FailureKind, OnFailure};
use mail_types::Domain;

use crate::engine::Engine;
use crate::interest::Subject;
use crate::plugin::Plugin;
use crate::question::{Answer, Question};
use crate::validate::Invalid;

/// Most items of one question; a longer batch is asked in pieces.
const BATCH_MAX: usize = 1000;

fn length<T>(given: &[T], asked: usize) -> Result<(), Invalid> {
    if given.len() == asked {
        return Ok(());
    }
    Err(Invalid::Answer(format!("it gives {} answers to {asked} questions", given.len())))
}

fn wrong<T>() -> Result<T, Invalid> {
    Err(Invalid::Answer("it answers another role".to_owned()))
}

fn rewrite_matters(plugin: &Plugin, request: &RewriteRequest) -> bool {
    let RewriteRequest { address, position, direction, .. } = request;
    let subject = Subject { address, position: *position, direction: *direction };
    plugin.interests.matter(Role::Rewrite, &subject)
}

fn from_matters(plugin: &Plugin, role: Role, address: &mail_types::Address, position: Position) -> bool {
    plugin.interests.matter(role, &Subject { address, position, direction: Direction::From })
}

impl Engine {
    /// A plugin that says itself what it has to do with: where it does not act, asking it fails, whatever that is.
    fn acting(&self, name: &PluginName, context: &CallContext) -> Option<Arc<Plugin>> {
        self.plugin(name).filter(|one| one.settings.acts_for(context.tenant.as_ref()))
    }

    /// Whether a recipient is among those that a plugin says it has to do with. Of one that is not there it is not known.
    fn disposition_matters(
        &self,
        name: &PluginName,
        context: &CallContext,
        recipient: &DispositionRequest,
    ) -> bool {
        let Some(plugin) = self.acting(name, context) else { return true };
        let (position, direction) = (Position::Envelope, Direction::To);
        let subject = Subject { address: &recipient.address, position, direction };
        let matters = plugin.interests.matter(Role::Disposition, &subject);
        if !matters {
            plugin.numbers.passed_over.fetch_add(1, Ordering::Relaxed);
        }
        matters
    }

    async fn rewrite_batch(
        &self,
        name: &PluginName,
        context: &CallContext,
        batch: &[RewriteRequest],
        sitting: &mut Sitting,
    ) -> Told<Vec<RewriteVerdict>> {
        let plugin = match self.0.find(name, Role::Rewrite, context.tenant.as_ref()) {
            Ok(plugin) => plugin,
            Err(failed) => {
                return self.0.in_vain(sitting, context, &Question::rewrite(context, batch), failed);
            }
        };
        // Before anything is read: an answer from older tables must not pass for one from newer ones.
        let generation = self.0.surroundings.world.generation();
        let mut verdicts: Vec<Option<RewriteVerdict>> = vec![None; batch.len()];
        let mut open: Vec<usize> = Vec::new();
        for (at, request) in batch.iter().enumerate() {
            match at_once(&plugin, generation, context, request) {
                Some(verdict) => verdicts[at] = Some(verdict),
                None => open.push(at),
            }
        }
        let mut report = hooks::CallReport { remembered: open.is_empty(), ..Default::default() };
        for piece in open.chunks(BATCH_MAX) {
            let mut question = Question::rewrite(context, piece.iter().map(|at| &batch[*at]));
            if plugin.memo.is_some() {
                question.hide_id();
            }
            let told = self.0.put_to(&plugin, sitting, context, question, None, |judge, answer| {
                let Answer::Rewrite(given) = answer else { return wrong() };
                length(&given, piece.len())?;
                let checked = given.into_iter().zip(piece).map(|(verdict, at)| {
                    let address = &batch[*at].address;
                    judge.rewrite(verdict, (address.local.as_str(), address.domain.as_str()))
                });
                checked.collect::<Result<Vec<_>, _>>()
            });
            let Told { answer, report: of_piece } = told.await;
            report = of_piece;
            let given = match answer {
                Ok(given) => given,
                Err(failed) => return Told { answer: Err(failed), report },
            };
            for (at, verdict) in piece.iter().zip(given) {
                if let Some(memo) = &plugin.memo {
                    memo.remember(generation, context, &batch[*at], &verdict);
                }
                verdicts[*at] = Some(verdict);
            }
        }
        let verdicts =
            verdicts.into_iter().map(|verdict| verdict.unwrap_or(RewriteVerdict::NoMatch)).collect();
        Told { answer: Ok(verdicts), report }
    }
}

/// What can be said without a call of a plugin that was found: no interest, or a remembered answer.
fn at_once(
    plugin: &Plugin,
    generation: u64,
    context: &CallContext,
    request: &RewriteRequest,
) -> Option<RewriteVerdict> {
    if !rewrite_matters(plugin, request) {
        plugin.numbers.passed_over.fetch_add(1, Ordering::Relaxed);
        return Some(RewriteVerdict::NoMatch);
    }
    let remembered = plugin.memo.as_ref()?.recall(generation, context, request)?;
    plugin.numbers.remembered.fetch_add(1, Ordering::Relaxed);
    Some(remembered)
}

impl Plugins for Engine {
    fn bound(&self, role: Role, domain: &Domain) -> Vec<PluginName> {
        self.0.active.load().bound(role, domain)
    }

    fn any_bound(&self, role: Role) -> bool {
        self.0.active.load().any_bound(role)
    }

    fn stamp(&self, role: Role) -> String {
        self.0.active.load().stamp(role)
    }

    fn standing(&self, plugin: &PluginName, role: Role, domain: &Domain) -> Standing {
        match self.plugin(plugin) {
            None => {
                // Without a section it acts for nobody.
                let acts = self.settings_of(plugin).is_some_and(|settings| settings.acts_for(Some(domain)));
                let manifest = acts.then(|| self.stand(plugin)?.manifest).flatten();
                let has_role = manifest.is_some_and(|manifest| manifest.roles.contains(&role));
                if has_role { Standing::Away } else { Standing::Absent }
            }
            Some(plugin)
                if plugin.manifest.roles.contains(&role) && plugin.settings.acts_for(Some(domain)) =>
            {
                Standing::Ready
            }
            Some(_) => Standing::Without,
        }
    }

    fn lacks(&self, plugin: &PluginName, role: Role) -> bool {
        match self.plugin(plugin) {
            Some(plugin) => !plugin.manifest.roles.contains(&role),
            // One that is disabled, or cannot be started, still has no other roles.
            None => {
                let manifest = self.stand(plugin).and_then(|stand| stand.manifest);
                manifest.is_some_and(|manifest| !manifest.roles.contains(&role))
            }
        }
    }

    fn on_failure(&self, plugin: &PluginName, role: Role) -> OnFailure {
        let plugin = self.plugin(plugin);
        plugin.map_or_else(OnFailure::default, |plugin| plugin.settings.on_failure(role, FailureKind::Answer))
    }

    fn ready(
        &self,
        name: &PluginName,
        context: &CallContext,
        request: &RewriteRequest,
    ) -> Ready<RewriteVerdict> {
        // What cannot be asked is told and counted where it is asked in vain.
        let Ok(plugin) = self.0.find(name, Role::Rewrite, context.tenant.as_ref()) else {
            return Ready::Ask;
        };
        match at_once(&plugin, self.0.surroundings.world.generation(), context, request) {
            Some(verdict) => Ready::Answer(verdict),
            None => Ready::Ask,
        }
    }

    fn rewrite<'a>(
        &'a self,
        plugin: &'a PluginName,
        context: &'a CallContext,
        batch: &'a [RewriteRequest],
        sitting: &'a mut Sitting,
    ) -> BoxFuture<'a, Told<Vec<RewriteVerdict>>> {
        Box::pin(self.rewrite_batch(plugin, context, batch, sitting))
    }

    fn reverse<'a>(
        &'a self,
        plugin: &'a PluginName,
        context: &'a CallContext,
        batch: &'a [ReverseRequest],
        sitting: &'a mut Sitting,
    ) -> BoxFuture<'a, Told<Vec<ReverseVerdict>>> {
        Box::pin(async move {
            let matters = |request: &ReverseRequest| {
                self.acting(plugin, context).is_none_or(|plugin| {
                    from_matters(&plugin, Role::Reverse, &request.address, request.position)
                })
            };
            if !batch.iter().any(matters) {
                return Told::at_once(Ok(vec![ReverseVerdict::Unchanged; batch.len()]));
            }
            self.0
                .put_in(sitting, plugin, context, Question::reverse(context, batch), None, |judge, answer| {
                    let Answer::Reverse(given) = answer else { return wrong() };
                    length(&given, batch.len())?;
                    given.into_iter().map(|verdict| judge.reverse(verdict)).collect()
                })
                .await
        })
    }

    fn authorize<'a>(
        &'a self,
        plugin: &'a PluginName,
        context: &'a CallContext,
        request: &'a SenderRequest,
        sitting: &'a mut Sitting,
    ) -> BoxFuture<'a, Told<SenderVerdict>> {
        Box::pin(async move {
            let matters = self.acting(plugin, context).is_none_or(|plugin| {
                from_matters(&plugin, Role::AuthorizeSender, &request.address, Position::Envelope)
            });
            if !matters {
                return Told::at_once(Ok(SenderVerdict::NoOpinion));
            }
            if let Some(told) = self.0.barred(sitting, plugin, context, Role::AuthorizeSender) {
                return told;
            }
            let asked = crate::question::address(&request.address);
            let question = self.0.laid_out(plugin, context, request.attributes.len(), |reads| {
                Question::authorize(context, request, reads)
            });
            self.0
                .put_in(sitting, plugin, context, question, None, |judge, answer| {
                    let Answer::AuthorizeSender(given) = answer else { return wrong() };
                    judge.authorize(given, &asked)
                })
                .await
        })
    }

    fn dispose<'a>(
        &'a self,
        plugin: &'a PluginName,
        context: &'a CallContext,
        recipient: DispositionRequest,
        content: Content,
        sitting: &'a mut Sitting,
    ) -> BoxFuture<'a, Told<Vec<Action>>> {
        Box::pin(async move {
            if !self.disposition_matters(plugin, context, &recipient) {
                return Told::at_once(Ok(Vec::new()));
            }
            if let Some(told) = self.0.barred(sitting, plugin, context, Role::Disposition) {
                return told;
            }
            let account = recipient.account.clone();
            let question = self.0.laid_out(plugin, context, recipient.profile.len(), |reads| {
                Question::dispose(context, recipient, reads)
            });
            self.0
                .put_in(sitting, plugin, context, question, Some(content), |judge, answer| {
                    let Answer::Disposition(given) = answer else { return wrong() };
                    length(&given, 1)?;
                    let actions = given.into_iter().next().unwrap_or_default();
                    judge.targets(judge.dispose(actions)?, &account)
                })
                .await
        })
    }

    fn build_rows<'a>(
        &'a self,
        plugin: &'a PluginName,
        domain: &'a Domain,
        entries: &'a [(String, Attributes)],
    ) -> BoxFuture<'a, Told<Vec<EntryRows>>> {
        Box::pin(async move {
            let context = CallContext { tenant: Some(domain.clone()), ..CallContext::default() };
            let question = Question::build_rows(domain.as_str(), entries);
            self.0
                .put(plugin, &context, question, |judge, answer| {
                    let Answer::RouteTable(given) = answer else { return wrong() };
                    length(&given, entries.len())?;
                    given.into_iter().map(|rows| judge.rows(rows, domain.as_str())).collect()
                })
                .await
        })
    }
}
