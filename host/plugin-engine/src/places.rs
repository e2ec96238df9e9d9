//! Places in the pool, and the instances that wait in some of them for their tenant's next message.
//!
//! What is kept warm stands here and not with its tenant: an instance holds its tenant's memory, and two that hold each other
//! would never be freed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::instance::Instance;

/// Most instances kept warm for one tenant and plugin.
const WARM_MAX: usize = 8;

/// Whose instances: one version of a plugin, and one of its tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    pub(crate) plugin: u64,
    pub(crate) tenant: u64,
}

/// An instance that waits, and until when.
struct Waiting {
    until: Instant,
    instance: Box<Instance>,
}

/// The places of one machine.
pub(crate) struct Places {
    free: Arc<Semaphore>,
    warm: Mutex<BTreeMap<Owner, VecDeque<Waiting>>>,
    plugins: AtomicU64,
}

impl Places {
    pub(crate) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self {
            free: Arc::new(Semaphore::new(count)),
            warm: Mutex::default(),
            plugins: AtomicU64::new(0),
        })
    }

    /// A number for a version of a plugin that nobody else has.
    pub(crate) fn number(&self) -> u64 {
        self.plugins.fetch_add(1, Ordering::Relaxed)
    }

    /// Places for an instance, where so many are free.
    pub(crate) fn now(&self, weight: u32) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_many_owned(weight).ok()
    }

    /// The same, with all the patience of the caller.
    pub(crate) async fn of(&self, weight: u32) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).acquire_many_owned(weight).await.ok()
    }

    /// An instance that was kept warm.
    pub(crate) fn take(&self, owner: Owner) -> Option<Box<Instance>> {
        let now = Instant::now();
        // What has waited too long is dropped after the lock.
        let mut over = Vec::new();
        let mut warm = self.warm.lock();
        let shelf = warm.get_mut(&owner)?;
        let mut found = None;
        while let Some(waiting) = shelf.pop_back() {
            if waiting.until >= now {
                found = Some(waiting.instance);
                break;
            }
            over.push(waiting);
        }
        if shelf.is_empty() {
            warm.remove(&owner);
        }
        drop(warm);
        found
    }

    /// Keeps an instance for so long; where there is no room, it is dropped.
    pub(crate) fn put(&self, owner: Owner, instance: Box<Instance>, idle: Duration) {
        let mut warm = self.warm.lock();
        let shelf = warm.entry(owner).or_default();
        if shelf.len() < WARM_MAX {
            shelf.push_back(Waiting { until: Instant::now() + idle, instance });
        }
    }

    /// Lets go of what a version of a plugin kept warm. It must not be asked any more.
    pub(crate) fn let_go(&self, plugin: u64) {
        let owners = Owner { plugin, tenant: 0 }..=Owner { plugin, tenant: u64::MAX };
        let mut warm = self.warm.lock();
        let owners: Vec<Owner> = warm.range(owners).map(|(owner, _)| *owner).collect();
        let gone: Vec<_> = owners.iter().filter_map(|owner| warm.remove(owner)).collect();
        drop(warm);
        drop(gone);
    }

    /// Drops warm instances that have been idle too long.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        let mut over = Vec::new();
        let mut warm = self.warm.lock();
        warm.retain(|_, shelf| {
            while shelf.front().is_some_and(|waiting| waiting.until < now) {
                over.extend(shelf.pop_front());
            }
            !shelf.is_empty()
        });
        drop(warm);
    }

    /// Places that are free now.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.free.available_permits()
    }
}
