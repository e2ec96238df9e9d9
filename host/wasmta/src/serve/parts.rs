//! Everything that works over a data directory, built once and shared: for the server, and for
//! commands that read the same directory while no server runs.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use auth::{Authenticator, Hasher};
use directory::{Directory, DirectoryOptions, PasswordHasher};
use events::{Event, Events};
use runtime::files::{Readers, write_durably};
use runtime::{Clock, Random};
use storage::{Space, Storage};

use super::settings;
use crate::config::Config;

/// The parts, wired.
#[derive(Clone)]
pub struct Parts {
    /// The time.
    pub clock: Clock,
    /// Chance.
    pub random: Random,
    /// Where everything is told.
    pub events: Events,
    /// Domains, users and groups.
    pub directory: Directory,
    /// Makes hashes of passwords.
    pub hasher: Arc<dyn PasswordHasher>,
    /// Who may log in.
    pub authenticator: Authenticator,
    /// The storages, to be closed at the end.
    storages: Vec<Storage>,
}

impl Parts {
    /// Opens everything below a data directory whose lock the caller holds. An empty directory is
    /// filled from the configured LDIF.
    pub async fn open(config: &Config, data: &Path, events: Events) -> Result<Self, String> {
        let clock = Clock::system();
        let random = Random::system();
        let hash = settings::hash(config);
        let hasher: Arc<dyn PasswordHasher> = Arc::new(Hasher::new(random.clone(), hash));
        let of_directory = open_storage(config, data, "directory", directory::SPACES, true)?;
        let directory = Directory::open(of_directory.clone(), clock.clone(), DirectoryOptions::default())
            .map_err(|e| format!("the directory: {e}"))?;
        fill(&directory, &config.directory.ldif, &hasher, &events).await?;
        let key = decoy_key(data, &random)?;
        let authenticator =
            Authenticator::new(directory.clone(), clock.clone(), random.clone(), settings::auth(config, key));
        Ok(Self { clock, random, events, directory, hasher, authenticator, storages: vec![of_directory] })
    }

    /// Waits until the tables say what the directory says: after an edit by command.
    pub async fn follow_directory(&self) -> Result<(), String> {
        Ok(())
    }

    /// Ends the writers, so that the data directory may be opened anew.
    pub async fn close(&self) {
        for storage in &self.storages {
            storage.close().await;
        }
    }
}

/// Opens one storage of the data directory.
fn open_storage(
    config: &Config,
    data: &Path,
    name: &str,
    spaces: &[Space],
    synced: bool,
) -> Result<Storage, String> {
    let options = storage::Options {
        size_max: config.storage.size_max,
        inline_max: usize::try_from(config.storage.inline_max).unwrap_or(usize::MAX),
        synced,
    };
    let dir = data.join(name);
    Storage::open(&dir, spaces, &options).map_err(|e| format!("{}: {e}", dir.display()))
}

/// The key of the salts that are shown for logins that do not exist: kept, lest a restart tell them
/// from those that do.
fn decoy_key(data: &Path, random: &Random) -> Result<[u8; 32], String> {
    let path = data.join("decoy.key");
    let fault = |e: std::io::Error| format!("{}: {e}", path.display());
    if let Ok(key) = std::fs::read(&path).map(<[u8; 32]>::try_from)
        && let Ok(key) = key
    {
        return Ok(key);
    }
    let mut key = [0; 32];
    random.fill(&mut key);
    write_durably(&path, &key, Readers::Owner).map_err(fault)?;
    Ok(key)
}

/// Fills an empty directory from the LDIF.
async fn fill(
    directory: &Directory,
    ldif: &Path,
    hasher: &Arc<dyn PasswordHasher>,
    events: &Events,
) -> Result<(), String> {
    if !directory.is_empty().map_err(|e| format!("the directory: {e}"))? {
        return Ok(());
    }
    let fault = |why: String| format!("directory.ldif: {}: {why}", ldif.display());
    let source = BufReader::new(File::open(ldif).map_err(|e| fault(e.to_string()))?);
    let report = directory.load_ldif(source, hasher, &mut |_| {}).await.map_err(|e| fault(e.to_string()))?;
    let change = format!("{} entries loaded from {}", report.entries, ldif.display());
    events.emit(&Event::DirectoryChanged { change: &change, entry: "" });
    for defect in &report.defects {
        let change = format!("line {}: {:?}", defect.line, defect.defect);
        events.emit(&Event::DirectoryChanged { change: &change, entry: &defect.dn.to_string() });
    }
    Ok(())
}
