//! A mailbox file: messages one after the other, in the format mboxrd (RFC 4155 with lines quoted so that it can be
//! undone).
//!
//! Appended under the locks that Debian's mail programs take ([`runtime::MailboxLock`]), and synced before it is reported.
//! A write that fails is taken back, so that no half message stays; what a crash in the middle
//! of one leaves is taken back by whoever appends next ([`super::unfinished`]). A repeat is known by its octets: what would be appended is at the end of the file already. It
//! holds the queue id, so it can be no other message.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use queue::Attempt;
use runtime::MailboxLock;
use tokio::time::{Instant, sleep};

use super::place::Place;
use super::unfinished::Unfinished;
use super::{FileOptions, Trouble, Written, blocking};
use crate::final_copy::{FinalCopy, Lines, from_line};

/// How often a lock that others have is tried again.
const LOCK_TRY: Duration = Duration::from_millis(100);

/// Waits for the locks, and appends.
pub(super) async fn append(
    place: Place,
    copy: FinalCopy,
    attempt: &Attempt,
    options: &FileOptions,
) -> Result<Written, Trouble> {
    let message = Message { first: from_line(&attempt.reverse_path, attempt.arrived), copy };
    let (deadline, most) = (Instant::now() + options.lock_wait, options.size_max);
    loop {
        let taken = place.clone();
        let locked = blocking(move || Ok(MailboxLock::take(taken.folder()?, &taken.name)?)).await?;
        if let Some(mut lock) = locked {
            return blocking(move || message.append_to(&mut lock, &place.name, most)).await;
        }
        if Instant::now() >= deadline {
            return Err(Trouble::Locked);
        }
        sleep(LOCK_TRY).await;
    }
}

/// A message as it stands in the file.
struct Message {
    first: String,
    copy: FinalCopy,
}

impl Message {
    fn append_to(&self, lock: &mut MailboxLock, name: &str, most: u64) -> Result<Written, Trouble> {
        let is_new = lock.is_new;
        let (folder, file) = lock.parts();
        Unfinished::mend(folder, name, file)?;
        let start = file.metadata()?.len();
        let (mut len, mut beginning) = (0, Vec::new());
        self.write(&mut |piece| {
            if beginning.is_empty() {
                beginning.extend_from_slice(piece);
            }
            len += piece.len() as u64;
            Ok(true)
        })?;
        if self.is_end_of(file, start, len)? {
            // The crash may have come before the sync.
            file.sync_all()?;
            return Ok(Written::Before);
        }
        let between = separation(file, start)?;
        if start + between.len() as u64 + len > most {
            return Err(Trouble::Full(most));
        }
        let all = between.len() as u64 + len;
        Unfinished::new(start, all, [between, &beginning].concat()).note(folder, name)?;
        let written = file.write_all(between).and_then(|()| {
            self.write(&mut |piece| file.write_all(piece).map(|()| true))?;
            file.sync_all()
        });
        if let Err(error) = written {
            // Taken back, now or, where the disk does not let us, by whoever appends next.
            if file.set_len(start).and_then(|()| file.sync_all()).is_ok() {
                let _ = Unfinished::forget(folder, name);
            }
            return Err(error.into());
        }
        // The message is there: what cannot be removed now is left alone by the next one.
        let _ = Unfinished::forget(folder, name);
        if is_new {
            folder.sync()?;
        }
        Ok(Written::Now)
    }

    /// Hands all of it to a sink, piece by piece, until that has seen enough.
    fn write(&self, sink: &mut dyn FnMut(&[u8]) -> io::Result<bool>) -> io::Result<()> {
        let (mut lines, mut offset) = (Lines::of_mbox(), 0);
        let mut out = self.first.clone().into_bytes();
        while offset < self.copy.len() {
            let piece = self.copy.piece(offset)?;
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            offset += piece.len() as u64;
            lines.take(&piece, &mut out);
            if !sink(&out)? {
                return Ok(());
            }
            out.clear();
        }
        lines.end_mbox(&mut out);
        sink(&out).map(drop)
    }

    /// Whether a file of a size ends with this message.
    fn is_end_of(&self, file: &File, size: u64, len: u64) -> io::Result<bool> {
        let Some(mut at) = size.checked_sub(len) else { return Ok(false) };
        let mut same = true;
        self.write(&mut |piece| {
            let mut there = vec![0; piece.len()];
            file.read_exact_at(&mut there, at)?;
            at += piece.len() as u64;
            same = there == piece;
            Ok(same)
        })?;
        Ok(same)
    }
}

/// What has to stand between the end of a file and a next message: messages are separated by an empty line, also from one
/// that others or a crash left without.
fn separation(file: &File, size: u64) -> io::Result<&'static [u8]> {
    let mut end = [b'\n'; 2];
    let len = usize::try_from(size.min(2)).unwrap_or_default();
    file.read_exact_at(&mut end[2 - len..], size - len as u64)?;
    Ok(match end {
        [_, last] if last != b'\n' => b"\n\n",
        [before, _] if before != b'\n' => b"\n",
        _ => b"",
    })
}
