//! The circuit breaker: a plugin that fails again and again is spared calls, and its victims the wait.

use std::collections::VecDeque;
use std::time::Duration;

use mail_types::Timestamp;
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
    Closed(VecDeque<Timestamp>),
    Open {
        until: Timestamp,
    },
    /// A probe is under way since then; a probe that never came back lets another try after a rest.
    HalfOpen {
        since: Timestamp,
    },
}

/// One for each plugin and tenant: a tenant's mail cannot put another's to rest.
#[derive(Debug)]
pub(crate) struct Breaker {
    options: BreakerOptions,
    state: Mutex<State>,
}

impl Breaker {
    pub(crate) fn new(options: BreakerOptions) -> Self {
        Self { options, state: Mutex::new(State::Closed(VecDeque::new())) }
    }

    /// Asks whether a call may be made. A probe is let through once.
    pub(crate) fn gate(&self, now: Timestamp) -> Gate {
        let mut state = self.state.lock();
        match &*state {
            State::Closed(_) => Gate::Closed,
            State::Open { until } if now < *until => Gate::Open(until.since(now)),
            State::HalfOpen { since } if now.since(*since) < self.options.rest => {
                Gate::Open(since.plus(self.options.rest).since(now))
            }
            State::Open { .. } | State::HalfOpen { .. } => {
                *state = State::HalfOpen { since: now };
                Gate::Probe
            }
        }
    }

    /// Takes note of a call's outcome.
    pub(crate) fn outcome(&self, fault: bool, now: Timestamp) -> Turned {
        let mut state = self.state.lock();
        match (&mut *state, fault) {
            (State::Closed(_), false) | (State::Open { .. }, _) => Turned::Not,
            (State::Closed(faults), true) => {
                faults.push_back(now);
                while faults.front().is_some_and(|first| now.since(*first) > self.options.within) {
                    faults.pop_front();
                }
                if faults.len() < self.options.faults.max(1) as usize {
                    return Turned::Not;
                }
                *state = State::Open { until: now.plus(self.options.rest) };
                Turned::Opened
            }
            (State::HalfOpen { .. }, true) => {
                *state = State::Open { until: now.plus(self.options.rest) };
                Turned::Opened
            }
            (State::HalfOpen { .. }, false) => {
                *state = State::Closed(VecDeque::new());
                Turned::Recovered
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp(0).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn faults_open_it_and_a_probe_closes_it() {
        let options =
            BreakerOptions { faults: 2, within: Duration::from_secs(10), rest: Duration::from_secs(30) };
        let breaker = Breaker::new(options);
        assert_eq!(breaker.outcome(true, at(0)), Turned::Not);
        // The first fault is forgotten by now.
        assert_eq!(breaker.outcome(true, at(20)), Turned::Not);
        assert_eq!(breaker.outcome(true, at(21)), Turned::Opened);
        assert_eq!(breaker.gate(at(22)), Gate::Open(Duration::from_secs(29)));
        assert_eq!(breaker.gate(at(51)), Gate::Probe);
        assert_eq!(breaker.gate(at(52)), Gate::Open(Duration::from_secs(29)));
        assert_eq!(breaker.outcome(true, at(53)), Turned::Opened);
        assert_eq!(breaker.gate(at(84)), Gate::Probe);
        assert_eq!(breaker.outcome(false, at(84)), Turned::Recovered);
        assert_eq!(breaker.gate(at(84)), Gate::Closed);
    }

    #[test]
    fn a_lost_probe_does_not_hold_it_open_for_ever() {
        let options = BreakerOptions { faults: 1, ..BreakerOptions::default() };
        let breaker = Breaker::new(options);
        breaker.outcome(true, at(0));
        assert_eq!(breaker.gate(at(31)), Gate::Probe);
        assert_eq!(breaker.gate(at(62)), Gate::Probe);
    }
}
