//! Batches on their way into the store, each with the mark of how far it reaches; and what came of an import.

use std::sync::atomic::{AtomicBool, Ordering};

use mail_types::Timestamp;
use sha2::{Digest, Sha256};
use storage::{Content, ContentWriter, StorageError};
use store::{
    AccountId, Flags, ImportMark, KEYWORD_OCTETS_MAX, KEYWORDS_MAX, MailboxId, MailboxName, NewMessage, Store,
};

use crate::error::MigrationError;
use crate::import::Anew;

/// Most messages of one batch.
const BATCH_MESSAGES_MAX: usize = 100;
/// Most octets of one batch: what a batch holds in memory is no more, and what is larger is in files already.
const BATCH_OCTETS_MAX: u64 = 16 << 20;
/// Faults that an import remembers in words; more are counted.
pub const FAULTS_MAX: usize = 1_000;

/// Mailboxes of a source that are told by name.
const NAMES_TOLD_MAX: usize = 20;

/// What came of one mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailboxImported {
    /// As the source calls it.
    pub source: String,
    /// As it is called here.
    pub target: String,
    /// Messages that came; in a dry run, that would.
    pub messages: u64,
    /// Their octets, where they are known.
    pub octets: u64,
    /// Messages that had come before.
    pub before: u64,
}

/// What came of an import.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Imported {
    /// Each mailbox, in the order of the source.
    pub mailboxes: Vec<MailboxImported>,
    /// Messages, mailboxes and keywords that could not be taken over, and why; at most [`FAULTS_MAX`].
    pub faults: Vec<String>,
    /// All of them.
    pub faults_total: u64,
}

impl Imported {
    pub(crate) fn fault(&mut self, what: impl Into<String>) {
        self.faults_total += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(what.into());
        }
    }
}

/// Where an import goes.
pub(crate) struct Target {
    pub(crate) store: Store,
    pub(crate) account: AccountId,
    /// Largest message, in octets.
    pub(crate) octets_max: u64,
    /// Only look.
    pub(crate) dry_run: bool,
    /// What comes again, though it came before.
    pub(crate) anew: Anew,
    /// Whether marks of it are forgotten.
    pub(crate) has_forgotten: AtomicBool,
}

impl Target {
    /// Takes a message's octets.
    pub(crate) fn content(&self) -> ContentWriter {
        self.store.storage().content(self.octets_max)
    }

    /// How far a source is; nothing in a dry run over an account that is not there yet.
    fn mark(&self, key: &Key) -> Result<Option<Vec<u8>>, MigrationError> {
        self.store.import_mark(self.account, key).map_err(|e| MigrationError::store("the import's state", e))
    }

    /// Which of a source's mailboxes begin anew, by their names here.
    ///
    /// # Errors
    /// One is named, and the source has none that becomes it.
    pub(crate) fn beginning_anew(&self, mailboxes: &[MailboxName]) -> Result<Vec<bool>, MigrationError> {
        let begins: Vec<bool> = mailboxes.iter().map(|name| self.begins_anew(name)).collect();
        if let Anew::Mailbox(name) = &self.anew
            && !begins.contains(&true)
        {
            let known: Vec<&str> = mailboxes.iter().take(NAMES_TOLD_MAX).map(MailboxName::as_str).collect();
            let more = if mailboxes.len() > NAMES_TOLD_MAX { " and others" } else { "" };
            return Err(MigrationError::Refused(format!(
                "no mailbox of the source becomes {name} here, so that it cannot come again; there are {}{more}",
                known.join(", ")
            )));
        }
        Ok(begins)
    }

    fn begins_anew(&self, mailbox: &MailboxName) -> bool {
        match &self.anew {
            Anew::Nothing => false,
            Anew::All => true,
            Anew::Mailbox(name) => name == mailbox,
        }
    }

    /// Forgets marks, so that what they stand for comes again. A dry run passes them over ([`Filing::mark`]).
    pub(crate) async fn forget(&self, keys: &[Key]) -> Result<(), MigrationError> {
        if self.dry_run || keys.is_empty() {
            return Ok(());
        }
        self.has_forgotten.store(true, Ordering::Relaxed);
        let done = self.store.forget_import_marks(self.account, keys).await;
        done.map_err(|e| MigrationError::store("the import's state", e))
    }

    /// Opens a mailbox for filing, which is made where it is missing, with those above it.
    pub(crate) async fn open(&self, name: &MailboxName) -> Result<Filing<'_>, MigrationError> {
        let failed = |e| MigrationError::store(name, e);
        let mailbox = if self.dry_run {
            MailboxId::inbox(self.account)
        } else {
            self.store.ensure_place(self.account, name, &[]).await.map_err(failed)?
        };
        let known = if self.dry_run {
            Vec::new()
        } else {
            let table = self.store.reader(mailbox).and_then(|reader| reader.keywords()).map_err(failed)?;
            table.all().map(str::to_ascii_lowercase).collect()
        };
        let waiting = Waiting::default();
        Ok(Filing {
            target: self,
            name: name.clone(),
            mailbox,
            known,
            refused: Vec::new(),
            waiting,
            committed: None,
            done: MailboxImported::default(),
        })
    }
}

/// A message of the source.
pub(crate) struct Arrival {
    pub(crate) content: Content,
    pub(crate) flags: Flags,
    pub(crate) keywords: Vec<String>,
    pub(crate) date: Option<Timestamp>,
}

#[derive(Default)]
struct Waiting {
    messages: Vec<NewMessage>,
    marks: Vec<ImportMark>,
    octets: u64,
}

/// One mailbox that is being filled.
pub(crate) struct Filing<'t> {
    target: &'t Target,
    name: MailboxName,
    mailbox: MailboxId,
    /// Keywords of the mailbox, in lower case.
    known: Vec<String>,
    /// Keywords that were left out and told of, in lower case.
    refused: Vec<String>,
    waiting: Waiting,
    /// The mark that was committed last: what the next of its key moves on from.
    committed: Option<ImportMark>,
    /// What is committed.
    pub(crate) done: MailboxImported,
}

impl Filing<'_> {
    /// How far a source of this mailbox is.
    pub(crate) fn mark(&self, key: &Key) -> Result<Option<Vec<u8>>, MigrationError> {
        let passes_over = self.target.dry_run && self.target.begins_anew(&self.name);
        if passes_over { Ok(None) } else { self.target.mark(key) }
    }

    /// Adds a message with the mark that stands for it; commits when a batch is full.
    pub(crate) async fn add(
        &mut self,
        arrival: Arrival,
        mark: ImportMark,
        report: &mut Imported,
    ) -> Result<(), MigrationError> {
        let keywords = self.usable(arrival.keywords, report);
        self.waiting.octets += arrival.content.len();
        self.waiting.messages.push(NewMessage {
            content: arrival.content,
            flags: arrival.flags,
            keywords,
            internal_date: arrival.date,
        });
        self.move_mark(mark);
        let full =
            self.waiting.messages.len() >= BATCH_MESSAGES_MAX || self.waiting.octets >= BATCH_OCTETS_MAX;
        if full { self.commit().await } else { Ok(()) }
    }

    /// Moves a mark without a message: what it passes over is not taken.
    pub(crate) fn move_mark(&mut self, mut mark: ImportMark) {
        if let Some(committed) = self.committed.as_ref().filter(|committed| committed.key == mark.key) {
            mark.before = Some(committed.after.clone());
        }
        match self.waiting.marks.iter_mut().rev().find(|known| known.key == mark.key) {
            Some(known) => known.after = mark.after,
            None => self.waiting.marks.push(mark),
        }
    }

    /// Forgets what waits: its source is read again from what is committed.
    pub(crate) fn forget_waiting(&mut self) {
        self.waiting = Waiting::default();
    }

    /// Commits what waits.
    pub(crate) async fn commit(&mut self) -> Result<(), MigrationError> {
        let Waiting { messages, marks, octets } = std::mem::take(&mut self.waiting);
        if messages.is_empty() && marks.is_empty() {
            return Ok(());
        }
        let count = messages.len() as u64;
        if !self.target.dry_run {
            let taken = self.target.store.import(self.mailbox, messages, &marks).await;
            taken.map_err(|e| {
                if e.is_conflict() {
                    return MigrationError::Refused(format!(
                        "{}: another import of the same source runs, or the mailbox was removed meanwhile; wait \
                         for the other one, then give the same command again",
                        self.name
                    ));
                }
                MigrationError::store(&self.name, e)
            })?;
        }
        self.committed = marks.into_iter().next_back();
        self.done.messages += count;
        self.done.octets += octets;
        Ok(())
    }

    /// The keywords that the mailbox can hold; others are told of, once each.
    fn usable(&mut self, keywords: Vec<String>, report: &mut Imported) -> Vec<String> {
        let mut usable = Vec::with_capacity(keywords.len());
        for keyword in keywords {
            let fits = imap_wire::Flag::keyword(&keyword).is_some() && keyword.len() <= KEYWORD_OCTETS_MAX;
            let lower = keyword.to_ascii_lowercase();
            if self.known.contains(&lower) {
                usable.push(keyword);
            } else if fits && self.known.len() < KEYWORDS_MAX {
                self.known.push(lower);
                usable.push(keyword);
            } else if self.refused.len() < FAULTS_MAX && !self.refused.contains(&lower) {
                self.refused.push(lower);
                let why = if fits { "a mailbox has no more than 64" } else { "it is no keyword of IMAP" };
                report.fault(format!("{}: the keyword {keyword:?} was left out: {why}", self.name));
            }
        }
        usable
    }
}

/// Why content was not taken, where that is the message's fault; else the import stops. `again` says how it comes, once there
/// is room for it.
pub(crate) fn too_large(error: StorageError, place: &str, again: &str) -> Result<String, MigrationError> {
    match error {
        StorageError::TooLarge(max) => Ok(format!(
            "{place} was left out: it is larger than {max} octets; raise limits.message-size, and {again}"
        )),
        other => Err(MigrationError::store(place, other)),
    }
}

/// How all of a mailbox comes again, for people: its source has one mark for all of its messages.
pub(crate) fn again(mailbox: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "./_-".contains(letter);
    let quoted = match mailbox.chars().all(is_plain) {
        true => mailbox.to_owned(),
        false => format!("'{}'", mailbox.replace('\'', "'\\''")),
    };
    format!(
        "take out of {mailbox} here what came from there, then give the same command with --anew={quoted}, which brings all of \
         that mailbox once more"
    )
}

/// What a mark is known by.
pub(crate) type Key = [u8; 32];

/// A mark's key: a digest of the kind of source and what tells it from others.
pub(crate) fn key(kind: &str, parts: &[&str]) -> Key {
    let mut digest = Sha256::new();
    for part in std::iter::once(&kind).chain(parts) {
        // The length first, so that no two lists of parts are the same octets.
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_a_shell_wants_them() {
        assert!(again("Old/2026.a").contains(" --anew=Old/2026.a, "));
        assert!(again("Anna's mail").contains(" --anew='Anna'\\''s mail', "));
    }

    #[test]
    fn keys_tell_parts_apart() {
        assert_ne!(key("maildir", &["ab", "c"]), key("maildir", &["a", "bc"]));
        assert_ne!(key("maildir", &["a"]), key("mbox", &["a"]));
    }
}
