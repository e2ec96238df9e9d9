//! From where steps come: what is written beside them says so.

use std::sync::Arc;

use super::records::Way;
use super::taken::Taken;
use crate::edit::Logging;

/// From where steps come.
#[derive(Clone)]
pub(crate) struct Origin {
    /// By which way.
    pub(crate) way: Way,
    /// The source's name.
    pub(crate) source: String,
    /// And its number.
    pub(crate) number: u8,
    /// Whether a full sync of it is under way.
    pub(crate) staging: Staging,
    /// Whether anything may have come since steps that are [`super::apply::Step::Staged`] were read.
    pub(crate) overtaken: bool,
    /// How those who follow the tree learn of it. Of what is not logged one by one they are told by who applies it.
    pub(crate) logging: Logging,
    /// Whether an entry that wants what another one has is told back instead of refused: that one may come in a later batch.
    pub(crate) postpones: bool,
    /// The addresses that are in the tree, where all of them are known.
    pub(crate) taken: Option<Arc<Taken>>,
}

/// Whether a full sync is under way, which has to know what changes beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Staging {
    UnderWay,
    Idle,
}
