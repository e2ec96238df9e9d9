//! A Maildir: a file for each message, written in `tmp` and moved to `new` when it is whole and synced.
//!
//! The file is named after queue id and recipient, so that a repeat after a crash takes the place of the first try
//! instead of standing beside it. Readers move files to `cur`: there it is known while it is unread, or merely seen.

use std::io::Write;

use mail_types::{QueueId, Timestamp};
use runtime::Folder;

use super::place::Place;
use super::{Trouble, Written};
use crate::final_copy::{FinalCopy, LineEnds, Lines};

/// Longest host in a file's name, in characters.
const HOST_MAX: usize = 64;
/// What readers put behind the name of a file that they have moved and nobody has answered, flagged or thrown away.
const MOVED: [&str; 3] = ["", ":2,", ":2,S"];

/// The name of a message's file.
pub(super) fn name(arrived: Timestamp, id: QueueId, recipient: &str, host: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let host: String = host.chars().filter(|c| plain(*c)).take(HOST_MAX).collect();
    format!("{}.Q{id}R{:016x}.{host}", arrived.as_seconds(), digest(recipient))
}

/// FNV-1a: tells the few recipients of one message apart, and is the same after an upgrade.
fn digest(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Puts a message into a Maildir, which is made where it is not there.
pub(super) fn put(place: &Place, name: &str, copy: &FinalCopy, most: u64) -> Result<Written, Trouble> {
    if copy.len() > most {
        return Err(Trouble::Full(most));
    }
    let maildir = place.folder()?.own_folder(&place.name)?;
    let [tmp, new, cur] = ["tmp", "new", "cur"].map(|folder| maildir.own_folder(folder));
    let (tmp, new, cur) = (tmp?, new?, cur?);
    for moved in MOVED {
        if cur.has(&format!("{name}{moved}"))? {
            return Ok(Written::Before);
        }
    }
    // The leftover of a crash.
    tmp.remove(name)?;
    let written = write(&tmp, name, copy).and_then(|()| Ok(tmp.rename(name, &new, name)?));
    if let Err(trouble) = written {
        // Best effort: the next try removes it, and so do readers of Maildirs after 36 hours.
        let _ = tmp.remove(name);
        return Err(trouble);
    }
    new.sync()?;
    Ok(Written::Now)
}

fn write(tmp: &Folder, name: &str, copy: &FinalCopy) -> Result<(), Trouble> {
    let Some(mut file) = tmp.create(name)? else {
        return Err(Trouble::Io(std::io::ErrorKind::AlreadyExists.into()));
    };
    let (mut lines, mut offset, mut out) = (Lines::ending(LineEnds::Lf), 0, Vec::new());
    while offset < copy.len() {
        let piece = copy.piece(offset)?;
        if piece.is_empty() {
            return Err(Trouble::Io(std::io::ErrorKind::UnexpectedEof.into()));
        }
        offset += piece.len() as u64;
        lines.take(&piece, &mut out);
        file.write_all(&out)?;
        out.clear();
    }
    lines.end(&mut out);
    file.write_all(&out)?;
    file.sync_all()?;
    Ok(())
}
