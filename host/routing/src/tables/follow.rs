//! Following the directory: the rows of changed entries are replaced (R28, R38, R39), in one batch with the watermark (R45);
//! where the directory's log does not reach back that far, everything is built anew (R36). A change is followed at
//! once, so that mail to somebody who was just added is not refused because tables lag (R20); a failure is tried
//! again after a while (R35).
//!
//! Nothing here waits for a plugin. Where one builds an entry's rows, the entry is marked, keeps the rows that it has,
//! and `answers` asks. So a plugin that is slow or fails holds up nobody else's mail, and the watermark moves on while the
//! marks say what it does not vouch for.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use directory::{Changes, Defect, Directory, DirectoryError, Dn, DnsDomain, Entry, Kind, Schema, Typed};
use events::Event;
use hooks::Role;
use mail_types::{Domain, Lookup, Timestamp};
use runtime::Shutdown;
use storage::StorageError;

use super::answers::Which;
use super::build::{Rows, rows_of};
use super::builder::{Builders, is_base};
use super::built::Built;
use super::facts::canonical;
use super::foreign::names_in_force;
use super::listing::read_keys;
use super::rebuild::{CHUNK_MAX, Overlay, encode};
use super::row::DomainRow;
use super::waiting::Mark;
use super::{DOMAINS, ORIGINS, STATE, STATE_KEY, State, TableError, Tables, is_name_of, key, origin_key};

/// Most tries of one refresh while others write too.
const TRIES_MAX: u32 = 8;
/// Entries that are handed to the writer at a time while everything is built.
const HANDED_MAX: usize = 2_000;
/// How often so many are read ahead of it: a chunk, so that who reads goes on while one is written.
const READ_AHEAD_MAX: usize = CHUNK_MAX / HANDED_MAX;
/// Most values that cannot be used which one refresh tells of.
const DEFECTS_TOLD_MAX: usize = 100;
/// After a failure the directory is asked again no later than this.
const RETRY: Duration = Duration::from_secs(10);

/// Changed entries by their names, however these are written; `None`: the entry is gone.
pub(super) type Changed = BTreeMap<Dn, Option<Typed>>;

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

impl Refreshed {
    /// Tells what it was, unless it was nothing.
    pub fn tell(&self, builders: &Builders<'_>, begun: Timestamp) {
        self.tell_as(if self.full { "full" } else { "incremental" }, builders, begun);
    }

    pub(super) fn tell_as(&self, kind: &str, builders: &Builders<'_>, begun: Timestamp) {
        let Self { full, entries, rows, csn } = *self;
        if full || entries > 0 {
            let took = builders.clock.now().since(begun).as_millis();
            let milliseconds = u64::try_from(took).unwrap_or(u64::MAX);
            builders.events.emit(&Event::TablesBuilt { kind, entries, rows, csn, milliseconds });
        }
    }
}

/// Tells of values in an entry that mail cannot use, of so many at most; of how many it told.
fn tell_defects(dn: &Dn, defects: &[Defect], most: usize, builders: &Builders<'_>) -> usize {
    let told = defects.len().min(most);
    for defect in defects.iter().take(told) {
        let (entry, cause) = (dn.to_string(), defect.to_string());
        builders.events.emit(&Event::DirectoryDefect {
            place: "the directory",
            entry: &entry,
            cause: &cause,
        });
    }
    told
}

impl Tables {
    /// Replaces the rows of changed entries (`None`: the entry is gone) and moves the watermark to `csn`, all
    /// or nothing. An entry whose rows are a plugin's to build keeps them, and waits. Gives the number of rows written.
    ///
    /// # Errors
    /// A conflict when a rebuild or another change came first: read the state, and decide anew.
    pub async fn replace(
        &self,
        changed: &BTreeMap<Dn, Option<Typed>>,
        schema: &Schema,
        csn: u64,
        builders: &Builders<'_>,
    ) -> Result<u64, TableError> {
        let (batch, rows, marked) = {
            let snapshot = self.storage.read()?;
            let state = super::reader::state(&snapshot)?.ok_or(TableError::NotBuilt)?;
            let mut overlay = Overlay::new(&snapshot, state.generation);
            put(&mut overlay, changed, schema, csn, builders, &state)?;
            let (rows, uplevel, marked) = (overlay.rows, state.uplevel || overlay.uplevel, overlay.marked);
            let chains = state.chains || overlay.chains;
            let mut known = state.builders.clone();
            known.extend(overlay.builders.iter().filter(|name| !state.builders.contains(name)).cloned());
            let mut batch = overlay.into_batch();
            batch.assert_equals(STATE, STATE_KEY, &encode(&state));
            batch.put(STATE, STATE_KEY, encode(&State { csn, uplevel, chains, builders: known, ..state }));
            (batch, rows, marked)
        };
        self.storage.commit(batch).await?;
        if marked > 0 {
            self.marked.notify_one();
        }
        Ok(rows)
    }

    /// Builds everything anew from the directory, beside the rows in force (R36).
    pub async fn rebuild_from(
        &self,
        directory: &Directory,
        builders: &Builders<'_>,
    ) -> Result<Refreshed, TableError> {
        let _one = self.building.lock().await;
        // Who loaded the entries has told of what is wrong in them.
        self.build(directory, builders, 0).await
    }

    /// The same, where the tables are still as they were when that was found to be needed: of many who wait for a build,
    /// most need none of their own.
    async fn rebuild_since(
        &self,
        before: Option<&State>,
        directory: &Directory,
        builders: &Builders<'_>,
        untold: usize,
    ) -> Result<Refreshed, TableError> {
        let _one = self.building.lock().await;
        match self.state()? {
            Some(now) if before != Some(&now) => {
                Ok(Refreshed { full: false, entries: 0, rows: 0, csn: now.csn })
            }
            _ => self.build(directory, builders, untold).await,
        }
    }

    /// Builds everything, telling of so many values that cannot be used.
    async fn build(
        &self,
        directory: &Directory,
        builders: &Builders<'_>,
        mut untold: usize,
    ) -> Result<Refreshed, TableError> {
        // What changes while the entries are read is replayed afterwards: the number is taken first.
        let csn = directory.csn();
        let mut rebuild = self.rebuild_with(builders.plugins).await?;
        rebuild.set_csn(csn);
        // Whose entries are whose has to be known before they come.
        let passes: &[fn(&Entry, &Schema) -> bool] = if rebuild.has_builders() {
            let is_domain = |entry: &Entry, schema: &Schema| Kind::of(entry, schema) == Kind::Domain;
            &[is_domain, |entry, schema| Kind::of(entry, schema) != Kind::Domain]
        } else {
            &[|_, _| true]
        };
        for wanted in passes {
            let (sender, mut handed) = tokio::sync::mpsc::channel(READ_AHEAD_MAX);
            let (source, wanted) = (directory.clone(), *wanted);
            let reading = tokio::task::spawn_blocking(move || read_all(&source, wanted, &sender));
            while let Some(entries) = handed.recv().await {
                for (built, defects) in entries {
                    untold -= tell_defects(&built.dn, &defects, untold, builders);
                    rebuild.push(built).await?;
                }
            }
            let read = reading.await.map_err(|error| TableError::Directory(error.to_string()))?;
            // A scan that failed half-way must not pass for a small directory: absent is not empty.
            read.map_err(|error| TableError::Directory(error.to_string()))?;
        }
        for domain in dns_domains(directory)? {
            rebuild.add(&Typed::FromDns(Box::new(domain)), directory.schema()).await?;
        }
        self.let_forerunner_go().await?;
        let (entries, rows) = rebuild.finish(csn).await?;
        self.tell_forerunner(csn).await;
        self.marked.notify_one();
        Ok(Refreshed { full: true, entries, rows, csn })
    }

    /// Brings the tables up to the directory: returns when they have what the directory had when it was called, and
    /// plugins were asked about the entries that changed.
    ///
    /// # Errors
    /// The tables are as they were, or stand somewhere on the way.
    pub async fn refresh(
        &self,
        directory: &Directory,
        builders: &Builders<'_>,
    ) -> Result<Refreshed, TableError> {
        let done = self.catch_up(directory, builders).await?;
        self.ask_plugins(directory, builders, Which::Fresh, None).await?;
        Ok(done)
    }

    /// The same for whoever waits for an address of one domain, or of none: plugins are asked about its entries alone, and what
    /// others have to say is not waited for.
    ///
    /// # Errors
    /// As [`Self::refresh`].
    pub async fn refresh_for(
        &self,
        domain: Option<&Domain>,
        directory: &Directory,
        builders: &Builders<'_>,
    ) -> Result<Refreshed, TableError> {
        let done = self.catch_up(directory, builders).await?;
        let Some(domain) = domain else { return Ok(done) };
        // Entries wait under the domain's own name, not under its others.
        let canonical = canonical(&self.reader()?, domain)?;
        self.ask_plugins(directory, builders, Which::Fresh, Some(canonical.as_ref().unwrap_or(domain)))
            .await?;
        Ok(done)
    }

    /// The same, and plugins were asked about all entries whose rows are theirs to build.
    ///
    /// # Errors
    /// As [`Self::refresh`].
    pub async fn refresh_wholly(
        &self,
        directory: &Directory,
        builders: &Builders<'_>,
    ) -> Result<Refreshed, TableError> {
        let done = self.catch_up(directory, builders).await?;
        self.ask_plugins(directory, builders, Which::All, None).await?;
        Ok(done)
    }

    /// The same, but plugins have so long to answer: what they have not said by then they are asked by who follows.
    ///
    /// # Errors
    /// As [`Self::refresh`].
    pub async fn refresh_within(
        &self,
        patience: Duration,
        directory: &Directory,
        builders: &Builders<'_>,
    ) -> Result<Refreshed, TableError> {
        let done = self.catch_up(directory, builders).await?;
        let asked = self.ask_plugins(directory, builders, Which::All, None);
        tokio::time::timeout(patience, asked).await.unwrap_or(Ok(true))?;
        Ok(done)
    }

    /// Brings the tables up to the directory, but for what plugins have to say.
    async fn catch_up(
        &self,
        directory: &Directory,
        builders: &Builders<'_>,
    ) -> Result<Refreshed, TableError> {
        let mut total = Refreshed { full: false, entries: 0, rows: 0, csn: 0 };
        let (wanted, mut tries) = (directory.csn(), 0);
        loop {
            match self.step(directory, builders).await {
                Ok(done) => {
                    total.full |= done.full;
                    total.entries += done.entries;
                    total.rows += done.rows;
                    total.csn = done.csn;
                    if done.csn >= wanted {
                        return Ok(total);
                    }
                }
                Err(TableError::Storage(StorageError::Conflict(_))) if tries < TRIES_MAX => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    async fn step(&self, directory: &Directory, builders: &Builders<'_>) -> Result<Refreshed, TableError> {
        let Some(state) = self.state()? else {
            return self.rebuild_since(None, directory, builders, 0).await;
        };
        if state.stamp != builders.plugins.stamp(Role::RouteTable) {
            return self.rebuild_since(Some(&state), directory, builders, 0).await;
        }
        let changes = directory.changes_since(state.csn);
        let (changes, csn) = match changes.map_err(|error| TableError::Directory(error.to_string()))? {
            Changes::Rebuild { .. } => {
                return self.rebuild_since(Some(&state), directory, builders, DEFECTS_TOLD_MAX).await;
            }
            Changes::List { changes, csn } => (changes, csn),
        };
        let mut changed = BTreeMap::new();
        for change in changes {
            if changed.contains_key(&change.dn) {
                continue;
            }
            let entry = match directory.typed(&change.dn) {
                Lookup::Found(entry) => Some(entry),
                Lookup::NotFound => None,
                Lookup::Unavailable(why) => return Err(TableError::Directory(why)),
            };
            changed.insert(change.dn, entry);
        }
        if state.has_builders() && !self.add_moved(&mut changed, directory)? {
            return self.rebuild_since(Some(&state), directory, builders, 0).await;
        }
        let entries = changed.len() as u64;
        let rows = if csn == state.csn {
            0
        } else {
            self.let_forerunner_go().await?;
            let rows = self.replace(&changed, directory.schema(), csn, builders).await?;
            self.tell_forerunner(csn).await;
            rows
        };
        let mut untold = DEFECTS_TOLD_MAX;
        for (dn, entry) in &changed {
            untold -= entry.as_ref().map_or(0, |entry| tell_defects(dn, entry.defects(), untold, builders));
        }
        Ok(Refreshed { full: false, entries, rows, csn })
    }

    /// Adds the entries that lie below the bases of domains whose base or names change: another plugin may have to build their
    /// rows now, or give others.
    /// `false`: there are more than one batch takes.
    fn add_moved(&self, changed: &mut Changed, directory: &Directory) -> Result<bool, TableError> {
        let mut tops: Vec<Dn> = Vec::new();
        {
            let snapshot = self.storage.read()?;
            let Some(state) = super::reader::state(&snapshot)? else { return Ok(false) };
            for (dn, entry) in &*changed {
                let before = bases_in_force(&snapshot, state.generation, dn)?;
                let rows = entry.as_ref().map(|entry| rows_of(entry, directory.schema())).unwrap_or_default();
                let mut names = names_in_force(&snapshot, state.generation, dn)?;
                names.retain(|name| rows.domains.iter().all(|(kept, _)| kept != name));
                let now = rows.domains.into_iter().filter(|(name, _)| is_base(name));
                let now: Vec<DomainRow> = now.map(|(_, row)| row).collect();
                // A name that it has no more may stand in rows that a plugin gave.
                if before != now || !names.is_empty() {
                    let bases = before.into_iter().chain(now).filter_map(|row| row.target);
                    tops.extend(bases.filter_map(|base| Dn::parse(&base).ok()));
                }
            }
        }
        for top in tops {
            let scanned = directory.scan_under(&top, &mut |entry| {
                let name = entry.dn.clone();
                changed.entry(name).or_insert_with(|| Some(Typed::read(entry, directory.schema())));
                if changed.len() > CHUNK_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            scanned.map_err(|error| TableError::Directory(error.to_string()))?;
        }
        Ok(changed.len() <= CHUNK_MAX)
    }

    /// Follows the directory until the server stops. A failure is told, and leaves the rows in force as they are.
    pub async fn follow(&self, directory: &Directory, builders: &Builders<'_>, shutdown: &Shutdown) {
        tokio::join!(
            self.follow_changes(directory, builders, shutdown),
            self.follow_answers(directory, builders, shutdown)
        );
    }

    async fn follow_changes(&self, directory: &Directory, builders: &Builders<'_>, shutdown: &Shutdown) {
        let mut newest = directory.subscribe();
        loop {
            newest.mark_unchanged();
            let begun = builders.clock.now();
            let done = self.catch_up(directory, builders).await;
            let failed = done.is_err();
            match done {
                Ok(done) => done.tell(builders, begun),
                Err(error) => builders.events.emit(&Event::TablesFailed { cause: &error.to_string() }),
            }
            tokio::select! {
                () = shutdown.wait() => return,
                changed = newest.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(RETRY), if failed => {}
            }
        }
    }
}

/// What reading hands to the writer: entries with their rows, and the values in them that mail cannot use.
type Handed = Vec<(Built, Vec<Defect>)>;

/// Reads all entries that are wanted, and builds their rows; ends early where nobody takes them.
fn read_all(
    directory: &Directory,
    wanted: fn(&Entry, &Schema) -> bool,
    sender: &tokio::sync::mpsc::Sender<Handed>,
) -> Result<(), DirectoryError> {
    let schema = directory.schema();
    let mut handed = Handed::new();
    directory.scan(&mut |entry: Entry| {
        if !wanted(&entry, schema) {
            return ControlFlow::Continue(());
        }
        let typed = Typed::read(entry, schema);
        handed.push((Built::of(&typed, schema), typed.defects().to_vec()));
        if handed.len() == HANDED_MAX && sender.blocking_send(std::mem::take(&mut handed)).is_err() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    // Whoever takes none any more has failed, and says so.
    let _ = sender.blocking_send(handed);
    Ok(())
}

/// The domains that the DNS leads here; [`directory::TABLES_MAX`] tables bound them.
fn dns_domains(directory: &Directory) -> Result<Vec<DnsDomain>, TableError> {
    let mut domains = Vec::new();
    let scanned = directory.scan_dns_domains(&mut |domain| {
        domains.push(domain);
        ControlFlow::Continue(())
    });
    scanned.map_err(|error| TableError::Directory(error.to_string()))?;
    Ok(domains)
}

/// Puts changed entries into an overlay: domains first, because they say who builds the rows of the others.
fn put(
    overlay: &mut Overlay<'_>,
    changed: &Changed,
    schema: &Schema,
    csn: u64,
    builders: &Builders<'_>,
    state: &State,
) -> Result<(), TableError> {
    let mut others: Vec<(&Dn, Rows)> = Vec::new();
    for (dn, entry) in changed {
        let rows = entry.as_ref().map(|entry| rows_of(entry, schema));
        let is_settled = rows.as_ref().is_none_or(|rows| !rows.domains.is_empty());
        if is_settled || overlay.is_of_domain(dn)? {
            overlay.remove(dn)?;
        }
        match rows {
            Some(rows) if is_settled => overlay.add(dn, &rows)?,
            Some(rows) => others.push((dn, rows)),
            None => {}
        }
    }
    for (dn, rows) in others {
        let builder =
            if state.has_builders() { overlay.builder(dn, builders.plugins, &state.builders)? } else { None };
        match builder {
            Some(builder) => overlay.mark(dn, &builder.domain, &Mark::new(dn.to_string(), csn, false))?,
            None => {
                overlay.remove(dn)?;
                overlay.add(dn, &rows)?;
            }
        }
    }
    Ok(())
}

/// The bases that an entry has in the tables.
fn bases_in_force(
    snapshot: &storage::Snapshot,
    generation: u8,
    dn: &Dn,
) -> Result<Vec<DomainRow>, TableError> {
    let Some(list) = snapshot.get(ORIGINS, &origin_key(generation, dn))? else { return Ok(Vec::new()) };
    let own = dn.to_string();
    let mut bases = Vec::new();
    for (space, name) in read_keys(&list).ok_or(TableError::Row("origin"))? {
        if space == 0 && is_base(&name) {
            let value = snapshot.get(DOMAINS, &key(generation, &name))?.unwrap_or_default();
            let rows = DomainRow::read_all(&value).ok_or(TableError::Row("routing"))?;
            bases.extend(rows.into_iter().filter(|row| is_name_of(&row.dn, dn, &own)));
        }
    }
    Ok(bases)
}
