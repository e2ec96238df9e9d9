//! What is told of plugins, in the words of the event list.

use events::{Event, Events};
use hooks::{CallContext, CallReport, Failed, OnFailure, PluginName, Role};
use mail_types::Domain;

use crate::plugin::Plugin;

/// Lines that a plugin logged.
pub(crate) fn logged(events: &Events, plugin: &Plugin, context: &CallContext, report: &CallReport) {
    for line in &report.log {
        events.emit(&Event::PluginLogged {
            id: &context.id,
            plugin: plugin.settings.name.as_str(),
            tenant: context.tenant.as_ref().map(Domain::as_str),
            level: &line.level,
            text: &line.text,
        });
    }
}

/// A call without an answer; where mail goes on all the same, that is told, too.
pub(crate) fn failed(
    events: &Events,
    context: &CallContext,
    (role, only_changes): (Role, bool),
    failed: &Failed,
) {
    let on_failure = match failed.on_failure {
        OnFailure::Tempfail | OnFailure::Reject if only_changes => OnFailure::Keep,
        other => other,
    };
    events.emit(&Event::PluginFailed {
        id: &context.id,
        plugin: failed.plugin.as_str(),
        tenant: context.tenant.as_ref().map(Domain::as_str),
        role: role.as_str(),
        kind: failed.kind.as_str(),
        on_failure: on_failure.as_str(),
        cause: &failed.message,
    });
}

/// A plugin came, went, rests, or works again.
pub(crate) fn changed(events: &Events, plugin: &PluginName, tenant: Option<&Domain>, change: &str) {
    events.emit(&Event::PluginChanged {
        plugin: plugin.as_str(),
        tenant: tenant.map(Domain::as_str),
        change,
    });
}
