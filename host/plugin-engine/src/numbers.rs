//! What is counted of a plugin.

use std::sync::atomic::{AtomicU64, Ordering};

use hooks::FailureKind;

/// Calls and failures since the start.
#[derive(Debug, Default)]
pub struct Numbers {
    /// Calls that ran.
    pub calls: AtomicU64,
    /// Questions answered from memory.
    pub remembered: AtomicU64,
    /// Questions that no interest matched.
    pub passed_over: AtomicU64,
    /// Microseconds of all calls.
    pub microseconds: AtomicU64,
    failures: [AtomicU64; FailureKind::ALL.len()],
}

impl Numbers {
    pub(crate) fn failed(&self, kind: FailureKind) {
        if let Some(at) = FailureKind::ALL.iter().position(|other| *other == kind) {
            self.failures[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Failures by kind, those that never happened left out.
    #[must_use]
    pub fn failures(&self) -> Vec<(FailureKind, u64)> {
        let counts = self.failures.iter().map(|count| count.load(Ordering::Relaxed));
        FailureKind::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect()
    }
}
