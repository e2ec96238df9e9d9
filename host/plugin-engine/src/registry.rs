//! What is installed: `installed.json`, put in place whole with each change.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hooks::PluginName;
use parking_lot::Mutex;
use runtime::files::{Readers, write_durably};
use serde::{Deserialize, Serialize};

use crate::card::Description;
use crate::component::{Digest, Unfit};
use crate::trust::Signed;

/// The format of the file.
const FORMAT: u32 = 1;
/// Versions that a plugin can go back to.
pub const HISTORY_MAX: usize = 10;
/// Largest file, in octets.
const FILE_MAX: u64 = 64 << 20;
/// Most plugins installed at a time.
pub const INSTALLED_MAX: usize = 100_000;

/// One installed plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// The version in force.
    pub active: Digest,
    /// Whether it is asked at all.
    pub enabled: bool,
    /// Versions before, the latest last.
    pub previous: Vec<Digest>,
    /// Where the version in force came from.
    pub source: String,
    /// When, in seconds since 1970.
    pub installed_at: u64,
    /// Who vouched for it, or for a version before, when that was installed.
    #[serde(default)]
    pub signed: BTreeMap<Digest, Signed>,
    /// What it said of itself when it was installed, and versions before of themselves.
    #[serde(default)]
    pub described: BTreeMap<Digest, Description>,
}

impl Installed {
    /// What the version in force said of itself; `None` where a program before this one installed it.
    #[must_use]
    pub fn description(&self) -> Option<&Description> {
        self.described.get(&self.active)
    }

    /// Who vouched for the version in force.
    #[must_use]
    pub fn signature(&self) -> Option<&Signed> {
        self.signed.get(&self.active)
    }
}

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct File {
    format: u32,
    plugins: BTreeMap<PluginName, Installed>,
}

/// The list of installed plugins.
pub(crate) struct Registry {
    path: PathBuf,
    file: Mutex<File>,
}

impl Registry {
    pub(crate) fn open(path: PathBuf) -> Result<Self, String> {
        let shown = path.display().to_string();
        let file = match runtime::files::read(&path, FILE_MAX) {
            Ok(octets) => serde_json::from_slice(&octets).map_err(|e| {
                format!("{shown}: {e}; restore it from a backup, or remove it and install again")
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                File { format: FORMAT, ..File::default() }
            }
            Err(error) => {
                return Err(format!("{shown}: {error}; mend that, or restore it from a backup"));
            }
        };
        if file.format != FORMAT {
            return Err(format!(
                "{shown}: its format is {}, and this program reads {FORMAT}; start the program that wrote it, or restore it \
                 from a backup of this one",
                file.format
            ));
        }
        Ok(Self { path, file: Mutex::new(file) })
    }

    /// Whether there is a list: before the first installation there is none.
    pub(crate) fn is_written(&self) -> bool {
        self.path.exists()
    }

    pub(crate) fn all(&self) -> BTreeMap<PluginName, Installed> {
        self.file.lock().plugins.clone()
    }

    pub(crate) fn of(&self, name: &PluginName) -> Option<Installed> {
        self.file.lock().plugins.get(name).cloned()
    }

    /// Changes one plugin's line; `None` removes it. On disk when this returns.
    pub(crate) fn set(&self, name: &PluginName, installed: Option<Installed>) -> Result<(), Unfit> {
        let mut file = self.file.lock();
        let mut changed = file.clone();
        match installed {
            Some(installed) => {
                changed.plugins.insert(name.clone(), installed);
            }
            None => {
                changed.plugins.remove(name);
            }
        }
        if changed.plugins.len() > INSTALLED_MAX {
            return Err(Unfit::new(
                format!("at most {INSTALLED_MAX} plugins can be installed"),
                "remove one that nobody asks",
            ));
        }
        let shown = self.path.display();
        let unkept = |error: String| Unfit::new(format!("{shown}: {error}"), "look at the disk");
        let json = serde_json::to_vec_pretty(&changed).map_err(|e| unkept(e.to_string()))?;
        // What could not be read again would keep the whole server from its next start.
        if json.len() as u64 > FILE_MAX {
            let what = format!("{shown} would have more than {} MiB", FILE_MAX >> 20);
            return Err(Unfit::new(
                what,
                "remove a plugin that nobody asks, or shorten what this one describes",
            ));
        }
        write_durably(&self.path, &json, Readers::Owner).map_err(|e| unkept(e.to_string()))?;
        *file = changed;
        Ok(())
    }

    /// Whether some plugin names a component, in force or before.
    pub(crate) fn names(&self, digest: &str) -> bool {
        self.file.lock().plugins.values().any(|one| {
            one.active.as_str() == digest || one.previous.iter().any(|other| other.as_str() == digest)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_again_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("installed.json");
        let registry = Registry::open(path.clone()).unwrap();
        let plugin = |source: String| Installed {
            active: Digest::of(b""),
            enabled: true,
            previous: Vec::new(),
            source,
            installed_at: 0,
            signed: BTreeMap::new(),
            described: BTreeMap::new(),
        };
        let name: PluginName = "policy".parse().unwrap();
        registry.set(&name, Some(plugin("small".into()))).unwrap();
        // Each of these takes two octets of the file.
        let refused = registry.set(&name, Some(plugin("\"".repeat(33 << 20)))).unwrap_err().to_string();
        assert!(refused.contains("more than 64 MiB") && refused.contains("remove a plugin"), "{refused}");
        assert_eq!(registry.of(&name).unwrap().source, "small");
        assert_eq!(Registry::open(path).unwrap().of(&name).unwrap().source, "small");
    }

    #[test]
    fn what_a_newer_program_wrote_is_told_with_the_mend() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("installed.json");
        std::fs::write(&path, r#"{"format": 2, "plugins": {}}"#).unwrap();
        let why = Registry::open(path).err().unwrap();
        assert!(
            why.contains("its format is 2") && why.contains("; start the program that wrote it"),
            "{why}"
        );
    }
}
