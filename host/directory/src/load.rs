//! Loading an LDIF into an empty directory, in bounded batches.

use std::collections::HashSet;
use std::fmt;
use std::io::BufRead;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use storage::{Batch, Space};

use crate::claims::Claims;
use crate::directory::Directory;
use crate::dn::Dn;
use crate::domain_entry::DomainEntry;
use crate::domain_tables::records::DNS_SPACES;
use crate::edit::check_entry;
use crate::entry::Entry;
use crate::error::{DirectoryError, EditError, LoadError};
use crate::group_entry::GroupEntry;
use crate::kind::Kind;
use crate::layout::{HEAD, Head, SPACES, STATE, put_entry};
use crate::ldif::{LdifReader, LdifRecord};
use crate::reading::Defect;
use crate::schema::{Field, Schema};
use crate::user_entry::{PasswordHash, UserEntry};

/// Most entries in one batch of a load.
const LOAD_ENTRIES_MAX: usize = 2_000;
/// Octets of values after which a batch is committed.
const LOAD_OCTETS_MAX: usize = 8 << 20;
/// Most keys that one batch of a clearing deletes.
const CLEAR_KEYS_MAX: usize = 20_000;
/// Most defects that a report lists.
pub const LOAD_DEFECTS_MAX: usize = 100;

/// Makes stored values of a clear-text password. The directory verifies none: `auth` does.
pub trait PasswordHasher: Send + Sync + 'static {
    /// One or more values of `userPassword`, each with its scheme. May take long: called where
    /// blocking is allowed.
    fn hash(&self, clear: &str) -> Result<Vec<PasswordHash>, String>;
}

/// How far a load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadProgress {
    /// Entries taken so far.
    pub entries: u64,
    /// Line of the last one, from 1.
    pub line: u64,
}

/// A value that could not be used, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadDefect {
    /// Line of the entry, from 1.
    pub line: u64,
    /// The entry.
    pub dn: Dn,
    /// The value.
    pub defect: Defect,
}

impl fmt::Display for LoadDefect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the entry of line {}, {}: {}", self.line, self.dn, self.defect)
    }
}

/// What a load came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoadReport {
    /// Entries loaded.
    pub entries: u64,
    /// Clear-text passwords that were hashed.
    pub passwords_hashed: u64,
    /// The first [`LOAD_DEFECTS_MAX`] values that mail cannot use.
    pub defects: Vec<LoadDefect>,
    /// How many such values there are in all.
    pub defects_total: u64,
}

/// What one batch gathers.
#[derive(Default)]
struct Gathered {
    entries: Vec<(u64, Entry)>,
    octets: usize,
}

impl Directory {
    /// Whether there is nothing in it: never loaded, or a load broke off.
    pub fn is_empty(&self) -> Result<bool, DirectoryError> {
        let head = self.raw_view()?.head()?;
        Ok(head.loading != 0 || head.entries == 0)
    }

    /// Loads an LDIF into the empty directory. All or nothing: on an error, and at the next start
    /// after a crash, the directory is empty again. While it loads, look-ups say *unavailable*.
    /// Clear-text passwords are hashed and never stored.
    pub async fn load_ldif<R: BufRead + Send>(
        &self,
        source: R,
        hasher: &Arc<dyn PasswordHasher>,
        progress: &mut (dyn FnMut(LoadProgress) + Send),
    ) -> Result<LoadReport, LoadError> {
        let head = self.raw_view()?.head()?;
        if head.loading == 0 && head.entries > 0 {
            return Err(LoadError::NotEmpty(head.entries));
        }
        self.0.loading.store(true, Ordering::Release);
        if head.loading != 0 {
            self.clear().await?;
        }
        let loaded = self.load(LdifReader::new(source), hasher, progress).await;
        if loaded.is_err() {
            self.clear().await?;
        }
        self.0.loading.store(false, Ordering::Release);
        let head = self.raw_view()?.head()?;
        self.publish(head.csn);
        loaded
    }

    async fn load<R: BufRead + Send>(
        &self,
        mut records: LdifReader<R>,
        hasher: &Arc<dyn PasswordHasher>,
        progress: &mut (dyn FnMut(LoadProgress) + Send),
    ) -> Result<LoadReport, LoadError> {
        let mut head = Head { loading: 1, ..self.raw_view()?.head()? };
        let mut report = LoadReport::default();
        loop {
            let mut gathered = Gathered::default();
            while gathered.entries.len() < LOAD_ENTRIES_MAX && gathered.octets < LOAD_OCTETS_MAX {
                let Some(record) = records.next() else { break };
                let (mut record, hashed) = hash_passwords(record?, self.schema(), hasher).await?;
                record.entry.complete_name();
                report.passwords_hashed += hashed;
                note_defects(&record, self.schema(), &mut report);
                // For each record: where passwords have to be hashed a batch may take minutes.
                let taken = report.entries + gathered.entries.len() as u64 + 1;
                progress(LoadProgress { entries: taken, line: record.line });
                gathered.octets += record.entry.octets();
                gathered.entries.push((record.line, record.entry));
            }
            if gathered.entries.is_empty() {
                break;
            }
            let batch = self.compose_load(&mut head, &gathered.entries)?;
            self.commit(batch).await?;
            report.entries += gathered.entries.len() as u64;
        }
        head.loading = 0;
        head.csn += 1;
        // Whoever follows the log has to scan all.
        head.floor = head.csn;
        let mut batch = Batch::new();
        batch.put(STATE, HEAD, head.encode());
        self.commit(batch).await?;
        Ok(report)
    }

    fn compose_load(&self, head: &mut Head, entries: &[(u64, Entry)]) -> Result<Batch, LoadError> {
        let view = self.raw_view()?;
        let (mut batch, mut claims, mut names) = (Batch::new(), Claims::default(), HashSet::new());
        for (line, entry) in entries {
            let refuse = |problem: EditError| LoadError::Entry { line: *line, problem };
            if !names.insert(entry.dn.key()) || view.id_of(&entry.dn)?.is_some() {
                return Err(refuse(EditError::EntryExists(entry.dn.clone())));
            }
            let kind = check_entry(entry, &view).map_err(refuse)?;
            claims.claim(&view, head.next_id, entry, kind).map_err(refuse)?;
            put_entry(&mut batch, head.next_id, entry, kind, self.schema());
            head.next_id += 1;
            head.count(kind, 1);
        }
        batch.put(STATE, HEAD, head.encode());
        Ok(batch)
    }

    /// Empties the directory, in bounded batches.
    async fn clear(&self) -> Result<(), LoadError> {
        let old = self.raw_view()?.head()?;
        let mut batch = Batch::new();
        batch.put(STATE, HEAD, Head { loading: 1, ..old }.encode());
        self.commit(batch).await?;
        // What the DNS said is no entry.
        let kept = |space: &Space| *space == STATE || DNS_SPACES.contains(space);
        for space in SPACES.iter().filter(|space| !kept(space)) {
            loop {
                let mut keys: Vec<Vec<u8>> = Vec::new();
                self.raw_view()?.snapshot.scan(*space, &[], &[0xff; 512], &mut |key, _| {
                    keys.push(key.to_vec());
                    if keys.len() < CLEAR_KEYS_MAX {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    }
                })?;
                if keys.is_empty() {
                    break;
                }
                let mut batch = Batch::new();
                keys.iter().for_each(|key| batch.delete(*space, key));
                self.commit(batch).await?;
            }
        }
        let csn = old.csn + 1;
        let mut batch = Batch::new();
        let empty = Head { csn, floor: csn, next_id: old.next_id, ..Head::default() };
        batch.put(STATE, HEAD, empty.encode());
        Ok(self.commit(batch).await?)
    }
}

/// Puts hashes in the place of clear-text passwords; how many there were.
async fn hash_passwords(
    record: LdifRecord,
    schema: &Schema,
    hasher: &Arc<dyn PasswordHasher>,
) -> Result<(LdifRecord, u64), LoadError> {
    let LdifRecord { line, mut entry } = record;
    let is_clear = |text: &str| PasswordHash::new(text).is_clear();
    if !schema.texts(&entry, Field::UserPassword).any(is_clear) {
        return Ok((LdifRecord { line, entry }, 0));
    }
    let stored: Vec<PasswordHash> =
        schema.texts(&entry, Field::UserPassword).map(PasswordHash::new).collect();
    let hasher = Arc::clone(hasher);
    let hashing = tokio::task::spawn_blocking(move || {
        let (mut values, mut hashed) = (Vec::new(), 0);
        for value in stored {
            match value.clear_text() {
                Some(clear) => {
                    values.extend(hasher.hash(clear)?);
                    hashed += 1;
                }
                None => values.push(value),
            }
        }
        Ok::<_, String>((values, hashed))
    });
    let fail = |why: String| LoadError::Password { line, dn: entry.dn.clone(), why };
    let (values, hashed) = hashing.await.map_err(|e| fail(e.to_string()))?.map_err(fail)?;
    for name in schema.names(Field::UserPassword) {
        entry.replace(name, Vec::new());
    }
    let values = values.iter().map(|hash| hash.reveal().as_bytes().to_vec()).collect();
    entry.replace(schema.name(Field::UserPassword), values);
    Ok((LdifRecord { line, entry }, hashed))
}

pub(crate) fn note_defects(record: &LdifRecord, schema: &Schema, report: &mut LoadReport) {
    let entry = &record.entry;
    let found = match Kind::of(entry, schema) {
        Kind::User => UserEntry::read(entry, schema).map(|user| user.defects),
        Kind::Group => GroupEntry::read(entry, schema).map(|group| group.defects),
        Kind::Domain => DomainEntry::read(entry, schema).map(|domain| domain.defects),
        Kind::Other => None,
    };
    for defect in found.into_iter().flatten() {
        report.defects_total += 1;
        if report.defects.len() < LOAD_DEFECTS_MAX {
            report.defects.push(LoadDefect { line: record.line, dn: entry.dn.clone(), defect });
        }
    }
}
