//! Asking plugins for the rows of the entries of a domain that wait for them, batch by batch; no view of the tables is open
//! meanwhile. When, and of which domains at once, says `rounds`.
//!
//! An answer takes the place of the entry's rows only if the entry still waits for this very answer: what changed in
//! between is asked about again. A call that fails is divided, down to the single entry. That entry keeps its rows, and
//! is asked about again, alone, after a wait that doubles. Where it is the plugin that cannot be asked (it is busy or
//! gone), or fails on one entry after the other, all its entries wait; those that never failed come first.

use std::ops::ControlFlow;
use std::time::Duration;

use directory::{Directory, Dn, Entry};
use events::Event;
use hooks::{Attributes, Failed, FailureKind};
use mail_types::{Domain, Lookup};
use storage::{Batch, StorageError};

use super::build::Rows;
use super::builder::{Builder, Builders, builder_of};
use super::follow::Refreshed;
use super::given::rows_given;
use super::rebuild::{Overlay, encode};
use super::row::DomainRow;
use super::waiting::{ASKED_MAX, Mark, behind, marks_of};
use super::{DOMAINS, STATE, STATE_KEY, State, TableError, Tables, WAITING, key};

/// Entries whose answers are written in one batch.
const WINDOW_MAX: usize = 500;
/// A call that failed is divided into so many. Two divisions lead from [`ASKED_MAX`] to the single entry.
const PARTS: usize = 10;
/// After so many entries that fail one after the other, the domain's others wait for the next time: no mail waits for their
/// answers, and nothing is known of them.
const FAILURES_IN_A_ROW_MAX: usize = 16;
/// One that failed because the plugin took all the time that it may counts for so many.
const LATE_COUNTS: usize = 4;
/// After a failure an entry is asked about again no sooner than this, twice as long after each further one …
const AGAIN_MIN: Duration = Duration::from_secs(10);
/// … and at last in this interval.
const AGAIN_MAX: Duration = Duration::from_secs(3600);
/// Most tries to write answers while others write too.
const TRIES_MAX: u32 = 8;

/// Which entries are asked about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// All whose time has come.
    All,
    /// Those that changed and were not yet asked about.
    Fresh,
}

/// An entry that a plugin has to be asked about.
struct Due {
    dn: Dn,
    mark: Mark,
    builder: Builder,
}

/// What becomes of an entry that waited.
enum Settled {
    /// Its rows, and who built them.
    Rows(Rows, String),
    Waits(Mark),
}

/// Some entries to ask about, of one generation.
struct Window {
    generation: u8,
    due: Vec<Due>,
    /// Where the next one begins; none: this was the last.
    next: Option<String>,
    /// Whether others wait that cannot be asked about now.
    remains: bool,
}

impl Tables {
    /// Asks about the entries of a domain that wait; gives whether any wait still.
    pub(super) async fn ask_domain(
        &self,
        directory: &Directory,
        builders: &Builders<'_>,
        which: Which,
        domain: &Domain,
    ) -> Result<bool, TableError> {
        let (mut from, mut remains) = (marks_of(domain.as_str()), false);
        loop {
            // Most changes have nothing to ask: they shall not wait for questions.
            let window = self.due(&from, which, builders, domain)?;
            let window = if window.due.is_empty() {
                window
            } else {
                let turn = self.asking.of(domain);
                let _one = turn.lock().await;
                let mut window = self.due(&from, which, builders, domain)?;
                window.due.sort_by(|a, b| {
                    a.builder.plugin.cmp(&b.builder.plugin).then(a.mark.failures.cmp(&b.mark.failures))
                });
                let begun = builders.clock.now();
                let mut round = Round { directory, builders, shut: false, in_a_row: 0, settled: Vec::new() };
                for group in window.due.chunk_by(|a, b| a.builder == b.builder) {
                    round.ask(group).await?;
                }
                let (settled, shut) = (round.settled, round.shut);
                remains |= shut || settled.iter().any(|(_, settled)| matches!(settled, Settled::Waits(_)));
                remains |= !self.settle(window.generation, &settled, (builders, begun)).await?;
                // The others wait for the same plugin.
                if shut { Window { next: None, ..window } } else { window }
            };
            remains |= window.remains;
            match window.next {
                Some(next) => from = next,
                None => return Ok(remains),
            }
        }
    }

    /// The entries of a domain to ask about, from a key on.
    fn due(
        &self,
        from: &str,
        which: Which,
        builders: &Builders<'_>,
        domain: &Domain,
    ) -> Result<Window, TableError> {
        let snapshot = self.storage.read()?;
        let state = super::reader::state(&snapshot)?.ok_or(TableError::NotBuilt)?;
        let generation = state.generation;
        let mut window = Window { generation, due: Vec::new(), next: None, remains: false };
        if !state.has_builders() {
            return Ok(window);
        }
        let now = builders.clock.now().as_seconds();
        let rows_at = |name: &str| {
            let value = snapshot.get(DOMAINS, &key(generation, name))?.unwrap_or_default();
            DomainRow::read_all(&value).ok_or(TableError::Row("routing"))
        };
        let until = key(generation, &behind(&marks_of(domain.as_str())));
        let mut failure = None;
        snapshot.scan(WAITING, &key(generation, from), &until, &mut |stored, value| {
            let name = String::from_utf8_lossy(&stored[1..]).into_owned();
            if window.due.len() >= WINDOW_MAX {
                window.next = Some(name);
                return ControlFlow::Break(());
            }
            for mark in Mark::read_all(value).unwrap_or_default() {
                if mark.again > now && mark.again <= now + AGAIN_MAX.as_secs()
                    || which == Which::Fresh && !mark.is_fresh()
                {
                    window.remains = true;
                    continue;
                }
                let Ok(dn) = Dn::parse(&mark.dn) else { continue };
                match builder_of(&dn, builders.plugins, &state.builders, rows_at) {
                    Ok(Some(builder)) if builder.is_ready => window.due.push(Due { dn, mark, builder }),
                    // The others of the domain wait for the same.
                    Ok(Some(_)) => {
                        window.remains = true;
                        return ControlFlow::Break(());
                    }
                    Ok(None) => {}
                    Err(error) => failure = Some(error),
                }
            }
            if failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        failure.map_or(Ok(window), Err)
    }

    /// Writes what came of it, where the entries still wait for it; `false`: others wrote all the time, so they wait still.
    async fn settle(
        &self,
        generation: u8,
        settled: &[(&Due, Settled)],
        (builders, begun): (&Builders<'_>, mail_types::Timestamp),
    ) -> Result<bool, TableError> {
        // What is built anew meanwhile would not know of it.
        let _one = self.building.lock().await;
        for _ in 0..TRIES_MAX {
            let Some((batch, done)) = self.compose(generation, settled)? else { return Ok(true) };
            match self.storage.commit(batch).await {
                Ok(_) => {
                    done.tell_as("plugin", builders, begun);
                    return Ok(true);
                }
                Err(StorageError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    /// The batch, with what it is; none where nothing is to be written.
    fn compose(
        &self,
        generation: u8,
        settled: &[(&Due, Settled)],
    ) -> Result<Option<(Batch, Refreshed)>, TableError> {
        let snapshot = self.storage.read()?;
        let state = super::reader::state(&snapshot)?.ok_or(TableError::NotBuilt)?;
        if state.generation != generation {
            return Ok(None);
        }
        let mut overlay = Overlay::new(&snapshot, generation);
        let (mut entries, mut touched) = (0, false);
        for (due, settled) in settled {
            let domain = &due.builder.domain;
            if !overlay.has_mark(&due.dn, domain, &due.mark)? {
                continue;
            }
            touched = true;
            match settled {
                Settled::Rows(rows, maker) => {
                    overlay.remove(&due.dn)?;
                    overlay.add(&due.dn, rows)?;
                    overlay.note_maker(&due.dn, maker)?;
                    entries += 1;
                }
                Settled::Waits(mark) => overlay.mark(&due.dn, domain, mark)?,
            }
        }
        if !touched {
            return Ok(None);
        }
        let rows = overlay.rows;
        let (uplevel, chains) = (state.uplevel || overlay.uplevel, state.chains || overlay.chains);
        let mut batch = overlay.into_batch();
        batch.assert_equals(STATE, STATE_KEY, &encode(&state));
        let (answers, csn) = (state.answers.wrapping_add(1), state.csn);
        batch.put(STATE, STATE_KEY, encode(&State { uplevel, chains, answers, ..state }));
        Ok(Some((batch, Refreshed { full: false, entries, rows, csn })))
    }
}

/// Questions about the entries of one window.
struct Round<'a, 'd> {
    directory: &'a Directory,
    builders: &'a Builders<'a>,
    /// Whether the plugin cannot be asked now.
    shut: bool,
    /// How many entries of the domain failed since one did not.
    in_a_row: usize,
    settled: Vec<(&'d Due, Settled)>,
}

impl<'d> Round<'_, 'd> {
    /// Asks one plugin about entries of one domain.
    async fn ask(&mut self, group: &'d [Due]) -> Result<(), TableError> {
        let (mut rest, mut size) = (group, ASKED_MAX as usize);
        self.in_a_row = 0;
        while !rest.is_empty() && !self.shut {
            // No more than any of them shares a call with.
            let (mut count, mut most) = (0, size);
            for due in rest {
                most = most.min(due.mark.share as usize).max(1);
                if count >= most {
                    break;
                }
                count += 1;
            }
            let (batch, behind) = rest.split_at(count);
            rest = behind;
            if self.ask_divided(batch).await? {
                size = size.min(ASKED_MAX as usize / PARTS);
            }
        }
        Ok(())
    }

    /// Asks about a batch; where that fails, about ever smaller parts of it. Gives whether it failed as a whole.
    async fn ask_divided(&mut self, batch: &'d [Due]) -> Result<bool, TableError> {
        let mut open = vec![batch];
        let mut divided = false;
        while let Some(batch) = open.pop() {
            let Err(failed) = self.call(batch).await? else {
                self.in_a_row = 0;
                continue;
            };
            if is_of_plugin(failed.kind) {
                open.push(batch);
                self.put_off(batch, open, &failed);
                return Ok(true);
            }
            if let [due] = batch {
                self.fail(due, &failed);
                // Others of the domain wait for these calls.
                self.in_a_row += if failed.kind == FailureKind::Wall { LATE_COUNTS } else { 1 };
                if self.in_a_row < FAILURES_IN_A_ROW_MAX {
                    continue;
                }
                self.put_off(batch, open, &failed);
                return Ok(true);
            }
            divided = true;
            // The first part is on top.
            open.extend(batch.rchunks(batch.len().div_ceil(PARTS)));
        }
        Ok(divided)
    }

    /// One call. The outer error is of the directory.
    async fn call(&mut self, batch: &'d [Due]) -> Result<Result<(), Failed>, TableError> {
        let Some(Due { builder, .. }) = batch.first() else { return Ok(Ok(())) };
        let mut asked: Vec<(&Due, Entry)> = Vec::new();
        let mut questions: Vec<(String, Attributes)> = Vec::new();
        for due in batch {
            match self.directory.entry(&due.dn) {
                Lookup::Found(entry) => {
                    questions.push((due.mark.dn.clone(), entry.shown()));
                    asked.push((due, entry));
                }
                // Its removal is in the log, and takes its rows away.
                Lookup::NotFound => {}
                Lookup::Unavailable(why) => return Err(TableError::Directory(why)),
            }
        }
        if asked.is_empty() {
            return Ok(Ok(()));
        }
        let told = self.builders.plugins.build_rows(&builder.plugin, &builder.domain, &questions).await;
        let maker = format!("{} {}", builder.plugin, told.report.digest).trim_end().to_owned();
        Ok(told.answer.map(|given| {
            let schema = self.directory.schema();
            self.settled.extend(asked.into_iter().zip(given).map(|((due, entry), given)| {
                (due, Settled::Rows(rows_given(&entry, &builder.domain, given, schema), maker.clone()))
            }));
        }))
    }

    /// An entry failed by itself: it waits, longer each time.
    fn fail(&mut self, due: &'d Due, failed: &Failed) {
        let factor = 1_u32.checked_shl(due.mark.failures).unwrap_or(u32::MAX);
        let wait = AGAIN_MIN.saturating_mul(factor).min(AGAIN_MAX);
        let again = self.builders.clock.now().plus(wait).as_seconds();
        let mark = due.mark.failed(&due.builder.plugin, &failed.message, again);
        let (failures, wait) = (mark.failures, wait.as_secs());
        self.tell(due, &format!("{failed}; failures of this entry: {failures}, asked again in {wait} s"));
        self.settled.push((due, Settled::Waits(mark)));
    }

    /// The plugin cannot be asked now: all of the domain wait, and it is noted how far the division of a failing batch
    /// had come.
    fn put_off(&mut self, failing: &'d [Due], open: Vec<&'d [Due]>, failed: &Failed) {
        let Some(first) = failing.first() else { return };
        self.tell(first, &format!("{failed}; it and all others of the domain wait"));
        self.shut = true;
        for part in open {
            let size = u32::try_from(part.len()).unwrap_or(u32::MAX);
            for due in part.iter().filter(|due| size < due.mark.share) {
                self.settled.push((due, Settled::Waits(Mark { share: size, ..due.mark.clone() })));
            }
        }
    }

    fn tell(&self, due: &Due, cause: &str) {
        let Due { mark, builder, .. } = due;
        self.builders.events.emit(&Event::TablesEntryFailed {
            plugin: builder.plugin.as_str(),
            domain: builder.domain.as_str(),
            entry: &mark.dn,
            cause,
        });
    }
}

/// Whether a failure is the plugin's as a whole, whatever it is asked.
fn is_of_plugin(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Missing | FailureKind::Busy | FailureKind::Resting)
}
