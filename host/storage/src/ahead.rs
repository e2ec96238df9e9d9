//! Room ahead in a file that grows: a sync after a write beyond a file's end waits for the file system's own records, too; one
//! after a write over what is there waits for the data alone. So zeros are written beyond what is used, now and then and
//! many pages at a time, and commits write over them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Least room beyond what is used, in octets; what is used, divided by this: a small file stays small.
const LEFT_OF_USED: u64 = 16;
/// Bounds of that room: several commits' worth. Twice as much is written at once, which the next sync has to bear.
const LEFT_MIN: u64 = 32 << 10;
const LEFT_MAX: u64 = 1 << 20;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The room that a file has beyond what is used of it.
pub(crate) struct Ahead {
    file: File,
    /// Octets that the file had when it was last looked at; others may have made it longer since.
    octets: AtomicU64,
    /// Octets that it may have.
    octets_max: u64,
}

impl Ahead {
    /// Of a file that is there, and may grow to so many octets.
    pub(crate) fn open(path: &Path, octets_max: u64) -> io::Result<Self> {
        let file = File::options().write(true).open(path)?;
        let octets = AtomicU64::new(file.metadata()?.len());
        Ok(Self { file, octets, octets_max })
    }

    /// Makes the file longer where little is left beyond these octets. Only whoever writes the file may ask, and not while
    /// it writes: what is at the file's end now must be there still when the zeros come.
    ///
    /// What is written here is nobody's yet, so it is not synced; the next commit does that along with its own.
    pub(crate) fn make(&self, used: u64) -> io::Result<()> {
        let left_min = (used / LEFT_OF_USED).clamp(LEFT_MIN, LEFT_MAX);
        if self.octets.load(Ordering::Relaxed) >= (used + left_min).min(self.octets_max) {
            return Ok(());
        }
        let mut at = self.file.metadata()?.len();
        let until = (used.max(at) + 2 * left_min).min(self.octets_max);
        if at < used + left_min {
            while at < until {
                let piece = ZEROS.len().min(usize::try_from(until - at).unwrap_or(usize::MAX));
                self.file.write_all_at(&ZEROS[..piece], at)?;
                at += piece as u64;
            }
        }
        self.octets.store(at, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(path: &Path) -> u64 {
        path.metadata().unwrap().len()
    }

    #[test]
    fn a_file_is_made_longer_before_its_room_is_used_up_and_never_beyond_its_maximum() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        std::fs::write(&path, vec![b'x'; 100 << 10]).unwrap();
        let ahead = Ahead::open(&path, 300 << 10).unwrap();
        ahead.make(50 << 10).unwrap();
        assert_eq!(length(&path), 100 << 10, "there is room enough");
        ahead.make(90 << 10).unwrap();
        assert_eq!(length(&path), 164 << 10);
        ahead.make(120 << 10).unwrap();
        assert_eq!(length(&path), 164 << 10);
        ahead.make(299 << 10).unwrap();
        assert_eq!(length(&path), 300 << 10);
        ahead.make(300 << 10).unwrap();
        assert_eq!(length(&path), 300 << 10);
    }

    #[test]
    fn what_others_wrote_meanwhile_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        std::fs::write(&path, b"").unwrap();
        let ahead = Ahead::open(&path, 10 << 20).unwrap();
        std::fs::write(&path, vec![b'x'; 200 << 10]).unwrap();
        ahead.make(200 << 10).unwrap();
        let octets = std::fs::read(&path).unwrap();
        assert!(octets.len() > 200 << 10);
        assert!(octets[..200 << 10].iter().all(|octet| *octet == b'x'));
        assert!(octets[200 << 10..].iter().all(|octet| *octet == 0));
    }
}
