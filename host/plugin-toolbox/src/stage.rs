//! The world that a plugin on trial may ask, and the trial itself.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hooks::{Attributes, BoxFuture, Ownership, PluginName, World};
use mail_types::{ChannelName, Domain, Lookup};
use plugin_engine::{Candidate, Capability, Trial, TrialAnswer, TrialCall};

use crate::cases::Surroundings;
use crate::draft::Drafted;

/// What the tables say of the world.
struct Mock {
    hosted: BTreeSet<Domain>,
    dns: HashMap<(String, String), Vec<String>>,
}

impl World for Mock {
    fn ownership(&self, tenant: &Domain, domain: &Domain) -> Lookup<Ownership> {
        Lookup::Found(match domain {
            own if own == tenant => Ownership::Own,
            other if self.hosted.contains(other) => Ownership::Other,
            _ => Ownership::Foreign,
        })
    }

    fn has_channel(&self, _: &ChannelName) -> bool {
        // Which ones it may use is in its settings.
        true
    }

    fn generation(&self) -> u64 {
        0
    }

    fn table_row(&self, _: Option<&Domain>, _: &str, _: &str) -> Lookup<Arc<Attributes>> {
        // Tables of the cases are in its settings, too.
        Lookup::NotFound
    }

    fn dns<'a>(&'a self, name: &'a str, kind: &'a str) -> BoxFuture<'a, Lookup<Vec<String>>> {
        Box::pin(async move {
            let name = name.trim_end_matches('.').to_lowercase();
            match self.dns.get(&(name, kind.to_owned())) {
                Some(records) => Lookup::Found(records.clone()),
                None => Lookup::NotFound,
            }
        })
    }
}

/// A plugin on trial in its surroundings.
pub(crate) struct Stage {
    trial: Trial,
    around: Surroundings,
    /// Something in the store has to be put back before each call.
    stores: bool,
    _folder: Scratch,
}

impl Stage {
    /// Starts a component; without some grants, where that is what is tried.
    pub(crate) async fn set(
        candidate: &Candidate,
        name: &PluginName,
        around: Surroundings,
        tenants: BTreeSet<Domain>,
        withheld: &BTreeSet<Capability>,
    ) -> Result<Self, String> {
        let mut settings = around.settings(name.clone(), candidate.manifest(), tenants);
        settings.grants.retain(|capability| !withheld.contains(capability));
        let world = Arc::new(Mock { hosted: around.hosted.clone(), dns: around.dns.clone() });
        let folder = Scratch::new()?;
        let trial = candidate.start(settings, world, &folder.0).await.map_err(|unfit| unfit.to_string())?;
        let stores = trial.manifest().imports.contains(&Capability::Kv);
        Ok(Self { trial, around, stores, _folder: folder })
    }

    pub(crate) fn trial(&self) -> &Trial {
        &self.trial
    }

    /// A call in these surroundings. Chance is the same for the same seed.
    pub(crate) fn call(&self, drafted: &Drafted, seed: u64, fresh: bool) -> TrialCall {
        let Drafted { tenant, content, .. } = drafted.clone();
        TrialCall { now: self.around.now, seed, tenant, content, fresh }
    }

    /// Asks, with the store as the table has it.
    pub(crate) async fn ask(&self, drafted: &Drafted, seed: u64, fresh: bool) -> Result<TrialAnswer, String> {
        if self.stores {
            self.trial.forget().await?;
            for (key, value) in &self.around.kv {
                self.trial.keep(key, value.as_bytes(), drafted.tenant.as_ref()).await?;
            }
        }
        Ok(self.trial.ask(&drafted.question, self.call(drafted, seed, fresh)).await)
    }
}

/// A folder that goes when it is not needed any more.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, String> {
        let folder = runtime::files::temporary_folder("plugin");
        folder
            .map(Self)
            .map_err(|error| format!("no temporary folder can be made: {error}; make room for one"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// What stays behind is in the system's folder for such things.
fn remove(folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
}
