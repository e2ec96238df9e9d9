//! Messages of mbox files.
//!
//! A file's mark is how far it was read, with a digest of all octets up to there: messages that came behind are imported
//! by the next run, and a file that changed before that place is refused, because what came already can no longer be
//! told from what did not.

use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};

use mail_types::Timestamp;
use sha2::{Digest, Sha256};
use storage::{ContentWriter, StorageError};
use store::ImportMark;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::error::MigrationError;
use crate::filing::{Arrival, Filing, Imported, Key, Target, again, key, too_large};
use crate::given_names::{BESIDE_MBOX, GivenNames};
use crate::import::{Names, blocking};
use crate::lines::ToCrlf;
use crate::mbox_reader::{MboxReader, PIECE_MAX, Step};
use crate::tell::{Tell, Told};

/// Octets read from a file at a time.
const CHUNK: usize = 256 * 1024;
/// What a file's name may end with, that is no part of the mailbox's.
pub(crate) const ENDING: &str = ".mbox";

/// Imports a file, or all files of a folder.
pub(crate) async fn import(
    target: &Target,
    names: &Names,
    place: &Path,
    tell: Tell<'_>,
) -> Result<Imported, MigrationError> {
    let mut report = Imported::default();
    let files = {
        let place = place.to_owned();
        blocking(&place.clone(), move || files(&place)).await?
    };
    let (mut taken, mut called) = (Vec::new(), Vec::new());
    for (path, source) in files {
        match names.of(&source) {
            Ok(name) => {
                taken.push(path);
                called.push(name);
            }
            Err(why) => report.fault(why),
        }
    }
    let begins = target.beginning_anew(&called)?;
    let anew = taken.iter().zip(&called).zip(begins).filter(|(_, begins)| *begins);
    let keys: Vec<Key> = anew.map(|((path, name), _)| mark_key(path, name.as_str())).collect();
    target.forget(&keys).await?;
    for (path, name) in taken.into_iter().zip(called) {
        let mut filing = target.open(&name).await?;
        filing.done.source = path.display().to_string();
        filing.done.target = name.to_string();
        let outcome = fill(target, &mut filing, &path, &mut report, tell).await;
        report.mailboxes.push(filing.done);
        outcome?;
    }
    Ok(report)
}

/// By what the mark of a file is known.
fn mark_key(path: &Path, called: &str) -> Key {
    key("mbox", &[called, &path.display().to_string()])
}

async fn fill(
    target: &Target,
    filing: &mut Filing<'_>,
    path: &Path,
    report: &mut Imported,
    tell: Tell<'_>,
) -> Result<(), MigrationError> {
    let key = mark_key(path, &filing.done.target);
    let before = filing.mark(&key)?;
    let mut file = Pieces::open(path).await?;
    if let Some(mark) = &before {
        file.pass_over(mark, &filing.done.target).await?;
    }
    let mut taking =
        Taking { target, mark: ImportMark { key, before, after: Vec::new() }, message: None, place: path };
    let mut reader = MboxReader::new();
    let mut messages = 0;
    loop {
        let began = file.at;
        let (digest, size) = (file.digest.clone(), file.size);
        let Some(piece) = file.next().await? else { break };
        let begins = reader.begins(piece).is_some();
        if !begins && messages == 0 {
            if matches!(piece, b"\n" | b"\r\n") {
                continue;
            }
            return Err(no_beginning(path, began, &filing.done.target));
        }
        if let Some(date) = reader.begins(piece) {
            taking.finish(&reader, began, digest, filing, report).await?;
            messages += 1;
            if tell(began, size.max(began), &filing.done.source) == Told::Stop {
                return Err(MigrationError::Stopped);
            }
            taking.message = Some(Message::new(target.content(), date, messages));
        }
        if let Step::Octets(octets) = reader.feed(piece) {
            taking.write(&octets).await?;
        }
    }
    let (end, digest) = (file.at, file.digest.clone());
    taking.finish(&reader, end, digest, filing, report).await?;
    filing.commit().await
}

/// Why what stands where a message should begin is none.
fn no_beginning(path: &Path, at: u64, target: &str) -> MigrationError {
    let (path, again) = (path.display(), again(target));
    MigrationError::Refused(if at == 0 {
        format!("{path} is no mbox: it does not begin with `From `")
    } else {
        format!(
            "{path}: no message begins at octet {at}, where the last import ended: the file was being written then, and its \
             last message came cut off: {again}"
        )
    })
}

/// The message that is being read.
struct Message {
    writer: ContentWriter,
    lines: ToCrlf,
    date: Option<Timestamp>,
    /// Its number in this run, for words.
    number: u64,
    refused: Option<StorageError>,
}

impl Message {
    fn new(writer: ContentWriter, date: Option<Timestamp>, number: u64) -> Self {
        Self { writer, lines: ToCrlf::default(), date, number, refused: None }
    }
}

struct Taking<'t> {
    target: &'t Target,
    mark: ImportMark,
    message: Option<Message>,
    place: &'t Path,
}

impl Taking<'_> {
    async fn write(&mut self, octets: &[u8]) -> Result<(), MigrationError> {
        let Some(message) = self.message.as_mut().filter(|message| message.refused.is_none()) else {
            return Ok(());
        };
        let mut piece = Vec::new();
        message.lines.convert(octets, &mut piece);
        if !self.target.dry_run {
            message.refused = message.writer.write(&piece).await.err();
        }
        Ok(())
    }

    /// The message ends where the next one begins, at an octet up to which the file has this digest.
    async fn finish(
        &mut self,
        reader: &MboxReader,
        end: u64,
        digest: Sha256,
        filing: &mut Filing<'_>,
        report: &mut Imported,
    ) -> Result<(), MigrationError> {
        let Some(message) = self.message.take() else { return Ok(()) };
        let mut after = end.to_be_bytes().to_vec();
        after.extend_from_slice(&digest.finalize());
        let mark = ImportMark { after, ..self.mark.clone() };
        let place = format!("message {} of {}", message.number, self.place.display());
        if let Some(error) = message.refused {
            report.fault(too_large(error, &place, &again(&filing.done.target))?);
            filing.move_mark(mark);
            return Ok(());
        }
        let content = message.writer.finish().await.map_err(|e| MigrationError::store(&place, e))?;
        let noted = reader.noted.clone();
        let arrival = Arrival { content, flags: noted.flags, keywords: noted.keywords, date: message.date };
        filing.add(arrival, mark, report).await
    }
}

/// A file in pieces of lines, with its digest so far.
struct Pieces<'p> {
    path: &'p Path,
    file: File,
    size: u64,
    /// Octets given out.
    at: u64,
    digest: Sha256,
    buffer: Vec<u8>,
    start: usize,
    ended: bool,
    given: usize,
}

impl<'p> Pieces<'p> {
    async fn open(path: &'p Path) -> Result<Self, MigrationError> {
        let failed = |e| MigrationError::file(path, e);
        let place = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || runtime::files::open(&place)).await;
        let file =
            File::from_std(opened.map_err(io::Error::other).and_then(|opened| opened).map_err(failed)?);
        let size = file.metadata().await.map_err(failed)?.len();
        let digest = Sha256::new();
        Ok(Self { path, file, size, at: 0, digest, buffer: Vec::new(), start: 0, ended: false, given: 0 })
    }

    /// Goes to where a mark says, if all before it is as it was.
    async fn pass_over(&mut self, mark: &[u8], target: &str) -> Result<(), MigrationError> {
        let failed = |e| MigrationError::file(self.path, e);
        let (offset, known) =
            mark.split_at_checked(8).ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
        let mut number = [0; 8];
        number.copy_from_slice(offset);
        let offset = u64::from_be_bytes(number);
        let mut left = offset;
        let mut chunk = vec![0; CHUNK];
        while left > 0 {
            let most = CHUNK.min(usize::try_from(left).unwrap_or(CHUNK));
            let count = self.file.read(&mut chunk[..most]).await.map_err(failed)?;
            if count == 0 {
                break;
            }
            self.digest.update(&chunk[..count]);
            left -= count as u64;
        }
        if left > 0 || self.digest.clone().finalize().as_slice() != known {
            return Err(MigrationError::Refused(format!(
                "{} has changed before octet {offset}, up to where it was imported: what came already cannot be told \
                 from what did not. Bring the file back as it was, with new messages at its end; or {}",
                self.path.display(),
                again(target)
            )));
        }
        self.file.seek(SeekFrom::Start(offset)).await.map_err(failed)?;
        self.at = offset;
        Ok(())
    }

    /// The next line, or a piece of it; none at the end of the file.
    async fn next(&mut self) -> Result<Option<&[u8]>, MigrationError> {
        self.start += std::mem::take(&mut self.given);
        loop {
            let unread = &self.buffer[self.start..];
            let end = memchr::memchr(b'\n', unread).map(|at| at + 1);
            let len = match end {
                Some(end) => end.min(PIECE_MAX),
                None if unread.len() >= PIECE_MAX => PIECE_MAX,
                None if self.ended => unread.len(),
                None => {
                    self.read_more().await?;
                    continue;
                }
            };
            if len == 0 {
                return Ok(None);
            }
            self.given = len;
            self.at += len as u64;
            let piece = &self.buffer[self.start..self.start + len];
            self.digest.update(piece);
            return Ok(Some(piece));
        }
    }

    async fn read_more(&mut self) -> Result<(), MigrationError> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let held = self.buffer.len();
        self.buffer.resize(held + CHUNK, 0);
        let count = self.file.read(&mut self.buffer[held..]).await;
        let count = count.map_err(|e| MigrationError::file(self.path, e))?;
        self.buffer.truncate(held + count);
        self.ended = count == 0;
        Ok(())
    }
}

/// The files of a place with the names of their mailboxes: one file is the INBOX, the files of a folder are named after
/// themselves.
fn files(place: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let place = std::fs::canonicalize(place)?;
    if place.is_file() {
        return Ok(vec![(place, store::INBOX.to_owned())]);
    }
    let mut found = Vec::new();
    within(&place, "", &mut found)?;
    let given = GivenNames::read(&place, BESIDE_MBOX)?;
    for (path, name) in &mut found {
        let below = path.strip_prefix(&place).ok().and_then(Path::to_str);
        if let Some(mailbox) = below.and_then(|below| given.get(below)) {
            name.clone_from(mailbox);
        }
    }
    found.sort_by(|a, b| (a.1 != store::INBOX, &a.1).cmp(&(b.1 != store::INBOX, &b.1)));
    Ok(found)
}

fn within(folder: &Path, above: &str, found: &mut Vec<(PathBuf, String)>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if found.len() == store::MAILBOXES_MAX {
            return Err(io::Error::other(format!("more than {} files", store::MAILBOXES_MAX)));
        }
        let kind = entry.file_type()?;
        if kind.is_dir() && above.split('/').count() < store::MAILBOX_DEPTH_MAX {
            within(&entry.path(), &format!("{above}{name}/"), found)?;
        } else if kind.is_file() {
            let name = name.strip_suffix(ENDING).unwrap_or(&name);
            found.push((entry.path(), format!("{above}{name}")));
        }
    }
    Ok(())
}
