//! What a call costs in instructions, which is the same on every machine and at every load: counted where somebody asks for
//! an explanation.
//!
//! What serves mail is stopped by time and counts nothing. So a call that is to be counted is recorded, and played once more
//! on a twin of the plugin that was compiled for counting: without effect, and with the answer that is known already.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use hooks::CallReport;
use parking_lot::Mutex;

use crate::component::Unfit;
use crate::engine::Inner;
use crate::machine::{Machine, Profile};
use crate::plugin::Plugin;
use crate::recording::Recording;
use crate::shadow::replayed;

/// Largest component that is compiled for counting, in octets: an interpreter would keep whoever asks waiting for a minute.
pub(crate) const COUNTED_COMPONENT_MAX: u64 = 1 << 20;
/// Most twins that are kept.
const TWINS_MAX: usize = 16;

/// Plugins as they are compiled for counting. Nothing is set aside before somebody asks.
#[derive(Default)]
pub(crate) struct Meter {
    machine: OnceLock<Arc<Machine>>,
    twins: Mutex<VecDeque<Arc<Plugin>>>,
}

impl Meter {
    fn machine(&self) -> Result<Arc<Machine>, Unfit> {
        if let Some(machine) = self.machine.get() {
            return Ok(Arc::clone(machine));
        }
        let machine = Machine::on_demand(Profile::Metering).map_err(|error| {
            Unfit::new(format!("nothing can be counted here: {error:#}"), "use another machine")
        })?;
        Ok(Arc::clone(self.machine.get_or_init(|| Arc::new(machine))))
    }
}

impl Inner {
    /// Counts what a call took, or says in its report why that cannot be done.
    pub(crate) async fn count(&self, plugin: &Plugin, call: &Recording, report: &mut CallReport) {
        match self.fuel(plugin, call).await {
            Ok(fuel) => report.fuel = Some(fuel),
            Err(why) => report.uncounted = Some(why.into()),
        }
    }

    async fn fuel(&self, plugin: &Plugin, call: &Recording) -> Result<u64, String> {
        let (size, max) = (plugin.manifest.size >> 10, COUNTED_COMPONENT_MAX >> 10);
        if size > max {
            return Err(format!(
                "a component of {size} KiB is not compiled for counting, only up to {max} KiB"
            ));
        }
        let twin = self.twin(plugin).await.map_err(|unfit| unfit.to_string())?;
        let asked = replayed(&twin, call).await;
        asked.report.fuel.ok_or_else(|| match asked.answer {
            Err((_, why)) => format!("played once more, it fails: {why}"),
            Ok(_) => "played once more, it counts nothing".to_owned(),
        })
    }

    async fn twin(&self, plugin: &Plugin) -> Result<Arc<Plugin>, Unfit> {
        let is_of = |twin: &Arc<Plugin>| {
            twin.manifest.digest == plugin.manifest.digest && *twin.settings == *plugin.settings
        };
        // Not held while it is compiled: who explains another plugin does not wait for that.
        let known = self.meter.twins.lock().iter().find(|twin| is_of(twin)).cloned();
        if let Some(twin) = known {
            return Ok(twin);
        }
        let machine = self.meter.machine()?;
        let (component, manifest) = self.artefacts.load(&plugin.manifest.digest, &machine).await?;
        let surroundings = self.surroundings.clone();
        let settings = (*plugin.settings).clone();
        let twin = Plugin::load(&machine, &self.places, &component, manifest, settings, surroundings).await?;
        let twin = Arc::new(twin);
        let mut twins = self.meter.twins.lock();
        // Somebody else may have brought it meanwhile.
        twins.retain(|other| !is_of(other));
        twins.push_back(Arc::clone(&twin));
        if twins.len() > TWINS_MAX {
            twins.pop_front();
        }
        Ok(twin)
    }
}
