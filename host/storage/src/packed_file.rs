//! Content files in their packed form: blocks that are compressed each by itself, so that a piece is read without the rest.
//!
//! | octets | are |
//! |---|---|
//! | 0 | version, u8 |
//! | 1–3 | 0 |
//! | 4–7 | octets of a block, the last one apart, u32 big-endian |
//! | 8–15 | octets of the content, u64 big-endian |
//! | then | for each block where its frame begins, u64 big-endian, and where the last one ends: at the file's end |
//! | then | a zstd frame for each block, with a checksum |

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use parking_lot::Mutex;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

/// The version of every file that is written.
const VERSION: u8 = 1;
/// Octets of a block: a header is read at the price of one, and text is compressed almost as well as in one piece.
pub(crate) const BLOCK_OCTETS: u32 = 64 * 1024;
/// Largest block that is read.
const BLOCK_OCTETS_MAX: u32 = 4 << 20;
/// Octets before the places of the frames.
pub(crate) const HEAD: u64 = 16;

/// A packed content file, open for reading.
#[derive(Debug)]
pub struct PackedFile {
    file: File,
    file_len: u64,
    len: u64,
    block: u64,
    /// The block that was read last: who reads on has the rest of it.
    last: Mutex<Option<(u64, Bytes)>>,
}

impl PackedFile {
    /// Takes a file that [`write`] has written.
    ///
    /// # Errors
    /// `InvalidData` where it is no such file, or not whole.
    pub(crate) fn open(file: File) -> io::Result<Self> {
        let mut head = [0; HEAD as usize];
        file.read_exact_at(&mut head, 0)?;
        let block = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let len = u64::from_be_bytes([
            head[8], head[9], head[10], head[11], head[12], head[13], head[14], head[15],
        ]);
        if head[0] != VERSION || !(1..=BLOCK_OCTETS_MAX).contains(&block) {
            return Err(damaged("its version is not known"));
        }
        let file_len = file.metadata()?.len();
        let packed = Self { file, file_len, len, block: u64::from(block), last: Mutex::default() };
        let blocks = len.div_ceil(packed.block);
        if packed.places(blocks, 1)? != [file_len] {
            return Err(damaged("it is cut off"));
        }
        Ok(packed)
    }

    /// Octets of the content.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Octets of the file.
    pub(crate) fn file_len(&self) -> u64 {
        self.file_len
    }

    /// Where frames begin.
    fn places(&self, first: u64, count: usize) -> io::Result<Vec<u64>> {
        let mut octets = vec![0; count * 8];
        self.file.read_exact_at(&mut octets, HEAD + first * 8)?;
        Ok(octets.chunks_exact(8).map(read_u64).collect())
    }

    /// Octets of the content, all of which are there.
    pub(crate) fn range(&self, start: u64, end: u64) -> io::Result<Bytes> {
        if start >= end {
            return Ok(Bytes::new());
        }
        let (first, last) = (start / self.block, (end - 1) / self.block);
        if let Some(cached) = self.cached(first).filter(|_| first == last) {
            return Ok(cached.slice(index(start - first * self.block)..index(end - first * self.block)));
        }
        let places = self.places(first, index(last - first) + 2)?;
        let mut octets = Vec::with_capacity(index(end - start));
        let mut unpacker = Decompressor::new()?;
        for (block, place) in (first..=last).zip(places.windows(2)) {
            let whole = match self.cached(block) {
                Some(cached) => cached,
                None => self.unpacked(&mut unpacker, block, place[0], place[1])?,
            };
            let begin = block * self.block;
            let from = start.saturating_sub(begin);
            let until = (end - begin).min(whole.len() as u64);
            octets.extend_from_slice(&whole[index(from)..index(until)]);
            if block == last {
                *self.last.lock() = Some((block, whole));
            }
        }
        Ok(octets.into())
    }

    fn cached(&self, block: u64) -> Option<Bytes> {
        self.last.lock().as_ref().filter(|(last, _)| *last == block).map(|(_, octets)| octets.clone())
    }

    fn unpacked(
        &self,
        unpacker: &mut Decompressor<'_>,
        block: u64,
        from: u64,
        until: u64,
    ) -> io::Result<Bytes> {
        let len = index(self.block.min(self.len - block * self.block));
        // A frame of what cannot be compressed is larger by a little.
        let fits = until.checked_sub(from).filter(|frame| *frame <= 2 * self.block && until <= self.file_len);
        let mut frame = vec![0; index(fits.ok_or_else(|| damaged("its frames are not where it says"))?)];
        self.file.read_exact_at(&mut frame, from)?;
        let octets = unpacker.decompress(&frame, len).map_err(|e| damaged(&e.to_string()))?;
        if octets.len() == len { Ok(octets.into()) } else { Err(damaged("a block is too short")) }
    }
}

/// Writes content into an empty file in the packed form; the file's length. What is written is read back on the way.
pub(crate) fn write(from: &File, len: u64, to: &File, level: i32) -> io::Result<u64> {
    let block = u64::from(BLOCK_OCTETS);
    let blocks = len.div_ceil(block);
    let mut head = vec![VERSION, 0, 0, 0];
    head.extend_from_slice(&BLOCK_OCTETS.to_be_bytes());
    head.extend_from_slice(&len.to_be_bytes());
    let mut place = HEAD + (blocks + 1) * 8;
    head.extend_from_slice(&place.to_be_bytes());
    let (mut packer, mut unpacker) = (Compressor::new(level)?, Decompressor::new()?);
    packer.set_parameter(CParameter::ChecksumFlag(true))?;
    let mut octets = Vec::new();
    for number in 0..blocks {
        octets.resize(index(block.min(len - number * block)), 0);
        from.read_exact_at(&mut octets, number * block)?;
        let frame = packer.compress(&octets)?;
        if unpacker.decompress(&frame, octets.len())? != octets {
            return Err(damaged("what was compressed is not what comes out"));
        }
        to.write_all_at(&frame, place)?;
        place += frame.len() as u64;
        head.extend_from_slice(&place.to_be_bytes());
    }
    to.write_all_at(&head, 0)?;
    Ok(place)
}

pub(crate) fn read_u64(octets: &[u8]) -> u64 {
    octets.try_into().map_or(0, u64::from_be_bytes)
}

pub(crate) fn index(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a packed file is damaged: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(octets: &[u8]) -> File {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.write_all_at(octets, 0).unwrap();
        let len = write(&from, octets.len() as u64, &to, 3).unwrap();
        assert_eq!(to.metadata().unwrap().len(), len);
        to
    }

    fn text(octets: usize) -> Vec<u8> {
        (0..octets).map(|at| (at / 7 % 251) as u8).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_range_is_what_it_was(octets in 1..300_000_usize, places: [prop::sample::Index; 6]) {
            let text = text(octets);
            let file = PackedFile::open(packed(&text)).unwrap();
            prop_assert_eq!(file.len(), octets as u64);
            for pair in places.chunks(2) {
                let (a, b) = (pair[0].index(octets + 1), pair[1].index(octets + 1));
                let (start, end) = (a.min(b), a.max(b));
                prop_assert_eq!(&file.range(start as u64, end as u64).unwrap()[..], &text[start..end]);
            }
        }
    }

    #[test]
    fn what_is_damaged_is_told() {
        let whole = text(200_000);
        let cut = packed(&whole);
        cut.set_len(cut.metadata().unwrap().len() - 1).unwrap();
        assert_eq!(PackedFile::open(cut).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let other = packed(&whole);
        other.write_all_at(&[9], 0).unwrap();
        assert_eq!(PackedFile::open(other).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let short = tempfile::tempfile().unwrap();
        assert_eq!(PackedFile::open(short).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        // An octet of the last frame, and a place: the other blocks are read as before.
        for (at_end, octet) in [(true, 0x55), (false, 0xff)] {
            let file = packed(&whole);
            let at = if at_end { file.metadata().unwrap().len() - 9 } else { HEAD + 3 * 8 };
            file.write_all_at(&[octet], at).unwrap();
            let file = PackedFile::open(file).unwrap();
            assert_eq!(file.range(0, 60_000).unwrap(), whole[..60_000]);
            assert_eq!(file.range(0, 200_000).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}
