//! What was recorded for a tenant goes with it: its lines are left out of a copy, which then takes the file's place. The copy
//! is made beside the thread that records, which has only to add what it wrote meanwhile.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hooks::PluginName;
use mail_types::Domain;
use parking_lot::Mutex;
use serde::Deserialize;

use crate::made_with;
use crate::question::Question;
use crate::recording::{Files, Recorder, all_plugins, old_path, path_of};
use crate::recordings::next_line;

/// Tenants that are known to be recorded; what is recorded for others is found again after the next start.
const TENANTS_MAX: usize = 100_000;
/// The copy that is being made, one at a time. No plugin has a name with a dot.
const COPY: &str = "forgetting.new";

/// For which tenants calls are recorded.
#[derive(Default)]
pub(crate) struct Recorded {
    known: Mutex<BTreeSet<String>>,
    /// Whether those are known whose calls were recorded by a process before this one. Held while files are gone through.
    is_read: tokio::sync::Mutex<bool>,
}

impl Recorded {
    pub(crate) fn note(&self, tenant: &str) {
        let mut known = self.known.lock();
        if !tenant.is_empty() && !known.contains(tenant) && known.len() < TENANTS_MAX {
            known.insert(tenant.to_owned());
        }
    }
}

/// What of a recording tells whose it is.
#[derive(Deserialize)]
struct Whose {
    question: Question,
}

fn question(line: &[u8]) -> Option<Question> {
    serde_json::from_slice::<Whose>(line).ok().map(|whose| whose.question)
}

/// A file of recordings, as it was when all that waited was written. Held open, so that no other gets its number.
pub(crate) struct Seen {
    file: File,
    len: u64,
}

impl Seen {
    fn lines(&mut self) -> io::Result<impl BufRead> {
        self.file.seek(SeekFrom::Start(0))?;
        Ok(BufReader::new((&self.file).take(self.len)))
    }

    fn has_any_of(&mut self, tenant: &Domain) -> io::Result<bool> {
        let (mut lines, mut line) = (self.lines()?, Vec::new());
        while next_line(&mut lines, &mut line)? {
            if question(&line).is_some_and(|question| question.tenant() == tenant.as_str()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is(&self, other: &File) -> io::Result<bool> {
        let (this, other) = (self.file.metadata()?, other.metadata()?);
        Ok((this.dev(), this.ino()) == (other.dev(), other.ino()))
    }
}

/// A copy of a file, without what is a tenant's.
pub(crate) struct Rest {
    path: PathBuf,
    to: BufWriter<File>,
    tenant: Domain,
    /// What the calls that follow were made with: written once one does.
    made_with: Vec<u8>,
    removed: usize,
    is_empty: bool,
}

impl Rest {
    fn begin(folder: &Path, tenant: &Domain) -> io::Result<Self> {
        let path = folder.join(COPY);
        let to = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path)?;
        let (to, tenant) = (BufWriter::new(to), tenant.clone());
        Ok(Self { path, to, tenant, made_with: Vec::new(), removed: 0, is_empty: true })
    }

    fn add(&mut self, lines: &mut impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        while next_line(lines, &mut line)? {
            if made_with::read(&line).is_some() {
                self.made_with.clone_from(&line);
                continue;
            }
            match question(&line) {
                Some(question) if question.tenant() == self.tenant.as_str() => self.removed += 1,
                Some(_) => {
                    self.to.write_all(&self.made_with)?;
                    self.made_with.clear();
                    self.to.write_all(line.trim_ascii_end())?;
                    self.to.write_all(b"\n")?;
                    self.is_empty = false;
                }
                // Whose it was cannot be told, and nobody can play it.
                None => {}
            }
        }
        self.to.flush()
    }

    /// Of what was seen; nothing where nothing of it is the tenant's.
    pub(crate) fn of(folder: &Path, seen: &mut Seen, tenant: &Domain) -> io::Result<Option<Self>> {
        if !seen.has_any_of(tenant)? {
            return Ok(None);
        }
        let mut copy = Self::begin(folder, tenant)?;
        copy.add(&mut seen.lines()?)?;
        // On disk before it takes the place of what is there.
        copy.to.get_ref().sync_all()?;
        Ok(Some(copy))
    }
}

impl Files {
    pub(crate) fn seen(&self, plugin: &PluginName) -> io::Result<Vec<Seen>> {
        let mut seen = Vec::new();
        for path in [old_path(&self.folder, plugin), path_of(&self.folder, plugin)] {
            match File::open(path) {
                Ok(file) => seen.push(Seen { len: file.metadata()?.len(), file }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(seen)
    }

    /// Adds to a copy what was written meanwhile, and puts it in the place of the file, which may have another name by now, or be
    /// gone. Gives how many calls are removed.
    pub(crate) fn replace(&mut self, plugin: &PluginName, seen: &Seen, mut copy: Rest) -> io::Result<usize> {
        for path in [path_of(&self.folder, plugin), old_path(&self.folder, plugin)] {
            let mut file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            if !seen.is(&file)? {
                continue;
            }
            file.seek(SeekFrom::Start(seen.len))?;
            copy.add(&mut BufReader::new(file))?;
            // What its last calls were made with is said anew.
            self.last.remove(plugin);
            if copy.is_empty {
                std::fs::remove_file(&path)?;
            } else {
                std::fs::rename(&copy.path, &path)?;
            }
            return Ok(copy.removed);
        }
        Ok(0)
    }
}

impl Recorder {
    /// Removes what is recorded for a tenant, what still waits to be written included; gives how many calls.
    pub(crate) async fn forget_tenant(&self, tenant: &Domain) -> io::Result<usize> {
        let _one = self.recorded.is_read.lock().await;
        // What comes from now on is noted again.
        self.recorded.known.lock().remove(tenant.as_str());
        let forgotten = self.without(tenant).await;
        let _ = std::fs::remove_file(self.folder.join(COPY));
        if forgotten.is_err() {
            self.recorded.note(tenant.as_str());
        }
        forgotten
    }

    async fn without(&self, tenant: &Domain) -> io::Result<usize> {
        let mut removed = 0;
        let folder = self.folder.clone();
        for plugin in blocking(move || all_plugins(&folder)).await? {
            let name = plugin.clone();
            for mut seen in self.when_written(move |files| files.seen(&name)).await? {
                let (folder, tenant) = (self.folder.clone(), tenant.clone());
                let copied = blocking(move || Ok((Rest::of(&folder, &mut seen, &tenant)?, seen))).await?;
                let (Some(copy), seen) = copied else { continue };
                let name = plugin.clone();
                removed += self.when_written(move |files| files.replace(&name, &seen, copy)).await?;
            }
        }
        if removed > 0 {
            let folder = self.folder.clone();
            blocking(move || File::open(folder)?.sync_all()).await?;
        }
        Ok(removed)
    }

    /// The tenants for which calls are recorded.
    pub(crate) async fn tenants(&self) -> io::Result<BTreeSet<Domain>> {
        let mut is_read = self.recorded.is_read.lock().await;
        if !*is_read {
            let folder = self.folder.clone();
            let before = blocking(move || tenants_in(&folder)).await?;
            before.iter().for_each(|tenant| self.recorded.note(tenant));
            *is_read = true;
        }
        let known = self.recorded.known.lock();
        Ok(known.iter().filter_map(|name| Domain::parse(name).ok()).collect())
    }
}

/// All of a folder's files are gone through, which may have gigabytes.
fn tenants_in(folder: &Path) -> io::Result<BTreeSet<String>> {
    let (mut tenants, mut line) = (BTreeSet::new(), Vec::new());
    for plugin in all_plugins(folder)? {
        for path in [old_path(folder, &plugin), path_of(folder, &plugin)] {
            let mut lines = match File::open(path) {
                Ok(file) => BufReader::new(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            while tenants.len() < TENANTS_MAX && next_line(&mut lines, &mut line)? {
                tenants.extend(question(&line).map(|question| question.tenant().to_owned()));
            }
        }
    }
    Ok(tenants)
}

/// What a crash left of a copy goes.
pub(crate) fn clear(folder: &Path) -> io::Result<()> {
    match std::fs::remove_file(folder.join(COPY)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
