//! Content: octets that are written once and never changed.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;

use crate::error::StorageError;
use crate::open::{FORMAT_FILE, FORMATS, rank};
use crate::packed_file::PackedFile;
use crate::reserve::Reserve;

/// Octets gathered before a large content's file is written to.
const FILE_CHUNK: usize = 256 * 1024;
/// Most names of files that wait for the end of a copy to be removed.
const DEAD_FILES_MAX: usize = 1_000_000;

/// The end of the names of files in packed form.
const PACKED_ENDING: &str = ".z";

/// Whether a content file of this name is in packed form.
pub(crate) fn is_packed(name: &str) -> bool {
    name.ends_with(PACKED_ENDING)
}

fn plain_name(name: &str) -> &str {
    name.strip_suffix(PACKED_ENDING).unwrap_or(name)
}

/// The id of stored content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentId(pub u64);

impl ContentId {
    /// Key octets that sort as the ids do.
    #[must_use]
    pub fn to_key(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

/// Content on its way into a batch.
#[derive(Debug)]
pub enum Content {
    /// Small enough to be kept in the engine itself.
    Inline(Bytes),
    /// In a file of its own, already on stable storage.
    File(StagedFile),
}

impl Content {
    /// Its length in octets.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Inline(octets) => octets.len() as u64,
            Self::File(file) => file.len,
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A way to read it before it is stored.
    pub fn loaded(&self) -> Result<LoadedContent, StorageError> {
        match self {
            Self::Inline(octets) => Ok(LoadedContent::Memory(octets.clone())),
            Self::File(file) => {
                LoadedContent::open(&file.path).map_err(|e| StorageError::unavailable("opening content", e))
            }
        }
    }
}

impl From<Vec<u8>> for Content {
    fn from(octets: Vec<u8>) -> Self {
        Self::Inline(octets.into())
    }
}

/// A content file that no committed batch names yet: removed when dropped, unless kept.
#[derive(Debug)]
pub struct StagedFile {
    path: PathBuf,
    name: String,
    len: u64,
    kept: AtomicBool,
}

impl StagedFile {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Relaxed) {
            // What cannot be removed now is removed by the sweep at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The folder of content files.
#[derive(Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    next: AtomicU64,
    held: Mutex<Held>,
}

/// Files that nothing names any more, kept while a copy is made that may name them.
#[derive(Debug, Default)]
struct Held {
    copies: usize,
    dead: Vec<String>,
}

/// While it lives, no file is removed.
pub(crate) struct FilesHeld<'f>(&'f Files);

impl Drop for FilesHeld<'_> {
    fn drop(&mut self) {
        let dead = {
            let mut held = self.0.held.lock();
            held.copies -= 1;
            if held.copies > 0 {
                return;
            }
            std::mem::take(&mut held.dead)
        };
        self.0.remove(&dead);
    }
}

impl Files {
    /// Opens the folder and removes the files that nothing names.
    pub(crate) fn open(dir: PathBuf, named: &HashSet<String>) -> io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        let mut highest = 0;
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Ok(number) = u64::from_str_radix(plain_name(&name), 16) {
                highest = highest.max(number);
                if !named.contains(&name) {
                    std::fs::remove_file(entry.path())?;
                }
            }
        }
        Ok(Self { dir, next: AtomicU64::new(highest + 1), held: Mutex::default() })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A file of the storage's folder itself.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.with_file_name(name)
    }

    /// The format of the folder, where it is one that is known.
    pub(crate) fn format(&self) -> Result<Option<&'static str>, StorageError> {
        let is = std::fs::read_to_string(self.beside(FORMAT_FILE))
            .map_err(|e| StorageError::unavailable("reading the format's version", e))?;
        Ok(rank(&is).map(|place| FORMATS[place]))
    }

    fn next_name(&self) -> String {
        format!("{:016x}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// A file for the packed form of another one. Whoever asks is alone in it, and nothing names what may be left of an earlier try.
    pub(crate) fn packed_beside(&self, name: &str) -> io::Result<(File, StagedFile)> {
        let name = format!("{name}{PACKED_ENDING}");
        let path = self.path(&name);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        Ok((file, StagedFile { path, name, len: 0, kept: AtomicBool::new(false) }))
    }

    /// A file that nothing names yet, for content that is written anew.
    pub(crate) fn beside_others(&self) -> io::Result<(File, StagedFile)> {
        let name = self.next_name();
        let path = self.path(&name);
        let file = File::options().write(true).create_new(true).open(&path)?;
        Ok((file, StagedFile { path, name, len: 0, kept: AtomicBool::new(false) }))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Syncs the folder: which files are in it.
    pub(crate) fn sync(&self) -> io::Result<()> {
        runtime::files::sync_dir(&self.dir)
    }

    /// Opens a file for reading. One that was packed since its name was read is found under its new name.
    pub(crate) fn load(&self, name: &str) -> io::Result<LoadedContent> {
        let path = self.path(name);
        if is_packed(name) {
            return LoadedContent::open_packed(&path);
        }
        match LoadedContent::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let packed = LoadedContent::open_packed(&self.path(&format!("{name}{PACKED_ENDING}")));
                packed.map_err(|_| e)
            }
            loaded => loaded,
        }
    }

    /// Opens a file as it is, and whether it is packed. One that was packed since its name was read is found under its new name.
    pub(crate) fn open_named(&self, name: &str) -> io::Result<(File, bool)> {
        match File::open(self.path(name)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && !is_packed(name) => {
                let packed = File::open(self.path(&format!("{name}{PACKED_ENDING}")));
                packed.map(|file| (file, true)).map_err(|_| e)
            }
            file => file.map(|file| (file, is_packed(name))),
        }
    }

    /// Keeps all files until what it gives is dropped.
    pub(crate) fn hold(&self) -> FilesHeld<'_> {
        self.held.lock().copies += 1;
        FilesHeld(self)
    }

    pub(crate) fn remove(&self, names: &[String]) {
        {
            let mut held = self.held.lock();
            if held.copies > 0 {
                // Beyond the maximum they wait for the sweep at the next start.
                let room = DEAD_FILES_MAX.saturating_sub(held.dead.len());
                held.dead.extend(names.iter().take(room).cloned());
                return;
            }
        }
        for name in names {
            // The record is gone; a file that stays is removed by the sweep at the next start.
            let _ = std::fs::remove_file(self.path(name));
        }
    }
}

/// Takes content as it comes in: in memory while it is small, else in a synced file.
pub struct ContentWriter {
    files: Option<Arc<Files>>,
    inline_max: usize,
    max: u64,
    len: u64,
    octets: Vec<u8>,
    file: Option<(tokio::fs::File, StagedFile)>,
    reserve: Option<Reserve>,
}

impl ContentWriter {
    pub(crate) fn new(
        files: Option<Arc<Files>>,
        inline_max: usize,
        max: u64,
        reserve: Option<Reserve>,
    ) -> Self {
        Self { files, inline_max, max, len: 0, octets: Vec::new(), file: None, reserve }
    }

    /// Makes room for content whose size was announced, as far as memory holds it.
    pub fn reserve(&mut self, octets: u64) {
        let room = usize::try_from(octets).unwrap_or(usize::MAX).min(self.inline_max);
        self.octets.reserve(room);
    }

    /// How many octets were taken.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was taken yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The octets in memory: all of them until [`ContentWriter::must_spill`], then the newest.
    #[must_use]
    pub fn in_memory(&self) -> &[u8] {
        &self.octets
    }

    /// Takes octets into memory. `TooLarge` beyond the maximum. Call [`ContentWriter::spill`]
    /// whenever [`ContentWriter::must_spill`] says so.
    pub fn push(&mut self, octets: &[u8]) -> Result<(), StorageError> {
        self.len = self.len.saturating_add(octets.len() as u64);
        if self.len > self.max {
            return Err(StorageError::TooLarge(self.max));
        }
        self.octets.extend_from_slice(octets);
        Ok(())
    }

    /// Whether memory holds as much as it may.
    #[must_use]
    pub fn must_spill(&self) -> bool {
        let most = if self.file.is_some() { FILE_CHUNK } else { self.inline_max };
        self.files.is_some() && self.octets.len() > most
    }

    /// Moves what memory holds to the file.
    pub async fn spill(&mut self) -> Result<(), StorageError> {
        let Some(files) = &self.files else { return Ok(()) };
        let failed = |e: io::Error| StorageError::of_writing("writing content", &e, &files.dir);
        let (file, staged) = match self.file.take() {
            Some(open) => open,
            None => {
                // What is left of a full disk is not for what comes.
                self.reserve.as_ref().map_or(Ok(()), Reserve::admits)?;
                let name = files.next_name();
                let path = files.path(&name);
                let file = tokio::fs::File::options().write(true).create_new(true).open(&path).await;
                (file.map_err(failed)?, StagedFile { path, name, len: 0, kept: AtomicBool::new(false) })
            }
        };
        let (file, staged) = self.file.insert((file, staged));
        file.write_all(&self.octets).await.map_err(failed)?;
        staged.len += self.octets.len() as u64;
        self.octets.clear();
        Ok(())
    }

    /// Takes octets, spilling as needed.
    pub async fn write(&mut self, octets: &[u8]) -> Result<(), StorageError> {
        for piece in octets.chunks(FILE_CHUNK) {
            self.push(piece)?;
            if self.must_spill() {
                self.spill().await?;
            }
        }
        Ok(())
    }

    /// Ends the content. A file and its folder are synced before this returns.
    pub async fn finish(mut self) -> Result<Content, StorageError> {
        if self.file.is_none() {
            return Ok(Content::Inline(self.octets.into()));
        }
        self.spill().await?;
        let (Some((mut file, staged)), Some(files)) = (self.file, self.files) else {
            return Err(StorageError::Corrupt("a content file vanished while it was written".into()));
        };
        let failed = |e: io::Error| StorageError::of_writing("syncing content", &e, &files.dir);
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        let dir = tokio::fs::File::open(&files.dir).await.map_err(failed)?;
        dir.sync_all().await.map_err(failed)?;
        Ok(Content::File(staged))
    }
}

/// Stored content, ready to be read in ranges.
#[derive(Debug, Clone)]
pub enum LoadedContent {
    /// In memory.
    Memory(Bytes),
    /// In a file.
    File {
        /// Open for reading; stays readable when the last reference goes meanwhile.
        file: Arc<File>,
        /// Length in octets.
        len: u64,
    },
    /// In a file, compressed in blocks.
    Packed(Arc<PackedFile>),
}

impl LoadedContent {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self::File { file: Arc::new(file), len })
    }

    fn open_packed(path: &Path) -> io::Result<Self> {
        Self::of_packed(File::open(path)?)
    }

    pub(crate) fn of_packed(file: File) -> io::Result<Self> {
        PackedFile::open(file).map(|file| Self::Packed(Arc::new(file)))
    }

    /// Its length in octets.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(octets) => octets.len() as u64,
            Self::File { len, .. } => *len,
            Self::Packed(file) => file.len(),
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Octets from an offset on, as many as there are up to `len`.
    pub fn range(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        let start = offset.min(self.len());
        let end = start.saturating_add(len as u64).min(self.len());
        match self {
            Self::Memory(octets) => {
                let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                Ok(octets.slice(index(start)..index(end)))
            }
            Self::File { file, .. } => {
                let mut octets = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX)];
                file.read_exact_at(&mut octets, start)
                    .map_err(|e| StorageError::unavailable("reading content", e))?;
                Ok(octets.into())
            }
            Self::Packed(file) => file.range(start, end).map_err(|e| match e.kind() {
                io::ErrorKind::InvalidData => StorageError::Corrupt(e.to_string()),
                _ => StorageError::unavailable("reading content", e),
            }),
        }
    }

    /// All octets; mind the size.
    pub fn to_bytes(&self) -> Result<Bytes, StorageError> {
        self.range(0, usize::try_from(self.len()).unwrap_or(usize::MAX))
    }
}
