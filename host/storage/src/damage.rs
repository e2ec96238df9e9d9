//! Reading all of a content, to see whether it is what was written; and what is left of one that is not.
//!
//! Packed content has checksums (a file one for each block), against which each octet is held. Content that is not packed has none: of it
//! one can see that the disk gives it.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::batch::Batch;
use crate::content::{ContentId, Files, LoadedContent, StagedFile, is_packed};
use crate::error::StorageError;
use crate::open::Snapshot;
use crate::pack::{packed_len, unpacked};
use crate::packed_salvage::{self, VisitPiece};
use crate::space::{CONTENT, CONTENT_FILES, CONTENT_PACKED};

/// Octets of a file without blocks that are read, or lost, together.
const PIECE: u64 = 64 << 10;
/// What reading all of a content came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has so many octets.
    Whole(u64),
    /// There is none with this id, or its file is not there.
    Missing,
    /// It is not what was written.
    Damaged(Damage),
}

/// What is damaged of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What the reader saw first, with the file's name where it has one.
    pub why: String,
    /// Its octets, those that are lost among them.
    pub len: u64,
    /// Which of them are lost: rising, apart.
    pub lost: Vec<Range<u64>>,
}

impl Damage {
    /// How many octets are lost.
    #[must_use]
    pub fn lost_octets(&self) -> u64 {
        self.lost.iter().map(|lost| lost.end - lost.start).sum()
    }

    /// Whether nothing of it can be read.
    #[must_use]
    pub fn is_total(&self) -> bool {
        self.lost_octets() >= self.len
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// Most ranges that are told.
        const TOLD_MAX: usize = 8;
        let (lost, len) = (self.lost_octets(), self.len);
        match self.lost.as_slice() {
            [] => write!(f, "all of its {len} octets can be read")?,
            _ if self.is_total() => f.write_str("nothing of it can be read")?,
            ranges => {
                write!(f, "{lost} of its {len} octets are lost, at")?;
                for Range { start, end } in ranges.iter().take(TOLD_MAX) {
                    write!(f, " {start}-{}", end - 1)?;
                }
                if ranges.len() > TOLD_MAX {
                    write!(f, " and {} more", ranges.len() - TOLD_MAX)?;
                }
            }
        }
        write!(f, " ({})", self.why)
    }
}

/// What is left of a content whose file is damaged: a file of the same length, not named by anything yet.
#[derive(Debug)]
pub struct Salvaged {
    id: ContentId,
    name: String,
    file: StagedFile,
}

impl Batch {
    /// Puts what is left of a damaged content in its place; a conflict where that is not there as it was.
    pub fn mend_content(&mut self, salvaged: Salvaged) {
        self.pack_file(salvaged.id, &salvaged.name, salvaged.file);
    }
}

impl Snapshot {
    /// The octets of a content as its record or file says, without reading it; `None` where it does not exist.
    pub fn content_len(&self, id: ContentId) -> Result<Option<u64>, StorageError> {
        if let Some(octets) = self.get(CONTENT, &id.to_key())? {
            return Ok(Some(octets.len() as u64));
        }
        if let Some(packed) = self.get(CONTENT_PACKED, &id.to_key())? {
            return Ok(packed_len(&packed));
        }
        Ok(self.content(id)?.map(|content| content.len()))
    }

    /// Reads all of a content. `wanted` is its length as others know it, for where it does not say; of a file that is shorter, the
    /// end is lost.
    pub fn verify_content(&self, id: ContentId, wanted: Option<u64>) -> Result<Verdict, StorageError> {
        if let Some(octets) = self.get(CONTENT, &id.to_key())? {
            return Ok(Verdict::Whole(octets.len() as u64));
        }
        if let Some(packed) = self.get(CONTENT_PACKED, &id.to_key())? {
            return Ok(match unpacked(id, &packed) {
                Ok(octets) => Verdict::Whole(octets.len() as u64),
                Err(why) => {
                    let len = wanted.or(packed_len(&packed)).unwrap_or(0);
                    let lost = std::iter::once(0..len).collect();
                    Verdict::Damaged(Damage { why: cause(&why), len, lost })
                }
            });
        }
        let Some((files, name)) = self.file_of(id)? else { return Ok(Verdict::Missing) };
        let path = files.path(&name).display().to_string();
        match through(files, &name, wanted, &mut |_, _| Ok(())) {
            Ok(Through { len, lost, why: None }) if lost.is_empty() => Ok(Verdict::Whole(len)),
            Ok(Through { len, lost, why }) => {
                let why = why.unwrap_or_else(|| "the disk does not give them".to_owned());
                Ok(Verdict::Damaged(Damage { why: format!("{path}: {why}"), len, lost }))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Verdict::Missing),
            Err(e) => {
                let len = wanted.unwrap_or(0);
                let lost = std::iter::once(0..len).collect();
                Ok(Verdict::Damaged(Damage { why: format!("{path}: {e}"), len, lost }))
            }
        }
    }

    /// Writes what can be read of a damaged content to a file of its own, on stable storage, with what `instead` gives, as many
    /// octets, in the place of what is lost; `None` where the content has no file, or nothing of it can be read. Blocks.
    pub fn salvaged(
        &self,
        id: ContentId,
        damage: &Damage,
        instead: &dyn Fn(&Range<u64>) -> Vec<u8>,
    ) -> Result<Option<Salvaged>, StorageError> {
        let Some((files, name)) = self.file_of(id)? else { return Ok(None) };
        if damage.is_total() {
            return Ok(None);
        }
        let failed =
            |e: io::Error| StorageError::of_writing("writing what is left of a content", &e, files.dir());
        let (mut to, file) = files.beside_others().map_err(failed)?;
        let read = through(files, &name, Some(damage.len), &mut |range, octets| match octets {
            Some(octets) => to.write_all(octets),
            None => to.write_all(&instead(&range)),
        });
        read.and_then(|_| to.sync_all()).and_then(|()| files.sync()).map_err(failed)?;
        Ok(Some(Salvaged { id, name, file }))
    }

    /// A content as it lies on the disk, damaged or not, and whether that is its packed form; what the disk does not give is
    /// zeros. `None` where there is nothing.
    pub fn raw_content(&self, id: ContentId) -> Result<Option<(Vec<u8>, bool)>, StorageError> {
        for space in [CONTENT, CONTENT_PACKED] {
            if let Some(octets) = self.get(space, &id.to_key())? {
                return Ok(Some((octets.into_owned(), space == CONTENT_PACKED)));
            }
        }
        let Some((files, name)) = self.file_of(id)? else { return Ok(None) };
        let Ok(file) = File::open(files.path(&name)) else { return Ok(None) };
        let mut raw = Vec::new();
        pieces(&file, &mut |range, octets| {
            match octets {
                Some(octets) => raw.extend_from_slice(octets),
                None => raw.resize(raw.len() + index(range.end - range.start), 0),
            }
            Ok(())
        })
        .map_err(|e| StorageError::unavailable("reading a damaged content", e))?;
        Ok(Some((raw, is_packed(&name))))
    }

    /// Whether a content has a file of its own.
    pub fn content_is_file(&self, id: ContentId) -> Result<bool, StorageError> {
        Ok(self.get(CONTENT_FILES, &id.to_key())?.is_some())
    }

    /// The file of a content that has one.
    fn file_of(&self, id: ContentId) -> Result<Option<(&Files, String)>, StorageError> {
        let Some(name) = self.get(CONTENT_FILES, &id.to_key())? else { return Ok(None) };
        Ok(self.files().map(|files| (files, String::from_utf8_lossy(&name).into_owned())))
    }
}

/// What reading through a file came to.
struct Through {
    len: u64,
    lost: Vec<Range<u64>>,
    /// What is wrong with a packed file, as its readers see it.
    why: Option<String>,
}

/// Visits all octets of a content file, in their order; none where they cannot be read.
fn through(files: &Files, name: &str, wanted: Option<u64>, visit: VisitPiece<'_>) -> io::Result<Through> {
    let mut lost: Vec<Range<u64>> = Vec::new();
    let mut visit = |range: Range<u64>, octets: Option<&[u8]>| {
        if octets.is_none() {
            match lost.last_mut().filter(|last| last.end == range.start) {
                Some(last) => last.end = range.end,
                None => lost.push(range.clone()),
            }
        }
        visit(range, octets)
    };
    // One that was packed since its name was read is found as it is now.
    let (file, is_packed) = files.open_named(name)?;
    if !is_packed {
        let len = pieces(&file, &mut visit)?;
        // Nothing within the file says how long it was; nothing that is written makes one shorter.
        let Some(wanted) = wanted.filter(|wanted| *wanted > len) else {
            return Ok(Through { len, lost, why: None });
        };
        visit(len..wanted, None)?;
        let why = Some(format!("it was cut off: it has {len} octets, and had {wanted}"));
        return Ok(Through { len: wanted, lost, why });
    }
    let len = packed_salvage::read_through(&file, wanted, &mut visit)?;
    // Salvage gets over damage that readers do not.
    let why =
        LoadedContent::of_packed(file).and_then(|content| read_all(&content)).err().map(|e| e.to_string());
    Ok(Through { len, lost, why })
}

fn read_all(content: &LoadedContent) -> io::Result<()> {
    let mut at = 0;
    while at < content.len() {
        content.range(at, index(PIECE)).map_err(|e| io::Error::other(cause(&e)))?;
        at += PIECE;
    }
    Ok(())
}

/// Visits a file in pieces; the file's length.
fn pieces(file: &File, visit: VisitPiece<'_>) -> io::Result<u64> {
    let len = file.metadata()?.len();
    let (mut at, mut octets) = (0, Vec::new());
    while at < len {
        let range = at..(at + PIECE).min(len);
        octets.resize(index(range.end - range.start), 0);
        at = range.end;
        let read = file.read_exact_at(&mut octets, range.start);
        visit(range, read.is_ok().then_some(&octets[..]))?;
    }
    Ok(len)
}

/// An error's words, without the advice for who cannot see what is damaged.
fn cause(error: &StorageError) -> String {
    match error {
        StorageError::Corrupt(why) => why.clone(),
        other => other.to_string(),
    }
}

fn index(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Storage};

    fn open(dir: &std::path::Path) -> Storage {
        Storage::open(dir, &[], &Options { size_max: 64 << 20, inline_max: 5000, synced: true }).unwrap()
    }

    fn gap(lost: &Range<u64>) -> Vec<u8> {
        vec![b'?'; index(lost.end - lost.start)]
    }

    async fn put(storage: &Storage, octets: &[u8]) -> ContentId {
        let mut writer = storage.content(1 << 30);
        writer.write(octets).await.unwrap();
        let mut batch = Batch::new();
        let drawn = batch.store_content(writer.finish().await.unwrap(), 2);
        ContentId(storage.commit(batch).await.unwrap().value(drawn))
    }

    fn damage_of(storage: &Storage, id: ContentId) -> Damage {
        match storage.read().unwrap().verify_content(id, Some(0)).unwrap() {
            Verdict::Damaged(damage) => damage,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_is_left_of_a_damaged_file_takes_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let storage = open(dir.path());
        let text: Vec<u8> = (0..12_000).flat_map(|n| format!("line {n:010}\r\n").into_bytes()).collect();
        let id = put(&storage, &text).await;
        storage.pack(&|_| true).await.unwrap();
        let view = storage.read().unwrap();
        assert_eq!(view.verify_content(id, None).unwrap(), Verdict::Whole(text.len() as u64));
        let path = dir.path().join("content/0000000000000001.z");
        let file = File::options().write(true).open(&path).unwrap();
        // Of three blocks, the second one.
        let place = {
            let mut place = [0; 8];
            File::open(&path).unwrap().read_exact_at(&mut place, 16 + 8).unwrap();
            u64::from_be_bytes(place)
        };
        file.write_all_at(&[0x55; 16], place + 40).unwrap();
        let damage = damage_of(&storage, id);
        assert_eq!(damage.lost, std::iter::once(65_536..131_072).collect::<Vec<_>>());
        assert_eq!(damage.len, text.len() as u64);
        assert!(
            damage.to_string().contains("65536 of its 204000 octets are lost, at 65536-131071"),
            "{damage}"
        );
        assert!(damage.why.contains("0000000000000001.z"), "{damage}");
        let salvaged = view.salvaged(id, &damage, &gap).unwrap().unwrap();
        drop(view);
        let mut batch = Batch::new();
        batch.mend_content(salvaged);
        storage.commit(batch).await.unwrap();
        let view = storage.read().unwrap();
        assert_eq!(view.verify_content(id, None).unwrap(), Verdict::Whole(text.len() as u64));
        assert_eq!(view.content_references(id).unwrap(), Some(2));
        let left = view.content(id).unwrap().unwrap().to_bytes().unwrap();
        assert_eq!((&left[..65_536], &left[131_072..]), (&text[..65_536], &text[131_072..]));
        assert_eq!(left[65_536..131_072], gap(&(65_536..131_072)));
    }

    #[tokio::test]
    async fn a_file_that_was_cut_off_has_lost_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let storage = open(dir.path());
        let id = put(&storage, &[b'x'; 10_000]).await;
        let file = File::options().write(true).open(dir.path().join("content/0000000000000001")).unwrap();
        for left in [6000, 0] {
            file.set_len(left).unwrap();
            let view = storage.read().unwrap();
            assert_eq!(view.verify_content(id, None).unwrap(), Verdict::Whole(left), "nobody knows better");
            let Verdict::Damaged(damage) = view.verify_content(id, Some(10_000)).unwrap() else { panic!() };
            assert_eq!((damage.len, &damage.lost[..]), (10_000, std::slice::from_ref(&(left..10_000))));
            assert!(damage.why.ends_with(&format!("it has {left} octets, and had 10000")), "{damage}");
            assert_eq!(view.salvaged(id, &damage, &gap).unwrap().is_some(), left > 0);
            assert_eq!(view.raw_content(id).unwrap().unwrap().0.len() as u64, left);
        }
    }

    #[tokio::test]
    async fn damage_within_the_engine_is_seen_and_kept_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let storage = open(dir.path());
        let id = put(&storage, &b"text that is packed ".repeat(200)).await;
        storage.pack(&|_| true).await.unwrap();
        let view = storage.read().unwrap();
        let (mut packed, is_packed) = view.raw_content(id).unwrap().unwrap();
        assert!(is_packed);
        assert_eq!(view.content_len(id).unwrap(), Some(4000));
        drop(view);
        // A letter that the frame has as it is.
        let at = packed.windows(4).position(|octets| octets == b"text").unwrap();
        packed[at] = b'T';
        let mut batch = Batch::new();
        batch.put(CONTENT_PACKED, &id.to_key(), packed.clone());
        storage.commit(batch).await.unwrap();
        let damage = damage_of(&storage, id);
        assert!(damage.is_total() && damage.to_string().contains("nothing of it can be read"), "{damage}");
        let view = storage.read().unwrap();
        assert!(view.salvaged(id, &damage, &gap).unwrap().is_none());
        assert_eq!(view.raw_content(id).unwrap().unwrap(), (packed, true));
        assert_eq!(view.verify_content(ContentId(77), None).unwrap(), Verdict::Missing);
    }
}
