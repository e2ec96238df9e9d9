//! What the first start makes: the directory's entries, and a key of its own.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use directory::{Directory, LoadProgress, PasswordHasher};
use events::{Event, Events};
use runtime::files::{Readers, write_durably};
use runtime::{Clock, Random};

/// How often a long load says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Fills an empty directory from the LDIF; whether there was anything to do.
pub(super) async fn fill(
    directory: &Directory,
    ldif: &Path,
    hasher: &Arc<dyn PasswordHasher>,
    clock: &Clock,
    events: &Events,
) -> Result<bool, String> {
    if !directory.is_empty().map_err(|e| format!("the directory: {e}"))? {
        return Ok(false);
    }
    let name = ldif.display();
    let fault = |why: String| {
        format!(
            "directory.ldif: {name}: {why}\n    mend: mend the file and start again; nothing of it was taken"
        )
    };
    let source = BufReader::new(File::open(ldif).map_err(|e| fault(e.to_string()))?);
    let mut told = clock.now();
    let mut tell = |progress: LoadProgress| {
        if clock.now().since(told) >= TELL_EVERY {
            told = clock.now();
            let change =
                format!("{} entries read so far, to line {} of {name}", progress.entries, progress.line);
            events.emit(&Event::DirectoryChanged { change: &change, entry: "" });
        }
    };
    let report = directory.load_ldif(source, hasher, &mut tell).await.map_err(|e| fault(e.to_string()))?;
    for defect in &report.defects {
        let (place, entry) = (format!("{name}:{}", defect.line), defect.dn.to_string());
        let cause = defect.defect.to_string();
        events.emit(&Event::DirectoryDefect { place: &place, entry: &entry, cause: &cause });
    }
    let mut change = format!("{} entries loaded from {name}", report.entries);
    if report.defects_total > 0 {
        change.push_str(&format!(
            "; {} of their values cannot be used, {} of these told above",
            report.defects_total,
            report.defects.len()
        ));
    }
    events.emit(&Event::DirectoryChanged { change: &change, entry: "" });
    Ok(true)
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use directory::{DirectoryOptions, PasswordHash};
    use events::{Level, LogOptions, Style};
    use parking_lot::Mutex;
    use storage::Storage;

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.0.lock().write(octets)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    struct NoHasher;

    impl PasswordHasher for NoHasher {
        fn hash(&self, _: &str) -> Result<Vec<PasswordHash>, String> {
            Ok(Vec::new())
        }
    }

    const LDIF: &str = "\
dn: o=isp
objectClass: organization

dn: uid=anna,o=isp
objectClass: inetMailUser
objectClass: inetOrgPerson
uid: anna
mail: anna@example.org
mailQuota: plenty
";

    #[tokio::test]
    async fn what_mail_cannot_use_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let ldif = folder.path().join("some.ldif");
        std::fs::write(&ldif, LDIF).unwrap();
        let storage =
            Storage::open(&folder.path().join("data"), directory::SPACES, &storage::Options::default());
        let clock = Clock::system();
        let directory =
            Directory::open(storage.unwrap(), clock.clone(), DirectoryOptions::default()).unwrap();
        let log = Log::default();
        let options = LogOptions { style: Style::Human, level: Level::Warning };
        let events = Events::logging(clock.clone(), options, log.clone()).unwrap();
        let hasher: Arc<dyn PasswordHasher> = Arc::new(NoHasher);
        assert!(fill(&directory, &ldif, &hasher, &clock, &events).await.unwrap());
        assert!(!fill(&directory, &ldif, &hasher, &clock, &events).await.unwrap(), "it is full already");
        events.flush();
        let said = String::from_utf8(log.0.lock().clone()).unwrap();
        assert!(said.contains("directory_defect place="), "{said}");
        assert!(said.contains("some.ldif:4"), "{said}");
        assert!(said.contains("mailQuota") && said.contains("plenty"), "{said}");
    }
}
