//! The mirror: one directory, one source, and what keeps the two alike.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use events::{Event, Events};
use runtime::{Background, Clock};

use super::applied::Applied;
use super::apply::{Beside, Step};
use super::found::{Broken, Found};
use super::history::SyncRecord;
use super::live::Follower;
use super::miss::Misses;
use super::origin::{Origin, Staging};
use super::owners::{OwnDomain, Owners};
use super::records::{
    FORMAT, REFUSED, REFUSED_FORMAT, Refused, SYNC, StoredFound, SyncState, Way, decode, encode, source_key,
};
use super::swap::{self, Waiter};
use super::taken::Taken;
use super::wanted;
use crate::directory::Directory;
use crate::dn::Dn;
use crate::edit::Logging;
use crate::entry::Entry;
use crate::error::{DirectoryError, EditError};
use crate::ldap::answer::Unreadable;
use crate::ldap::chase::Place;
use crate::ldap::connection::FoundRaw;
use crate::ldap::failure::LdapFailure;
use crate::ldap::servers::{ServerHealth, Servers};
use crate::ldap::settings::{LdapOptions, Referrals};

/// How often refused entries are tried again after one batch: each round may free what the next one wants.
const RETRIES_MAX: usize = 4;

/// By which way the tree follows its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// Told of every change as it happens (RFC 4533), with full syncs at long intervals.
    Live,
    /// Asks at intervals for what was modified since, with full syncs at long intervals.
    Incremental,
    /// By command only.
    Manual,
}

/// How a source is mirrored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorOptions {
    /// What it is called.
    pub name: String,
    /// The domains that are its own; none: all that no other source has.
    pub domains: Vec<OwnDomain>,
    /// Top of its DC tree.
    pub dc_suffix: Dn,
    /// The servers.
    pub ldap: LdapOptions,
    /// The tops of the subtrees that are mirrored.
    pub bases: Vec<Dn>,
    /// By which way it is followed.
    pub mode: SyncMode,
    /// How often an incremental sync is made.
    pub incremental_every: Duration,
    /// How often a full sync is made; zero: by command only.
    pub full_every: Duration,
    /// How far before its watermark an incremental sync asks: for changes within one second, and clocks that differ.
    pub overlap: Duration,
    /// So many removals are believed without question.
    pub removals_free: u64,
    /// More of them only up to this share of what there is, in percent.
    pub removals_percent_max: u8,
    /// How long a miss is asked about at the source.
    pub miss_timeout: Duration,
    /// Misses that are asked about at a time.
    pub misses_max: usize,
    /// How long it is remembered that the source has no such address.
    pub miss_remembered: Duration,
    /// Whether edits are written to the source.
    pub writable: bool,
}

/// Why a sync did not come to its end. What was in the tree is there still.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SyncError {
    /// The source does not answer, or not so that it can be used.
    #[error(transparent)]
    Source(#[from] LdapFailure),
    /// The tree cannot be read or written.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A change could not be made.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The answer is not believed.
    #[error("{0}; nothing was removed: look at the source, and if it is right, say so with --force")]
    Guarded(String),
    /// Another sync is under way.
    #[error("another sync is under way")]
    UnderWay,
    /// What was asked for cannot be done here.
    #[error("{0}")]
    Unfit(String),
    /// The server sent what no LDAP is, and the library gave up.
    #[error("the conversation with the server broke off: {0}")]
    Broke(String),
}

/// In which manner steps are applied.
#[derive(Clone, Copy)]
pub(super) struct Manner<'t> {
    /// By which way they came.
    pub(super) way: Way,
    /// Of steps that were staged: [`Inner::marks`] before they were read. As long as it is the same, nothing newer has come.
    pub(super) marks: Option<u64>,
    /// How those who follow the tree learn of it.
    pub(super) logging: Logging,
    /// [`Origin::postpones`].
    pub(super) postpones: bool,
    /// [`Origin::taken`].
    pub(super) taken: Option<&'t Arc<Taken>>,
}

impl Manner<'_> {
    /// Of steps that came by a way, and are all of them.
    pub(super) fn of(way: Way) -> Self {
        Self { way, marks: None, logging: Logging::Each, postpones: false, taken: None }
    }
}

/// A directory that mirrors LDAP servers. Clones are the same mirror.
#[derive(Clone)]
pub struct Mirror(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) directory: Directory,
    owners: Arc<Owners>,
    /// Its place among them.
    at: usize,
    pub(crate) servers: Servers,
    pub(crate) options: MirrorOptions,
    pub(crate) events: Events,
    pub(crate) clock: Clock,
    /// Where syncs are made.
    background: Background,
    /// One batch of answers at a time, so that none overtakes another; of all sources, so that none has to compose its own
    /// anew again and again because another one was faster. Nobody waits for a server meanwhile.
    pub(crate) applying: Arc<tokio::sync::Mutex<()>>,
    /// One edit at a time is planned and written.
    pub(crate) writing: Arc<tokio::sync::Mutex<()>>,
    /// One full or incremental sync at a time.
    pub(crate) syncing: tokio::sync::Mutex<()>,
    /// A full sync is under way.
    pub(crate) staging: AtomicBool,
    /// Rises with each batch that told the full sync under way of something.
    pub(crate) marks: AtomicU64,
    /// Somebody has reason to want a full sync soon.
    pub(crate) full_wanted: tokio::sync::Notify,
    pub(crate) misses: Misses,
    pub(crate) followers: parking_lot::Mutex<Vec<Follower>>,
    /// Subtrees that lie on other servers.
    pub(crate) places: parking_lot::RwLock<Vec<Place>>,
}

/// A refused entry, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedEntry {
    /// Its name, as far as it can be read.
    pub name: String,
    /// In which attribute the fault lies.
    pub attribute: String,
    /// The fault.
    pub why: String,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
}

/// How the mirror does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorStatus {
    /// The source.
    pub source: String,
    /// The domains that it alone may name.
    pub domains: Vec<String>,
    /// The servers.
    pub servers: Vec<ServerHealth>,
    /// How each base is followed.
    pub followers: Vec<Follower>,
    /// When the last full sync ended well, in milliseconds since 1970.
    pub full_at: Option<u64>,
    /// Whether entries below a renamed one have yet to come, by a full sync.
    pub full_wanted: bool,
    /// When anything that the source said was last taken in.
    pub heard_at: Option<u64>,
    /// Entries that break a rule.
    pub refused: Vec<RefusedEntry>,
    /// Past syncs, the newest first.
    pub history: Vec<SyncRecord>,
}

impl Mirror {
    /// Joins a directory with one of its sources. Connects to nothing.
    pub(super) fn new(
        directory: Directory,
        options: MirrorOptions,
        (owners, at, applying): (Arc<Owners>, usize, Arc<tokio::sync::Mutex<()>>),
        (clock, events, background): (Clock, Events, Background),
    ) -> Result<Self, LdapFailure> {
        let servers = Servers::new(options.ldap.clone(), events.clone())?;
        let misses = Misses::new(options.misses_max);
        let places = match options.ldap.referrals {
            Referrals::Follow => super::places::kept(&directory, &options.name),
            Referrals::Refuse | Referrals::Ignore => Vec::new(),
        };
        Ok(Self(Arc::new(Inner {
            directory,
            owners,
            at,
            servers,
            options,
            events,
            clock,
            background,
            applying,
            syncing: tokio::sync::Mutex::new(()),
            writing: Arc::default(),
            staging: AtomicBool::new(false),
            marks: AtomicU64::new(0),
            full_wanted: tokio::sync::Notify::new(),
            misses,
            followers: parking_lot::Mutex::new(Vec::new()),
            places: parking_lot::RwLock::new(places),
        })))
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.options.name
    }

    /// Its number among the sources.
    pub(super) fn number(&self) -> u8 {
        // There are at most SOURCES_MAX of them.
        u8::try_from(self.0.at).unwrap_or(u8::MAX)
    }

    /// Whether there is no other source.
    pub(super) fn is_sole(&self) -> bool {
        self.0.owners.is_sole()
    }

    /// Whether what it does not show of a name means anything: of its own, and of what nobody has any more.
    pub(super) fn may_judge(&self, dn: &Dn) -> bool {
        self.0.owners.of_name(dn).is_none_or(|at| at == self.0.at)
    }

    /// Whether a name lies below its bases.
    pub(super) fn is_own(&self, dn: &Dn) -> bool {
        self.0.owners.of_name(dn) == Some(self.0.at)
    }

    /// An entry as it came, if it can be kept and is this source's to say.
    pub(super) fn read(&self, raw: FoundRaw) -> Result<Found, Broken> {
        let schema = self.0.directory.schema();
        let raw = raw.map_err(|Unreadable { name, attribute, why }| Broken {
            name,
            attribute: attribute.into(),
            why,
        })?;
        self.0.owners.admit(self.0.at, Found::read(raw, schema)?, schema)
    }

    /// Whether an entry that is here is still this source's to say.
    pub(super) fn is_admitted(&self, entry: &Entry) -> bool {
        self.0.owners.fault(self.0.at, entry, self.0.directory.schema()).is_none()
    }

    /// Its options.
    #[must_use]
    pub fn options(&self) -> &MirrorOptions {
        &self.0.options
    }

    /// The directory that it keeps.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.0.directory
    }

    /// Whether a full sync ever ended well: before that, what is absent here may be there.
    pub fn is_complete(&self) -> Result<bool, DirectoryError> {
        Ok(self.0.directory.raw_view()?.sync_state(self.name())?.full_at > 0)
    }

    /// How it does.
    pub async fn status(&self) -> Result<MirrorStatus, DirectoryError> {
        let state = self.0.directory.raw_view()?.sync_state(self.name())?;
        let known = |at: u64| Some(at).filter(|at| *at > 0);
        let refused = self.refused()?.into_iter().map(|refused| RefusedEntry {
            name: refused.name,
            attribute: refused.attribute,
            why: refused.why,
            since: refused.at,
        });
        Ok(MirrorStatus {
            source: self.name().to_owned(),
            domains: self.0.options.domains.iter().map(ToString::to_string).collect(),
            servers: self.0.servers.health().await,
            followers: self.0.followers.lock().clone(),
            full_at: known(state.full_at),
            full_wanted: self.is_wanted(),
            heard_at: known(state.heard_at),
            refused: refused.collect(),
            history: self.0.directory.history(self.name())?,
        })
    }

    fn refused(&self) -> Result<Vec<Refused>, DirectoryError> {
        let most = super::apply::REFUSED_MAX * super::mirrors::SOURCES_MAX;
        let rows = self.0.directory.rows(REFUSED, &[], most)?;
        let read = rows.iter().filter_map(|(_, value)| decode::<Refused>(value));
        let mine = |refused: &Refused| refused.format == REFUSED_FORMAT && refused.source == self.name();
        Ok(read.filter(mine).collect())
    }

    /// Applies what the source said, tries again what that may have freed, and tells of what is refused.
    pub(crate) async fn apply(
        &self,
        way: Way,
        steps: &[Step],
        beside: &Beside,
    ) -> Result<Applied, EditError> {
        self.apply_as(steps, beside, Manner::of(way)).await
    }

    /// The same, in the manner of a full sync.
    pub(super) async fn apply_as(
        &self,
        steps: &[Step],
        beside: &Beside,
        manner: Manner<'_>,
    ) -> Result<Applied, EditError> {
        let in_order = self.0.applying.lock().await;
        self.apply_in_order(&in_order, steps, beside, manner).await
    }

    /// The same, for who holds [`Inner::applying`].
    pub(super) async fn apply_in_order(
        &self,
        _in_order: &tokio::sync::MutexGuard<'_, ()>,
        steps: &[Step],
        beside: &Beside,
        manner: Manner<'_>,
    ) -> Result<Applied, EditError> {
        let mut total = self.apply_once(steps, beside, manner).await?;
        let mut touched = std::mem::take(&mut total.touched);
        for round in 0..RETRIES_MAX {
            let mut again = self.freed_by(&touched)?;
            if round == 0 && !total.refused.is_empty() {
                again.extend(self.opposed()?);
            }
            if again.is_empty() {
                break;
            }
            let manner = Manner { postpones: false, ..manner };
            let applied = self.apply_once(&again, &Vec::new(), manner).await?;
            total.join(applied);
            touched = std::mem::take(&mut total.touched);
        }
        if wanted::is_half(&total, manner.way) {
            self.0.full_wanted.notify_one();
        }
        for (entry, attribute, cause) in &total.refused {
            self.0.events.emit(&Event::SyncEntryRefused { source: self.name(), entry, attribute, cause });
        }
        // A sync adds up many of these: what is told need not be kept.
        total.refused = Vec::new();
        Ok(total)
    }

    async fn apply_once(
        &self,
        steps: &[Step],
        beside: &Beside,
        manner: Manner<'_>,
    ) -> Result<Applied, EditError> {
        let under_way = self.0.staging.load(Ordering::Acquire);
        let origin = Origin {
            way: manner.way,
            source: self.name().to_owned(),
            number: self.number(),
            staging: if under_way { Staging::UnderWay } else { Staging::Idle },
            overtaken: manner.marks != Some(self.0.marks.load(Ordering::Acquire)),
            logging: manner.logging,
            postpones: manner.postpones,
            taken: manner.taken.cloned(),
        };
        let applied = self.0.directory.apply(steps, beside, &origin).await?;
        if applied.marked > 0 {
            self.0.marks.fetch_add(1, Ordering::Release);
        }
        Ok(applied)
    }

    /// The refused entries whose holders have changed.
    fn freed_by(&self, touched: &[Dn]) -> Result<Vec<Step>, DirectoryError> {
        if touched.is_empty() {
            return Ok(Vec::new());
        }
        let holds = |refused: &Refused| {
            let holder = refused.holder.as_deref().and_then(|holder| Dn::parse(holder).ok());
            holder.is_some_and(|holder| touched.contains(&holder))
        };
        let waiting = self.refused()?.into_iter().filter(holds).filter_map(|refused| refused.found);
        let found = waiting.map(|stored| stored.found().map(|found| Step::Put(Box::new(found))));
        found.take(super::apply::BATCH_MAX).collect()
    }

    /// The refused entries that stand in each other's way: together they may pass.
    fn opposed(&self) -> Result<Vec<Step>, DirectoryError> {
        let refused = self.refused()?;
        let view = self.0.directory.raw_view()?;
        let mut waiters = Vec::with_capacity(refused.len());
        for one in &refused {
            let has = match one.found.as_ref().and_then(StoredFound::uuid) {
                Some(uuid) => view.name_of(self.name(), &uuid)?,
                None => None,
            };
            let read = |name: &str| Dn::parse(name).ok();
            // One that stands nowhere yet holds nothing.
            let place = has.or_else(|| read(&one.name)).unwrap_or_else(Dn::root);
            waiters.push(Waiter { place, holder: one.holder.as_deref().and_then(read) });
        }
        let opposed = swap::opposed(&waiters).into_iter();
        let found = opposed.filter_map(|at| refused[at].found.clone());
        let found = found.map(|stored| stored.found().map(|found| Step::Put(Box::new(found))));
        found.take(super::apply::BATCH_MAX).collect()
    }

    /// The row that says when the source was last heard, and with `full` when all of it was.
    pub(crate) fn heard(&self, full: bool) -> Result<(storage::Space, Vec<u8>, Vec<u8>), DirectoryError> {
        let now = self.0.clock.now().0;
        let mut state = self.0.directory.raw_view()?.sync_state(self.name())?;
        state = SyncState { format: FORMAT, heard_at: now, full_at: if full { now } else { state.full_at } };
        Ok((SYNC, source_key("state", self.name()), encode(&state)))
    }

    /// Books how a sync went.
    pub(crate) async fn book(&self, record: SyncRecord) {
        let source = self.name();
        match &record.failure {
            Some(cause) => self.0.events.emit(&Event::SyncFailed { source, kind: &record.kind, cause }),
            None => self.0.events.emit(&Event::SyncFinished {
                source,
                kind: &record.kind,
                seen: record.seen,
                changed: record.added + record.modified + record.moved,
                removed: record.removed,
                refused: record.refused,
                milliseconds: record.milliseconds,
            }),
        }
        if let Err(why) = self.0.directory.remember(&record).await {
            self.0.events.emit(&Event::SyncFailed { source, kind: &record.kind, cause: &why.to_string() });
        }
    }

    /// Runs a long conversation in the background.
    pub(super) async fn in_background<T: Send + 'static>(
        &self,
        conversation: impl Future<Output = Result<T, SyncError>> + Send + 'static,
    ) -> Result<T, SyncError> {
        ended(self.0.background.spawn(conversation).await)
    }
}

/// Runs a conversation in a task of its own: the library panics at what is no LDAP, and that must end nothing else.
pub(crate) async fn apart<T: Send + 'static>(
    conversation: impl Future<Output = Result<T, SyncError>> + Send + 'static,
) -> Result<T, SyncError> {
    ended(tokio::spawn(conversation).await)
}

pub(super) fn ended<T>(
    outcome: Result<Result<T, SyncError>, tokio::task::JoinError>,
) -> Result<T, SyncError> {
    outcome.unwrap_or_else(|broken| Err(SyncError::Broke(broken.to_string())))
}
