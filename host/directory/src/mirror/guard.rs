//! Whether removals are believed: a source that shows little may be ill (R44). Absent is not empty.

use super::source::{MirrorOptions, SyncError};

/// Whether the caller vouches for the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// By the numbers.
    Guarded,
    /// The operator said so.
    Forced,
}

/// Refuses removals that are too many of what there is.
pub(crate) fn guard(
    options: &MirrorOptions,
    trust: Trust,
    removals: u64,
    there: u64,
) -> Result<(), SyncError> {
    let share = u64::from(options.removals_percent_max);
    let too_many =
        removals > options.removals_free && removals.saturating_mul(100) > there.saturating_mul(share);
    if trust == Trust::Forced || !too_many {
        return Ok(());
    }
    Err(SyncError::Guarded(format!(
        "the source lacks {removals} of {there} entries, more than {share} % and more than {}",
        options.removals_free
    )))
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
