//! Which addresses the entries of a first sync have taken: most are new, and need not be looked for in the tree.

use parking_lot::Mutex;
use storage::{Batch, KeyFilter};

use crate::layout::{ADDRESSES, Head};

/// Octets of an entry's number at the end of an index row's key.
const ID_OCTETS: usize = 8;

/// The addresses in a tree that had none, as long as nobody else changes it.
pub(crate) struct Taken(Mutex<State>);

struct State {
    /// The change as of which they are all of them; `None`: somebody else has changed the tree.
    csn: Option<u64>,
    keys: KeyFilter,
}

impl Taken {
    /// Of a tree without entries.
    pub(crate) fn nothing(head: &Head) -> Self {
        Self(Mutex::new(State { csn: Some(head.csn), keys: KeyFilter::default() }))
    }

    /// Does something with the addresses of a tree; with `None` where they may not be all of them.
    pub(crate) fn with<T>(&self, head: &Head, work: impl FnOnce(Option<&KeyFilter>) -> T) -> T {
        let mut state = self.0.lock();
        if state.csn != Some(head.csn) {
            state.csn = None;
        }
        let known = state.csn.map(|_| &state.keys);
        work(known)
    }

    /// Notes what a batch adds, before it is written.
    pub(crate) fn note(&self, batch: &Batch) {
        let mut state = self.0.lock();
        for key in batch.keys_set(ADDRESSES) {
            state.keys.note(0, &key[..key.len().saturating_sub(ID_OCTETS)]);
        }
    }

    /// The batch was written; the tree is as of this change now.
    pub(crate) fn written(&self, csn: u64) {
        let mut state = self.0.lock();
        state.csn = state.csn.map(|_| csn);
    }
}
