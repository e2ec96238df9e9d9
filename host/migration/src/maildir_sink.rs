//! Writing a Maildir++ tree.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use runtime::files::{Readers, sync_dir, write_durably};
use store::{AccountId, MailboxInfo, MailboxName, Store};

use crate::error::MigrationError;
use crate::export::Outgoing;
use crate::given_names::{COMPONENT_MAX, GivenNames, instead_of};
use crate::lines::ToLf;
use crate::maildir_name::{
    FORWARDED, KEYWORDS_FILE, LETTERS_MAX, MORE_KEYWORDS_FILE, SUBSCRIPTIONS_FILE, folder, info,
};
use crate::maildir_source::subscription_line;

/// One mailbox's folder.
pub(crate) struct MaildirSink {
    path: PathBuf,
    /// Keywords with a letter.
    letters: Vec<String>,
    /// Lines about those without.
    more: String,
}

impl MaildirSink {
    /// Makes the folder of a mailbox below a root.
    pub(crate) fn create(
        root: &Path,
        store: &Store,
        mailbox: &MailboxInfo,
        given: &mut GivenNames,
    ) -> Result<Self, MigrationError> {
        let mut name = folder(mailbox.name.as_str());
        if name.len() > COMPONENT_MAX {
            name = instead_of(&name, mailbox.id.number);
            given.add(&name, mailbox.name.as_str());
        }
        let path = if name.is_empty() { root.to_owned() } else { root.join(&name) };
        let make = |dir: &Path| {
            let made = std::fs::DirBuilder::new().mode(0o700).create(dir);
            made.map_err(|e| MigrationError::file(dir, e))
        };
        if !name.is_empty() {
            make(&path)?;
            // How Maildir++ tells folders from mail roots.
            let mark = path.join("maildirfolder");
            write_durably(&mark, b"", Readers::Owner).map_err(|e| MigrationError::file(&mark, e))?;
        }
        for part in ["cur", "new", "tmp"] {
            make(&path.join(part))?;
        }
        let table = store.reader(mailbox.id).and_then(|reader| reader.keywords());
        let table = table.map_err(|e| MigrationError::store(&mailbox.name, e))?;
        let letters: Vec<String> = table.all().take(LETTERS_MAX).map(str::to_owned).collect();
        Ok(Self { path, letters, more: String::new() })
    }

    /// Writes a message: beside, synced, then under its name.
    pub(crate) fn write(&mut self, message: &Outgoing<'_>) -> Result<(), MigrationError> {
        let second = message.info.internal_date.as_seconds();
        let base = format!("{second}.V{}U{}.wasmta", message.uid_validity, message.info.uid);
        let beside = self.path.join("tmp").join(&base);
        let failed = |e| MigrationError::file(&beside, e);
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(failed)?;
        let (mut lines, mut piece, mut size) = (ToLf::default(), Vec::new(), 0_u64);
        message.pieces(|octets| {
            lines.convert(octets, &mut piece);
            size += piece.len() as u64;
            file.write_all(&piece).map_err(failed)
        })?;
        let rest = lines.end();
        size += rest.len() as u64;
        file.write_all(rest).map_err(failed)?;
        set_time(&file, message).and_then(|()| file.sync_all()).map_err(failed)?;
        let unique = format!("{base},S={size},W={}", message.info.size);
        let without = message.keywords.iter().filter(|keyword| !self.has_letter(keyword));
        let without: Vec<&str> = without.copied().collect();
        if !without.is_empty() {
            self.more.push_str(&format!("{unique} {}\n", without.join(" ")));
        }
        let name =
            format!("{unique}{}", info(message.info.flags, message.keywords.iter().copied(), &self.letters));
        let place = self.path.join("cur").join(name);
        std::fs::rename(&beside, &place).map_err(|e| MigrationError::file(&place, e))
    }

    fn has_letter(&self, keyword: &str) -> bool {
        keyword.eq_ignore_ascii_case(FORWARDED)
            || self.letters.iter().any(|known| known.eq_ignore_ascii_case(keyword))
    }

    /// Writes the keywords, and makes all names durable; the folder, for words.
    pub(crate) fn finish(self) -> Result<String, MigrationError> {
        let write = |name: &str, text: &str| {
            let path = self.path.join(name);
            let written = write_durably(&path, text.as_bytes(), Readers::Owner);
            written.map_err(|e| MigrationError::file(&path, e))
        };
        if !self.letters.is_empty() {
            let lines = self.letters.iter().enumerate().map(|(at, name)| format!("{at} {name}\n"));
            write(KEYWORDS_FILE, &lines.collect::<String>())?;
        }
        if !self.more.is_empty() {
            write(MORE_KEYWORDS_FILE, &self.more)?;
        }
        for folder in [self.path.join("cur"), self.path.clone()] {
            sync_dir(&folder).map_err(|e| MigrationError::file(&folder, e))?;
        }
        Ok(self.path.display().to_string())
    }

    /// Writes the names that the account subscribes to.
    pub(crate) fn subscribe(root: &Path, store: &Store, account: AccountId) -> Result<(), MigrationError> {
        let names = store.subscriptions(account).map_err(|e| MigrationError::store("subscriptions", e))?;
        let names = names.iter().filter_map(|name| MailboxName::new(name).ok());
        let lines: String = names.map(|name| format!("{}\n", subscription_line(&name))).collect();
        let path = root.join(SUBSCRIPTIONS_FILE);
        write_durably(&path, lines.as_bytes(), Readers::Owner).map_err(|e| MigrationError::file(&path, e))
    }
}

/// The time of the file is the internal date, as Maildir's readers take it.
fn set_time(file: &File, message: &Outgoing<'_>) -> std::io::Result<()> {
    file.set_modified(UNIX_EPOCH + Duration::from_millis(message.info.internal_date.0))
}
