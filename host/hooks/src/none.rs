//! A server without plugins.

use mail_types::Domain;

use crate::Attributes;
use crate::action::{Action, Content, DispositionRequest};
use crate::context::CallContext;
use crate::failure::{Failed, FailureKind, OnFailure};
use crate::name::PluginName;
use crate::plugins::{BoxFuture, Plugins, Ready};
use crate::report::Told;
use crate::rewrite::{ReverseRequest, ReverseVerdict, RewriteRequest, RewriteVerdict};
use crate::role::Role;
use crate::rows::EntryRows;
use crate::sender::{SenderRequest, SenderVerdict};

/// No plugin is installed. One that is named nevertheless, by a rule or an entry of the directory, is missing: mail
/// waits until it is there, because nobody knows what it would have said.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPlugins;

fn missing(plugin: &PluginName) -> Failed {
    Failed {
        plugin: plugin.clone(),
        kind: FailureKind::Missing,
        message: "no plugin of that name is installed".to_owned(),
        on_failure: OnFailure::Tempfail,
    }
}

fn answer<'a, T: Send + 'a>(plugin: &PluginName) -> BoxFuture<'a, Told<T>> {
    let failed = missing(plugin);
    Box::pin(async move { Told::at_once(Err(failed)) })
}

impl Plugins for NoPlugins {
    fn bound(&self, _: Role, _: &Domain) -> Vec<PluginName> {
        Vec::new()
    }

    fn any_bound(&self, _: Role) -> bool {
        false
    }

    fn ready(&self, plugin: &PluginName, _: &CallContext, _: &RewriteRequest) -> Ready<RewriteVerdict> {
        Ready::Failed(missing(plugin))
    }

    fn rewrite<'a>(
        &'a self,
        plugin: &'a PluginName,
        _: &'a CallContext,
        _: &'a [RewriteRequest],
    ) -> BoxFuture<'a, Told<Vec<RewriteVerdict>>> {
        answer(plugin)
    }

    fn reverse<'a>(
        &'a self,
        plugin: &'a PluginName,
        _: &'a CallContext,
        _: &'a [ReverseRequest],
    ) -> BoxFuture<'a, Told<Vec<ReverseVerdict>>> {
        answer(plugin)
    }

    fn authorize<'a>(
        &'a self,
        plugin: &'a PluginName,
        _: &'a CallContext,
        _: &'a SenderRequest,
    ) -> BoxFuture<'a, Told<SenderVerdict>> {
        answer(plugin)
    }

    fn dispose<'a>(
        &'a self,
        plugin: &'a PluginName,
        _: &'a CallContext,
        _: &'a [DispositionRequest],
        _: Content,
    ) -> BoxFuture<'a, Told<Vec<Vec<Action>>>> {
        answer(plugin)
    }

    fn build_rows<'a>(
        &'a self,
        plugin: &'a PluginName,
        _: &'a Domain,
        _: &'a [(String, Attributes)],
    ) -> BoxFuture<'a, Told<Vec<EntryRows>>> {
        answer(plugin)
    }
}
