//! Whether LMDB's file reaches as far as its last page: what is missing at its end is met with SIGBUS, which no code can
//! answer. So it is looked at with plain reads before anything is mapped.
//!
//! LMDB itself may leave a file shorter than its last page: pages at the end that a transaction took and gave back are
//! listed as free and never written. So where a file is short, the list of free pages is read, too. The layout is that of
//! version 1 of LMDB's data (`mdb.c` of 0.9: `MDB_meta`, `MDB_db`, `MDB_page`, `MDB_node`, `MDB_IDL`), in the machine's order.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Octets before a page's own content, and before a meta page's record.
const PAGE_HEADER: usize = 16;
/// Octets of a meta page's record.
const META: usize = 136;
/// Where, in that record, stand: the tree of free pages, the last page, the transaction.
const META_FREE: usize = 24;
const META_LAST_PAGE: usize = 120;
const META_TRANSACTION: usize = 128;
/// Where, in the record of a tree, its root stands.
const TREE_ROOT: usize = 40;
/// The root of a tree without pages.
const NO_PAGE: u64 = u64::MAX;
/// What a file of LMDB begins with.
const MAGIC: u32 = 0xBEEF_C0DE;
const VERSION: u32 = 1;
/// Flags of pages: with branches; with leaves.
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
/// A node whose value has pages of its own.
const BIG: u16 = 0x01;
/// Octets of a node before its key.
const NODE_HEADER: usize = 8;
/// Page sizes that LMDB can have, in octets.
const PAGE_OCTETS_MAX: usize = 64 << 10;
/// Most levels of the tree of free pages: LMDB's own maximum.
const LEVELS_MAX: u32 = 32;

/// A file that ends before its last page that counts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CutOff {
    /// Octets that are there.
    pub(crate) octets: u64,
    /// Octets that there have to be.
    pub(crate) octets_wanted: u64,
}

/// Looks whether a file is cut off; `None` where it is not, or is none of LMDB's, of which LMDB itself has something to say.
pub(crate) fn cut_off(path: &Path) -> io::Result<Option<CutOff>> {
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let octets = file.metadata()?.len();
    let Some(meta) = Meta::newest(&file) else { return Ok(None) };
    let octets_wanted = meta.last_page.saturating_add(1).saturating_mul(meta.page as u64);
    if octets >= octets_wanted {
        return Ok(None);
    }
    let pages = Pages { file: &file, page: meta.page, there: octets / meta.page as u64 };
    let mut free = HashSet::new();
    let is_read = pages.free(meta.free_root, 0, &mut free).is_some();
    let missing = meta.last_page + 1 - pages.there;
    let is_whole = is_read && free.len() as u64 == missing;
    Ok((!is_whole).then_some(CutOff { octets, octets_wanted }))
}

struct Meta {
    /// Octets of a page.
    page: usize,
    last_page: u64,
    free_root: u64,
    transaction: u64,
}

impl Meta {
    /// Of the two meta pages, the one of the later transaction.
    fn newest(file: &File) -> Option<Self> {
        let first = Self::read(file, 0)?;
        match Self::read(file, first.page as u64) {
            Some(second) if second.transaction > first.transaction => Some(second),
            _ => Some(first),
        }
    }

    fn read(file: &File, at: u64) -> Option<Self> {
        let mut octets = [0; PAGE_HEADER + META];
        file.read_exact_at(&mut octets, at).ok()?;
        let meta = &octets[PAGE_HEADER..];
        let page = u32_at(meta, META_FREE)? as usize;
        let known = u32_at(meta, 0)? == MAGIC && u32_at(meta, 4)? == VERSION;
        (known && page.is_power_of_two() && page <= PAGE_OCTETS_MAX && page > PAGE_HEADER + META).then_some(
            Self {
                page,
                last_page: u64_at(meta, META_LAST_PAGE)?.min(u64::MAX - 1),
                free_root: u64_at(meta, META_FREE + TREE_ROOT)?,
                transaction: u64_at(meta, META_TRANSACTION)?,
            },
        )
    }
}

struct Pages<'f> {
    file: &'f File,
    /// Octets of a page.
    page: usize,
    /// Whole pages that the file has.
    there: u64,
}

impl Pages<'_> {
    /// Adds the free pages that the file does not have; `None` where the list cannot be read.
    fn free(&self, number: u64, level: u32, free: &mut HashSet<u64>) -> Option<()> {
        if number == NO_PAGE {
            return Some(());
        }
        if level > LEVELS_MAX {
            return None;
        }
        let page = self.read(number, 0, self.page)?;
        let flags = u16_at(&page, 10)?;
        let nodes = (usize::from(u16_at(&page, 12)?).checked_sub(PAGE_HEADER)?) / 2;
        for node in 0..nodes {
            let node = page.get(usize::from(u16_at(&page, PAGE_HEADER + 2 * node)?)..)?;
            let low = u64::from(u16_at(node, 0)?) | u64::from(u16_at(node, 2)?) << 16;
            let node_flags = u16_at(node, 4)?;
            if flags & BRANCH != 0 {
                self.free(low | u64::from(node_flags) << 32, level + 1, free)?;
                continue;
            }
            if flags & LEAF == 0 {
                return None;
            }
            let length = usize::try_from(low).ok()?;
            let value = node.get(NODE_HEADER + usize::from(u16_at(node, 6)?)..)?;
            if node_flags & BIG == 0 {
                self.list(value.get(..length)?, free)?;
            } else {
                // The list goes on over as many pages as it needs, behind one header.
                self.list(&self.read(u64_at(value, 0)?, PAGE_HEADER, length)?, free)?;
            }
        }
        Some(())
    }

    /// A list of pages: how many, then their numbers.
    fn list(&self, octets: &[u8], free: &mut HashSet<u64>) -> Option<()> {
        let count = usize::try_from(u64_at(octets, 0)?).ok()?;
        for number in octets.get(8..count.checked_add(1)?.checked_mul(8)?)?.chunks_exact(8) {
            let number = u64_at(number, 0)?;
            if number >= self.there {
                free.insert(number);
            }
        }
        Some(())
    }

    /// Octets of a page and what follows it; `None` where the file ends before.
    fn read(&self, number: u64, from: usize, length: usize) -> Option<Vec<u8>> {
        let at = number.checked_mul(self.page as u64)?.checked_add(from as u64)?;
        let end = at.checked_add(length as u64)?;
        if end > self.there * self.page as u64 {
            return None;
        }
        let mut octets = vec![0; length];
        self.file.read_exact_at(&mut octets, at).ok()?;
        Some(octets)
    }
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn u64_at(octets: &[u8], at: usize) -> Option<u64> {
    octets.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::{LmdbEngine, Space, StorageError};

    const SPACE: Space = Space::new("numbers");
    const SIZE_MAX: u64 = 64 << 20;

    fn open(dir: &Path) -> Result<LmdbEngine, StorageError> {
        LmdbEngine::open(dir, &[SPACE], SIZE_MAX, true)
    }

    fn put(engine: &LmdbEngine, numbers: std::ops::Range<u32>, delete: std::ops::Range<u32>) {
        let write = engine.write(&mut |writing| {
            for number in numbers.clone() {
                writing.put(SPACE, &number.to_be_bytes(), &[b'x'; 900])?;
            }
            for number in delete.clone().rev() {
                writing.delete(SPACE, &number.to_be_bytes())?;
            }
            Ok(())
        });
        write.unwrap();
    }

    #[test]
    fn whatever_is_missing_at_the_end_is_told_before_it_is_mapped() {
        for cut in [1, 4096, 16_384, 500_000] {
            let dir = tempfile::tempdir().unwrap();
            put(&open(dir.path()).unwrap(), 0..900, 0..0);
            let path = dir.path().join("data.mdb");
            assert_eq!(cut_off(&path).unwrap(), None);
            let octets = path.metadata().unwrap().len();
            File::options().write(true).open(&path).unwrap().set_len(octets - cut).unwrap();
            let found = cut_off(&path).unwrap().unwrap();
            assert_eq!((found.octets, found.octets_wanted), (octets - cut, octets));
            let why = open(dir.path()).err().unwrap();
            assert!(matches!(&why, StorageError::Corrupt(_)), "{why}");
            assert!(why.to_string().contains("cut off"), "{why}");
        }
    }

    #[test]
    fn free_pages_at_the_end_may_be_missing() {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path()).unwrap();
        put(&engine, 0..200, 0..0);
        put(&engine, 0..0, 50..150);
        put(&engine, 0..1, 0..0);
        // Taken and given back by one transaction: listed as free, and never written.
        put(&engine, 100..1000, 100..1000);
        let path = dir.path().join("data.mdb");
        let meta = Meta::newest(&File::open(&path).unwrap()).unwrap();
        let (there, wanted) = (path.metadata().unwrap().len(), (meta.last_page + 1) * meta.page as u64);
        assert!(there < wanted, "LMDB leaves them out: {there} of {wanted}");
        assert_eq!(cut_off(&path).unwrap(), None);
        drop(engine);
        let engine = open(dir.path()).unwrap();
        put(&engine, 2000..2010, 0..0);
        drop(engine);
        File::options().write(true).open(&path).unwrap().set_len(16 * 4096).unwrap();
        assert!(cut_off(&path).unwrap().is_some());
    }

    #[test]
    fn what_is_no_file_of_lmdb_is_left_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.mdb");
        assert_eq!(cut_off(&path).unwrap(), None, "nothing there");
        for octets in [Vec::new(), vec![0; 100], vec![0xAA; 10_000]] {
            std::fs::write(&path, octets).unwrap();
            assert_eq!(cut_off(&path).unwrap(), None);
        }
    }
}
