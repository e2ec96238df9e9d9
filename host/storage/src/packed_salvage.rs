//! Reading what can be read of a packed file that is damaged.
//!
//! A reader gives up at the first octet that is not as it was written. Here nothing is believed that a checksum does not
//! confirm, and everything is tried that may lead to a frame: where the list of places says it begins, and where the frame
//! before it ends. So damage to the head or to the list costs nothing while the frames are whole, and damage to a frame costs
//! that block alone.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use zstd::bulk::Decompressor;
use zstd::zstd_safe::find_frame_compressed_size;

use crate::packed_file::{BLOCK_OCTETS, HEAD, index, read_u64};

/// Octets of a block.
const BLOCK: u64 = BLOCK_OCTETS as u64;
/// Largest frame, in octets: of what cannot be compressed it is larger than the block by a little.
const FRAME_MAX: u64 = 2 * BLOCK;

/// Called with where octets lie in a content, and themselves where they can be read.
pub(crate) type VisitPiece<'v> = &'v mut dyn FnMut(Range<u64>, Option<&[u8]>) -> io::Result<()>;

/// Visits the blocks of a packed file in their order: where each lies in the content, and its octets, where they can be read.
/// `wanted` is the content's length as others know it; what the file says of it is believed only where its list agrees. Gives
/// the length.
pub(crate) fn read_through(file: &File, wanted: Option<u64>, visit: VisitPiece<'_>) -> io::Result<u64> {
    let file_len = file.metadata()?.len();
    let len = length(file, wanted, file_len);
    let blocks = len.div_ceil(BLOCK);
    let first_frame = HEAD + (blocks + 1) * 8;
    let mut after_last = Some(first_frame);
    let mut unpacker = Decompressor::new()?;
    for number in 0..blocks {
        let range = number * BLOCK..((number + 1) * BLOCK).min(len);
        let listed = read(file, HEAD + number * 8, 8).map(|octets| read_u64(&octets));
        let mut found = None;
        for place in after_last.into_iter().chain(listed).filter(|place| *place >= first_frame) {
            found = frame(file, file_len, place, index(range.end - range.start), &mut unpacker);
            if found.is_some() {
                break;
            }
        }
        match found {
            Some((octets, end)) => {
                after_last = Some(end);
                visit(range, Some(&octets))?;
            }
            None => {
                // Where the next one begins, only the list can tell.
                after_last = None;
                visit(range, None)?;
            }
        }
    }
    Ok(len)
}

/// The content's length: as the head says where the list begins its frames right behind itself, else as others know it.
fn length(file: &File, wanted: Option<u64>, file_len: u64) -> u64 {
    let number = |at| read(file, at, 8).map(|octets| read_u64(&octets));
    let said = number(8).filter(|said| {
        let list_end = said.div_ceil(BLOCK).checked_add(1).and_then(|places| places.checked_mul(8));
        list_end.is_some_and(|list_end| number(HEAD) == Some(HEAD + list_end) && HEAD + list_end <= file_len)
    });
    // A file that its list would not fit into has no such content.
    let fits = |len: &u64| (len.div_ceil(BLOCK) + 1) * 8 <= file_len;
    said.or(wanted).filter(fits).unwrap_or(0)
}

/// The block whose frame begins at a place, and where that frame ends.
fn frame(
    file: &File,
    file_len: u64,
    place: u64,
    octets: usize,
    unpacker: &mut Decompressor<'_>,
) -> Option<(Vec<u8>, u64)> {
    let there = file_len.checked_sub(place)?.min(FRAME_MAX);
    let read = read(file, place, index(there))?;
    let frame = read.get(..find_frame_compressed_size(&read).ok()?)?;
    let block = unpacker.decompress(frame, octets).ok()?;
    (block.len() == octets).then(|| (block, place + frame.len() as u64))
}

fn read(file: &File, at: u64, octets: usize) -> Option<Vec<u8>> {
    let mut read = vec![0; octets];
    // What the disk does not give is damaged as well.
    file.read_exact_at(&mut read, at).ok()?;
    Some(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed_file::write;

    const OCTETS: usize = 200_000;

    fn text() -> Vec<u8> {
        (0..OCTETS).map(|at| (at / 7 % 251) as u8).collect()
    }

    /// Which blocks of a file with four can be read after it was damaged in one place.
    fn read_after(at: u64, octets: &[u8], wanted: Option<u64>) -> Vec<bool> {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.write_all_at(&text(), 0).unwrap();
        write(&from, OCTETS as u64, &to, 3).unwrap();
        let at = if at < 1000 { at } else { to.metadata().unwrap().len() - 20 };
        to.write_all_at(octets, at).unwrap();
        let mut seen = Vec::new();
        let mut visit = |range: Range<u64>, octets: Option<&[u8]>| {
            if let Some(octets) = octets {
                assert_eq!(octets, &text()[index(range.start)..index(range.end)]);
            }
            seen.push(octets.is_some());
            Ok(())
        };
        assert_eq!(read_through(&to, wanted, &mut visit).unwrap(), OCTETS as u64);
        seen
    }

    #[test]
    fn damage_costs_the_block_it_is_in_and_no_other() {
        let known = Some(OCTETS as u64);
        assert_eq!(read_after(100, &[], None), [true; 4], "nothing is damaged");
        assert_eq!(read_after(1000, &[0x55; 4], None), [true, true, true, false], "the last frame");
        assert_eq!(read_after(60, &[0xee; 8], None), [false, true, true, true], "the first frame's head");
        // What only leads to frames can be done without.
        assert_eq!(read_after(0, &[0xff; 8], None), [true; 4], "version and block");
        assert_eq!(read_after(8, &[0xff; 8], known), [true; 4], "the length");
        assert_eq!(read_after(16 + 2 * 8, &[0xff; 8], None), [true; 4], "a place");
        assert_eq!(read_after(0, &[0xff; 56], known), [true; 4], "all before the frames");
    }
}
