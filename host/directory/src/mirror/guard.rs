//! Whether removals are believed: a source that shows little may be ill (R44). Absent is not empty.

use super::full::SyncOrder;
use super::source::{MirrorOptions, SyncError};

/// Whether the caller vouches for the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// By the numbers.
    Guarded,
    /// The operator said so.
    Forced,
}

impl Trust {
    /// As the order says.
    pub(crate) fn of(order: &SyncOrder) -> Self {
        if order.force { Self::Forced } else { Self::Guarded }
    }
}

/// Refuses removals that are too many of what there is.
pub(crate) fn guard(
    options: &MirrorOptions,
    trust: Trust,
    removals: u64,
    there: u64,
) -> Result<(), SyncError> {
    let share = options.removals_percent_max;
    if trust == Trust::Forced || !too_many(removals, there, options.removals_free, share) {
        return Ok(());
    }
    Err(SyncError::Guarded(format!(
        "the source lacks {removals} of {there} entries, more than {share} % and more than {}",
        options.removals_free
    )))
}

/// Whether removals are too many of what there is: more than so many, and more than so many of a hundred.
pub(crate) fn too_many(removals: u64, there: u64, free: u64, percent_max: u8) -> bool {
    removals > free && removals.saturating_mul(100) > there.saturating_mul(u64::from(percent_max))
}

/// Refuses an answer without entries, where there are some.
pub(crate) fn guard_empty(
    trust: Trust,
    base: &crate::dn::Dn,
    seen: u64,
    there: u64,
) -> Result<(), SyncError> {
    if trust == Trust::Forced || seen > 0 || there == 0 {
        return Ok(());
    }
    Err(SyncError::Guarded(format!("the source shows nothing below {base}, where there are {there} entries")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dn::Dn;
    use crate::mirror::tests::options;

    #[test]
    fn few_removals_are_believed_and_many_only_by_word() {
        for (removals, there, believed) in [
            (0, 0, true),
            (10, 10, true),
            (11, 12, false),
            (20, 100, true),
            (21, 100, false),
            (200, 1000, true),
        ] {
            let guarded = guard(&options(), Trust::Guarded, removals, there);
            assert_eq!(guarded.is_ok(), believed, "{removals} of {there}");
            assert!(guard(&options(), Trust::Forced, removals, there).is_ok());
        }
        let base = Dn::root();
        assert!(guard_empty(Trust::Guarded, &base, 0, 1).is_err());
        assert!(
            guard_empty(Trust::Guarded, &base, 0, 0).is_ok()
                && guard_empty(Trust::Forced, &base, 0, 1).is_ok()
        );
    }
}
