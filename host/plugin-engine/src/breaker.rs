//! The circuit breaker: a plugin that fails again and again is spared calls, and its victims the wait.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;

use crate::settings::BreakerOptions;

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// It may.
    Closed,
    /// It may, and its outcome decides: the plugin has rested.
    Probe,
    /// It may not: it rests so much longer.
    Open(Duration),
}

/// How a call that might be made ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With an answer, or a failure that the plugin told.
    Well,
    /// With a fault of the plugin.
    Fault,
    /// Before it began: it says nothing of the plugin.
    Unasked,
}

/// What an outcome changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turned {
    /// Nothing.
    Not,
    /// It rests from now on.
    Opened,
    /// It works again.
    Recovered,
}

#[derive(Debug)]
enum State {
    Closed(VecDeque<Duration>),
    Open {
        until: Duration,
    },
    /// A probe is under way since then; a probe that never came back lets another try after a rest.
    HalfOpen {
        since: Duration,
    },
}

/// One for each plugin and tenant: a tenant's mail cannot put another's to rest. Its times are those of a clock that nobody
/// sets: a machine's that is set back would have plugins rest until it has caught up.
#[derive(Debug)]
pub(crate) struct Breaker {
    options: BreakerOptions,
    state: Mutex<State>,
    /// When it was last told that somebody met a plugin that rests.
    told: Mutex<Option<Duration>>,
}

/// How often it is told that a plugin rests, at most: each message meets it.
const RESTING_TOLD_EVERY: Duration = Duration::from_secs(10);

impl Breaker {
    pub(crate) fn new(options: BreakerOptions) -> Self {
        Self { options, state: Mutex::new(State::Closed(VecDeque::new())), told: Mutex::new(None) }
    }

    /// How long it rests still, where it does. Asking changes nothing.
    pub(crate) fn rests(&self, now: Duration) -> Option<Duration> {
        self.rest_of(&self.state.lock(), now)
    }

    fn rest_of(&self, state: &State, now: Duration) -> Option<Duration> {
        let until = match state {
            State::Closed(_) => return None,
            State::Open { until } => *until,
            State::HalfOpen { since } => *since + self.options.rest,
        };
        Some(until.saturating_sub(now)).filter(|rest| !rest.is_zero())
    }

    /// Whether it is to be told that somebody met it at rest.
    pub(crate) fn tells_of_rest(&self, now: Duration) -> bool {
        let mut told = self.told.lock();
        let is_due = told.is_none_or(|last| now.saturating_sub(last) >= RESTING_TOLD_EVERY);
        if is_due {
            *told = Some(now);
        }
        is_due
    }

    /// Asks whether a call may be made. A probe is let through once.
    pub(crate) fn gate(&self, now: Duration) -> Gate {
        let mut state = self.state.lock();
        if let Some(rest) = self.rest_of(&state, now) {
            return Gate::Open(rest);
        }
        match &*state {
            State::Closed(_) => Gate::Closed,
            State::Open { .. } | State::HalfOpen { .. } => {
                *state = State::HalfOpen { since: now };
                Gate::Probe
            }
        }
    }

    /// Takes note of the outcome of a call that `gate` let through. Where the plugin has rested, the probe alone decides, not
    /// a call that began before the rest.
    pub(crate) fn outcome(&self, gate: Gate, ended: Ended, now: Duration) -> Turned {
        let mut state = self.state.lock();
        match (&mut *state, gate, ended) {
            (State::Closed(faults), _, Ended::Fault) => {
                faults.push_back(now);
                while faults.front().is_some_and(|first| now.saturating_sub(*first) > self.options.within) {
                    faults.pop_front();
                }
                if faults.len() < self.options.faults.max(1) as usize {
                    return Turned::Not;
                }
                *state = State::Open { until: now + self.options.rest };
                Turned::Opened
            }
            (State::HalfOpen { .. }, Gate::Probe, Ended::Fault) => {
                *state = State::Open { until: now + self.options.rest };
                Turned::Opened
            }
            (State::HalfOpen { .. }, Gate::Probe, Ended::Well) => {
                *state = State::Closed(VecDeque::new());
                Turned::Recovered
            }
            (State::HalfOpen { .. }, Gate::Probe, Ended::Unasked) => {
                // It is the next call's turn to probe.
                *state = State::Open { until: now };
                Turned::Not
            }
            (State::Closed(_) | State::Open { .. } | State::HalfOpen { .. }, _, _) => Turned::Not,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn faults_open_it_and_a_probe_closes_it() {
        let options =
            BreakerOptions { faults: 2, within: Duration::from_secs(10), rest: Duration::from_secs(30) };
        let breaker = Breaker::new(options);
        assert_eq!(breaker.outcome(Gate::Closed, Ended::Fault, at(0)), Turned::Not);
        // The first fault is forgotten by now.
        assert_eq!(breaker.outcome(Gate::Closed, Ended::Fault, at(20)), Turned::Not);
        assert_eq!(breaker.outcome(Gate::Closed, Ended::Fault, at(21)), Turned::Opened);
        assert_eq!(breaker.gate(at(22)), Gate::Open(Duration::from_secs(29)));
        assert_eq!(breaker.gate(at(51)), Gate::Probe);
        assert_eq!(breaker.gate(at(52)), Gate::Open(Duration::from_secs(29)));
        assert_eq!(breaker.outcome(Gate::Probe, Ended::Fault, at(53)), Turned::Opened);
        assert_eq!(breaker.gate(at(84)), Gate::Probe);
        assert_eq!(breaker.outcome(Gate::Probe, Ended::Well, at(84)), Turned::Recovered);
        assert_eq!(breaker.gate(at(84)), Gate::Closed);
    }

    #[test]
    fn that_it_rests_is_told_now_and_then() {
        let breaker = Breaker::new(BreakerOptions { faults: 1, ..BreakerOptions::default() });
        assert_eq!(breaker.rests(at(0)), None);
        breaker.outcome(Gate::Closed, Ended::Fault, at(0));
        assert_eq!(breaker.rests(at(1)), Some(Duration::from_secs(29)));
        let told = (1..=21).filter(|second| breaker.tells_of_rest(at(*second)));
        assert_eq!(told.collect::<Vec<_>>(), [1, 11, 21]);
        // Asking makes nobody a probe.
        assert_eq!((breaker.rests(at(31)), breaker.gate(at(31))), (None, Gate::Probe));
    }

    #[test]
    fn a_lost_probe_does_not_hold_it_open_for_ever() {
        let options = BreakerOptions { faults: 1, ..BreakerOptions::default() };
        let breaker = Breaker::new(options);
        breaker.outcome(Gate::Closed, Ended::Fault, at(0));
        assert_eq!(breaker.gate(at(31)), Gate::Probe);
        assert_eq!(breaker.gate(at(62)), Gate::Probe);
    }

    #[test]
    fn nobody_but_the_probe_says_that_it_works_again() {
        let options = BreakerOptions { faults: 1, ..BreakerOptions::default() };
        let breaker = Breaker::new(options);
        breaker.outcome(Gate::Closed, Ended::Fault, at(0));
        assert_eq!(breaker.gate(at(31)), Gate::Probe);
        // Begun before the rest, and ended only now.
        for ended in [Ended::Well, Ended::Fault, Ended::Unasked] {
            assert_eq!(breaker.outcome(Gate::Closed, ended, at(32)), Turned::Not);
            assert!(matches!(breaker.gate(at(32)), Gate::Open(_)), "{ended:?}");
        }
        // The probe found no place to run.
        assert_eq!(breaker.outcome(Gate::Probe, Ended::Unasked, at(33)), Turned::Not);
        assert_eq!(breaker.gate(at(33)), Gate::Probe);
        assert!(matches!(breaker.gate(at(33)), Gate::Open(_)), "one at a time");
        assert_eq!(breaker.outcome(Gate::Probe, Ended::Well, at(34)), Turned::Recovered);
    }
}
