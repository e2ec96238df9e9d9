//! What a crash in the middle of an append leaves: half a message at the end of a mailbox file. Before an append, a small
//! file beside it says where the message begins, how long it is, and with which octets it begins; afterwards it goes. Who
//! appends next, under the locks, finds it, and takes the half back.
//!
//! Nobody else's mail is taken back: what stands behind the place must be our message, octet by octet as far as we have its
//! beginning, be shorter than it, and hold nothing behind that that could begin a message of others.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use memchr::memmem;
use runtime::{BeneathError, Folder};

/// Octets of a message's beginning that are written down: its queue id is among them.
const BEGINNING_MAX: usize = 4096;
/// Longest file of ours, in octets.
const LEN_MAX: u64 = BEGINNING_MAX as u64 + 200;
/// Octets of a mailbox file that are looked at a time.
const PIECE: usize = 64 * 1024;
/// What begins a message.
const FROM: &[u8] = b"From ";
/// How the name of our file ends; no mailbox file's does.
pub(super) const ENDING: &str = ".half";
/// The first word of our file.
const WORD: &str = "wasmta-append-1";

/// An append that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unfinished {
    /// How long the mailbox file was.
    pub(super) start: u64,
    /// How much is appended.
    pub(super) len: u64,
    /// Its first octets.
    pub(super) beginning: Vec<u8>,
}

fn name_of(mailbox: &str) -> String {
    format!("{mailbox}{ENDING}")
}

impl Unfinished {
    /// That so much is appended from here on; its beginning is cut where it is long.
    pub(super) fn new(start: u64, len: u64, mut beginning: Vec<u8>) -> Self {
        beginning.truncate(BEGINNING_MAX);
        Self { start, len, beginning }
    }

    /// Writes it down before the append, durably.
    pub(super) fn note(&self, folder: &Folder, mailbox: &str) -> Result<(), BeneathError> {
        let name = name_of(mailbox);
        folder.remove(&name)?;
        let Some(mut file) = folder.create(&name)? else {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
        };
        file.write_all(format!("{WORD} {} {}\n", self.start, self.len).as_bytes())?;
        file.write_all(&self.beginning)?;
        file.sync_all()?;
        folder.sync()?;
        Ok(())
    }

    /// The append has ended. A power cut may bring it back; then the message is whole, and is left alone.
    pub(super) fn forget(folder: &Folder, mailbox: &str) -> Result<(), BeneathError> {
        folder.remove(&name_of(mailbox))
    }

    /// Takes back what an append that did not end has left, under the locks.
    pub(super) fn mend(folder: &Folder, mailbox: &str, file: &File) -> Result<(), BeneathError> {
        let name = name_of(mailbox);
        if !folder.has(&name)? {
            return Ok(());
        }
        let mut octets = Vec::new();
        folder.append(&name)?.0.take(LEN_MAX).read_to_end(&mut octets)?;
        if let Some(unfinished) = Self::read(&octets)
            && unfinished.is_all_of(file)?
        {
            file.set_len(unfinished.start)?;
            file.sync_all()?;
        }
        folder.remove(&name)
    }

    /// `None` where it is none of ours, or its own writing did not end: then nothing was appended.
    fn read(octets: &[u8]) -> Option<Self> {
        let (line, beginning) = octets.split_at(memchr::memchr(b'\n', octets)? + 1);
        let mut words = std::str::from_utf8(line).ok()?.split_whitespace();
        if words.next() != Some(WORD) {
            return None;
        }
        let mut number = || words.next()?.parse::<u64>().ok();
        Some(Self { start: number()?, len: number()?, beginning: beginning.to_vec() })
    }

    /// Whether what stands behind the place is a part of the message, and nothing else. Octets that never came to the disk
    /// are zeros.
    fn is_all_of(&self, file: &File) -> io::Result<bool> {
        let there = file.metadata()?.len().saturating_sub(self.start);
        if there == 0 || there >= self.len {
            return Ok(false);
        }
        let head = usize::try_from(there).unwrap_or(usize::MAX).min(self.beginning.len());
        let mut begins = vec![0; head];
        file.read_exact_at(&mut begins, self.start)?;
        if begins.iter().zip(&self.beginning).any(|(there, ours)| there != ours && *there != 0) {
            return Ok(false);
        }
        // So far every octet is ours. Behind it, others begin with what ours has behind `>` alone, if at all; a writer may
        // not look whether the line before has ended.
        let (mut at, mut piece) = ((head as u64).saturating_sub(1), vec![0; PIECE + FROM.len()]);
        while at < there {
            let len = usize::try_from(there - at).unwrap_or(usize::MAX).min(piece.len());
            file.read_exact_at(&mut piece[..len], self.start + at)?;
            let mut found = memmem::find_iter(&piece[..len], FROM).filter(|found| *found > 0);
            if found.any(|found| piece[found - 1] != b'>') {
                return Ok(false);
            }
            // What begins at the end of a piece is found in the next one, with the octet before it.
            at += len.min(PIECE) as u64;
        }
        Ok(true)
    }
}
