//! A consistent copy of a storage while it is written to; and a smaller one in its place while it is not.

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use runtime::files::{create_dir_durably, sync_dir};

use crate::content::{self, ContentId};
use crate::engine::Engine;
use crate::error::StorageError;
use crate::lmdb::LmdbEngine;
use crate::open::{CONTENT_FOLDER, FORMAT, FORMAT_FILE, FORMAT_PACKED, FORMAT_PACKED_FILES, Storage, rank};
use crate::space::{CONTENT_FILES, CONTENT_PACKED};

/// LMDB's file, and the one beside it, in which it keeps track of readers.
const ENGINE_FILE: &str = "data.mdb";
const ENGINE_LOCK_FILE: &str = "lock.mdb";
/// What a smaller copy is called until it is whole.
const COMPACTED_FILE: &str = "data.mdb.compacted";

/// What a copy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Octets of the engine's file.
    pub engine_octets: u64,
    /// Content files.
    pub files: u64,
    /// Their octets.
    pub file_octets: u64,
}

/// What a compaction came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// Octets of the engine's file before.
    pub before: u64,
    /// And after.
    pub after: u64,
}

/// Why there is no copy.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct NotCopied {
    /// What failed.
    pub error: StorageError,
    /// Whose file could not be copied, where it was that of a content.
    pub content: Option<ContentId>,
}

impl From<StorageError> for NotCopied {
    fn from(error: StorageError) -> Self {
        Self { error, content: None }
    }
}

impl Storage {
    /// Copies everything into a folder that is made for it; all of it is on stable storage when this returns. Commits go on
    /// meanwhile: the copy is of the moment when it began. `tell` is told how many content files are copied, of how
    /// many, and says whether to go on. Blocks as long as it takes.
    ///
    /// The order matters: no content file is removed from before the engine is copied until all files are, so that
    /// whatever the copied engine names can be copied too. `size_max` is as in [`crate::Options`].
    pub fn copy_to(
        &self,
        dir: &Path,
        size_max: u64,
        tell: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Copied, NotCopied> {
        let failed = |e| StorageError::unavailable("making the copy's folder", e);
        if dir.exists() {
            return Err(failed(io::ErrorKind::AlreadyExists.into()).into());
        }
        create_dir_durably(&dir.join(CONTENT_FOLDER)).map_err(failed)?;
        let held = self.files.as_ref().map(|files| files.hold());
        let engine_octets = self.engine.copy_to(&dir.join(ENGINE_FILE))?;
        let mut copied = Copied { engine_octets, ..Copied::default() };
        let mut format = FORMAT;
        if let Some(files) = &self.files {
            let (names, is_packed) = named(dir, size_max)?;
            if names.iter().any(|(_, name)| content::is_packed(name)) {
                format = FORMAT_PACKED_FILES;
            } else if is_packed {
                format = FORMAT_PACKED;
            }
            // Of spaces that came later, some may have records.
            if let Some(own) = files.format()?.filter(|own| rank(own) > rank(FORMAT_PACKED_FILES)) {
                format = own;
            }
            for (done, (id, name)) in names.iter().enumerate() {
                if !tell(done as u64, names.len() as u64) {
                    return Err(StorageError::unavailable("copying", "stopped").into());
                }
                let to = dir.join(CONTENT_FOLDER).join(name);
                let octets = copy_file(&files.path(name), &to).map_err(|e| {
                    let error = StorageError::of_writing("copying a content file", &e, dir);
                    NotCopied { content: (!error.is_want_of_room()).then_some(*id), error }
                })?;
                copied.file_octets += octets;
                copied.files += 1;
            }
        }
        drop(held);
        let ended = fs::write(dir.join(FORMAT_FILE), format)
            .and_then(|()| File::open(dir.join(FORMAT_FILE))?.sync_all())
            .and_then(|()| sync_dir(&dir.join(CONTENT_FOLDER)))
            .and_then(|()| sync_dir(dir));
        ended.map_err(|e| StorageError::unavailable("syncing the copy", e))?;
        Ok(copied)
    }

    /// Writes the engine's file of a folder anew, without what is free in it, and puts it in the old one's place. Nobody
    /// may have the folder open. Until the last moment the old file is what counts; the disk has to hold both. Blocks.
    pub fn compact(dir: &Path, size_max: u64) -> Result<Compacted, StorageError> {
        let failed = |e: io::Error| StorageError::of_writing("compacting", &e, dir);
        let (place, beside) = (dir.join(ENGINE_FILE), dir.join(COMPACTED_FILE));
        let before = fs::metadata(&place).map_err(failed)?.len();
        remove_if_there(&beside).map_err(failed)?;
        let copied = LmdbEngine::open(dir, &[], size_max, true).and_then(|engine| engine.copy_to(&beside));
        let after = copied.inspect_err(|_| {
            // What stays of it is removed by the next try.
            let _ = fs::remove_file(&beside);
        })?;
        // It is of the old file, and is made anew.
        remove_if_there(&dir.join(ENGINE_LOCK_FILE)).map_err(failed)?;
        fs::rename(&beside, &place).and_then(|()| sync_dir(dir)).map_err(failed)?;
        Ok(Compacted { before, after })
    }
}

/// The content files that a copied engine names, and whether it has packed content.
fn named(dir: &Path, size_max: u64) -> Result<(Vec<(ContentId, String)>, bool), StorageError> {
    let (mut names, mut is_packed) = (Vec::new(), false);
    let engine = LmdbEngine::open(dir, &[], size_max, true)?;
    engine.read()?.scan(CONTENT_PACKED, &[], &[0xff; 9], &mut |_, _| {
        is_packed = true;
        ControlFlow::Break(())
    })?;
    engine.read()?.scan(CONTENT_FILES, &[], &[0xff; 9], &mut |key, name| {
        let id = key.try_into().map_or(0, u64::from_be_bytes);
        names.push((ContentId(id), String::from_utf8_lossy(name).into_owned()));
        ControlFlow::Continue(())
    })?;
    drop(engine);
    let lock = dir.join(ENGINE_LOCK_FILE);
    remove_if_there(&lock).map_err(|e| StorageError::unavailable("ending the copy", e))?;
    Ok((names, is_packed))
}

/// Copies a file; an error names both, because the system does not say which one it is about.
fn copy_file(from: &Path, to: &Path) -> io::Result<u64> {
    let copied = fs::copy(from, to).and_then(|octets| {
        File::open(to)?.sync_all()?;
        Ok(octets)
    });
    copied.map_err(|e| io::Error::new(e.kind(), format!("{} to {}: {e}", from.display(), to.display())))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Options, Space};

    const SPACE: Space = Space::new("numbers");
    const SIZE_MAX: u64 = 64 << 20;

    fn open(dir: &Path) -> Storage {
        Storage::open(dir, &[SPACE], &Options { size_max: SIZE_MAX, inline_max: 100, synced: true }).unwrap()
    }

    async fn put(storage: &Storage, octets: &[u8], references: u32) -> crate::ContentId {
        let mut writer = storage.content(1 << 20);
        writer.write(octets).await.unwrap();
        let mut batch = Batch::new();
        let drawn = batch.store_content(writer.finish().await.unwrap(), references);
        crate::ContentId(storage.commit(batch).await.unwrap().value(drawn))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_copy_has_all_that_it_names_whatever_goes_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let storage = open(&dir.path().join("a"));
        let large = vec![b'x'; 5000];
        let (small, first, second) = (
            put(&storage, b"small", 1).await,
            put(&storage, &large, 3).await,
            put(&storage, &large, 1).await,
        );
        let stats = storage.read().unwrap().content_stats().unwrap();
        assert_eq!((stats.contents, stats.files, stats.octets), (3, 2, 10_005));
        assert_eq!((stats.references, stats.saved_octets), (5, 10_000));
        let handle = tokio::runtime::Handle::current();
        let to = dir.path().join("b");
        let copied = tokio::task::block_in_place(|| {
            let mut gone = false;
            storage.copy_to(&to, SIZE_MAX, &mut |_, total| {
                assert_eq!(total, 2);
                if !gone {
                    // Both files lose their last reference while they are copied.
                    let mut batch = Batch::new();
                    batch.release_content(first, 3);
                    batch.release_content(second, 1);
                    handle.block_on(storage.commit(batch)).unwrap();
                    gone = true;
                }
                true
            })
        });
        assert_eq!((copied.unwrap().files, copied_files(&dir.path().join("a"))), (2, 0));
        let copy = open(&to);
        let view = copy.read().unwrap();
        for (id, octets) in [(small, &b"small"[..]), (first, &large), (second, &large)] {
            assert_eq!(view.content(id).unwrap().unwrap().to_bytes().unwrap(), octets);
        }
        assert!(storage.copy_to(&to, SIZE_MAX, &mut |_, _| true).is_err(), "nothing is overwritten");
        put(&storage, &large, 1).await;
        let lost = fs::read_dir(dir.path().join("a/content")).unwrap().next().unwrap().unwrap().path();
        fs::remove_file(&lost).unwrap();
        let why = storage.copy_to(&dir.path().join("c"), SIZE_MAX, &mut |_, _| true).unwrap_err();
        assert!(why.to_string().contains(&lost.display().to_string()), "{why}");
        assert_eq!(why.content, Some(crate::ContentId(4)));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_copy_has_the_lowest_format_that_tells_of_all_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { size_max: SIZE_MAX, inline_max: 100_000, synced: true };
        let storage = Storage::open(&dir.path().join("a"), &[SPACE], &options).unwrap();
        let id = put(&storage, &b"text ".repeat(1000), 1).await;
        let copy = |to: &str| {
            let to = dir.path().join(to);
            tokio::task::block_in_place(|| storage.copy_to(&to, SIZE_MAX, &mut |_, _| true)).unwrap();
            (fs::read_to_string(to.join(FORMAT_FILE)).unwrap(), to)
        };
        assert_eq!(copy("b").0, FORMAT);
        storage.pack(&|_| true).await.unwrap();
        let (format, to) = copy("c");
        assert_eq!(format, FORMAT_PACKED);
        let view = open(&to).read().unwrap();
        assert_eq!(view.content(id).unwrap().unwrap().len(), 5000);
    }

    fn copied_files(dir: &Path) -> usize {
        fs::read_dir(dir.join(CONTENT_FOLDER)).unwrap().count()
    }

    #[tokio::test]
    async fn compaction_makes_the_file_smaller_and_keeps_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let storage = open(dir.path());
        let (mut puts, mut deletes) = (Batch::new(), Batch::new());
        for number in 0..2000_u32 {
            puts.put(SPACE, &number.to_be_bytes(), vec![b'x'; 1000]);
            if number < 1990 {
                deletes.delete(SPACE, &number.to_be_bytes());
            }
        }
        storage.commit(puts).await.unwrap();
        storage.commit(deletes).await.unwrap();
        let stats = storage.stats().unwrap().unwrap();
        assert!(stats.free_octets > stats.file_octets / 2, "{stats:?}");
        let numbers = stats.spaces.iter().find(|space| space.name == "numbers").unwrap();
        assert_eq!(numbers.entries, 10);
        storage.close().await;
        drop(storage);
        let compacted = Storage::compact(dir.path(), SIZE_MAX).unwrap();
        assert!(compacted.after < compacted.before / 4, "{compacted:?}");
        let storage = open(dir.path());
        assert!(storage.read().unwrap().get(SPACE, &1995_u32.to_be_bytes()).unwrap().is_some());
        let mut batch = Batch::new();
        batch.put(SPACE, b"more", "x");
        storage.commit(batch).await.unwrap();
    }
}
