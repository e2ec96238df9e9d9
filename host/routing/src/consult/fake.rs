//! Plugins that answer by a function.

use std::sync::{Arc, Mutex};

use hooks::{
    BoxFuture, CallContext, CallReport, Failed, FailureKind, LogLine, OnFailure, PluginName, Plugins, Ready,
    RewriteRequest, RewriteVerdict, Role, Sitting, Told,
};
use mail_types::Domain;

/// What a plugin says; `None` where it is not interested.
pub(super) type Say = fn(&str, &RewriteRequest) -> Option<Result<RewriteVerdict, OnFailure>>;

/// A call: plugin, context, number of addresses.
pub(super) type Call = (String, CallContext, usize);

#[derive(Clone)]
pub(super) struct Fake {
    pub(super) say: Say,
    pub(super) bound: Vec<(&'static str, &'static str)>,
    /// Roles that plugins do not have.
    pub(super) lacks: Vec<(&'static str, Role)>,
    pub(super) calls: Arc<Mutex<Vec<Call>>>,
    /// Who was asked whether there is an answer without a call.
    pub(super) looked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    pub(super) fn new(say: Say) -> Self {
        Self { say, bound: Vec::new(), lacks: Vec::new(), calls: Arc::default(), looked: Arc::default() }
    }

    pub(super) fn taken(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

fn failed(plugin: &PluginName, on_failure: OnFailure) -> Failed {
    Failed {
        plugin: plugin.clone(),
        kind: FailureKind::Trap,
        message: "a secret place".to_owned(),
        on_failure,
    }
}

impl Plugins for Fake {
    fn bound(&self, role: Role, domain: &Domain) -> Vec<PluginName> {
        let here = self.bound.iter().filter(|(_, to)| role == Role::Rewrite && *to == domain.as_str());
        here.map(|(name, _)| name.parse().unwrap()).collect()
    }

    fn lacks(&self, plugin: &PluginName, role: Role) -> bool {
        self.lacks.iter().any(|(name, lacking)| *name == plugin.as_str() && *lacking == role)
    }

    fn on_failure(&self, plugin: &PluginName, _: Role) -> OnFailure {
        plugin.as_str().strip_prefix("round-").map_or_else(OnFailure::default, |word| word.parse().unwrap())
    }

    fn any_bound(&self, role: Role) -> bool {
        role == Role::Rewrite && !self.bound.is_empty()
    }

    fn ready(&self, plugin: &PluginName, _: &CallContext, request: &RewriteRequest) -> Ready<RewriteVerdict> {
        self.looked.lock().unwrap().push(format!("{plugin} {}", request.address.local));
        match (self.say)(plugin.as_str(), request) {
            None => Ready::Answer(RewriteVerdict::NoMatch),
            Some(_) => Ready::Ask,
        }
    }

    fn rewrite<'a>(
        &'a self,
        plugin: &'a PluginName,
        context: &'a CallContext,
        batch: &'a [RewriteRequest],
        _: &'a mut Sitting,
    ) -> BoxFuture<'a, Told<Vec<RewriteVerdict>>> {
        self.calls.lock().unwrap().push((plugin.to_string(), context.clone(), batch.len()));
        let say = |request| (self.say)(plugin.as_str(), request).expect("it is interested");
        let answers: Result<Vec<_>, _> = batch.iter().map(say).collect();
        let report = CallReport {
            digest: "0a1b2c3d".to_owned(),
            microseconds: 12,
            memory: 4096,
            host_calls: 2,
            log: vec![LogLine { level: "info".to_owned(), text: "hello".to_owned() }],
            ..CallReport::default()
        };
        Box::pin(async move {
            tokio::task::yield_now().await;
            Told { answer: answers.map_err(|on_failure| failed(plugin, on_failure)), report }
        })
    }
}
