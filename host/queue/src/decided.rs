//! Messages whose routes were decided a moment ago: the first attempt need not ask again.

use std::collections::HashMap;
use std::time::Duration;

use mail_types::{QueueId, Timestamp};
use parking_lot::Mutex;

/// How long a decision needs no other: within this time a change of the directory reaches routing at all.
const FRESH: Duration = Duration::from_secs(1);
/// Most messages that are kept in mind; the routes of others are asked for again, as after a restart.
const MESSAGES_MAX: usize = 8192;

/// When the oldest decision about a message was made.
#[derive(Debug, Default)]
pub(crate) struct Decided(Mutex<HashMap<QueueId, Timestamp>>);

impl Decided {
    /// Keeps in mind when a message was decided about.
    pub(crate) fn note(&self, id: QueueId, at: Timestamp, now: Timestamp) {
        let mut known = self.0.lock();
        if known.len() >= MESSAGES_MAX {
            known.retain(|_, at| is_fresh(*at, now));
        }
        if known.len() < MESSAGES_MAX && is_fresh(at, now) {
            known.insert(id, at);
        }
    }

    /// Whether it was so a moment ago that no route needs to be asked for again.
    pub(crate) fn is_fresh(&self, id: QueueId, now: Timestamp) -> bool {
        let mut known = self.0.lock();
        let fresh = known.get(&id).is_some_and(|at| is_fresh(*at, now));
        if !fresh {
            known.remove(&id);
        }
        fresh
    }
}

/// A clock that was set back since says nothing.
fn is_fresh(at: Timestamp, now: Timestamp) -> bool {
    at <= now && now.since(at) < FRESH
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    #[test]
    fn a_decision_is_fresh_for_a_second_and_not_when_the_clock_was_set_back() {
        let (decided, id) = (Decided::default(), QueueId::from_u64(7));
        assert!(!decided.is_fresh(id, NOW), "nobody spoke of it");
        decided.note(id, NOW, NOW);
        assert!(decided.is_fresh(id, NOW.plus(FRESH - Duration::from_millis(1))));
        assert!(!decided.is_fresh(id, NOW.plus(FRESH)));
        assert!(!decided.is_fresh(id, NOW), "it was forgotten");
        decided.note(id, NOW, NOW);
        assert!(!decided.is_fresh(id, Timestamp(NOW.0 - 1)));
        decided.note(id, NOW, NOW.plus(FRESH));
        assert!(!decided.is_fresh(id, NOW.plus(FRESH)), "its client took its time");
    }

    #[test]
    fn no_more_are_kept_in_mind_than_may_be() {
        let decided = Decided::default();
        for number in 0..=MESSAGES_MAX as u64 {
            decided.note(QueueId::from_u64(number), NOW, NOW);
        }
        assert!(!decided.is_fresh(QueueId::from_u64(MESSAGES_MAX as u64), NOW), "one too many");
        let later = NOW.plus(FRESH);
        decided.note(QueueId::from_u64(1), later, later);
        assert!(decided.is_fresh(QueueId::from_u64(1), later), "those of before make room");
        assert_eq!(decided.0.lock().len(), 1);
    }
}
