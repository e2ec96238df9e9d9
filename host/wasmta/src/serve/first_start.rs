//! What the first start makes: the directory's entries, and a key of its own.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use directory::{Directory, LoadProgress, PasswordHasher};
use events::{Event, Events};
use runtime::Random;
use runtime::files::{Readers, write_durably};

/// After how many entries a long load says how far it is.
const TELL_EVERY: u64 = 50_000;

/// Fills an empty directory from the LDIF.
pub(super) async fn fill(
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
    let mut told = 0;
    let mut tell = |progress: LoadProgress| {
        if progress.entries >= told + TELL_EVERY {
            told = progress.entries;
            let change = format!("{told} entries loaded so far");
            events.emit(&Event::DirectoryChanged { change: &change, entry: "" });
        }
    };
    let report = directory.load_ldif(source, hasher, &mut tell).await.map_err(|e| fault(e.to_string()))?;
    let change = format!("{} entries loaded from {}", report.entries, ldif.display());
    events.emit(&Event::DirectoryChanged { change: &change, entry: "" });
    for defect in &report.defects {
        let change = format!("line {}: {:?}", defect.line, defect.defect);
        events.emit(&Event::DirectoryChanged { change: &change, entry: &defect.dn.to_string() });
    }
    Ok(())
}

/// The key of the salts that are shown for logins that do not exist: kept, lest a restart tell them
/// from those that do.
pub(super) fn decoy_key(data: &Path, random: &Random) -> Result<[u8; 32], String> {
    let path = data.join("decoy.key");
    if let Ok(key) = std::fs::read(&path).map(<[u8; 32]>::try_from)
        && let Ok(key) = key
    {
        return Ok(key);
    }
    let mut key = [0; 32];
    random.fill(&mut key);
    write_durably(&path, &key, Readers::Owner).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(key)
}
