//! Recordings, read again to be played: line by line, on a thread of their own, and of however many there are only the latest
//! that fit into bounds are held.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use crate::made_with::{self, MadeWith};
use crate::recording::{LINE_MAX, Recording};

/// Most calls that are played at a time.
pub(crate) const PLAYED_MAX: usize = 10_000;
/// Most octets of their recordings.
pub(crate) const PLAYED_OCTETS_MAX: usize = 16 << 20;

/// Calls to be played, oldest first. They are held as they were written, which is the smallest that they can be, and gone
/// through one by one.
#[derive(Debug, Default)]
pub(crate) struct Recordings {
    lines: VecDeque<(Vec<u8>, Option<Arc<MadeWith>>)>,
    octets: usize,
    /// Whether there are older ones, which found no room here.
    pub(crate) older: bool,
    /// Lines that are no recordings.
    pub(crate) unreadable: usize,
    /// Recordings that were not chosen.
    pub(crate) others: usize,
}

impl Recordings {
    /// Reads the last octets of files, oldest first, and keeps what is `chosen`. What cannot be read as a recording costs
    /// itself alone: a crash may cut a line anywhere. Ends early, with what it has, where nobody waits for it any more.
    pub(crate) fn read(
        paths: &[PathBuf],
        last: u64,
        chosen: impl Fn(&Recording) -> bool,
        is_given_up: impl Fn() -> bool,
    ) -> io::Result<Self> {
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            match File::open(path) {
                Ok(file) => files.push((file.metadata()?.len(), file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let mut skipped = files.iter().map(|(len, _)| len).sum::<u64>().saturating_sub(last);
        let mut found = Self { older: skipped > 0, ..Self::default() };
        let mut line = Vec::new();
        for (len, file) in files {
            let mut file = BufReader::new(file);
            if skipped > 0 {
                // Back by one: where a line begins just there, only the end of the one before it is passed over.
                file.seek(SeekFrom::Start(skipped.min(len).saturating_sub(1)))?;
                file.skip_until(b'\n')?;
                skipped = skipped.saturating_sub(len);
            }
            // Each file begins with what its calls were made with; not where it begins is passed over.
            let mut current = None;
            while !is_given_up() && next_line(&mut file, &mut line)? {
                if let Some(made_with) = made_with::read(&line) {
                    current = made_with;
                    continue;
                }
                match serde_json::from_slice::<Recording>(&line) {
                    Ok(recording) if chosen(&recording) => found.keep(&line, current.clone()),
                    Ok(_) => found.others += 1,
                    Err(_) => found.unreadable += 1,
                }
            }
        }
        Ok(found)
    }

    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    fn keep(&mut self, line: &[u8], made_with: Option<Arc<MadeWith>>) {
        self.lines.push_back((line.to_vec(), made_with));
        self.octets += line.len();
        while self.lines.len() > PLAYED_MAX || self.octets > PLAYED_OCTETS_MAX {
            self.octets -= self.lines.pop_front().map_or(0, |(oldest, _)| oldest.len());
            self.older = true;
        }
    }
}

fn read_again((line, made_with): (Vec<u8>, Option<Arc<MadeWith>>)) -> Option<Recording> {
    // It was one when it was kept.
    let recording: Recording = serde_json::from_slice(&line).ok()?;
    Some(Recording { made_with, ..recording })
}

impl Iterator for Recordings {
    type Item = Recording;

    fn next(&mut self) -> Option<Recording> {
        read_again(self.lines.pop_front()?)
    }
}

impl DoubleEndedIterator for Recordings {
    fn next_back(&mut self) -> Option<Recording> {
        read_again(self.lines.pop_back()?)
    }
}

/// Reads the next line; false at the end. No recording is longer than [`LINE_MAX`]: of a line that is, the beginning is
/// given, which is none.
pub(crate) fn next_line(file: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    if file.by_ref().take(LINE_MAX as u64).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() != Some(&b'\n') {
        file.skip_until(b'\n')?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::{Answer, Question};

    fn line(at: u64, padding: usize) -> String {
        let recording = Recording {
            at,
            seed: 0,
            plugin: "policy".parse().unwrap(),
            digest: crate::component::Digest::of(b""),
            id: "x".repeat(padding),
            question: Question::RouteTable("example.org".into(), Vec::new()),
            asked: Vec::new(),
            host: Vec::new(),
            answer: Ok(Answer::RouteTable(Vec::new())),
            made_with: None,
        };
        serde_json::to_string(&recording).unwrap() + "\n"
    }

    /// Reads two files of these texts.
    fn read(old: &str, new: &str, last: u64) -> Recordings {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("absent"), folder.path().join("old"), folder.path().join("new")];
        std::fs::write(&paths[1], old).unwrap();
        std::fs::write(&paths[2], new).unwrap();
        Recordings::read(&paths, last, |recording| recording.at != 7, || false).unwrap()
    }

    fn times(found: Recordings) -> Vec<u64> {
        found.map(|recording| recording.at).collect()
    }

    #[test]
    fn what_is_chosen_is_read_and_what_is_broken_passed_over() {
        let long = "x".repeat(3 * LINE_MAX);
        let old = format!("{}{}{{\"at\":\n{}", line(1, 0), line(7, 0), line(2, 0));
        let found = read(&old, &format!("{long}\n{}{{\"at", line(3, 0)), u64::MAX);
        assert_eq!((found.older, found.unreadable), (false, 3));
        assert_eq!(times(found), [1, 2, 3]);
    }

    #[test]
    fn the_latest_are_held_to_a_maximum_of_calls_and_octets() {
        let many: String = (100..100 + PLAYED_MAX as u64 + 5).map(|at| line(at, 0)).collect();
        let found = read(&line(1, 0), &many, u64::MAX);
        assert!(found.older);
        let times = times(found);
        assert_eq!((times.len(), times[0]), (PLAYED_MAX, 105));
        let large: String = (100..120).map(|at| line(at, LINE_MAX - 500)).collect();
        let found = read("", &large, u64::MAX);
        assert!(found.older && found.octets <= PLAYED_OCTETS_MAX, "{}", found.octets);
        assert_eq!(found.lines.len(), 16);
    }

    #[test]
    fn no_more_than_the_last_octets_are_read() {
        let (old, new) = (line(1, 0) + &line(2, 0), line(3, 0) + &line(4, 0));
        let of_a_line = line(1, 0).len() as u64;
        for (last, expected) in [
            (u64::MAX, &[1, 2, 3, 4][..]),
            (4 * of_a_line, &[1, 2, 3, 4]),
            (4 * of_a_line - 1, &[2, 3, 4]),
            (3 * of_a_line, &[2, 3, 4]),
            (2 * of_a_line, &[3, 4]),
            (2 * of_a_line - 1, &[4]),
            (0, &[]),
        ] {
            let found = read(&old, &new, last);
            assert_eq!((found.older, found.unreadable), (last < 4 * of_a_line, 0), "{last}");
            assert_eq!(times(found), expected, "{last}");
        }
    }

    #[test]
    fn reading_ends_when_nobody_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        std::fs::write(&path, line(1, 0)).unwrap();
        assert_eq!(times(Recordings::read(&[path], u64::MAX, |_| true, || true).unwrap()), [0; 0]);
    }
}
