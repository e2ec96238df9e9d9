//! Following the directory: the rows of changed entries are replaced (R28, R38, R39), in one batch with the watermark (R45);
//! where the directory's log does not reach back that far, everything is built anew (R36). A change is followed at
//! once, so that mail to somebody who was just added is not refused because tables lag (R20); a failure is tried
//! again after a while (R35).

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use directory::{Changes, Directory, Dn, Entry, Schema, Typed};
use events::{Event, Events};
use mail_types::Lookup;
use runtime::{Clock, Shutdown};
use storage::StorageError;

use super::build::rows_of;
use super::rebuild::{Overlay, encode};
use super::{STATE, STATE_KEY, State, TableError, Tables};

/// Most tries of one refresh while others write too.
const TRIES_MAX: u32 = 8;
/// Entries read ahead of the writer while everything is built.
const READ_AHEAD_MAX: usize = 4096;
/// After a failure the directory is asked again no later than this.
const RETRY: Duration = Duration::from_secs(10);

/// What a refresh did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refreshed {
    /// Whether everything was built anew.
    pub full: bool,
    /// Entries that were looked at.
    pub entries: u64,
    /// Rows that were written.
    pub rows: u64,
    /// The directory's change number that the tables have reached.
    pub csn: u64,
}

impl Tables {
    /// Replaces the rows of changed entries (`None`: the entry is gone) and moves the watermark to `csn`, all
    /// or nothing. Gives the number of rows written.
    ///
    /// # Errors
    /// A conflict when a rebuild or another change came first: read the state, and decide anew.
    pub async fn replace(
        &self,
        changed: &BTreeMap<String, (Dn, Option<Typed>)>,
        schema: &Schema,
        csn: u64,
    ) -> Result<u64, TableError> {
        let (batch, rows) = {
            let snapshot = self.storage.read()?;
            let state = super::reader::state(&snapshot)?.ok_or(TableError::NotBuilt)?;
            let mut overlay = Overlay::new(&snapshot, state.generation);
            for (dn, entry) in changed.values() {
                overlay.remove(dn)?;
                if let Some(entry) = entry {
                    overlay.add(dn, &rows_of(entry, schema))?;
                }
            }
            let (rows, uplevel) = (overlay.rows, state.uplevel || overlay.uplevel);
            let chains = state.chains || overlay.chains;
            let mut batch = overlay.into_batch();
            batch.assert_equals(STATE, STATE_KEY, &encode(&state));
            batch.put(STATE, STATE_KEY, encode(&State { csn, uplevel, chains, ..state }));
            (batch, rows)
        };
        self.storage.commit(batch).await?;
        Ok(rows)
    }

    /// Builds everything anew from the directory, beside the rows in force (R36).
    pub async fn rebuild_from(&self, directory: &Directory) -> Result<Refreshed, TableError> {
        // What changes while the entries are read is replayed afterwards: the number is taken first.
        let csn = directory.csn();
        let mut rebuild = self.rebuild().await?;
        let (sender, mut entries) = tokio::sync::mpsc::channel(READ_AHEAD_MAX);
        let source = directory.clone();
        let reading = tokio::task::spawn_blocking(move || {
            source.scan(&mut |entry: Entry| match sender.blocking_send(entry) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            })
        });
        while let Some(entry) = entries.recv().await {
            rebuild.add(&Typed::read(entry, directory.schema()), directory.schema()).await?;
        }
        let read = reading.await.map_err(|error| TableError::Directory(error.to_string()))?;
        // A scan that failed half-way must not pass for a small directory: absent is not empty.
        read.map_err(|error| TableError::Directory(error.to_string()))?;
        let (entries, rows) = rebuild.finish(csn).await?;
        Ok(Refreshed { full: true, entries, rows, csn })
    }

    /// Brings the tables up to the directory: returns when they have what the directory had when it was called.
    pub async fn refresh(&self, directory: &Directory) -> Result<Refreshed, TableError> {
        let mut total = Refreshed { full: false, entries: 0, rows: 0, csn: 0 };
        let mut tries = 0;
        loop {
            match self.step(directory).await {
                Ok(done) => {
                    total.full |= done.full;
                    total.entries += done.entries;
                    total.rows += done.rows;
                    total.csn = done.csn;
                    if done.csn >= directory.csn() {
                        return Ok(total);
                    }
                }
                Err(TableError::Storage(StorageError::Conflict(_))) if tries < TRIES_MAX => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    async fn step(&self, directory: &Directory) -> Result<Refreshed, TableError> {
        let Some(state) = self.state()? else { return self.rebuild_from(directory).await };
        let changes = directory.changes_since(state.csn);
        let (changes, csn) = match changes.map_err(|error| TableError::Directory(error.to_string()))? {
            Changes::Rebuild { .. } => return self.rebuild_from(directory).await,
            Changes::List { changes, csn } => (changes, csn),
        };
        let mut changed = BTreeMap::new();
        for change in changes {
            let name = change.dn.to_string();
            if changed.contains_key(&name) {
                continue;
            }
            let entry = match directory.typed(&change.dn) {
                Lookup::Found(entry) => Some(entry),
                Lookup::NotFound => None,
                Lookup::Unavailable(why) => return Err(TableError::Directory(why)),
            };
            changed.insert(name, (change.dn, entry));
        }
        let entries = changed.len() as u64;
        let rows = if csn == state.csn { 0 } else { self.replace(&changed, directory.schema(), csn).await? };
        Ok(Refreshed { full: false, entries, rows, csn })
    }

    /// Follows the directory until the server stops. A failure is told, and leaves the rows in force as they are.
    pub async fn follow(&self, directory: &Directory, clock: &Clock, events: &Events, shutdown: &Shutdown) {
        let mut newest = directory.subscribe();
        loop {
            newest.mark_unchanged();
            let begun = clock.now();
            let done = self.refresh(directory).await;
            let milliseconds = u64::try_from(clock.now().since(begun).as_millis()).unwrap_or(u64::MAX);
            let failed = done.is_err();
            match done {
                Ok(Refreshed { entries: 0, full: false, .. }) => {}
                Ok(Refreshed { full, entries, rows, csn }) => {
                    let kind = if full { "full" } else { "incremental" };
                    events.emit(&Event::TablesBuilt { kind, entries, rows, csn, milliseconds });
                }
                Err(error) => events.emit(&Event::TablesFailed { cause: &error.to_string() }),
            }
            tokio::select! {
                () = shutdown.wait() => return,
                changed = newest.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(RETRY), if failed => {}
            }
        }
    }
}
