//! What one tenant may use of a plugin at a time: memory, calls, processor time a second.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mail_types::Domain;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::breaker::Breaker;
use crate::settings::{BreakerOptions, Limits};

/// Most tenants of a plugin that are kept in mind; those without a call under way make room.
const TENANTS_MAX: usize = 100_000;

/// One tenant's share of one plugin.
pub(crate) struct Tenant {
    memory: Memory,
    calls: Arc<Semaphore>,
    calls_max: usize,
    cpu: Mutex<Bucket>,
    pub(crate) breaker: Breaker,
    used: Used,
    /// Its number among the tenants of its plugin.
    pub(crate) number: u64,
}

/// What has been counted of it since the start, or since it was last made room of.
#[derive(Default)]
struct Used {
    calls: AtomicU64,
    microseconds: AtomicU64,
}

/// What a tenant uses of a plugin (R94).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantUse {
    /// Whose; `None`: what serves nobody in particular.
    pub tenant: Option<Domain>,
    /// Calls that ran.
    pub calls: u64,
    /// Processor time of them, in microseconds.
    pub cpu_microseconds: u64,
    /// Octets that its instances hold now.
    pub memory: u64,
}

impl Tenant {
    fn new(limits: &Limits, breaker: &BreakerOptions, number: u64) -> Self {
        Self {
            memory: Memory { used: AtomicU64::new(0), max: limits.tenant_memory },
            calls: Arc::new(Semaphore::new(limits.tenant_calls.max(1))),
            calls_max: limits.tenant_calls.max(1),
            cpu: Mutex::new(Bucket::full(limits.tenant_cpu)),
            breaker: Breaker::new(breaker.clone()),
            used: Used::default(),
            number,
        }
    }

    /// A place for one call, where one is free.
    pub(crate) fn place_now(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.calls).try_acquire_owned().ok()
    }

    /// A place for one call; waits for one.
    pub(crate) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.calls).acquire_owned().await.ok()
    }

    /// Waits until none of its calls runs, so long at most: those that keep an instance for the rest of a message count, too.
    pub(crate) async fn settled(&self, most: Duration) {
        let all = u32::try_from(self.calls_max).unwrap_or(u32::MAX);
        // Who is still there then has no more time for a call.
        let _ = tokio::time::timeout(most, self.calls.acquire_many(all)).await;
    }

    /// Whether its processor time of this second is used up.
    pub(crate) fn is_spent(&self, now: Instant) -> bool {
        self.cpu.lock().fill(now) <= 0
    }

    /// Takes off what a call used. A call that used more than there was is paid for by a wait, of a second at most.
    pub(crate) fn spend(&self, used: Duration, now: Instant) {
        self.used.calls.fetch_add(1, Ordering::Relaxed);
        let microseconds = u64::try_from(used.as_micros()).unwrap_or(u64::MAX);
        self.used.microseconds.fetch_add(microseconds, Ordering::Relaxed);
        self.take(used, now);
    }

    /// Takes off what something took that is no call.
    pub(crate) fn take(&self, used: Duration, now: Instant) {
        let mut bucket = self.cpu.lock();
        let left = bucket.fill(now) - i64::try_from(used.as_micros()).unwrap_or(i64::MAX);
        bucket.left = left.max(-bucket.per_second);
    }
}

/// Processor time that fills up evenly, in microseconds.
struct Bucket {
    left: i64,
    per_second: i64,
    at: Instant,
}

impl Bucket {
    fn full(per_second: Duration) -> Self {
        let per_second = i64::try_from(per_second.as_micros()).unwrap_or(i64::MAX);
        Self { left: per_second, per_second, at: Instant::now() }
    }

    fn fill(&mut self, now: Instant) -> i64 {
        let passed = now.saturating_duration_since(self.at);
        let passed = i64::try_from(passed.as_micros()).unwrap_or(i64::MAX).min(2_000_000);
        let more = self.per_second.saturating_mul(passed) / 1_000_000;
        // What is less than a microsecond goes on counting.
        if more > 0 {
            self.at = now;
            self.left = self.per_second.min(self.left + more);
        }
        self.left
    }
}

/// Memory of all instances of one tenant.
struct Memory {
    used: AtomicU64,
    max: u64,
}

/// Memory that an instance holds; given back when dropped.
pub(crate) struct Held {
    tenant: Arc<Tenant>,
    octets: u64,
}

impl Held {
    pub(crate) fn nothing(tenant: Arc<Tenant>) -> Self {
        Self { tenant, octets: 0 }
    }

    /// Takes more, if the tenant has it.
    pub(crate) fn grow(&mut self, octets: u64) -> bool {
        let memory = &self.tenant.memory;
        let taken = memory.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(octets).filter(|sum| *sum <= memory.max)
        });
        if taken.is_ok() {
            self.octets += octets;
        }
        taken.is_ok()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.tenant.memory.used.fetch_sub(self.octets, Ordering::Relaxed);
    }
}

/// Those that are kept in mind.
#[derive(Default)]
struct Known {
    /// For what serves nobody in particular.
    nobody: Option<Arc<Tenant>>,
    tenants: HashMap<Domain, Arc<Tenant>>,
}

impl Known {
    fn of(&self, tenant: Option<&Domain>) -> Option<&Arc<Tenant>> {
        match tenant {
            Some(tenant) => self.tenants.get(tenant),
            None => self.nobody.as_ref(),
        }
    }

    fn all(&self) -> impl Iterator<Item = (Option<&Domain>, &Arc<Tenant>)> {
        let tenants = self.tenants.iter().map(|(tenant, share)| (Some(tenant), share));
        self.nobody.iter().map(|share| (None, share)).chain(tenants)
    }
}

/// The tenants of one plugin.
pub(crate) struct Tenants {
    known: Mutex<Known>,
    /// How many there have been.
    numbers: AtomicU64,
    limits: Limits,
    breaker: BreakerOptions,
}

impl Tenants {
    pub(crate) fn new(limits: Limits, breaker: BreakerOptions) -> Self {
        Self { known: Mutex::default(), numbers: AtomicU64::new(0), limits, breaker }
    }

    /// The share of a tenant that has been asked for.
    pub(crate) fn known(&self, tenant: &Domain) -> Option<Arc<Tenant>> {
        self.known.lock().of(Some(tenant)).cloned()
    }

    /// The share of a tenant, made when it is first needed.
    pub(crate) fn of(&self, tenant: Option<&Domain>) -> Arc<Tenant> {
        let mut known = self.known.lock();
        if let Some(found) = known.of(tenant) {
            return Arc::clone(found);
        }
        if known.tenants.len() >= TENANTS_MAX {
            known.tenants.retain(|_, share| Arc::strong_count(share) > 1);
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let made = Arc::new(Tenant::new(&self.limits, &self.breaker, number));
        match tenant {
            Some(tenant) => drop(known.tenants.insert(tenant.clone(), Arc::clone(&made))),
            None => known.nobody = Some(Arc::clone(&made)),
        }
        made
    }

    /// Those for which the plugin rests, with the seconds that are left of it.
    pub(crate) fn resting(&self, now: Duration) -> Vec<(Option<Domain>, u64)> {
        let known = self.known.lock();
        let resting = known.all().filter_map(|(tenant, share)| {
            share.breaker.rests(now).map(|rest| (tenant.cloned(), rest.as_secs().max(1)))
        });
        let mut resting: Vec<_> = resting.collect();
        resting.sort();
        resting
    }

    /// What each of them uses.
    pub(crate) fn uses(&self) -> Vec<TenantUse> {
        let used = |(tenant, share): (Option<&Domain>, &Arc<Tenant>)| TenantUse {
            tenant: tenant.cloned(),
            calls: share.used.calls.load(Ordering::Relaxed),
            cpu_microseconds: share.used.microseconds.load(Ordering::Relaxed),
            memory: share.memory.used.load(Ordering::Relaxed),
        };
        self.known.lock().all().map(used).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenants() -> Tenants {
        let limits =
            Limits { tenant_memory: 100, tenant_cpu: Duration::from_millis(50), ..Limits::default() };
        Tenants::new(limits, BreakerOptions::default())
    }

    #[test]
    fn memory_is_summed_and_given_back() {
        let tenants = tenants();
        let share = tenants.of(None);
        let mut one = Held::nothing(Arc::clone(&share));
        let mut two = Held::nothing(Arc::clone(&share));
        assert!(one.grow(60) && !two.grow(60) && two.grow(40));
        drop(one);
        assert!(two.grow(60));
        let other = Domain::parse("b.example").unwrap();
        assert!(Held::nothing(tenants.of(Some(&other))).grow(100), "tenants do not share");
    }

    #[test]
    fn processor_time_is_spent_and_fills_up() {
        let share = tenants().of(None);
        let now = Instant::now();
        assert!(!share.is_spent(now));
        share.spend(Duration::from_secs(1), now);
        assert!(share.is_spent(now));
        // It owes what a second gives: half of that is not enough, and a second and a half is.
        assert!(share.is_spent(now + Duration::from_millis(500)));
        assert!(!share.is_spent(now + Duration::from_millis(1500)));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_waited_for_calls_under_way_and_not_for_ever() {
        let tenants = tenants();
        let share = tenants.of(Some(&Domain::parse("a.example").unwrap()));
        let most = Duration::from_secs(1);
        let took = async || {
            let began = tokio::time::Instant::now();
            share.settled(most).await;
            began.elapsed()
        };
        assert_eq!(took().await, Duration::ZERO);
        let call = share.place_now().unwrap();
        assert!((most..most + Duration::from_millis(50)).contains(&took().await), "it is still under way");
        let half = most / 2;
        let ends = async {
            tokio::time::sleep(half).await;
            drop(call);
        };
        let (waited, ()) = tokio::join!(took(), ends);
        assert!((half..half + Duration::from_millis(50)).contains(&waited), "{waited:?}");
        assert!(share.place_now().is_some(), "and nothing is held afterwards");
    }
}
