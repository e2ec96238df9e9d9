//! Batches on their way into the store, each with the mark of how far it reaches; and what came of an import.

use mail_types::Timestamp;
use sha2::{Digest, Sha256};
use storage::{Content, ContentWriter, StorageError};
use store::{
    AccountId, Flags, ImportMark, KEYWORD_OCTETS_MAX, KEYWORDS_MAX, MailboxId, MailboxName, NewMessage, Store,
};

use crate::error::MigrationError;

/// Most messages of one batch.
const BATCH_MESSAGES_MAX: usize = 100;
/// Most octets of one batch: what a batch holds in memory is no more, and what is larger is in files already.
const BATCH_OCTETS_MAX: u64 = 16 << 20;
/// Faults that an import remembers in words; more are counted.
pub const FAULTS_MAX: usize = 1_000;

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
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) store: Store,
    pub(crate) account: AccountId,
    /// Largest message, in octets.
    pub(crate) octets_max: u64,
    /// Only look.
    pub(crate) dry_run: bool,
}

impl Target {
    /// Takes a message's octets.
    pub(crate) fn content(&self) -> ContentWriter {
        self.store.storage().content(self.octets_max)
    }

    /// How far a source is; nothing in a dry run over an account that is not there yet.
    pub(crate) fn mark(&self, key: &[u8; 32]) -> Result<Option<Vec<u8>>, MigrationError> {
        self.store.import_mark(self.account, key).map_err(|e| MigrationError::store("the import's state", e))
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

/// Why content was not taken, where that is the message's fault; else the import stops.
pub(crate) fn too_large(error: StorageError, place: &str) -> Result<String, MigrationError> {
    match error {
        StorageError::TooLarge(max) => Ok(format!(
            "{place} was left out: it is larger than {max} octets; raise limits.message-size and import again, with \
             --anew where it is not a Maildir: that brings all mail of all sources"
        )),
        other => Err(MigrationError::store(place, other)),
    }
}

/// A mark's key: a digest of the kind of source and what tells it from others.
pub(crate) fn key(kind: &str, parts: &[&str]) -> [u8; 32] {
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
    fn keys_tell_parts_apart() {
        assert_ne!(key("maildir", &["ab", "c"]), key("maildir", &["a", "bc"]));
        assert_ne!(key("maildir", &["a"]), key("mbox", &["a"]));
    }
}
