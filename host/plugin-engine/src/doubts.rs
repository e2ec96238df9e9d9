//! What is wrong between a configuration and what is installed, without starting anything: for who checks before.

use std::path::Path;

use hooks::PluginName;

use crate::artefacts::manifest_in;
use crate::capability::Capability;
use crate::registry::Registry;
use crate::schema::Schema;
use crate::settings::Settings;

/// What is wrong with the settings of one installed plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Whose they are.
    pub plugin: PluginName,
    /// How its configuration breaks its schema: it would not be started with it.
    pub config: Vec<String>,
    /// Capabilities that it imports and that are not granted: using one ends a call.
    pub denied: Vec<Capability>,
}

/// Holds settings against the plugins that are installed and enabled in a folder; only those that something is wrong with.
/// What was installed by a program before this one has not left its schema, and is passed over.
///
/// # Errors
/// The list of installed plugins cannot be read.
pub fn doubts(folder: &Path, settings: &[Settings]) -> Result<Vec<Doubt>, String> {
    let registry = Registry::open(folder.join("installed.json"))?;
    let mut doubts = Vec::new();
    for one in settings {
        let Some(installed) = registry.of(&one.name).filter(|installed| installed.enabled) else { continue };
        let schema =
            installed.description().and_then(|described| Schema::parse(&described.config_schema).ok());
        let config = schema.and_then(|schema| schema.fill(&one.config).err()).unwrap_or_default();
        let imports = manifest_in(folder, &installed.active).map(|manifest| manifest.imports);
        let denied = denied(&imports.unwrap_or_default(), one);
        if !(config.is_empty() && denied.is_empty()) {
            doubts.push(Doubt { plugin: one.name.clone(), config, denied });
        }
    }
    Ok(doubts)
}

/// Imports that are not granted.
pub(crate) fn denied(imports: &[Capability], settings: &Settings) -> Vec<Capability> {
    imports.iter().filter(|one| !settings.grants.contains(one)).copied().collect()
}
