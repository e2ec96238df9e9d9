//! Which job comes next: fair over destinations, within limits, in memory only.
//!
//! What is due stands in the records; this is an index over them that is built again at start. A
//! job is a message and a route; there is at most one of each pair, waiting, ready or active.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mail_types::{QueueId, Route, Timestamp};

use crate::options::Options;

/// A clock that moves by less than this, in milliseconds, is only put right.
const CLOCK_STEP_MIN: i64 = 1000;

/// A message on its way over a route.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Job {
    pub(crate) id: QueueId,
    pub(crate) route: Arc<Route>,
}

/// What the schedule says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Do this; tell [`Schedule::finish`] when it is done.
    Lease(Job),
    /// Nothing before this moment.
    Wait(Timestamp),
    /// Nothing until something is pushed or finished.
    Idle,
}

/// A message that is due.
#[derive(Debug)]
struct Ready {
    id: QueueId,
    /// From when on it is late, if somebody has looked.
    late_at: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Destination {
    ready: VecDeque<Ready>,
    active: usize,
    /// Whether it stands in its channel's ring.
    in_ring: bool,
    /// No attempts before this: its rate is used up.
    paced_until: Timestamp,
    /// No attempts before this: it could not be reached.
    rests_until: Timestamp,
    /// How many rests it was granted one after the other.
    failures: u32,
}

impl Destination {
    fn has_ready(&self, id: QueueId) -> bool {
        self.ready.iter().any(|ready| ready.id == id)
    }

    fn not_before(&self) -> Timestamp {
        self.paced_until.max(self.rests_until)
    }
}

#[derive(Debug, Default)]
struct Ring {
    routes: VecDeque<Arc<Route>>,
    active: usize,
}

/// The index of what is to be done.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    destinations: HashMap<Arc<Route>, Destination>,
    rings: BTreeMap<String, Ring>,
    /// Jobs by their due time.
    waiting: BTreeMap<(Timestamp, QueueId, Arc<Route>), ()>,
    due_of: HashMap<Job, Timestamp>,
    /// Destinations to be looked at again.
    wakes: BTreeMap<(Timestamp, Arc<Route>), ()>,
    active: HashSet<Job>,
    /// Messages that an operator is changing: no attempt begins meanwhile.
    held_back: HashSet<QueueId>,
    /// The clock less how long it ran, in milliseconds, when it was last looked at.
    clock_offset: Option<i64>,
    /// The channel after which the next look begins, so that none is first always.
    last_channel: String,
}

impl Schedule {
    /// Adds a job, or brings forward the one that is there.
    pub(crate) fn push(&mut self, id: QueueId, route: &Route, due: Timestamp) {
        let route = self.intern(route);
        let job = Job { id, route: Arc::clone(&route) };
        if let Some(known) = self.due_of.get(&job) {
            if *known <= due {
                return;
            }
            self.waiting.remove(&(*known, id, Arc::clone(&route)));
        }
        self.due_of.insert(job, due);
        self.waiting.insert((due, id, route), ());
    }

    /// Whether an attempt for this message is under way.
    fn is_active(&self, id: QueueId) -> bool {
        self.active.iter().any(|job| job.id == id)
    }

    /// Keeps attempts for a message from beginning, until [`Schedule::let_go`]. `false` where one is
    /// under way, or somebody else holds the message back.
    pub(crate) fn hold_back(&mut self, id: QueueId) -> bool {
        !self.is_active(id) && self.held_back.insert(id)
    }

    /// Lets attempts begin again.
    pub(crate) fn let_go(&mut self, id: QueueId) {
        self.held_back.remove(&id);
        let passed_over = self.destinations.iter().filter(|(_, destination)| destination.has_ready(id));
        let routes: Vec<Arc<Route>> = passed_over.map(|(route, _)| Arc::clone(route)).collect();
        for route in routes {
            self.enter_ring(&route);
        }
    }

    /// How many attempts are under way.
    pub(crate) fn active(&self) -> usize {
        self.active.len()
    }

    /// When a destination takes attempts again, if it rests.
    pub(crate) fn rests_until(&self, route: &Route, now: Timestamp) -> Option<Timestamp> {
        let destination = self.destinations.get(route)?;
        (destination.rests_until > now).then_some(destination.rests_until)
    }

    /// Lets a destination be tried at once, whatever was before: the operator asks for it. One attempt proves whether it is
    /// back; where it is not, its rests begin short again.
    pub(crate) fn end_rest(&mut self, route: &Route) {
        if let Some(destination) = self.destinations.get_mut(route) {
            destination.rests_until = Timestamp::default();
            destination.paced_until = Timestamp::default();
            destination.failures = destination.failures.min(1);
        }
        let route = self.intern(route);
        self.enter_ring(&route);
    }

    /// Takes note of the clock: where it was set to another time, forward or back, rests and rates go on as long as they had
    /// still to go. `steady` is how long the clock ran.
    pub(crate) fn look_at_clock(&mut self, now: Timestamp, steady: Duration) {
        let milliseconds = |value: u128| i64::try_from(value).unwrap_or(i64::MAX);
        let offset = milliseconds(now.0.into()) - milliseconds(steady.as_millis());
        let moved = offset - *self.clock_offset.get_or_insert(offset);
        if moved.abs() < CLOCK_STEP_MIN {
            return;
        }
        self.clock_offset = Some(offset);
        let shifted = |at: Timestamp| Timestamp(at.0.saturating_add_signed(moved));
        for destination in self.destinations.values_mut() {
            for until in [&mut destination.rests_until, &mut destination.paced_until] {
                *until = shifted(*until);
            }
        }
        self.wakes = std::mem::take(&mut self.wakes)
            .into_keys()
            .map(|(at, route)| ((shifted(at), route), ()))
            .collect();
    }

    /// What to do now.
    pub(crate) fn next(&mut self, now: Timestamp, options: &Options) -> Next {
        self.ripen(now, options);
        let names: Vec<String> = self.rings.keys().cloned().collect();
        let start = names.partition_point(|name| *name <= self.last_channel);
        for name in names[start..].iter().chain(&names[..start]) {
            if let Some(job) = self.next_of(name, now, options) {
                self.last_channel.clone_from(name);
                self.active.insert(job.clone());
                return Next::Lease(job);
            }
        }
        let times = [self.waiting.keys().next().map(|key| key.0), self.wakes.keys().next().map(|key| key.0)];
        times.into_iter().flatten().min().map_or(Next::Idle, Next::Wait)
    }

    /// An attempt ended. `unreachable` says that the next hop as a whole could not be reached;
    /// gives the rest it is granted then.
    pub(crate) fn finish(
        &mut self,
        job: &Job,
        unreachable: Option<bool>,
        now: Timestamp,
        options: &Options,
    ) -> Option<Duration> {
        self.active.remove(job);
        if let Some(ring) = self.rings.get_mut(job.route.channel.as_str()) {
            ring.active = ring.active.saturating_sub(1);
        }
        let destination = self.destinations.get_mut(&job.route)?;
        destination.active = destination.active.saturating_sub(1);
        let rest = match unreachable {
            // One failure a rest: attempts that began side by side say the same thing once.
            Some(true) if destination.rests_until > now => None,
            Some(true) => {
                destination.failures = destination.failures.saturating_add(1);
                let doublings = destination.failures.min(20) - 1;
                let longest = options.destination_rest_longest.max(options.destination_rest);
                let rest = options.destination_rest.saturating_mul(1 << doublings).min(longest);
                destination.rests_until = now.plus(rest);
                Some(rest)
            }
            // It was reached after all: whatever waits for its rest may go.
            Some(false) => {
                destination.failures = 0;
                destination.rests_until = Timestamp::default();
                None
            }
            None => None,
        };
        let route = Arc::clone(&job.route);
        self.enter_ring(&route);
        self.forget_if_idle(&route, now);
        rest
    }

    /// Takes messages that are late, or that nobody has looked at, from destinations that failed: they count as
    /// active until [`Schedule::put_back`].
    pub(crate) fn take_late(&mut self, now: Timestamp, options: &Options, most: usize) -> Vec<Job> {
        let first = options.delay_warning.min(options.expire).min(options.expire_null);
        let mut taken = Vec::new();
        for (route, destination) in self.destinations.iter_mut().filter(|(_, one)| one.failures > 0) {
            destination.ready.retain(|ready| {
                let late_at = ready.late_at.unwrap_or_else(|| arrival(ready.id).plus(first));
                let job = Job { id: ready.id, route: Arc::clone(route) };
                let busy = self.held_back.contains(&ready.id) || self.active.contains(&job);
                if late_at > now || taken.len() >= most || busy {
                    return true;
                }
                taken.push(job);
                false
            });
        }
        self.active.extend(taken.iter().cloned());
        taken
    }

    /// Gives a late message back: it waits where it was, and is not late again before this moment; without one
    /// nothing of it is left.
    pub(crate) fn put_back(&mut self, job: &Job, late_at: Option<Timestamp>) {
        self.active.remove(job);
        if late_at.is_some() {
            let destination = self.destinations.entry(Arc::clone(&job.route)).or_default();
            destination.ready.push_front(Ready { id: job.id, late_at });
        }
        let route = Arc::clone(&job.route);
        self.enter_ring(&route);
    }

    /// What is late has changed for all.
    pub(crate) fn forget_looks(&mut self) {
        for ready in self.destinations.values_mut().flat_map(|destination| &mut destination.ready) {
            ready.late_at = None;
        }
    }

    fn intern(&mut self, route: &Route) -> Arc<Route> {
        if let Some((known, _)) = self.destinations.get_key_value(route) {
            return Arc::clone(known);
        }
        let route = Arc::new(route.clone());
        self.destinations.insert(Arc::clone(&route), Destination::default());
        route
    }

    /// Moves what became due to its destination.
    fn ripen(&mut self, now: Timestamp, options: &Options) {
        let latest = options.latest_due(now);
        loop {
            let next = match (self.waiting.first_key_value(), self.waiting.last_key_value()) {
                (Some(((due, _, _), ())), _) if *due <= now => self.waiting.pop_first(),
                // As in `Options::is_due`.
                (_, Some(((due, _, _), ()))) if *due > latest => self.waiting.pop_last(),
                _ => None,
            };
            let Some(((_, id, route), ())) = next else { break };
            self.due_of.remove(&Job { id, route: Arc::clone(&route) });
            self.destinations
                .entry(Arc::clone(&route))
                .or_default()
                .ready
                .push_back(Ready { id, late_at: None });
            self.enter_ring(&route);
        }
        while let Some(((at, _), ())) = self.wakes.first_key_value() {
            if *at > now {
                break;
            }
            let Some(((_, route), ())) = self.wakes.pop_first() else { break };
            self.enter_ring(&route);
        }
    }

    fn enter_ring(&mut self, route: &Arc<Route>) {
        let Some(destination) = self.destinations.get_mut(route) else { return };
        if destination.in_ring || destination.ready.is_empty() {
            return;
        }
        destination.in_ring = true;
        let name = route.channel.as_str();
        if !self.rings.contains_key(name) {
            self.rings.insert(name.to_owned(), Ring::default());
        }
        if let Some(ring) = self.rings.get_mut(name) {
            ring.routes.push_back(Arc::clone(route));
        }
    }

    fn next_of(&mut self, channel: &str, now: Timestamp, options: &Options) -> Option<Job> {
        let ring = self.rings.get_mut(channel)?;
        let limits = options.limits(channel);
        if ring.active >= limits.concurrency {
            return None;
        }
        while let Some(route) = ring.routes.pop_front() {
            let Some(destination) = self.destinations.get_mut(&route) else { continue };
            destination.in_ring = false;
            // A destination that failed gets one attempt to prove itself.
            let most = if destination.failures > 0 { 1 } else { limits.per_destination };
            if destination.active >= most {
                continue; // `finish` brings it back.
            }
            if destination.not_before() > now {
                self.wakes.insert((destination.not_before(), route), ());
                continue;
            }
            // A job of this message may still be active over the same route: it comes again then.
            let busy = |id: &QueueId| {
                self.held_back.contains(id)
                    || self.active.contains(&Job { id: *id, route: Arc::clone(&route) })
            };
            let Some(at) = destination.ready.iter().position(|ready| !busy(&ready.id)) else { continue };
            let Some(Ready { id, .. }) = destination.ready.remove(at) else { continue };
            destination.active += 1;
            ring.active += 1;
            if let Some(rate) = limits.rate_per_destination.filter(|rate| *rate > 0.0) {
                destination.paced_until = now.plus(Duration::from_secs_f64(1.0 / rate));
            }
            if !destination.ready.is_empty() {
                destination.in_ring = true;
                ring.routes.push_back(Arc::clone(&route));
            }
            return Some(Job { id, route });
        }
        None
    }

    /// Forgets destinations that nobody asked for since their rest ended.
    pub(crate) fn forget_old(&mut self, now: Timestamp) {
        let waiting: HashSet<&Arc<Route>> = self.waiting.keys().map(|key| &key.2).collect();
        let kept: HashSet<Arc<Route>> = waiting.into_iter().cloned().collect();
        self.destinations.retain(|route, destination| {
            !destination.ready.is_empty()
                || destination.active > 0
                || destination.not_before() > now
                || kept.contains(route)
        });
    }

    fn forget_if_idle(&mut self, route: &Arc<Route>, now: Timestamp) {
        let idle = self.destinations.get(route).is_some_and(|destination| {
            destination.ready.is_empty()
                && destination.active == 0
                && destination.failures == 0
                && destination.not_before() <= now
        });
        // Two holders: the map and this name. More mean waiting jobs.
        if idle && Arc::strong_count(route) <= 3 {
            self.destinations.remove(route);
        }
    }
}

/// When a message came, as its id has it.
fn arrival(id: QueueId) -> Timestamp {
    Timestamp(id.as_u64() >> 22)
}

#[cfg(test)]
mod tests;
