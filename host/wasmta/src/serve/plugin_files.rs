//! The files that sections of plugins name: secrets, and tables of their own.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use hooks::PluginName;
use plugin_engine::{Settings, Table};

use super::key_table::{self, FileFault};
use crate::config::{Config, Plugin, Problem};

/// Largest file of a secret, in octets.
const SECRET_MAX: u64 = 64 << 10;

/// The sections of all plugins, their files read.
pub(crate) struct Loaded {
    /// Those that can be used.
    pub(crate) settings: Vec<Settings>,
    /// Those with a file that cannot, each with why.
    pub(crate) unusable: Vec<(Settings, String)>,
    /// How many octets of calls are recorded of each.
    pub(crate) record: HashMap<PluginName, u64>,
}

/// Reads the files of all plugins. What is wrong with one plugin's costs that plugin alone.
pub(crate) fn load(config: &Config) -> Loaded {
    let mut loaded = Loaded { settings: Vec::new(), unusable: Vec::new(), record: HashMap::new() };
    for plugin in &config.plugins {
        match load_one(plugin) {
            Ok(settings) => loaded.settings.push(settings),
            Err(faults) => {
                let why: Vec<String> = faults.iter().map(|(key, fault)| format!("{key}: {fault}")).collect();
                loaded.unusable.push((plugin.settings.clone(), why.join("; ")));
            }
        }
        if plugin.record > 0 {
            loaded.record.insert(plugin.settings.name.clone(), plugin.record);
        }
    }
    loaded
}

/// Everything that is wrong with the files of all plugins.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let faults = config.plugins.iter().filter_map(|plugin| load_one(plugin).err());
    faults.flatten().map(|(key, fault)| fault.problem(&key)).collect()
}

fn load_one(plugin: &Plugin) -> Result<Settings, Vec<(String, FileFault)>> {
    let mut settings = plugin.settings.clone();
    let of_plugin = |kind: &str, name: &str| format!("plugins.{}.{kind}.{name}", plugin.settings.name);
    let mut faults = Vec::new();
    for (name, path) in &plugin.secrets {
        match secret(path) {
            Ok(line) => drop(settings.secrets.0.insert(name.clone(), line.into())),
            Err(fault) => faults.push((of_plugin("secrets", name), fault)),
        }
    }
    let mut tables = BTreeMap::new();
    for (name, path) in &plugin.tables {
        match key_table::read(path) {
            Ok(rows) => {
                let row = |(key, text)| (key, vec![("value".to_owned(), text)]);
                let rows: Table = rows.into_iter().map(row).collect();
                tables.insert(name.clone(), Arc::new(rows));
            }
            Err(fault) => faults.push((of_plugin("tables", name), fault)),
        }
    }
    settings.tables = tables;
    if faults.is_empty() { Ok(settings) } else { Err(faults) }
}

/// The first line of a file.
fn secret(path: &Path) -> Result<Vec<u8>, FileFault> {
    let mend = "write the secret there, as its first line";
    let octets = runtime::files::read(path, SECRET_MAX);
    let octets = octets.map_err(|e| FileFault::new(path, e.to_string(), mend))?;
    let line = octets.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(FileFault::new(path, "its first line is empty", mend).at_line(1));
    }
    Ok(line.to_vec())
}
