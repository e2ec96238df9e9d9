//! The records of mail domains follow their entries (R15, R16, R17).
//!
//! What shall be published is computed from the entries; what was published is remembered. The difference is handed to
//! a [`dns::Publisher`], domain by domain, each as a whole. So every step can be done again, and after a crash or an
//! outage the work goes on where it was: the state is the plan (R21). A domain that is removed takes its records with
//! it (R22). Where a change may be done in part, what it may bring is noted first, and the domain stays due until all of
//! it is done: what came halfway is finished, or goes with the domain.

mod memory;
mod options;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dns::{PublishError, Publisher, Record, RecordChange};
use events::{Event, Events};
use mail_types::Domain;
use parking_lot::Mutex;
use runtime::Shutdown;
use storage::Batch;

pub use options::{ExtraText, PublicationOptions};

use crate::change::Changes;
use crate::directory::Directory;
use crate::error::DirectoryError;
use crate::kind::Kind;
use crate::layout::PUBLISHED;

/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// Changes that are made before what was published is written down.
const STEP: usize = 100;

/// How a domain's records stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Published {
    /// What is published by us; where `is_open`, what may be.
    pub records: Vec<Record>,
    /// Whether a change began and has yet to be done, so that it is not known which of the records are there.
    pub is_open: bool,
    /// Why what is wanted is not published; it is tried again.
    pub failure: Option<String>,
}

/// What is published, and keeps being so. Clones are the same.
#[derive(Clone)]
pub struct Publication(Arc<Inner>);

struct Inner {
    directory: Directory,
    publisher: Arc<dyn Publisher>,
    options: PublicationOptions,
    events: Events,
    state: Mutex<BTreeMap<Domain, Published>>,
    /// Whether it follows the directory.
    follows: AtomicBool,
    /// One round at a time; the change number that the last one has reached.
    round: tokio::sync::Mutex<Option<u64>>,
}

impl Publication {
    /// Goes on from what was published before, where the publisher does not forget.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn new(
        directory: Directory,
        publisher: Arc<dyn Publisher>,
        options: PublicationOptions,
        events: Events,
    ) -> Result<Self, DirectoryError> {
        let mut state = BTreeMap::new();
        if !publisher.is_volatile() {
            directory.raw_view()?.snapshot.scan(PUBLISHED, &[], &[0xff; 2], &mut |name, value| {
                let domain = std::str::from_utf8(name).ok().and_then(|name| Domain::parse(name).ok());
                if let (Some(domain), Some(published)) = (domain, memory::read(value)) {
                    state.insert(domain, published);
                }
                std::ops::ControlFlow::Continue(())
            })?;
        }
        let (state, round) = (Mutex::new(state), tokio::sync::Mutex::new(None));
        let follows = AtomicBool::new(false);
        Ok(Self(Arc::new(Inner { directory, publisher, options, events, state, follows, round })))
    }

    /// Where records are published, in words.
    #[must_use]
    pub fn place(&self) -> String {
        self.0.publisher.place()
    }

    /// Whether what is published now lasts: in the process that follows the directory, or anywhere, where the publisher
    /// does not forget.
    #[must_use]
    pub fn lasts(&self) -> bool {
        !self.0.publisher.is_volatile() || self.0.follows.load(Ordering::Relaxed)
    }

    /// How a domain stands.
    #[must_use]
    pub fn of(&self, domain: &Domain) -> Published {
        self.0.state.lock().get(domain).cloned().unwrap_or_default()
    }

    /// What a hosted domain shall have.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn wanted(&self, domain: &Domain) -> Result<Vec<Record>, DirectoryError> {
        Ok(wanted::all(&self.0.directory, &self.0.options)?.remove(domain).unwrap_or_default())
    }

    /// Follows the directory until the end.
    pub async fn run(&self, stop: &Shutdown) {
        self.0.follows.store(true, Ordering::Relaxed);
        let mut newest = self.0.directory.subscribe();
        loop {
            newest.mark_unchanged();
            let whole = tokio::select! {
                () = stop.wait() => return,
                whole = self.settle() => whole,
            };
            tokio::select! {
                () = stop.wait() => return,
                changed = newest.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(RETRY), if !whole => {}
            }
        }
    }

    /// Publishes what the entries say now, where anything about a domain changed or something failed before. Returns
    /// whether all is published.
    pub async fn settle(&self) -> bool {
        let mut reached = self.0.round.lock().await;
        let settled = self.settle_from(*reached).await;
        match settled {
            Ok((csn, whole)) => {
                *reached = whole.then_some(csn);
                whole
            }
            Err(why) => {
                let cause = why.to_string();
                self.0.events.emit(&Event::DnsFailed { domain: "*", place: &self.place(), cause: &cause });
                *reached = None;
                false
            }
        }
    }

    /// Publishes what a domain shall have again, whatever is remembered of it: where it was published it may have been lost.
    pub async fn again(&self, domain: &Domain) -> bool {
        {
            let mut reached = self.0.round.lock().await;
            self.0.state.lock().entry(domain.clone()).or_default().is_open = true;
            *reached = None;
        }
        self.settle().await
    }

    async fn settle_from(&self, reached: Option<u64>) -> Result<(u64, bool), DirectoryError> {
        let mut csn = self.0.directory.csn();
        let mut from = reached;
        while let Some(reached) = from {
            match self.0.directory.changes_since(reached)? {
                Changes::List { changes, csn: listed }
                    if !changes.iter().any(|one| one.kind == Kind::Domain) =>
                {
                    // Of very many changes a part is listed at a time.
                    if listed >= csn {
                        return Ok((listed, true));
                    }
                    from = Some(listed);
                }
                Changes::List { csn: listed, .. } | Changes::Rebuild { csn: listed } => {
                    csn = csn.max(listed);
                    from = None;
                }
            }
        }
        let wanted = wanted::all(&self.0.directory, &self.0.options)?;
        // What was never published and is no more wanted has nothing left that could fail.
        self.0.state.lock().retain(|domain, one| !one.records.is_empty() || wanted.contains_key(domain));
        let changes = self.differences(&wanted);
        let mut whole = true;
        // A publisher that forgets has nothing to be written down, and builds its zones once for all of them.
        let step = if self.0.publisher.is_volatile() { changes.len().max(1) } else { STEP };
        for step in changes.chunks(step) {
            whole &= self.make(step).await;
        }
        Ok((csn, whole))
    }

    fn differences(&self, wanted: &BTreeMap<Domain, Vec<Record>>) -> Vec<RecordChange> {
        let state = self.0.state.lock();
        let names: BTreeSet<&Domain> = wanted.keys().chain(state.keys()).collect();
        let change = |domain: &&Domain| {
            let known = state.get(*domain);
            let before = known.map(|one| one.records.clone()).unwrap_or_default();
            let wanted = wanted.get(*domain).cloned().unwrap_or_default();
            let is_due = before != wanted || known.is_some_and(|one| one.is_open);
            is_due.then(|| RecordChange { domain: (*domain).clone(), before, wanted })
        };
        names.iter().filter_map(change).collect()
    }

    /// Notes what may be there from now on, before any of it is: a change may be done in part, or done though no answer comes.
    async fn open(&self, changes: &[RecordChange]) -> Result<(), DirectoryError> {
        if self.0.publisher.is_volatile() {
            return Ok(());
        }
        let mut batch = Batch::new();
        let opened: Vec<(Domain, Published)> = {
            let state = self.0.state.lock();
            let open = |change: &RecordChange| {
                let known = state.get(&change.domain).cloned().unwrap_or_default();
                let opened = memory::opened(&known, &change.wanted);
                (opened != known).then(|| (change.domain.clone(), opened))
            };
            changes.iter().filter_map(open).collect()
        };
        if opened.is_empty() {
            return Ok(());
        }
        for (domain, one) in &opened {
            batch.put(PUBLISHED, domain.as_str().as_bytes(), memory::write(one));
        }
        self.0.directory.commit(batch).await?;
        self.0.state.lock().extend(opened);
        Ok(())
    }

    /// Makes some changes, and remembers what is published now. Whether all of them were made.
    async fn make(&self, changes: &[RecordChange]) -> bool {
        let before: Vec<Published> = {
            let state = self.0.state.lock();
            changes.iter().map(|change| state.get(&change.domain).cloned().unwrap_or_default()).collect()
        };
        if let Err(why) = self.open(changes).await {
            let cause = format!("what is to be published cannot be noted: {why}");
            self.0.events.emit(&Event::DnsFailed { domain: "*", place: &self.place(), cause: &cause });
            return false;
        }
        let made = self.0.publisher.publish_all(changes).await;
        let mut batch = Batch::new();
        let mut whole = true;
        for ((change, before), made) in changes.iter().zip(before).zip(made) {
            match made {
                Ok(()) => self.made(change, &mut batch),
                Err(why) => {
                    whole = false;
                    if self.0.publisher.is_whole() && !matches!(why, PublishError::Unsure(_)) {
                        self.go_back(&change.domain, before, &mut batch);
                    }
                    self.failed(change, &why);
                }
            }
        }
        if self.0.publisher.is_volatile() {
            return whole;
        }
        if let Err(why) = self.0.directory.commit(batch).await {
            // Published it is; at worst it is published once more.
            let cause = format!("what is published cannot be remembered: {why}");
            self.0.events.emit(&Event::DnsFailed { domain: "*", place: &self.place(), cause: &cause });
            return false;
        }
        whole
    }

    fn made(&self, change: &RecordChange, batch: &mut Batch) {
        let key = change.domain.as_str().as_bytes();
        if change.wanted.is_empty() {
            self.0.state.lock().remove(&change.domain);
            batch.delete(PUBLISHED, key);
        } else {
            let published = Published { records: change.wanted.clone(), ..Published::default() };
            batch.put(PUBLISHED, key, memory::write(&published));
            self.0.state.lock().insert(change.domain.clone(), published);
        }
        self.0.events.emit(&Event::DnsPublished {
            domain: change.domain.as_str(),
            place: &self.place(),
            records: change.wanted.len() as u64,
        });
    }

    /// Nothing was changed: what is or may be there is what was before.
    fn go_back(&self, domain: &Domain, before: Published, batch: &mut Batch) {
        let key = domain.as_str().as_bytes();
        if before.records.is_empty() {
            batch.delete(PUBLISHED, key);
        } else {
            batch.put(PUBLISHED, key, memory::write(&before));
        }
        self.0.state.lock().insert(domain.clone(), before);
    }

    fn failed(&self, change: &RecordChange, why: &PublishError) {
        let cause = why.to_string();
        let mut state = self.0.state.lock();
        let one = state.entry(change.domain.clone()).or_default();
        // Told once, and again when it is another failure.
        if one.failure.as_ref() != Some(&cause) {
            let (domain, place) = (change.domain.as_str(), self.place());
            self.0.events.emit(&Event::DnsFailed { domain, place: &place, cause: &cause });
        }
        one.failure = Some(cause);
    }
}

#[cfg(test)]
mod tests;
