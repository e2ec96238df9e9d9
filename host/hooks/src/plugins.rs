//! The port that whoever decides asks.

use std::future::Future;
use std::pin::Pin;

use mail_types::Domain;

use crate::Attributes;
use crate::action::{Action, Content, DispositionRequest};
use crate::context::CallContext;
use crate::failure::{Failed, FailureKind, OnFailure};
use crate::name::PluginName;
use crate::report::Told;
use crate::rewrite::{ReverseRequest, ReverseVerdict, RewriteRequest, RewriteVerdict};
use crate::role::Role;
use crate::rows::EntryRows;
use crate::sender::{SenderRequest, SenderVerdict};
use crate::sitting::Sitting;

/// A future on the heap, so that the port can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What can be said without running anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready<T> {
    /// This: the plugin is not interested, or the answer is remembered.
    Answer(T),
    /// It failed before it could run: it is missing, or rests.
    Failed(Failed),
    /// It has to be asked.
    Ask,
}

/// How a plugin stands to a role of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In force: it has the role, and acts for the domain.
    Ready,
    /// In force, but without the role, or for other tenants only.
    Without,
    /// Installed with the role, and not in force now: disabled, or it could not be started.
    Away,
    /// Not installed, as far as is known.
    Absent,
}

/// Plugins that can be asked. Every answer has been checked against the contract and the tenant's rights; a failure
/// says what becomes of the mail. Calls end by themselves, within their limits. Who implements only some roles has no
/// plugin in the others: one that is named is missing, and mail waits, because nobody knows what it would have said.
pub trait Plugins: Send + Sync + 'static {
    /// The plugins that the configuration binds to a role of a domain, in order.
    fn bound(&self, role: Role, domain: &Domain) -> Vec<PluginName>;

    /// Whether any plugin is bound to a role at all, by the configuration.
    fn any_bound(&self, role: Role) -> bool;

    /// What is in force for a role, as one word: another one after each change of a plugin that has the role, of its
    /// configuration, or of its bindings. Empty: no plugin has it. Who keeps answers sees by it that they are old.
    fn stamp(&self, _role: Role) -> String {
        String::new()
    }

    /// How a plugin stands to a role of a domain (its canonical name).
    fn standing(&self, _plugin: &PluginName, _role: Role, _domain: &Domain) -> Standing {
        Standing::Absent
    }

    /// Whether a plugin is known not to have a role: what names it without one does not mean that.
    fn lacks(&self, _plugin: &PluginName, _role: Role) -> bool {
        false
    }

    /// What becomes of mail where what a plugin answers in a role is no answer, as whoever asks finds out by several of them.
    fn on_failure(&self, _plugin: &PluginName, _role: Role) -> OnFailure {
        OnFailure::default()
    }

    /// What can be said of an address at once: hot paths ask this first.
    fn ready(
        &self,
        plugin: &PluginName,
        context: &CallContext,
        request: &RewriteRequest,
    ) -> Ready<RewriteVerdict> {
        let _ = (context, request);
        Ready::Failed(missing(plugin))
    }

    /// Asks for the new forms of addresses; one verdict each, in order. The questions of one decision come in one sitting:
    /// one instance may serve them.
    fn rewrite<'a>(
        &'a self,
        plugin: &'a PluginName,
        context: &'a CallContext,
        batch: &'a [RewriteRequest],
        sitting: &'a mut Sitting,
    ) -> BoxFuture<'a, Told<Vec<RewriteVerdict>>> {
        let _ = (context, batch, sitting);
        nobody(plugin)
    }

    /// Asks how others shall see senders; one verdict each, in order.
    fn reverse<'a>(
        &'a self,
        plugin: &'a PluginName,
        context: &'a CallContext,
        batch: &'a [ReverseRequest],
        sitting: &'a mut Sitting,
    ) -> BoxFuture<'a, Told<Vec<ReverseVerdict>>> {
        let _ = (context, batch, sitting);
        nobody(plugin)
    }

    /// Asks whether an account may send as an address.
    fn authorize<'a>(
        &'a self,
        plugin: &'a PluginName,
        context: &'a CallContext,
        request: &'a SenderRequest,
        sitting: &'a mut Sitting,
    ) -> BoxFuture<'a, Told<SenderVerdict>> {
        let _ = (context, request, sitting);
        nobody(plugin)
    }

    /// Asks what becomes of a message for a recipient. Each has a call of its own, with the limits of one; an instance may
    /// serve all those of a sitting.
    fn dispose<'a>(
        &'a self,
        plugin: &'a PluginName,
        context: &'a CallContext,
        recipient: DispositionRequest,
        content: Content,
        sitting: &'a mut Sitting,
    ) -> BoxFuture<'a, Told<Vec<Action>>> {
        let _ = (context, recipient, content, sitting);
        nobody(plugin)
    }

    /// Asks for the rows of directory entries (DN and attributes); one answer each, in order.
    fn build_rows<'a>(
        &'a self,
        plugin: &'a PluginName,
        domain: &'a Domain,
        entries: &'a [(String, Attributes)],
    ) -> BoxFuture<'a, Told<Vec<EntryRows>>> {
        let _ = (domain, entries);
        nobody(plugin)
    }
}

fn missing(plugin: &PluginName) -> Failed {
    Failed {
        plugin: plugin.clone(),
        kind: FailureKind::Missing,
        message: "no plugin of that name is installed".to_owned(),
        on_failure: OnFailure::Tempfail,
    }
}

fn nobody<'a, T: Send + 'a>(plugin: &PluginName) -> BoxFuture<'a, Told<T>> {
    let failed = missing(plugin);
    Box::pin(async move { Told::at_once(Err(failed)) })
}
