//! The queue itself: what it holds, how it starts, how it runs.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use events::{Event, Events};
use mail_types::{AccountName, ChannelName, QueueId, Timestamp};
use parking_lot::{Mutex, RwLock};
use runtime::{Clock, Random, Shutdown};
use storage::{Batch, Committed, Storage, StorageError};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::decided::Decided;
use crate::options::Options;
use crate::ports::{Channel, LocalDelivery, Router};
use crate::records::{self, MESSAGES, RECIPIENTS, Record, StoredState, TRAIL};
use crate::schedule::{Next, Schedule};
use crate::unreadable;

/// Outcomes of one message are written one after the other; so many messages do so at once.
const STRIPES: usize = 256;
/// How often trails are pruned, idle destinations forgotten, and late mail behind resting ones looked at.
const MAINTENANCE: Duration = Duration::from_secs(60);

/// Those who do the work that the queue schedules.
pub struct Agents {
    /// Who routes.
    pub router: Arc<dyn Router>,
    /// The local store.
    pub local: Arc<dyn LocalDelivery>,
    /// The ways out, by name; `store` and `hold` are the queue's own.
    pub channels: Channels,
}

/// Ways out by name.
pub type Channels = HashMap<ChannelName, Arc<dyn Channel>>;

/// A handle of the queue; clones are the same queue.
#[derive(Clone)]
pub struct Queue {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) storage: Storage,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) events: Events,
    pub(crate) options: RwLock<Arc<Options>>,
    pub(crate) agents: Agents,
    /// The ways out in force; those of [`Agents`] are only the first.
    pub(crate) channels: RwLock<Arc<Channels>>,
    pub(crate) schedule: Mutex<Schedule>,
    pub(crate) wake: Notify,
    pub(crate) decided: Decided,
    /// Messages in `queue_messages`.
    pub(crate) messages: AtomicUsize,
    /// Serialises outcomes of one message: held over the commit on purpose, so that two routes of
    /// one message cannot both believe that the other is still to come.
    pub(crate) stripes: Vec<tokio::sync::Mutex<()>>,
    next_id: Mutex<u64>,
    /// One round of maintenance at a time: held to its end on purpose.
    maintaining: tokio::sync::Mutex<()>,
    /// When storage began to fail, in milliseconds; zero while it works.
    failing_since: AtomicU64,
}

impl Queue {
    /// Takes over what the storage holds; nothing moves until [`Queue::run`].
    pub fn open(
        storage: Storage,
        agents: Agents,
        options: Options,
        clock: Clock,
        random: Random,
        events: Events,
    ) -> Result<Self, StorageError> {
        let (schedule, messages, last_id) = load(&storage, &events)?;
        let channels = RwLock::new(Arc::new(agents.channels.clone()));
        let inner = Inner {
            storage,
            clock,
            random,
            events,
            options: RwLock::new(Arc::new(options)),
            agents,
            channels,
            schedule: Mutex::new(schedule),
            wake: Notify::new(),
            decided: Decided::default(),
            messages: AtomicUsize::new(messages),
            stripes: (0..STRIPES).map(|_| tokio::sync::Mutex::new(())).collect(),
            next_id: Mutex::new(last_id + 1),
            maintaining: tokio::sync::Mutex::new(()),
            failing_since: AtomicU64::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What is full, for people, where an account of the local store can get nothing now.
    pub fn find_full(&self, account: &AccountName) -> Result<Option<String>, StorageError> {
        self.inner.agents.local.find_full(account)
    }

    /// What the sender is told of a mailbox that is full.
    #[must_use]
    pub fn full_reply(&self) -> mail_types::Reply {
        self.inner.options().over_quota.reply(Duration::ZERO)
    }

    /// A fresh id: higher than all before, over restarts too.
    #[must_use]
    pub fn next_id(&self) -> QueueId {
        self.inner.next_id()
    }

    /// How many messages wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.messages.load(Ordering::Relaxed)
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts new options in force.
    pub fn set_options(&self, options: Options) {
        *self.inner.options.write() = Arc::new(options);
        self.inner.schedule.lock().forget_looks();
        self.inner.wake.notify_one();
    }

    /// Puts other ways out in force; attempts that run end with theirs.
    pub fn set_channels(&self, channels: Channels) {
        *self.inner.channels.write() = Arc::new(channels);
    }

    /// Works until a stop is asked for; then lets attempts end for as long as [`Options::drain`] says. What does
    /// not end is tried again after the next start.
    pub async fn run(&self, shutdown: Shutdown) {
        let mut attempts = JoinSet::new();
        let mut maintenance = self.inner.clock.steady() + MAINTENANCE;
        while !shutdown.is_triggered() {
            let (now, steady) = (self.inner.clock.now(), self.inner.clock.steady());
            if steady >= maintenance {
                let (inner, shutdown) = (Arc::clone(&self.inner), shutdown.clone());
                attempts.spawn(async move { inner.maintain(&shutdown).await });
                maintenance = steady + MAINTENANCE;
            }
            let options = self.inner.options();
            let next = {
                let mut schedule = self.inner.schedule.lock();
                schedule.look_at_clock(now, steady);
                schedule.next(now, &options)
            };
            let until_maintenance = maintenance.saturating_sub(steady);
            let wait = match next {
                Next::Lease(job) => {
                    let inner = Arc::clone(&self.inner);
                    attempts.spawn(async move { inner.work(job).await });
                    while attempts.try_join_next().is_some() {}
                    continue;
                }
                Next::Wait(until) => until.since(now).min(until_maintenance),
                Next::Idle => until_maintenance,
            };
            tokio::select! {
                () = self.inner.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
                () = shutdown.wait() => {}
                Some(_) = attempts.join_next() => {}
            }
        }
        let channels = Arc::clone(&self.inner.channels.read());
        let drained = async {
            while attempts.join_next().await.is_some() {}
            for channel in channels.values() {
                channel.end().await;
            }
        };
        if tokio::time::timeout(self.inner.options().drain, drained).await.is_err() {
            let reason = format!("the grace is over, {} attempts are cut off", self.active());
            self.inner.events.emit(&Event::Stopping { reason: &reason });
            attempts.shutdown().await;
        }
    }
}

impl Inner {
    pub(crate) fn options(&self) -> Arc<Options> {
        Arc::clone(&self.options.read())
    }

    pub(crate) fn next_id(&self) -> QueueId {
        let now = QueueId::first_of_millisecond(self.clock.now().0).as_u64();
        let mut next = self.next_id.lock();
        let id = now.max(*next);
        *next = id + 1;
        QueueId::from_u64(id)
    }

    pub(crate) fn stripe(&self, id: QueueId) -> &tokio::sync::Mutex<()> {
        // The low bits count within a millisecond, and are zero for most: the time has to join in.
        let mixed = id.as_u64() ^ (id.as_u64() >> 22);
        let index = usize::try_from(mixed % STRIPES as u64).unwrap_or(0);
        &self.stripes[index]
    }

    /// Commits, and tells when storage begins to fail or works again.
    pub(crate) async fn commit(&self, batch: Batch) -> Result<Committed, StorageError> {
        let committed = self.storage.commit(batch).await;
        match &committed {
            Ok(_) => {
                let since = self.failing_since.load(Ordering::Relaxed);
                if since > 0 && self.failing_since.swap(0, Ordering::Relaxed) > 0 {
                    let after = self.clock.now().since(Timestamp(since)).as_secs();
                    self.events.emit(&Event::StorageRecovered { after_seconds: after });
                }
            }
            Err(StorageError::Conflict(_)) => {}
            Err(error) => {
                let now = self.clock.now().0.max(1);
                if self.failing_since.swap(now, Ordering::Relaxed) == 0 {
                    self.events.emit(&Event::StorageUnavailable { cause: &error.to_string() });
                }
            }
        }
        committed
    }

    /// Runs beside the attempts: they do not wait for it, and one round not for another.
    async fn maintain(&self, shutdown: &Shutdown) {
        let Ok(_alone) = self.maintaining.try_lock() else { return };
        self.schedule.lock().forget_old(self.clock.now());
        self.settle_late(shutdown).await;
        if let Err(error) = self.prune_trails().await {
            let cause = error.to_string();
            self.events.emit(&Event::InternalError { place: "pruning of trails", cause: &cause });
        }
        if let Err(error) = self.forget_answers().await {
            let cause = error.to_string();
            self.events.emit(&Event::InternalError { place: "forgetting of answers", cause: &cause });
        }
    }
}

/// Reads the schedule, the number of messages and the highest id from storage.
/// A record that cannot be read stays where it is and is told of: one must not keep all others from leaving.
fn load(storage: &Storage, events: &Events) -> Result<(Schedule, usize, u64), StorageError> {
    let view = storage.read()?;
    let (mut schedule, mut messages, mut last_id) = (Schedule::default(), 0, 0);
    view.scan(RECIPIENTS, &[], &[0xff; 13], &mut |key, value| {
        let Some((id, index)) = records::read_recipient_key(key) else { return ControlFlow::Continue(()) };
        match Record::read(value) {
            Ok(Record { route, state: StoredState::Waiting(due), .. }) => schedule.push(id, &route, due),
            Ok(_) => {}
            Err(error) => unreadable::tell(events, id, index, &error),
        }
        ControlFlow::Continue(())
    })?;
    view.scan(MESSAGES, &[], &[0xff; 9], &mut |_, _| {
        messages += 1;
        ControlFlow::Continue(())
    })?;
    for space in [MESSAGES, TRAIL] {
        view.scan_back(space, &[], &[0xff; 21], &mut |key, _| {
            if let Some(Ok(id)) = key.get(..8).map(<[u8; 8]>::try_from) {
                last_id = last_id.max(u64::from_be_bytes(id));
            }
            ControlFlow::Break(())
        })?;
    }
    Ok((schedule, messages, last_id))
}
