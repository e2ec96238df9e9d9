//! The card of a plugin: what it says of itself, asked for when it is installed and each time that it is brought up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hooks::{FailureKind, PluginName};
use serde::{Deserialize, Serialize};
use wasmtime::component::InstancePre;

use crate::call::Call;
use crate::component::Unfit;
use crate::fault::{Fault, one_line};
use crate::instance::{Indices, Instance};
use crate::machine::Machine;
use crate::places::Places;
use crate::plugin::new_store;
use crate::reads;
use crate::settings::{Limits, Settings};
use crate::tenant::Tenants;

/// How long a plugin may take to describe itself.
const DESCRIBE_MAX: Duration = Duration::from_secs(5);

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Its name.
    pub name: PluginName,
    /// Its version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// The JSON Schema of its configuration; empty for none.
    pub config_schema: String,
    /// Role and selector.
    pub interests: Vec<(String, String)>,
    /// The attributes of a user's entry that it reads, between spaces; `None`: all.
    #[serde(default)]
    pub entry_attributes: Option<String>,
}

/// Starts a component and asks it for its card. Always ends.
pub(crate) async fn describe(
    machine: &Arc<Machine>,
    (places, weight): (&Arc<Places>, u32),
    pre: &InstancePre<Call>,
    indices: &Indices,
    settings: &Arc<Settings>,
) -> Result<Description, Unfit> {
    let _turn = machine.turn();
    let unfit = |kind: FailureKind, what: String| {
        let within = matches!(kind, FailureKind::Memory | FailureKind::Calls | FailureKind::Busy);
        let mend = if within { "mend it, or raise its limits" } else { "mend the plugin, and build it anew" };
        Unfit::new(format!("it cannot be started: {what}"), mend)
    };
    let tenants = Tenants::new(settings.limits.clone(), settings.breaker.clone());
    // A language's engine may take its time to start once.
    let patient = Settings {
        limits: Limits { cpu: DESCRIBE_MAX, wall: DESCRIBE_MAX, ..settings.limits.clone() },
        ..Settings::clone(settings)
    };
    let call = Call::new(Arc::new(patient), Arc::default(), None, None, tenants.of(None), Instant::now());
    let store = new_store(machine, call);
    // Whoever installs holds up all other changes meanwhile.
    let Ok(Some(place)) = tokio::time::timeout(DESCRIBE_MAX, places.of(&None, weight)).await else {
        let what = format!("no place to start it came free within {} s", DESCRIBE_MAX.as_secs());
        return Err(Unfit::new(what, "try again when fewer calls of plugins are under way"));
    };
    let words = |call: &mut Call, error: &wasmtime::Error| {
        call.take_breach().unwrap_or_else(|| {
            let Fault { kind, sentence, .. } = Fault::of(error);
            (kind, sentence)
        })
    };
    let until = tokio::time::Instant::now() + DESCRIBE_MAX;
    let mut instance = match Instance::new(pre, store, place, until).await {
        Ok(instance) => instance,
        Err((error, mut store)) => {
            let (kind, why) = words(store.data_mut(), &error);
            return Err(unfit(kind, why));
        }
    };
    if let Err(error) = instance.find_all(indices) {
        let what = format!("its exports are not those of the contract: {error:#}");
        return Err(Unfit::new(what, "build it against wit/policy.wit of this host"));
    }
    let given = match tokio::time::timeout(DESCRIBE_MAX, instance.describe(indices)).await {
        Ok(Ok(given)) => given,
        Ok(Err(error)) => {
            let (kind, why) = words(instance.store.data_mut(), &error);
            return Err(unfit(kind, format!("describe: {why}")));
        }
        Err(_) => {
            let what = format!("describe takes longer than {} s", DESCRIBE_MAX.as_secs());
            return Err(unfit(FailureKind::Wall, what));
        }
    };
    let name = given.name.parse().map_err(|error: hooks::NameError| not_held(error.to_string()))?;
    let interests = given.interests.into_iter().map(|one| (one.role, one.selector)).collect();
    let (version, summary) = (one_line(&given.version), one_line(&given.summary));
    let entry_attributes = given.attrs.into_iter().find(|(key, _)| key == reads::KEY).map(|(_, names)| names);
    let config_schema = given.config_schema;
    Description { name, version, summary, config_schema, interests, entry_attributes }.sized()
}

/// What a card says, and cannot mean.
pub(crate) fn not_held(why: String) -> Unfit {
    Unfit::new(format!("what it describes does not hold: {why}"), "mend describe()")
}
