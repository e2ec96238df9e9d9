//! The handle: opening, reading, committing.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot, watch};

use crate::apply::references_of;
use crate::batch::Batch;
use crate::content::{ContentId, ContentWriter, Files, LoadedContent};
use crate::engine::{Engine, Reading, Visit};
use crate::error::StorageError;
use crate::lmdb::LmdbEngine;
use crate::reserve::Reserve;
use crate::space::{CONTENT, CONTENT_FILES, CONTENT_PACKED, CONTENT_REFERENCES, Space};
use crate::writer::{Answer, Committed, Committing, Desk, Job, WRITER_QUEUE_MAX, Writer};
use crate::{pack, rebuildable};

/// The format of a folder without packed content.
pub(crate) const FORMAT: &str = "wasmta storage 1\n";
/// The same with packed content: what does not know of it must not open it.
pub(crate) const FORMAT_PACKED: &str = "wasmta storage 2\n";
/// The same with packed content files.
pub(crate) const FORMAT_PACKED_FILES: &str = "wasmta storage 3\n";
/// All that this code reads, in their order; from the fourth on they are those of spaces ([`Space::added_in`]).
pub(crate) const FORMATS: [&str; 4] = [FORMAT, FORMAT_PACKED, FORMAT_PACKED_FILES, "wasmta storage 4\n"];
/// The place of a format in their order.
pub(crate) fn rank(format: &str) -> Option<usize> {
    FORMATS.iter().position(|known| *known == format)
}

/// The file that says so.
pub(crate) const FORMAT_FILE: &str = "FORMAT";
/// The folder of content files.
pub(crate) const CONTENT_FOLDER: &str = "content";

/// How a storage folder is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The most that the environment may grow to, in octets. Address space, not disk, is set aside.
    pub size_max: u64,
    /// Content up to this many octets is kept in the environment, larger in files.
    pub inline_max: usize,
    /// Whether commits are synced; `false` only for what can be rebuilt: after a power cut, or where
    /// it is damaged, the folder is emptied.
    pub synced: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { size_max: 256 << 30, inline_max: 128 * 1024, synced: true }
    }
}

/// A handle of one storage; clones are the same storage.
#[derive(Clone)]
pub struct Storage {
    pub(crate) engine: Arc<dyn Engine>,
    jobs: mpsc::Sender<Job>,
    desk: Arc<Desk>,
    /// Whether the writer has a thread of its own, so that nobody can tell who committed.
    has_thread: bool,
    pub(crate) files: Option<Arc<Files>>,
    inline_max: usize,
    /// Held while content is packed: one at a time.
    pub(crate) packing: Arc<tokio::sync::Mutex<()>>,
    /// Turns true when the engine is broken.
    broken: Arc<watch::Sender<bool>>,
    /// Transactions written since it was opened.
    version: Arc<AtomicU64>,
    /// Without which no content is taken.
    reserve: Option<Reserve>,
}

impl Storage {
    /// Opens or creates a folder with these spaces, and starts its writer on a thread of its own.
    pub fn open(dir: &Path, spaces: &[Space], options: &Options) -> Result<Self, StorageError> {
        Self::open_with(dir, spaces, options, None)
    }

    /// The same, with the reserve of the data directory that the folder is of. Without it, nothing new is taken in while that
    /// cannot be made.
    pub fn open_with(
        dir: &Path,
        spaces: &[Space],
        options: &Options,
        reserve: Option<&Reserve>,
    ) -> Result<Self, StorageError> {
        let (mut storage, writer) = Self::prepare(dir, spaces, options)?;
        storage.reserve = reserve.cloned();
        storage.has_thread = true;
        storage.desk.set(|committing| committing.reserve = reserve.cloned());
        let executor = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|e| StorageError::unavailable("starting the writer", e))?;
        std::thread::Builder::new()
            .name("storage-writer".into())
            .spawn(move || executor.block_on(writer.run()))
            .map_err(|e| StorageError::unavailable("starting the writer", e))?;
        Ok(storage)
    }

    fn prepare(dir: &Path, spaces: &[Space], options: &Options) -> Result<(Self, Writer), StorageError> {
        std::fs::create_dir_all(dir).map_err(|e| StorageError::unavailable("creating the folder", e))?;
        if options.synced {
            return Self::prepare_whole(dir, spaces, options);
        }
        let failed = |e| StorageError::unavailable("looking whether the folder is whole", e);
        let boot = runtime::files::boot_id();
        rebuildable::enter(dir, boot.as_deref()).map_err(failed)?;
        let (storage, writer) = match Self::prepare_whole(dir, spaces, options) {
            Err(StorageError::Corrupt(_) | StorageError::Newer(_)) => {
                Self::discard(dir)?;
                rebuildable::enter(dir, boot.as_deref()).map_err(failed)?;
                Self::prepare_whole(dir, spaces, options)?
            }
            prepared => prepared?,
        };
        storage.desk.set(|committing| committing.rebuildable = Some(dir.to_owned()));
        Ok((storage, writer))
    }

    fn prepare_whole(
        dir: &Path,
        spaces: &[Space],
        options: &Options,
    ) -> Result<(Self, Writer), StorageError> {
        check_format(dir)?;
        let engine = LmdbEngine::open(dir, spaces, options.size_max, options.synced)?;
        let named = named_files(&*engine.read()?)?;
        let files = Files::open(dir.join(CONTENT_FOLDER), &named)
            .map_err(|e| StorageError::unavailable("opening the content files", e))?;
        Ok(Self::assemble(Arc::new(engine), Some(Arc::new(files)), options.inline_max))
    }

    /// Removes all that is in a folder: what was opened without `synced`, is closed again, and turned
    /// out to be damaged.
    pub fn discard(dir: &Path) -> Result<(), StorageError> {
        rebuildable::empty(dir).map_err(|e| StorageError::unavailable("removing what is damaged", e))
    }

    /// Storage over any engine, all content kept in it. Whoever gets the writer has to run it.
    #[must_use]
    pub fn over(engine: Arc<dyn Engine>) -> (Self, Writer) {
        Self::assemble(engine, None, usize::MAX)
    }

    fn assemble(engine: Arc<dyn Engine>, files: Option<Arc<Files>>, inline_max: usize) -> (Self, Writer) {
        let (jobs, inbox) = mpsc::channel(WRITER_QUEUE_MAX);
        let broken = Arc::new(watch::Sender::new(false));
        let version = Arc::<AtomicU64>::default();
        let desk = Arc::new(Desk::new(Committing {
            version: Arc::clone(&version),
            engine: Arc::clone(&engine),
            files: files.clone(),
            broken: Arc::clone(&broken),
            reserve: None,
            rebuildable: None,
            may_reclaim: true,
            is_closed: false,
        }));
        let writer = Writer { jobs: inbox, desk: Arc::clone(&desk) };
        let (packing, reserve, has_thread) = (Arc::default(), None, false);
        (
            Self { engine, jobs, desk, has_thread, files, inline_max, packing, broken, version, reserve },
            writer,
        )
    }

    /// A consistent view. Drop it soon, and not after an `.await`.
    pub fn read(&self) -> Result<Snapshot, StorageError> {
        let reading = self.engine.read().inspect_err(|_| tell_if_broken(&*self.engine, &self.broken))?;
        Ok(Snapshot { reading, files: self.files.clone() })
    }

    /// Rises with every transaction, before any of its batches is answered: what was read under a version still holds
    /// while the version is the same. To be asked before reading.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Returns when the engine refuses everything until it is opened anew: the process has to end and start again,
    /// because what it remembers of the last commit may differ from what is on disk.
    pub async fn broken(&self) {
        // The sender lives in `self`.
        let _ = self.broken.subscribe().wait_for(|broken| *broken).await;
    }

    /// Commits a batch: on stable storage when this returns `Ok`.
    pub async fn commit(&self, batch: Batch) -> Result<Committed, StorageError> {
        self.hand_over(batch).await?.committed().await
    }

    /// The same, and does `then` as soon as it is on stable storage, even where the caller went away meanwhile: what it owns
    /// (a lock) is kept until it is done, or until the batch has failed. All that is committed later waits for it, so it
    /// must be short.
    pub async fn commit_then<T: Send + 'static>(
        &self,
        batch: Batch,
        then: impl FnOnce(Committed) -> T + Send + 'static,
    ) -> Result<T, StorageError> {
        let (answer, done) = oneshot::channel();
        self.give(batch, Box::new(move |outcome| drop(answer.send(outcome.map(then))))).await?;
        done.await.map_err(|_| StorageError::Closed)?
    }

    /// Gives a batch to the writer, behind those that it has, and does not wait for it. A small one that comes alone, where
    /// commits are quick, is committed when this returns.
    pub async fn hand_over(&self, batch: Batch) -> Result<HandedOver, StorageError> {
        let (answer, committed) = oneshot::channel();
        // A session that hung up meanwhile has no use for the answer.
        self.give(batch, Box::new(move |outcome| drop(answer.send(outcome)))).await?;
        Ok(HandedOver(committed))
    }

    async fn give(&self, batch: Batch, answer: Answer) -> Result<(), StorageError> {
        let left =
            if self.has_thread { self.desk.commit_alone(batch, answer) } else { Some((batch, answer)) };
        let Some((batch, answer)) = left else { return Ok(()) };
        // Waiting for room may be given up: what the writer never gets must not be waited for.
        let room = self.jobs.reserve().await.map_err(|_| StorageError::Closed)?;
        self.desk.expect();
        room.send(Job::Commit(batch, answer));
        Ok(())
    }

    /// Takes content of at most `max` octets.
    #[must_use]
    pub fn content(&self, max: u64) -> ContentWriter {
        ContentWriter::new(self.files.clone(), self.inline_max, max, self.reserve.clone())
    }

    /// Ends the writer after what was handed to it before. Later commits say `Closed`; the folder
    /// can be opened again when the last handle and snapshot are gone.
    pub async fn close(&self) {
        let (answer, closed) = oneshot::channel();
        if self.jobs.send(Job::Close(answer)).await.is_ok() {
            // A writer that ended already has closed too.
            let _ = closed.await;
        }
    }
}

/// A batch that the writer has. It is written whether anybody waits for it or not.
#[must_use]
pub struct HandedOver(oneshot::Receiver<Result<Committed, StorageError>>);

impl HandedOver {
    /// Waits until it is on stable storage.
    pub async fn committed(self) -> Result<Committed, StorageError> {
        self.0.await.map_err(|_| StorageError::Closed)?
    }
}

pub(crate) fn tell_if_broken(engine: &dyn Engine, broken: &watch::Sender<bool>) {
    if engine.is_broken() {
        broken.send_replace(true);
    }
}

/// A consistent view of what was committed when it was taken.
pub struct Snapshot {
    pub(crate) reading: Box<dyn Reading + Send>,
    files: Option<Arc<Files>>,
}

impl Snapshot {
    /// The folder of content files.
    pub(crate) fn files(&self) -> Option<&Files> {
        self.files.as_deref()
    }

    /// The value of a key.
    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<std::borrow::Cow<'_, [u8]>>, StorageError> {
        self.reading.get(space, key)
    }

    /// Visits keys in `from..until` in rising order.
    pub fn scan(
        &self,
        space: Space,
        from: &[u8],
        until: &[u8],
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        self.reading.scan(space, from, until, visit)
    }

    /// Visits keys in `from..until` in falling order.
    pub fn scan_back(
        &self,
        space: Space,
        from: &[u8],
        until: &[u8],
        visit: Visit<'_>,
    ) -> Result<(), StorageError> {
        self.reading.scan_back(space, from, until, visit)
    }

    /// Stored content; `None` where there is none with this id.
    pub fn content(&self, id: ContentId) -> Result<Option<LoadedContent>, StorageError> {
        if let Some(octets) = self.reading.get(CONTENT, &id.to_key())? {
            return Ok(Some(LoadedContent::Memory(bytes::Bytes::copy_from_slice(&octets))));
        }
        if let Some(packed) = self.reading.get(CONTENT_PACKED, &id.to_key())? {
            return Ok(Some(LoadedContent::Memory(pack::unpacked(id, &packed)?.into())));
        }
        let Some(name) = self.reading.get(CONTENT_FILES, &id.to_key())? else { return Ok(None) };
        let name = String::from_utf8_lossy(&name);
        let Some(files) = &self.files else {
            return Err(StorageError::Corrupt(format!("content {} names a file, but there are none", id.0)));
        };
        let loaded = files.load(&name);
        let path = files.path(&name);
        loaded
            .map(Some)
            .map_err(|e| StorageError::Corrupt(format!("content {}: {}: {e}", id.0, path.display())))
    }

    /// The octets of inline content, without copying them where they are not packed; `None` for files and unknown ids.
    pub fn inline_content(&self, id: ContentId) -> Result<Option<std::borrow::Cow<'_, [u8]>>, StorageError> {
        if let Some(octets) = self.reading.get(CONTENT, &id.to_key())? {
            return Ok(Some(octets));
        }
        let Some(packed) = self.reading.get(CONTENT_PACKED, &id.to_key())? else { return Ok(None) };
        pack::unpacked(id, &packed).map(|octets| Some(octets.into()))
    }

    /// How many references a content is recorded to have; `None` where it does not exist.
    pub fn content_references(&self, id: ContentId) -> Result<Option<u64>, StorageError> {
        let key = id.to_key();
        let mut exists = false;
        for space in [CONTENT, CONTENT_PACKED, CONTENT_FILES] {
            exists = exists || self.reading.get(space, &key)?.is_some();
        }
        if exists { references_of(&*self.reading, id).map(Some) } else { Ok(None) }
    }

    /// Visits the id of every stored content.
    pub fn contents(&self, visit: &mut dyn FnMut(ContentId)) -> Result<(), StorageError> {
        for space in [CONTENT, CONTENT_PACKED, CONTENT_FILES, CONTENT_REFERENCES] {
            self.reading.scan(space, &[], &[0xff; 9], &mut |key, _| {
                if let Ok(key) = <[u8; 8]>::try_from(key) {
                    visit(ContentId(u64::from_be_bytes(key)));
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(())
    }

    /// A field of a counter record; zero where it was never used.
    pub fn counter(&self, space: Space, key: &[u8], field: u8) -> Result<u64, StorageError> {
        Ok(counter_in(&self.reading.get(space, key)?.unwrap_or_default(), field))
    }
}

/// A field of a counter record that was visited; zero where it was never used.
#[must_use]
pub fn counter_in(record: &[u8], field: u8) -> u64 {
    let at = usize::from(field) * 8;
    record.get(at..at + 8).map_or(0, crate::apply::read_u64)
}

fn check_format(dir: &Path) -> Result<(), StorageError> {
    let path = dir.join(FORMAT_FILE);
    match std::fs::read_to_string(&path) {
        Ok(format) if FORMATS.contains(&format.as_str()) => Ok(()),
        Ok(format) => {
            let known = FORMATS.map(|format| format!("{:?}", format.trim_end())).join(", ");
            let what = format!("{} says {:?}; this program reads {known}", path.display(), format.trim_end());
            let number =
                format.trim_end().strip_prefix("wasmta storage ").and_then(|n| n.parse::<usize>().ok());
            // They are numbered from 1 on.
            let is_newer = number.is_some_and(|number| number > FORMATS.len());
            Err(if is_newer { StorageError::Newer(what) } else { StorageError::Corrupt(what) })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            runtime::files::write_durably(&path, FORMAT.as_bytes(), runtime::files::Readers::Owner)
                .map_err(|e| StorageError::unavailable("writing the format's version", e))
        }
        Err(error) => Err(StorageError::unavailable("reading the format's version", error)),
    }
}

fn named_files(reading: &(dyn Reading + Send)) -> Result<HashSet<String>, StorageError> {
    let mut names = HashSet::new();
    reading.scan(CONTENT_FILES, &[], &[0xff; 9], &mut |_, name| {
        names.insert(String::from_utf8_lossy(name).into_owned());
        ControlFlow::Continue(())
    })?;
    Ok(names)
}
