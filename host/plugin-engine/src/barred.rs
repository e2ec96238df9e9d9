//! Questions for which no call is made: the tenant has used up its time, or the plugin rests. What a question with an entry
//! takes before it is put is the tenant's, too.

use std::time::Instant;

use hooks::{CallContext, Failed, FailureKind, PluginName, Role, Sitting, Told};

use crate::engine::Inner;
use crate::notes;
use crate::plugin::Plugin;
use crate::question::Question;
use crate::reads::Reads;
use crate::tenant::Tenant;

/// From so many values on, it is looked how long an entry takes: the clock takes longer than a usual one.
const LARGE_ENTRY: usize = 1000;

impl Inner {
    /// What comes of a question for which no call would be made now: an entry need not be laid out for it.
    pub(crate) fn barred<T>(
        &self,
        sitting: &Sitting,
        name: &PluginName,
        context: &CallContext,
        role: Role,
    ) -> Option<Told<T>> {
        // Who is not there is told of where it is asked in vain.
        let plugin = self.find(name, role, context.tenant.as_ref()).ok().filter(|_| !sitting.is_counted())?;
        let share = plugin.tenants.of(context.tenant.as_ref());
        // As if it were shown only: a probe that is due is left to the call.
        let failed = plugin.gate(&share, role, (self.clock.steady(), true)).err()?;
        self.note_barred(&plugin, &share, context, (role, false), &failed);
        Some(Told::at_once(Err(failed)))
    }

    /// Tells and counts that a plugin is not asked.
    pub(crate) fn note_barred(
        &self,
        plugin: &Plugin,
        share: &Tenant,
        context: &CallContext,
        about: (Role, bool),
        failed: &Failed,
    ) {
        plugin.numbers.failed(failed.kind);
        // Each message meets a plugin that rests.
        if failed.kind != FailureKind::Resting || share.breaker.tells_of_rest(self.clock.steady()) {
            notes::failed(&self.events, context, about, failed);
        }
    }

    /// A question with what a plugin reads of an entry of so many values. To lay out a large one is not for nothing.
    pub(crate) fn laid_out(
        &self,
        name: &PluginName,
        context: &CallContext,
        values: usize,
        make: impl FnOnce(&Reads) -> Question,
    ) -> Question {
        let reads = self.reads(name);
        if values < LARGE_ENTRY {
            return make(&reads);
        }
        let began = Instant::now();
        let question = make(&reads);
        // The plugin is the same for every role.
        if let Some(plugin) = self.active.load().plugins.get(name) {
            let now = Instant::now();
            plugin.tenants.of(context.tenant.as_ref()).take(now.saturating_duration_since(began), now);
        }
        question
    }
}
