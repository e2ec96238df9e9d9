//! How often each event happened since the start.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::Event;
use crate::kinds::{KINDS, NAMES};
use crate::words::Outcome;

/// Up to how many seconds after acceptance a recipient was served: each bound counts those above the one before.
pub const DELAY_BOUNDS: [u64; 8] = [1, 10, 60, 300, 1_800, 7_200, 28_800, 86_400];

/// One number for each kind of event, and some of what mail comes to.
#[derive(Debug)]
pub struct Counters {
    kinds: [AtomicU64; KINDS],
    lines_dropped: AtomicU64,
    accepted_octets: AtomicU64,
    accepted_recipients: AtomicU64,
    /// By outcome.
    attempts: [AtomicU64; Outcome::ALL.len()],
    /// The last one: above all bounds.
    delays: [AtomicU64; DELAY_BOUNDS.len() + 1],
    delay_seconds: AtomicU64,
}

/// What mail came to since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailCounts {
    /// Octets of the messages that were accepted.
    pub accepted_octets: u64,
    /// Their recipients.
    pub accepted_recipients: u64,
    /// Tries, one for each recipient of a message that waited, by what they came to.
    pub attempts: Vec<(Outcome, u64)>,
    /// Those that were handed over, by the time since acceptance: up to so many seconds ([`DELAY_BOUNDS`]), or more.
    pub delays: Vec<(Option<u64>, u64)>,
    /// Those times together, in seconds.
    pub delay_seconds: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            kinds: [const { AtomicU64::new(0) }; KINDS],
            lines_dropped: AtomicU64::new(0),
            accepted_octets: AtomicU64::new(0),
            accepted_recipients: AtomicU64::new(0),
            attempts: [const { AtomicU64::new(0) }; Outcome::ALL.len()],
            delays: [const { AtomicU64::new(0) }; DELAY_BOUNDS.len() + 1],
            delay_seconds: AtomicU64::new(0),
        }
    }
}

impl Counters {
    pub(crate) fn count(&self, event: &Event<'_>) {
        self.kinds[event.kind().0].fetch_add(1, Ordering::Relaxed);
        match *event {
            Event::Accepted { size, recipients, .. } => {
                self.accepted_octets.fetch_add(size, Ordering::Relaxed);
                self.accepted_recipients.fetch_add(recipients as u64, Ordering::Relaxed);
            }
            Event::Attempted { outcome, delay_seconds, .. } => self.attempted(outcome, delay_seconds),
            _ => {}
        }
    }

    fn attempted(&self, outcome: Outcome, delay_seconds: u64) {
        self.attempts[outcome as usize].fetch_add(1, Ordering::Relaxed);
        if outcome == Outcome::Delivered {
            let above = DELAY_BOUNDS.iter().take_while(|bound| delay_seconds > **bound).count();
            self.delays[above].fetch_add(1, Ordering::Relaxed);
            self.delay_seconds.fetch_add(delay_seconds, Ordering::Relaxed);
        }
    }

    pub(crate) fn line_dropped(&self) {
        self.lines_dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Name and number of each, those that never happened included.
    #[must_use]
    pub fn all(&self) -> Vec<(&'static str, u64)> {
        let numbers = self.kinds.iter().map(|number| number.load(Ordering::Relaxed));
        let mut all: Vec<_> = NAMES.into_iter().zip(numbers).collect();
        all.push(("lines_dropped", self.lines_dropped.load(Ordering::Relaxed)));
        all
    }

    /// What mail came to.
    #[must_use]
    pub fn mail(&self) -> MailCounts {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let bounds = DELAY_BOUNDS.into_iter().map(Some).chain([None]);
        MailCounts {
            accepted_octets: read(&self.accepted_octets),
            accepted_recipients: read(&self.accepted_recipients),
            attempts: Outcome::ALL.into_iter().zip(self.attempts.iter().map(read)).collect(),
            delays: bounds.zip(self.delays.iter().map(read)).collect(),
            delay_seconds: read(&self.delay_seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_over_is_counted_by_its_delay() {
        let counters = Counters::default();
        for (outcome, delay) in [
            (Outcome::Delivered, 0),
            (Outcome::Delivered, 1),
            (Outcome::Delivered, 2),
            (Outcome::Delivered, 100_000),
            (Outcome::Deferred, 5),
            (Outcome::Failed, 90_000),
        ] {
            counters.attempted(outcome, delay);
        }
        let MailCounts { attempts, delays, delay_seconds, .. } = counters.mail();
        assert_eq!(attempts, [(Outcome::Delivered, 4), (Outcome::Deferred, 1), (Outcome::Failed, 1)]);
        assert_eq!(
            (&delays[..3], delays.last()),
            (&[(Some(1), 2), (Some(10), 1), (Some(60), 0)][..], Some(&(None, 1)))
        );
        assert_eq!(delay_seconds, 100_003);
    }
}
