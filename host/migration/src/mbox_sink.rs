//! Writing mbox files (RFC 4155 Appendix A, quoted as `mboxrd`).

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use runtime::files::sync_dir;
use store::{Flags, MailboxInfo};

use crate::calendar::asctime;
use crate::error::MigrationError;
use crate::export::{CHUNK, Outgoing};
use crate::given_names::{COMPONENT_MAX, GivenNames, instead_of};
use crate::lines::ToLf;
use crate::mbox_source::ENDING;

/// Who sends what names no sender.
const NOBODY: &str = "MAILER-DAEMON";

/// One mailbox's file.
pub(crate) struct MboxSink {
    path: PathBuf,
    file: BufWriter<File>,
}

impl MboxSink {
    /// Makes the file of a mailbox below a folder: `Archive/2026.mbox`.
    pub(crate) fn create(
        root: &Path,
        mailbox: &MailboxInfo,
        given: &mut GivenNames,
    ) -> Result<Self, MigrationError> {
        let mut folder = root.to_owned();
        let place = place(mailbox.name.as_str(), mailbox.id.number);
        if place != format!("{}{ENDING}", mailbox.name) {
            given.add(&place, mailbox.name.as_str());
        }
        let (levels, last) = place.rsplit_once('/').unwrap_or(("", &place));
        for level in levels.split('/').filter(|level| !level.is_empty()) {
            folder.push(level);
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(|e| MigrationError::file(&folder, e))?;
        }
        let path = folder.join(last);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|e| MigrationError::file(&path, e))?;
        Ok(Self { path, file: BufWriter::with_capacity(CHUNK, file) })
    }

    pub(crate) fn write(&mut self, message: &Outgoing<'_>) -> Result<(), MigrationError> {
        let path = self.path.clone();
        let failed = |e| MigrationError::file(&path, e);
        let mut fields = format!("From {NOBODY} {}\n", asctime(message.info.internal_date));
        let letter = |flag, letter| if message.has(flag) { letter } else { "" };
        fields.push_str(&format!("Status: {}O\n", letter(Flags::SEEN, "R")));
        fields.push_str(&format!(
            "X-Status: {}{}{}{}\n",
            letter(Flags::ANSWERED, "A"),
            letter(Flags::FLAGGED, "F"),
            letter(Flags::DRAFT, "T"),
            letter(Flags::DELETED, "D")
        ));
        // All three are always there, in the reader's order: it takes the first of each name, which else might be the sender's,
        // and knows by them that whatever follows is the message's own.
        fields.push_str(&format!("X-Keywords: {}\n", message.keywords.join(" ")));
        self.file.write_all(fields.as_bytes()).map_err(failed)?;
        let (mut lines, mut piece, mut quoting) = (ToLf::default(), Vec::new(), Quoting::default());
        message.pieces(|octets| {
            lines.convert(octets, &mut piece);
            quoting.write(&piece, &mut self.file).map_err(failed)
        })?;
        quoting.write(lines.end(), &mut self.file).map_err(failed)?;
        quoting.finish(&mut self.file).map_err(failed)
    }

    /// Makes all durable; the file, for words.
    pub(crate) fn finish(self) -> Result<String, MigrationError> {
        let path = self.path;
        let failed = |e| MigrationError::file(&path, e);
        let file = self.file.into_inner().map_err(|e| failed(e.into_error()))?;
        file.sync_all().map_err(failed)?;
        sync_dir(path.parent().unwrap_or(Path::new("."))).map_err(failed)?;
        Ok(path.display().to_string())
    }
}

/// The file of a mailbox below the root. What the system, or an import, would take for something else, and what is too long, is
/// changed.
fn place(mailbox: &str, number: u32) -> String {
    let (above, last) = mailbox.rsplit_once('/').map_or((None, mailbox), |(above, last)| (Some(above), last));
    let mut place = String::new();
    for level in above.into_iter().flat_map(|above| above.split('/')) {
        // A folder that is called like the file of another mailbox.
        let is_file = level.ends_with(ENDING);
        place.push_str(&file_name(level, COMPONENT_MAX, number, is_file));
        place.push('/');
    }
    place.push_str(&file_name(last, COMPONENT_MAX - ENDING.len(), number, false));
    place + ENDING
}

fn file_name(level: &str, octets_max: usize, number: u32, must_differ: bool) -> String {
    // What begins with `_` before the dot gets one more, too: no two names become one.
    let is_hidden = level.trim_start_matches('_').starts_with('.');
    let name = if is_hidden { format!("_{level}") } else { level.to_owned() };
    if must_differ || name.len() > octets_max { instead_of(&name, number) } else { name }
}

/// Puts a `>` before every line that is `From ` behind any number of `>`.
#[derive(Default)]
struct Quoting {
    /// The beginning of a line that may have to be quoted: some `>` and a part of `From `.
    held: Vec<u8>,
    /// Past the beginning of a line.
    within: bool,
}

const FROM: &[u8] = b"From ";

impl Quoting {
    fn write(&mut self, piece: &[u8], out: &mut impl Write) -> std::io::Result<()> {
        for line in piece.split_inclusive(|octet| *octet == b'\n') {
            let mut rest = line;
            while !self.within {
                let Some((first, after)) = rest.split_first() else { break };
                let quotes = self.held.iter().take_while(|octet| **octet == b'>').count();
                let matched = self.held.len() - quotes;
                let fits = FROM.get(matched) == Some(first) || (matched == 0 && *first == b'>');
                if fits {
                    self.held.push(*first);
                    rest = after;
                }
                if fits && self.held.ends_with(FROM) {
                    out.write_all(b">")?;
                }
                if !fits || self.held.ends_with(FROM) {
                    out.write_all(&self.held)?;
                    self.held.clear();
                    self.within = true;
                }
            }
            out.write_all(rest)?;
            if line.ends_with(b"\n") {
                self.within = false;
            }
        }
        Ok(())
    }

    /// The end of a message: its last line ends, and an empty one follows.
    fn finish(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        let unended = self.within || !self.held.is_empty();
        out.write_all(&self.held)?;
        self.held.clear();
        out.write_all(if unended { b"\n\n" } else { b"\n" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(pieces: &[&str]) -> String {
        let (mut quoting, mut out) = (Quoting::default(), Vec::new());
        for piece in pieces {
            quoting.write(piece.as_bytes(), &mut out).unwrap();
        }
        quoting.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_two_mailboxes_have_one_file() {
        let places = [".x", "_.x", "__.x", "_x", "x"].map(|mailbox| place(mailbox, 1));
        assert_eq!(places, ["_.x.mbox", "__.x.mbox", "___.x.mbox", "_x.mbox", "x.mbox"]);
    }

    #[test]
    fn from_lines_are_quoted_however_they_are_cut() {
        let text = "From a\n>From b\nFroma\n>>x From \n\nFrom";
        let expected = ">From a\n>>From b\nFroma\n>>x From \n\nFrom\n\n";
        assert_eq!(quoted(&[text]), expected);
        let pieces: Vec<&str> = text.split_inclusive(|_| true).collect();
        assert_eq!(quoted(&pieces), expected);
    }
}
