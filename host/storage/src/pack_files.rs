//! Packing content that has files of its own: a packed file is made beside, and takes the other one's place.
//!
//! The packed file is on stable storage, with its folder, before the commit that names it; the other one goes after that
//! commit. Whatever ends the process, one of the two is named and whole, and the next start removes the other.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::batch::Batch;
use crate::content::{ContentId, Files, LoadedContent, StagedFile, is_packed};
use crate::error::StorageError;
use crate::open::{FORMAT_PACKED_FILES, Storage};
use crate::pack::{LEVEL, OCTETS_MIN, PackProgress, Packed, SAVED_MIN};
use crate::packed_file;
use crate::space::{CONTENT_FILES, COUNTERS};

/// The key in `counters` of the highest content id whose file was looked at.
const PACKED_FILES_COUNTER: &[u8] = b"packed-files";
/// Names that are read at a time.
const NAMES_AHEAD_MAX: usize = 1_000;

/// A packed file that nothing names yet, with the octets of both.
struct Made {
    file: StagedFile,
    before: u64,
    after: u64,
}

impl Storage {
    pub(crate) async fn pack_files(
        &self,
        tell: &(dyn Fn(PackProgress) -> bool + Send + Sync),
    ) -> Result<Packed, StorageError> {
        let mut sum = Packed::default();
        let Some(files) = &self.files else { return Ok(sum) };
        loop {
            let (mut at, named) = self.unseen_files()?;
            let Some((of, _)) = named.last().cloned() else { return Ok(sum) };
            for (id, name) in named {
                let (files, from) = (Arc::clone(files), name.clone());
                let made = tokio::task::spawn_blocking(move || made(&files, &from)).await;
                let made = made.map_err(|e| StorageError::unavailable("compressing", e))?;
                let made = made.map_err(|e| StorageError::unavailable("compressing a content file", e))?;
                sum.seen += 1;
                if let Some(made) = made {
                    sum = sum.plus(self.replace(id, &name, made).await?);
                }
                let mut batch = Batch::new();
                let more = i64::try_from(id.0 - at).unwrap_or(i64::MAX);
                batch.add(COUNTERS, PACKED_FILES_COUNTER, &[(0, more)]);
                self.commit(batch).await?;
                at = id.0;
                if !tell(PackProgress { at, of: of.0 }) {
                    return Ok(sum);
                }
            }
        }
    }

    /// Up to which content files were looked at, and the next ones with their names.
    fn unseen_files(&self) -> Result<(u64, Vec<(ContentId, String)>), StorageError> {
        let view = self.read()?;
        let at = view.counter(COUNTERS, PACKED_FILES_COUNTER, 0)?;
        let mut named = Vec::new();
        view.scan(CONTENT_FILES, &(at + 1).to_be_bytes(), &[0xff; 9], &mut |key, name| {
            if let Ok(key) = <[u8; 8]>::try_from(key) {
                let id = ContentId(u64::from_be_bytes(key));
                named.push((id, String::from_utf8_lossy(name).into_owned()));
            }
            if named.len() < NAMES_AHEAD_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok((at, named))
    }

    /// Puts a packed file in another one's place, unless that has gone meanwhile.
    async fn replace(&self, id: ContentId, name: &str, made: Made) -> Result<Packed, StorageError> {
        self.mark(FORMAT_PACKED_FILES)?;
        let Made { file, before, after } = made;
        let mut batch = Batch::new();
        batch.pack_file(id, name, file);
        match self.commit(batch).await {
            Ok(_) => Ok(Packed { packed: 1, before, after, ..Packed::default() }),
            Err(StorageError::Conflict(_)) => Ok(Packed::default()),
            Err(error) => Err(error),
        }
    }
}

/// Makes the packed file of another one, on stable storage; none where that does not pay. Blocks.
fn made(files: &Files, name: &str) -> io::Result<Option<Made>> {
    if is_packed(name) {
        return Ok(None);
    }
    let (from, before) = match files.load(name) {
        Ok(LoadedContent::File { file, len }) if len >= OCTETS_MIN as u64 => (file, len),
        Ok(_) => return Ok(None),
        // It went meanwhile; or it is lost, which the check tells.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let (to, file) = files.packed_beside(name)?;
    let after = packed_file::write(&from, before, &to, LEVEL)?;
    if after > before - before / SAVED_MIN as u64 {
        return Ok(None);
    }
    to.sync_all()?;
    files.sync()?;
    Ok(Some(Made { file, before, after }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;

    /// What looks like an attachment: 64 letters by chance.
    fn base64(octets: usize) -> Vec<u8> {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        noise(octets).into_iter().map(|octet| LETTERS[usize::from(octet & 63)]).collect()
    }

    fn noise(octets: usize) -> Vec<u8> {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..octets).map(|_| next()).collect()
    }

    fn open(dir: &std::path::Path) -> Storage {
        Storage::open(dir, &[], &Options { size_max: 64 << 20, inline_max: 100, synced: true }).unwrap()
    }

    async fn put(storage: &Storage, octets: &[u8], references: u32) -> ContentId {
        let mut writer = storage.content(1 << 30);
        writer.write(octets).await.unwrap();
        let mut batch = Batch::new();
        let drawn = batch.store_content(writer.finish().await.unwrap(), references);
        ContentId(storage.commit(batch).await.unwrap().value(drawn))
    }

    /// Waits until files that are named no more are gone: the writer removes them before its next commit.
    async fn settled(storage: &Storage) {
        storage.commit(Batch::new()).await.unwrap();
    }

    fn names(dir: &std::path::Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(dir.join("content"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn files_are_packed_once_and_read_as_before() {
        let dir = tempfile::tempdir().unwrap();
        let storage = open(dir.path());
        let (attached, wild) = (base64(200_000), noise(150_000));
        let first = put(&storage, &attached, 2).await;
        let second = put(&storage, &wild, 1).await;
        let before = storage.read().unwrap();
        let held = before.content(first).unwrap().unwrap();
        let done = storage.pack(&|_| true).await.unwrap();
        assert_eq!((done.seen, done.packed, done.before), (2, 1, 200_000));
        assert!(done.after < 160_000, "{done:?}");
        assert_eq!(storage.pack(&|_| true).await.unwrap(), Packed::default(), "once is enough");
        settled(&storage).await;
        assert_eq!(names(dir.path()), ["0000000000000001.z", "0000000000000002"]);
        // Who had it open reads on, and who knows only its old name finds it.
        for content in [held, before.content(first).unwrap().unwrap()] {
            assert_eq!(content.to_bytes().unwrap(), attached);
        }
        drop(before);
        let view = storage.read().unwrap();
        for (id, octets) in [(first, &attached), (second, &wild)] {
            let content = view.content(id).unwrap().unwrap();
            assert_eq!(content.len(), octets.len() as u64);
            assert_eq!(content.to_bytes().unwrap(), octets);
            assert_eq!(content.range(65_000, 70_000).unwrap(), octets[65_000..135_000]);
            assert!(view.inline_content(id).unwrap().is_none());
        }
        let stats = view.content_stats().unwrap();
        assert_eq!((stats.files, stats.packed, stats.octets), (2, 1, 350_000));
        assert_eq!(stats.packing_saves_octets, done.before - done.after);
        drop(view);
        let to = dir.path().join("copy");
        storage.copy_to(&to, 64 << 20, &mut |_, _| true).unwrap();
        assert_eq!(std::fs::read_to_string(to.join("FORMAT")).unwrap(), FORMAT_PACKED_FILES);
        assert_eq!(open(&to).read().unwrap().content(first).unwrap().unwrap().to_bytes().unwrap(), attached);
        // It dies with its last reference; what comes later is packed by the next pass.
        let mut batch = Batch::new();
        batch.release_content(first, 2);
        storage.commit(batch).await.unwrap();
        settled(&storage).await;
        assert_eq!(names(dir.path()), ["0000000000000002"]);
        put(&storage, &attached, 1).await;
        assert_eq!(storage.pack(&|_| true).await.unwrap().packed, 1);
        storage.close().await;
    }

    #[tokio::test]
    async fn a_crash_leaves_one_of_the_two() {
        let dir = tempfile::tempdir().unwrap();
        let storage = open(dir.path());
        let attached = base64(100_000);
        let id = put(&storage, &attached, 1).await;
        // Before the commit: the packed file is there, and nothing names it.
        let files = Arc::clone(storage.files.as_ref().unwrap());
        std::mem::forget(made(&files, "0000000000000001").unwrap());
        assert_eq!(names(dir.path()).len(), 2);
        drop(files);
        storage.close().await;
        drop(storage);
        let storage = open(dir.path());
        assert_eq!(names(dir.path()), ["0000000000000001"]);
        // After it: the other one is still there.
        std::fs::copy(dir.path().join("content/0000000000000001"), dir.path().join("kept")).unwrap();
        storage.pack(&|_| true).await.unwrap();
        storage.close().await;
        drop(storage);
        std::fs::rename(dir.path().join("kept"), dir.path().join("content/0000000000000001")).unwrap();
        let storage = open(dir.path());
        assert_eq!(names(dir.path()), ["0000000000000001.z"]);
        assert_eq!(storage.read().unwrap().content(id).unwrap().unwrap().to_bytes().unwrap(), attached);
        // Numbers go on behind packed ones, too.
        put(&storage, &attached, 1).await;
        assert_eq!(names(dir.path()), ["0000000000000001.z", "0000000000000002"]);
        storage.close().await;
    }

    #[tokio::test]
    async fn what_goes_meanwhile_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let storage = open(dir.path());
        let id = put(&storage, &base64(100_000), 1).await;
        let files = Arc::clone(storage.files.as_ref().unwrap());
        let made = made(&files, "0000000000000001").unwrap().unwrap();
        let mut batch = Batch::new();
        batch.release_content(id, 1);
        storage.commit(batch).await.unwrap();
        assert_eq!(storage.replace(id, "0000000000000001", made).await.unwrap(), Packed::default());
        settled(&storage).await;
        assert!(names(dir.path()).is_empty());
        storage.close().await;
    }
}
