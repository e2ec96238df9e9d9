//! What became of what a source said.

use super::swap::Waiter;
use crate::dn::Dn;

/// What became of some steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Number of the newest change in the tree.
    pub(crate) csn: u64,
    pub(crate) added: u64,
    pub(crate) modified: u64,
    pub(crate) moved: u64,
    pub(crate) removed: u64,
    pub(crate) same: u64,
    /// Entries that break a rule, and were not known to.
    pub(crate) refusals: u64,
    /// Those of them that have not been told of yet: name, attribute, reason.
    pub(crate) refused: Vec<(String, String, String)>,
    /// Names whose entries changed.
    pub(crate) touched: Vec<Dn>,
    /// Entries that were moved away from others below them: a server tells of the top alone.
    pub(crate) subtrees_moved: u64,
    /// Names of which a full sync that is under way was told.
    pub(crate) marked: u64,
    /// Entries that wait for what another one has, where that may come in a later batch: [`super::origin::Origin::postpones`].
    pub(crate) postponed: Vec<(Dn, Waiter)>,
}

impl Applied {
    pub(crate) fn join(&mut self, other: Self) {
        self.csn = self.csn.max(other.csn);
        self.added += other.added;
        self.modified += other.modified;
        self.moved += other.moved;
        self.removed += other.removed;
        self.same += other.same;
        self.refusals += other.refusals;
        self.refused.extend(other.refused);
        self.touched.extend(other.touched);
        self.subtrees_moved += other.subtrees_moved;
        self.marked += other.marked;
        self.postponed.extend(other.postponed);
    }
}
