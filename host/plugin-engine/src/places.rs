//! Places in the pool, and the instances that wait in some of them for their tenant's next message.
//!
//! What is kept warm stands here and not with its tenant: an instance holds its tenant's memory, and two that hold each other
//! would never be freed. To keep one warm spares time and must cost nobody else a place: where one is wanted, that which has
//! been idle longest gives way, whosever it is, and what comes back goes to who waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::fair::{Fair, Held, Holder};
use crate::instance::Instance;

/// Most instances kept warm for one tenant and plugin.
const WARM_MAX: usize = 8;

/// Whose instances: one version of a plugin, and one of its tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner {
    pub(crate) plugin: u64,
    pub(crate) tenant: u64,
}

/// An instance that waits, since when in the order of all, and until when.
struct Waiting {
    since: u64,
    until: Instant,
    instance: Box<Instance>,
}

/// All that is kept warm; no more than there are places.
#[derive(Default)]
struct Warm {
    /// Of each owner, the longest idle first.
    shelves: BTreeMap<Owner, VecDeque<Waiting>>,
    /// Of all, the longest idle first.
    order: BTreeMap<u64, Owner>,
    next: u64,
    /// Calls that wait for a place.
    wanting: usize,
}

impl Warm {
    /// Takes one off a shelf: the one used last, or the longest idle.
    fn take(&mut self, owner: Owner, latest: bool) -> Option<Waiting> {
        let shelf = self.shelves.get_mut(&owner)?;
        let taken = if latest { shelf.pop_back() } else { shelf.pop_front() };
        if shelf.is_empty() {
            self.shelves.remove(&owner);
        }
        let taken = taken?;
        self.order.remove(&taken.since);
        Some(taken)
    }

    fn longest_idle(&mut self) -> Option<Waiting> {
        let owner = *self.order.first_key_value()?.1;
        self.take(owner, false)
    }
}

/// The places of one machine.
pub(crate) struct Places {
    free: Arc<Fair>,
    warm: Mutex<Warm>,
    plugins: AtomicU64,
}

impl Places {
    pub(crate) fn new(count: u32) -> Arc<Self> {
        Arc::new(Self { free: Fair::new(count), warm: Mutex::default(), plugins: AtomicU64::new(0) })
    }

    /// A number for a version of a plugin that nobody else has.
    pub(crate) fn number(&self) -> u64 {
        self.plugins.fetch_add(1, Ordering::Relaxed)
    }

    /// Places for an instance, where so many are free, or are held by instances that are idle.
    pub(crate) fn now(&self, tenant: &Holder, weight: u32) -> Option<Held> {
        loop {
            if let Some(places) = self.free.now(tenant, weight) {
                return Some(places);
            }
            let idle = self.warm.lock().longest_idle()?;
            drop(idle);
        }
    }

    /// The same, with all the patience of the caller.
    pub(crate) async fn of(&self, tenant: &Holder, weight: u32) -> Option<Held> {
        let _wanting = Wanting::of(self);
        match self.now(tenant, weight) {
            Some(places) => Some(places),
            None => self.free.wait(tenant, weight).await,
        }
    }

    /// An instance that was kept warm.
    pub(crate) fn take(&self, owner: Owner, now: Instant) -> Option<Box<Instance>> {
        // What has waited too long is dropped after the lock.
        let mut over = Vec::new();
        let mut warm = self.warm.lock();
        let mut found = None;
        while let Some(waiting) = warm.take(owner, true) {
            if waiting.until >= now {
                found = Some(waiting.instance);
                break;
            }
            over.push(waiting);
        }
        drop(warm);
        found
    }

    /// Keeps an instance until then; where there is no room, or somebody waits for its place, it is dropped.
    pub(crate) fn put(&self, owner: Owner, instance: Box<Instance>, until: Instant) {
        let mut warm = self.warm.lock();
        let since = warm.next;
        let shelf = warm.shelves.get(&owner).map_or(0, VecDeque::len);
        if warm.wanting > 0 || shelf >= WARM_MAX {
            drop(warm);
            drop(instance);
            return;
        }
        warm.next += 1;
        warm.order.insert(since, owner);
        let waiting = Waiting { since, until, instance };
        warm.shelves.entry(owner).or_default().push_back(waiting);
    }

    /// Lets go of what a version of a plugin kept warm. It must not be asked any more.
    pub(crate) fn let_go(&self, plugin: u64) {
        let owners = Owner { plugin, tenant: 0 }..=Owner { plugin, tenant: u64::MAX };
        let mut warm = self.warm.lock();
        let owners: Vec<Owner> = warm.shelves.range(owners).map(|(owner, _)| *owner).collect();
        let mut gone = Vec::new();
        for owner in owners {
            gone.extend(std::iter::from_fn(|| warm.take(owner, false)));
        }
        drop(warm);
        drop(gone);
    }

    /// Drops warm instances that have been idle too long.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        let mut over = Vec::new();
        let mut warm = self.warm.lock();
        let owners: Vec<Owner> = warm.shelves.keys().copied().collect();
        for owner in owners {
            let is_over = |warm: &Warm| {
                let shelf = warm.shelves.get(&owner);
                shelf.and_then(VecDeque::front).is_some_and(|waiting| waiting.until < now)
            };
            while is_over(&warm) {
                over.extend(warm.take(owner, false));
            }
        }
        drop(warm);
    }

    /// Places that are free now.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.free.free()
    }
}

/// One that waits for a place: as long as there are such, none is kept warm.
struct Wanting<'p>(&'p Places);

impl<'p> Wanting<'p> {
    fn of(places: &'p Places) -> Self {
        places.warm.lock().wanting += 1;
        Self(places)
    }
}

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        self.0.warm.lock().wanting -= 1;
    }
}
