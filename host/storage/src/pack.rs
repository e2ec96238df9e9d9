//! Content compressed at rest: by a pass over what is there, when an operator wants it.
//!
//! A delivery is never slowed down by it: content comes in as it is, and is compressed later, away from the threads that serve and
//! from the writer, which only swaps one value for the other. What it costs is paid by readers: some tens of microseconds
//! for each message that is opened. Content in files of its own is packed in blocks, so that it is still read in ranges: even
//! attachments that were compressed before are in base64, of which a quarter is saved.

use std::ops::ControlFlow;

use runtime::files::{Readers, write_durably};
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use crate::batch::Batch;
use crate::content::ContentId;
use crate::error::StorageError;
use crate::open::{FORMAT_FILE, FORMAT_PACKED, FORMATS, Storage, rank};
use crate::space::{CONTENT, COUNTERS, Space};

/// Content below this size is left: it shares a page with others, and there is little to gain.
pub(crate) const OCTETS_MIN: usize = 2048;
/// At least one part in so many has to be saved.
pub(crate) const SAVED_MIN: usize = 8;
/// The level of zstd: the fast end, which compresses text by half or more.
pub(crate) const LEVEL: i32 = 3;
/// Most contents of one batch.
const BATCH_CONTENTS_MAX: usize = 200;
/// Most octets that are read for one batch.
const BATCH_OCTETS_MAX: usize = 8 << 20;
/// The key in `counters` of the highest content id that was looked at.
const PACKED_COUNTER: &[u8] = b"packed";
/// Octets before the frame.
const HEAD: usize = 4;

/// How far packing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackProgress {
    /// The id of the last content that was looked at.
    pub at: u64,
    /// The last id that was given.
    pub of: u64,
}

/// What packing came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Packed {
    /// Contents that were looked at.
    pub seen: u64,
    /// Contents that were packed.
    pub packed: u64,
    /// Octets of those before.
    pub before: u64,
    /// And after.
    pub after: u64,
}

impl Packed {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            seen: self.seen + other.seen,
            packed: self.packed + other.packed,
            before: self.before + other.before,
            after: self.after + other.after,
        }
    }
}

/// What one batch does.
struct Step {
    batch: Batch,
    done: Packed,
    last: Option<u64>,
}

impl Storage {
    /// Compresses content that came since it was done last, where it pays, batch by batch; others commit meanwhile. `tell` says
    /// whether to go on. What is packed by somebody else is waited for.
    pub async fn pack(
        &self,
        tell: &(dyn Fn(PackProgress) -> bool + Send + Sync),
    ) -> Result<Packed, StorageError> {
        let _one = self.packing.lock().await;
        let mut goes_on = true;
        let mut told = |progress| {
            goes_on = tell(progress);
            goes_on
        };
        let inline = self.pack_inline(&mut told).await?;
        let files = if goes_on { self.pack_files(tell).await? } else { Packed::default() };
        Ok(inline.plus(files))
    }

    async fn pack_inline(
        &self,
        tell: &mut (dyn FnMut(PackProgress) -> bool + Send),
    ) -> Result<Packed, StorageError> {
        self.mark(FORMAT_PACKED)?;
        let mut sum = Packed::default();
        loop {
            let storage = self.clone();
            let step = tokio::task::spawn_blocking(move || storage.pack_step()).await;
            let step = step.map_err(|e| StorageError::unavailable("compressing", e))??;
            let Some(last) = step.last else { return Ok(sum) };
            self.commit(step.batch).await?;
            sum = sum.plus(step.done);
            let of = self.read()?.counter(COUNTERS, crate::apply::CONTENT_COUNTER, 0)?;
            if !tell(PackProgress { at: last, of: of.max(last) }) {
                return Ok(sum);
            }
        }
    }

    /// Before the first content of a format: who does not know of it must not open the folder.
    pub(crate) fn mark(&self, wanted: &'static str) -> Result<(), StorageError> {
        let Some(files) = &self.files else { return Ok(()) };
        if files.format()?.is_some_and(|is| rank(is) >= rank(wanted)) {
            return Ok(());
        }
        let path = files.beside(FORMAT_FILE);
        let written = write_durably(&path, wanted.as_bytes(), Readers::Owner);
        written.map_err(|e| StorageError::unavailable("writing the format's version", e))
    }

    /// Call it before the first record of a space that came with a later format.
    pub fn admit(&self, space: Space) -> Result<(), StorageError> {
        match FORMATS.get(space.format() - 1) {
            Some(format) if space.format() > 1 => self.mark(format),
            _ => Ok(()),
        }
    }

    fn pack_step(&self) -> Result<Step, StorageError> {
        let view = self.read()?;
        let first = view.counter(COUNTERS, PACKED_COUNTER, 0)?;
        let mut step = Step { batch: Batch::new(), done: Packed::default(), last: None };
        let (mut octets, mut failed) = (0, None);
        view.scan(CONTENT, &(first + 1).to_be_bytes(), &[0xff; 9], &mut |key, value| {
            let Ok(key) = <[u8; 8]>::try_from(key) else { return ControlFlow::Continue(()) };
            let id = u64::from_be_bytes(key);
            step.last = Some(id);
            step.done.seen += 1;
            octets += value.len();
            match packed(value) {
                Ok(Some(packed)) => {
                    step.done.packed += 1;
                    step.done.before += value.len() as u64;
                    step.done.after += packed.len() as u64;
                    step.batch.pack_content(ContentId(id), packed);
                }
                Ok(None) => {}
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            let full = step.done.seen as usize >= BATCH_CONTENTS_MAX || octets >= BATCH_OCTETS_MAX;
            if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        if let Some(last) = step.last {
            let more = i64::try_from(last - first).unwrap_or(i64::MAX);
            step.batch.add(COUNTERS, PACKED_COUNTER, &[(0, more)]);
        }
        Ok(step)
    }
}

/// Octets in their packed form; none where it does not pay.
fn packed(octets: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
    let Ok(len) = u32::try_from(octets.len()) else { return Ok(None) };
    if octets.len() < OCTETS_MIN {
        return Ok(None);
    }
    let failed = |e| StorageError::unavailable("compressing", e);
    let mut packer = Compressor::new(LEVEL).map_err(failed)?;
    packer.set_parameter(CParameter::ChecksumFlag(true)).map_err(failed)?;
    let frame = packer.compress(octets).map_err(failed)?;
    if HEAD + frame.len() > octets.len() - octets.len() / SAVED_MIN {
        return Ok(None);
    }
    let mut packed = Vec::with_capacity(HEAD + frame.len());
    packed.extend_from_slice(&len.to_be_bytes());
    packed.extend_from_slice(&frame);
    Ok(Some(packed))
}

/// The octets of packed content.
pub(crate) fn unpacked(id: ContentId, packed: &[u8]) -> Result<Vec<u8>, StorageError> {
    let corrupt = |why: String| StorageError::Corrupt(format!("content {}: {why}", id.0));
    let len = packed_len(packed).ok_or_else(|| corrupt("its length is not there".to_owned()))?;
    let len = usize::try_from(len).map_err(|e| corrupt(e.to_string()))?;
    // Never more memory than the length that was written with it.
    let octets = zstd::bulk::decompress(&packed[HEAD..], len).map_err(|e| corrupt(e.to_string()))?;
    if octets.len() == len {
        Ok(octets)
    } else {
        Err(corrupt(format!("{} octets instead of {len}", octets.len())))
    }
}

/// How many octets packed content has when it is unpacked.
pub(crate) fn packed_len(packed: &[u8]) -> Option<u64> {
    let head = packed.get(..HEAD)?.try_into().ok()?;
    Some(u64::from(u32::from_be_bytes(head)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Content, Options};
    use proptest::prelude::*;

    async fn put(storage: &Storage, octets: Vec<u8>, references: u32) -> ContentId {
        let mut batch = Batch::new();
        let drawn = batch.store_content(Content::from(octets), references);
        ContentId(storage.commit(batch).await.unwrap().value(drawn))
    }

    fn noise(octets: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..octets).map(|_| next()).collect()
    }

    #[tokio::test]
    async fn text_is_packed_once_and_read_as_before() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { size_max: 64 << 20, inline_max: 100_000, synced: true };
        let storage = Storage::open(dir.path(), &[], &options).unwrap();
        let text = b"Subject: a line that is there often\r\n".repeat(500);
        let (first, small, noisy) = (
            put(&storage, text.clone(), 2).await,
            put(&storage, b"small".to_vec(), 1).await,
            put(&storage, noise(10_000), 1).await,
        );
        let done = storage.pack(&|_| true).await.unwrap();
        assert_eq!((done.seen, done.packed, done.before), (3, 1, text.len() as u64));
        assert!(done.after * 5 < done.before, "{done:?}");
        assert_eq!(storage.pack(&|_| true).await.unwrap(), Packed::default(), "once is enough");
        let view = storage.read().unwrap();
        for (id, octets) in [(first, &text), (small, &b"small".to_vec()), (noisy, &noise(10_000))] {
            assert_eq!(view.content(id).unwrap().unwrap().to_bytes().unwrap(), octets);
            assert_eq!(&*view.inline_content(id).unwrap().unwrap(), &octets[..]);
        }
        assert_eq!(view.content_references(first).unwrap(), Some(2));
        let stats = view.content_stats().unwrap();
        assert_eq!((stats.contents, stats.packed, stats.octets), (3, 1, text.len() as u64 + 10_005));
        drop(view);
        // It dies with its last reference, and new content is packed by the next pass.
        let mut batch = Batch::new();
        batch.release_content(first, 2);
        storage.commit(batch).await.unwrap();
        assert!(storage.read().unwrap().content(first).unwrap().is_none());
        put(&storage, text, 1).await;
        assert_eq!(storage.pack(&|_| true).await.unwrap().packed, 1);
        storage.close().await;
        drop(storage);
        assert_eq!(std::fs::read_to_string(dir.path().join(FORMAT_FILE)).unwrap(), FORMAT_PACKED);
        Storage::open(dir.path(), &[], &options).unwrap();
    }

    #[test]
    fn what_is_damaged_is_told() {
        let good = packed(&b"text ".repeat(1000)).unwrap().unwrap();
        assert_eq!(unpacked(ContentId(1), &good).unwrap(), b"text ".repeat(1000));
        let mut longer = good.clone();
        longer[3] = longer[3].wrapping_add(1);
        let mut shorter = good.clone();
        shorter[3] = shorter[3].wrapping_sub(1);
        for bad in [&good[..3], &good[..10], &longer, &shorter] {
            assert!(matches!(unpacked(ContentId(1), bad), Err(StorageError::Corrupt(_))));
        }
    }

    proptest! {
        #[test]
        fn packing_is_undone(octets in proptest::collection::vec(0_u8..4, 0..9000)) {
            if let Some(packed) = packed(&octets).unwrap() {
                prop_assert!(packed.len() < octets.len());
                prop_assert_eq!(unpacked(ContentId(1), &packed).unwrap(), octets);
            }
        }
    }
}
