//! How often each event happened since the start.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::Event;
use crate::kinds::{KINDS, NAMES};

/// One number for each kind of event.
#[derive(Debug)]
pub struct Counters {
    kinds: [AtomicU64; KINDS],
    lines_dropped: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self { kinds: [const { AtomicU64::new(0) }; KINDS], lines_dropped: AtomicU64::new(0) }
    }
}

impl Counters {
    pub(crate) fn count(&self, event: &Event<'_>) {
        self.kinds[event.kind().0].fetch_add(1, Ordering::Relaxed);
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
}
