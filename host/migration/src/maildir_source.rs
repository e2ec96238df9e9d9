//! Messages of a Maildir++ tree.
//!
//! A message's mark is the unique part of its file's name, which is the same wherever it lies and whatever its flags are:
//! so a tree may be copied, imported, copied again with what came meanwhile, and imported again.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use mail_types::Timestamp;
use store::{ImportMark, MailboxName};
use tokio::io::AsyncReadExt;

use crate::error::MigrationError;
use crate::filing::{Arrival, Filing, Imported, Key, Target, key, too_large};
use crate::given_names::{GivenNames, IN_MAILDIR};
use crate::import::{Names, blocking};
use crate::lines::ToCrlf;
use crate::maildir_name::{
    KEYWORDS_FILE, MORE_KEYWORDS_FILE, SUBSCRIPTIONS_FILE, flags, letters, level, mailbox, second, unique,
};
use crate::tell::{Tell, Told};

/// Most mailboxes of a tree.
const FOLDERS_MAX: usize = store::MAILBOXES_MAX;
/// Most messages of one mailbox: their names are held in memory.
const FILES_MAX: usize = 10_000_000;
/// Messages that are forgotten at a time.
const FORGOTTEN_AT_ONCE_MAX: usize = 10_000;
/// How often a mailbox is read, where files were renamed while it was: a program still writes to it.
const PASSES_MAX: usize = 3;
/// Octets read from a file at a time.
const CHUNK: usize = 256 * 1024;
/// Largest file of keywords or subscriptions, in octets.
const TEXT_OCTETS_MAX: u64 = 64 << 20;

/// A mailbox of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FolderFound {
    pub(crate) path: PathBuf,
    /// `INBOX`, `Archive/2026`.
    pub(crate) name: String,
}

/// Imports a tree.
pub(crate) async fn import(
    target: &Target,
    names: &Names,
    root: &Path,
    tell: Tell<'_>,
) -> Result<Imported, MigrationError> {
    let mut report = Imported::default();
    if std::fs::symlink_metadata(root).is_ok_and(|found| found.is_symlink()) {
        // Whose tree it is made into decides who may be read.
        let text = format!("{} is a link: name the folder that it leads to", root.display());
        return Err(MigrationError::Refused(text));
    }
    let folders = {
        let root = root.to_owned();
        blocking(&root.clone(), move || folders(&root)).await?
    };
    if folders.is_empty() {
        return Err(MigrationError::Refused(format!(
            "{} is no Maildir: it has no folder `cur`, and no folder in it has one",
            root.display()
        )));
    }
    let (mut taken, mut called) = (Vec::new(), Vec::new());
    for folder in &folders {
        match names.of(&folder.name) {
            Ok(name) => {
                taken.push(folder);
                called.push(name);
            }
            Err(why) => report.fault(why),
        }
    }
    let begins = target.beginning_anew(&called)?;
    for ((folder, name), _) in taken.iter().zip(&called).zip(begins).filter(|(_, begins)| *begins) {
        forget(target, folder, name).await?;
    }
    for (folder, name) in taken.into_iter().zip(called) {
        let mut filing = target.open(&name).await?;
        filing.done.source.clone_from(&folder.name);
        filing.done.target = name.to_string();
        let outcome = fill(target, &mut filing, (root, folder), &mut report, tell).await;
        report.mailboxes.push(filing.done);
        outcome?;
    }
    if !target.dry_run {
        subscribe(target, names, root, &mut report).await?;
    }
    Ok(report)
}

/// Forgets which messages of a folder came before.
async fn forget(target: &Target, folder: &FolderFound, called: &MailboxName) -> Result<(), MigrationError> {
    let path = folder.path.clone();
    let files = blocking(&folder.path, move || files(&path)).await?;
    for some in files.chunks(FORGOTTEN_AT_ONCE_MAX) {
        let keys: Vec<Key> = some.iter().map(|file| mark_key(&file.name, called.as_str())).collect();
        target.forget(&keys).await?;
    }
    Ok(())
}

/// By what the mark of a message is known.
fn mark_key(file: &str, called: &str) -> Key {
    key("maildir", &[called, unique(file)])
}

/// Fills one mailbox, in as many passes as it takes until no file slips away.
async fn fill(
    target: &Target,
    filing: &mut Filing<'_>,
    (root, folder): (&Path, &FolderFound),
    report: &mut Imported,
    tell: Tell<'_>,
) -> Result<(), MigrationError> {
    let keywords = {
        let (root, path) = (root.to_owned(), folder.path.clone());
        blocking(&folder.path, move || Keywords::read(&root, &path)).await?
    };
    for pass in 1..=PASSES_MAX {
        let files = {
            let path = folder.path.clone();
            blocking(&folder.path, move || files(&path)).await?
        };
        let (total, mut before, mut missed) = (files.len() as u64, 0, 0_u64);
        // A copy of a tree may have a message in `new` and in `cur`.
        let mut seen = HashSet::with_capacity(files.len());
        for (done, file) in files.iter().enumerate() {
            if tell(done as u64, total, &folder.name) == Told::Stop {
                return Err(MigrationError::Stopped);
            }
            if !seen.insert(unique(&file.name)) {
                continue;
            }
            let key = mark_key(&file.name, &filing.done.target);
            if filing.mark(&key)?.is_some() {
                before += 1;
                continue;
            }
            let mark = ImportMark { key, before: None, after: vec![1] };
            match read(target, (root, file), &keywords).await? {
                Read::Whole(arrival) => filing.add(*arrival, mark, report).await?,
                Read::Gone => missed += 1,
                Read::Refused(why) => report.fault(why),
            }
        }
        filing.commit().await?;
        if pass == 1 {
            filing.done.before = before;
        }
        if missed == 0 {
            return Ok(());
        }
        if pass == PASSES_MAX {
            report.fault(format!(
                "{}: {missed} files were renamed while they were read; stop what writes there, and import again",
                folder.name
            ));
        }
    }
    Ok(())
}

enum Read {
    Whole(Box<Arrival>),
    Gone,
    Refused(String),
}

async fn read(
    target: &Target,
    (root, file): (&Path, &FileFound),
    keywords: &Keywords,
) -> Result<Read, MigrationError> {
    let failed = |e| MigrationError::file(&file.path, e);
    let opening = {
        let (root, path) = (root.to_owned(), file.path.clone());
        tokio::task::spawn_blocking(move || Ok(runtime::open_beneath(&root, &path)?))
    };
    let mut opened = match opening.await.unwrap_or_else(|e| Err(io::Error::other(e))) {
        Ok(opened) => tokio::fs::File::from_std(opened),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Read::Gone),
        // The others are read; what was told is tried again at the next import.
        Err(e) => return Ok(Read::Refused(failed(e).to_string())),
    };
    let metadata = opened.metadata().await.map_err(failed)?;
    let (flags, mut names) = flags(&file.name, &keywords.letters);
    if let Ok(at) = keywords.more.binary_search_by(|(known, _)| known.as_str().cmp(unique(&file.name))) {
        names.extend(keywords.more[at].1.iter().cloned());
    }
    // Readers of Maildirs take the time of the file for the internal date, and so does whoever writes them.
    let date = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let date = date.map(|since| Timestamp(0).plus(since));
    let mut writer = target.content();
    let (mut lines, mut chunk, mut piece) = (ToCrlf::default(), vec![0; CHUNK], Vec::new());
    loop {
        let count = match opened.read(&mut chunk).await {
            Ok(count) => count,
            Err(e) => return Ok(Read::Refused(failed(e).to_string())),
        };
        if count == 0 {
            break;
        }
        lines.convert(&chunk[..count], &mut piece);
        if target.dry_run {
            continue;
        }
        if let Err(error) = writer.write(&piece).await {
            let again = "give the same command again";
            return too_large(error, &file.path.display().to_string(), again).map(Read::Refused);
        }
    }
    let content = writer.finish().await.map_err(|e| MigrationError::store(file.path.display(), e))?;
    Ok(Read::Whole(Box::new(Arrival { content, flags, keywords: names, date })))
}

/// Takes over what is subscribed to. A name that cannot be one here is passed over: it shows nothing.
async fn subscribe(
    target: &Target,
    names: &Names,
    root: &Path,
    report: &mut Imported,
) -> Result<(), MigrationError> {
    let path = root.join(SUBSCRIPTIONS_FILE);
    let text = {
        let (root, path) = (root.to_owned(), path.clone());
        blocking(&path.clone(), move || text_of(&root, &path)).await?
    };
    for name in subscriptions(&text).into_iter().take(FOLDERS_MAX) {
        match names.of(&name) {
            Ok(name) => {
                let done = target.store.subscribe(target.account, &name).await;
                done.map_err(|e| MigrationError::store(&name, e))?;
            }
            Err(why) => report.fault(format!("a subscription: {why}")),
        }
    }
    Ok(())
}

/// The names in a file of subscriptions: of version 2, levels between tabs behind a line `V` tab `2`; else with dots.
fn subscriptions(text: &str) -> Vec<String> {
    let is_second = text.lines().next().is_some_and(|line| line.starts_with("V\t"));
    let lines = text.lines().skip(usize::from(is_second)).filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            if is_second { line.split('\t').map(level).collect::<Vec<_>>().join("/") } else { mailbox(line) }
        })
        .collect()
}

/// What a folder's files say of keywords.
struct Keywords {
    letters: Vec<String>,
    /// By unique name, rising.
    more: Vec<(String, Vec<String>)>,
}

impl Keywords {
    fn read(root: &Path, folder: &Path) -> io::Result<Self> {
        let letters = letters(&text_of(root, &folder.join(KEYWORDS_FILE))?);
        let text = text_of(root, &folder.join(MORE_KEYWORDS_FILE))?;
        let mut more: Vec<(String, Vec<String>)> = text
            .lines()
            .filter_map(|line| {
                let mut words = line.split(' ').map(str::to_owned);
                Some((words.next()?, words.collect()))
            })
            .collect();
        more.sort();
        Ok(Self { letters, more })
    }
}

fn text_of(root: &Path, path: &Path) -> io::Result<String> {
    match runtime::files::read_beneath(root, path, TEXT_OCTETS_MAX) {
        Ok(octets) => Ok(String::from_utf8_lossy(&octets).into_owned()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(e),
    }
}

/// A message's file.
struct FileFound {
    path: PathBuf,
    name: String,
}

/// The messages of a folder, in the order of their names' times.
fn files(folder: &Path) -> io::Result<Vec<FileFound>> {
    let mut found = Vec::new();
    for part in ["new", "cur"] {
        let dir = folder.join(part);
        if std::fs::symlink_metadata(&dir).is_ok_and(|found| found.is_symlink()) {
            return Err(io::Error::other(format!("{part} is a link, which is not followed")));
        }
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // A dot begins what is no message.
            if name.starts_with('.') || !entry.file_type()?.is_file() {
                continue;
            }
            if found.len() == FILES_MAX {
                return Err(io::Error::other(format!("more than {FILES_MAX} messages")));
            }
            found.push(FileFound { path: entry.path(), name });
        }
    }
    found.sort_by(|a, b| (second(&a.name), &a.name).cmp(&(second(&b.name), &b.name)));
    Ok(found)
}

/// The mailboxes of a tree, the INBOX first: folders with a dot in the root (Maildir++), and folders within folders
/// (Dovecot's `LAYOUT=fs`).
pub(crate) fn folders(root: &Path) -> io::Result<Vec<FolderFound>> {
    let mut found = Vec::new();
    if is_folder(&root.join("cur")) {
        found.push(FolderFound { path: root.to_owned(), name: store::INBOX.to_owned() });
    }
    let mut inner = Vec::new();
    within(root, &mut Vec::new(), &mut inner)?;
    let given = GivenNames::read(root, IN_MAILDIR)?;
    for folder in &mut inner {
        let place = folder.path.file_name().and_then(|name| name.to_str());
        if let Some(mailbox) = place.and_then(|place| given.get(place)) {
            folder.name.clone_from(mailbox);
        }
    }
    inner.sort_by(|a, b| a.name.cmp(&b.name));
    found.append(&mut inner);
    Ok(found)
}

/// Whether a folder is there, and no link to one: the tree is somebody's who may not read what the server may.
fn is_folder(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

fn within(folder: &Path, levels: &mut Vec<String>, found: &mut Vec<FolderFound>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let file_name = entry.file_name().to_string_lossy().into_owned();
        let is_own = ["cur", "new", "tmp"].contains(&file_name.as_str());
        if is_own || !entry.file_type()?.is_dir() || levels.len() >= store::MAILBOX_DEPTH_MAX {
            continue;
        }
        if found.len() == FOLDERS_MAX {
            return Err(io::Error::other(format!("more than {FOLDERS_MAX} mailboxes")));
        }
        let path = entry.path();
        let is_mailbox = is_folder(&path.join("cur"));
        if file_name.starts_with('.') {
            if is_mailbox && levels.is_empty() {
                found.push(FolderFound { path, name: mailbox(&file_name) });
            }
            continue;
        }
        levels.push(level(&file_name));
        if is_mailbox {
            found.push(FolderFound { path: path.clone(), name: levels.join("/") });
        }
        within(&path, levels, found)?;
        levels.pop();
    }
    Ok(())
}

/// The name of a mailbox as the tree has it, for the export's subscriptions.
pub(crate) fn subscription_line(name: &MailboxName) -> String {
    let folder = crate::maildir_name::folder(name.as_str());
    if folder.is_empty() { store::INBOX.to_owned() } else { folder[1..].to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_of_both_versions_are_read() {
        assert_eq!(subscriptions("INBOX\nArchive.2026\nGr&APYA3w-e\n"), ["INBOX", "Archive/2026", "Größe"]);
        assert_eq!(subscriptions("V\t2\n\nArchive\t2026\nv1.2\n"), ["Archive/2026", "v1.2"]);
    }

    #[test]
    fn both_layouts_are_found() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["cur", ".Sent/cur", ".Archive.2026/cur", ".hidden", "Lists/rust/cur", "Lists/new"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let names: Vec<String> =
            folders(root.path()).unwrap().into_iter().map(|folder| folder.name).collect();
        assert_eq!(names, ["INBOX", "Archive/2026", "Lists/rust", "Sent"]);
    }
}
