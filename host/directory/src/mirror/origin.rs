//! From where steps come: what is written beside them says so.

use super::records::Way;

/// From where steps come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// By which way.
    pub(crate) way: Way,
    /// The source's name.
    pub(crate) source: String,
    /// And its number.
    pub(crate) number: u8,
    /// Whether a full sync of it is under way.
    pub(crate) staging: Staging,
}

/// Whether a full sync is under way, which has to know what changes beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Staging {
    UnderWay,
    Idle,
}
