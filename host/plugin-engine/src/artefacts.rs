//! Machine code of components, kept for the next start.
//!
//! | file below the folder | what |
//! |---|---|
//! | `components/DIGEST.wasm` | the component as it was installed |
//! | `artefacts/DIGEST-ENGINE.cwasm` | its machine code for an engine of that configuration |
//! | `artefacts/DIGEST-ENGINE.seal` | HMAC-SHA-256 over it, under a key that only this folder has |
//! | `artefacts/DIGEST.json` | what it is: [`Manifest`] |
//! | `key` | 32 random octets, made at the first start; and anew where it is no key, as after a disk that was full |
//!
//! Machine code is only loaded where it is ours, unchanged, and made for this very engine: its name has the engine's
//! configuration, its seal the folder's key. Anything else is compiled anew. Files are put in place whole.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use runtime::Random;
use runtime::files::{Readers, write_durably};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use wasmtime::component::Component;

use crate::compiler::Compiler;
use crate::component::{COMPONENT_MAX, Digest, Manifest, Unfit};
use crate::machine::Machine;

/// Largest artefact, in octets: machine code is larger than the component.
const ARTEFACT_MAX: u64 = 512 << 20;
/// Most components that are compiled at a time: who explains one plugin does not wait for another's.
const COMPILERS_MAX: usize = 2;
/// Octets of key and seal.
const KEY_LEN: usize = 32;
/// Largest file that is read as a key, in octets.
const KEY_FILE_MAX: u64 = 4096;
/// Largest manifest, in octets.
const MANIFEST_MAX: u64 = 1 << 20;

/// The folder of components and their machine code.
pub(crate) struct Artefacts {
    folder: PathBuf,
    key: [u8; KEY_LEN],
    compiler: Arc<dyn Compiler>,
    /// So many compilers at a time: each may take gigabytes, and every core.
    compiling: tokio::sync::Semaphore,
    in_use: AllInUse,
}

/// Components that somebody works with before anything names them.
type AllInUse = Arc<Mutex<BTreeMap<Digest, Used>>>;

/// How many work with a component, and whose turn it is to write what is kept of it.
#[derive(Default)]
struct Used {
    count: usize,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// A component that was taken in: as long as this lives, no sweep removes it.
pub(crate) struct InUse {
    in_use: AllInUse,
    digest: Digest,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut in_use = self.in_use.lock();
        if let Some(used) = in_use.get_mut(&self.digest) {
            used.count -= 1;
            if used.count == 0 {
                in_use.remove(&self.digest);
            }
        }
    }
}

fn manifest_path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join("artefacts").join(format!("{}.json", digest.as_str()))
}

/// What an installed component is, by the folder of plugins alone.
pub(crate) fn manifest_in(folder: &Path, digest: &Digest) -> Option<Manifest> {
    let manifest = runtime::files::read(&manifest_path(folder, digest), MANIFEST_MAX).ok()?;
    serde_json::from_slice(&manifest).ok().filter(|manifest: &Manifest| manifest.digest == *digest)
}

/// The key of the folder's seals. One that is none seals nothing: what it has sealed is compiled anew under a new one.
fn key_of(path: &Path, random: &Random) -> io::Result<([u8; KEY_LEN], Option<String>)> {
    let note = match runtime::files::read(path, KEY_FILE_MAX) {
        Ok(octets) => match octets.try_into() {
            Ok(key) => return Ok((key, None)),
            Err(octets) => Some(Vec::len(&octets).to_string()),
        },
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Some(format!("more than {KEY_FILE_MAX}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let note = note.map(|octets| {
        format!(
            "{} had {octets} octets, and a key has {KEY_LEN}: it is made anew, and every component compiled anew",
            path.display()
        )
    });
    let mut key = [0; KEY_LEN];
    random.fill(&mut key);
    write_durably(path, &key, Readers::Owner)?;
    Ok((key, note))
}

impl Artefacts {
    /// Opens or makes the folder; nobody else may look into it, or it is not used. Gives a note where something is to be told.
    pub(crate) fn open(
        folder: &Path,
        compiler: Arc<dyn Compiler>,
        random: &Random,
    ) -> io::Result<(Self, Option<String>)> {
        for part in [folder.to_path_buf(), folder.join("components"), folder.join("artefacts")] {
            match std::fs::DirBuilder::new().mode(0o700).create(&part) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            let found = std::fs::metadata(&part)?;
            if found.mode() & 0o022 != 0 {
                let why = format!("{} can be written by others: chmod go-w it", part.display());
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
            }
        }
        let (key, note) = key_of(&folder.join("key"), random)?;
        let (folder, compiling, in_use) =
            (folder.to_path_buf(), tokio::sync::Semaphore::new(COMPILERS_MAX), Arc::default());
        Ok((Self { folder, key, compiler, compiling, in_use }, note))
    }

    fn component_path(&self, digest: &Digest) -> PathBuf {
        self.folder.join("components").join(format!("{}.wasm", digest.as_str()))
    }

    fn artefact_path(&self, digest: &Digest, machine: &Machine, ending: &str) -> PathBuf {
        let mut hasher = std::hash::DefaultHasher::new();
        machine.engine().precompile_compatibility_hash().hash(&mut hasher);
        let name = format!("{}-{:016x}.{ending}", digest.as_str(), hasher.finish());
        self.folder.join("artefacts").join(name)
    }

    fn manifest_path(&self, digest: &Digest) -> PathBuf {
        manifest_path(&self.folder, digest)
    }

    /// Keeps a component from being swept. What is taken in, tried and perhaps named only then would else be removed by whoever
    /// sweeps meanwhile.
    pub(crate) fn using(&self, digest: &Digest) -> InUse {
        let mut in_use = self.in_use.lock();
        let used = in_use.entry(digest.clone()).or_default();
        used.count += 1;
        InUse { in_use: Arc::clone(&self.in_use), digest: digest.clone(), turn: Arc::clone(&used.turn) }
    }

    /// Takes a component in: compiles it apart, and keeps both. Gives what it is, and keeps it so long as that is held; what
    /// cannot run, and is nobody's, the next sweep removes.
    pub(crate) async fn take_in(&self, octets: &[u8], machine: &Machine) -> Result<(Manifest, InUse), Unfit> {
        let digest = Digest::of(octets);
        let in_use = self.using(&digest);
        let kept = |error: io::Error| {
            Unfit::new(format!("it cannot be kept: {error}"), format!("look at {}", self.folder.display()))
        };
        let manifest = {
            // Who takes in the same meanwhile finds it compiled.
            let _turn = in_use.turn.lock().await;
            write_durably(&self.component_path(&digest), octets, Readers::Owner).map_err(kept)?;
            match self.sealed(&digest, machine) {
                Some((_, manifest)) => manifest,
                None => self.compile(&digest, machine).await?,
            }
        };
        Ok((manifest, in_use))
    }

    /// Whether a component is kept.
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.component_path(digest).exists()
    }

    /// In turn: code, seal and manifest are of one compilation.
    async fn compile(&self, digest: &Digest, machine: &Machine) -> Result<Manifest, Unfit> {
        let path = self.artefact_path(digest, machine, "cwasm");
        let compiled = {
            let _turn = self.compiling.acquire().await;
            self.compiler.compile(&self.component_path(digest), &path, machine.target()).await
        };
        let manifest = compiled?;
        if manifest.digest != *digest {
            return Err(Unfit::new("it changed while it was compiled", "install it again"));
        }
        let kept = |error: io::Error| {
            Unfit::new(format!("its machine code cannot be kept: {error}"), "look at the disk")
        };
        let code = runtime::files::read(&path, ARTEFACT_MAX).map_err(kept)?;
        write_durably(
            &self.artefact_path(digest, machine, "seal"),
            &self.seal(digest, &code),
            Readers::Owner,
        )
        .map_err(kept)?;
        let json = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
        write_durably(&self.manifest_path(digest), &json, Readers::Owner).map_err(kept)?;
        Ok(manifest)
    }

    fn seal(&self, digest: &Digest, code: &[u8]) -> [u8; KEY_LEN] {
        // A key of any length is good for HMAC (RFC 2104 §2).
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return [0; KEY_LEN] };
        mac.update(digest.as_str().as_bytes());
        mac.update(code);
        mac.finalize().into_bytes().into()
    }

    /// The machine code of an installed component; compiled anew where it is missing, stale or not ours.
    pub(crate) async fn load(
        &self,
        digest: &Digest,
        machine: &Machine,
    ) -> Result<(Component, Manifest), Unfit> {
        if let Some(found) = self.sealed(digest, machine) {
            return Ok(found);
        }
        let in_use = self.using(digest);
        let _turn = in_use.turn.lock().await;
        if let Some(found) = self.sealed(digest, machine) {
            return Ok(found);
        }
        self.is_whole(digest)?;
        self.compile(digest, machine).await?;
        self.sealed(digest, machine).ok_or_else(|| {
            Unfit::new(
                "its machine code is not as it was written",
                "look at the disk and at who else writes there",
            )
        })
    }

    /// Whether a stored component is there, as it was installed: nobody builds it anew, or has its path to mend.
    fn is_whole(&self, digest: &Digest) -> Result<(), Unfit> {
        let path = self.component_path(digest);
        let why = match runtime::files::read(&path, COMPONENT_MAX as u64) {
            Ok(octets) if Digest::of(&octets) == *digest => return Ok(()),
            Ok(_) => "is damaged".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => "is missing".to_owned(),
            Err(error) => format!("cannot be read: {error}"),
        };
        let what = format!("its stored component {} {why}", path.display());
        Err(Unfit::new(what, "install it again, or `wasmta plugin rollback`"))
    }

    /// What an installed component is, as it was noted when it was compiled.
    pub(crate) fn manifest(&self, digest: &Digest) -> Option<Manifest> {
        manifest_in(&self.folder, digest)
    }

    fn sealed(&self, digest: &Digest, machine: &Machine) -> Option<(Component, Manifest)> {
        let path = self.artefact_path(digest, machine, "cwasm");
        let code = runtime::files::read(&path, ARTEFACT_MAX).ok()?;
        let seal = std::fs::read(self.artefact_path(digest, machine, "seal")).ok()?;
        if !bool::from(self.seal(digest, &code).ct_eq(&seal)) {
            return None;
        }
        let manifest = self.manifest(digest)?;
        drop(code);
        let component = map(machine, &path)?;
        component.initialize_copy_on_write_image().ok()?;
        Some((component, manifest))
    }

    /// Removes everything of components that nobody names any more, or works with.
    pub(crate) fn sweep(&self, named: impl Fn(&str) -> bool) -> io::Result<usize> {
        let mut removed = 0;
        for part in ["components", "artefacts"] {
            for entry in std::fs::read_dir(self.folder.join(part))? {
                let path = entry?.path();
                let digest = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.get(..64));
                // Held while it is removed: who takes it in now writes it anew afterwards.
                let in_use = self.in_use.lock();
                let is_used = |digest: &str| in_use.keys().any(|used| used.as_str() == digest);
                if !digest.is_some_and(|digest| named(digest) || is_used(digest)) {
                    match std::fs::remove_file(&path) {
                        Ok(()) => removed += 1,
                        // Somebody else sweeps, too.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(removed)
    }
}

/// Maps machine code that was found to be ours. It stays shared with the page cache.
#[allow(unsafe_code)]
fn map(machine: &Machine, path: &Path) -> Option<Component> {
    // SAFETY: the file's seal was checked under a key that only this folder's owner has, the folder can be written by
    // nobody else, and files in it are replaced by renaming, never changed: what is mapped is what was compiled.
    unsafe { Component::deserialize_file(machine.engine(), path) }.ok()
}
