//! What a command gathers of all messages that it has found before it can tell the first one, held against maxima.

use storage::StorageError;
use store::StoreError;
use tokio::sync::OwnedSemaphorePermit;

use crate::server::Shared;

/// Octets that one command may gather: those of a million messages with ordinary subjects.
pub(super) const GATHERED_OCTETS_MAX: usize = 256 * 1024 * 1024;
/// Up to so many are gathered without asking; for more, a command waits until there is room for all that it may gather.
const GATHERED_OCTETS_FREE: usize = 1024 * 1024;

/// Counts what one command gathers.
pub(super) struct Gathered<'a> {
    shared: &'a Shared,
    octets: usize,
    /// Taken once and for all: who waited for more while he holds some would wait for others that do the same.
    room: Option<OwnedSemaphorePermit>,
}

impl<'a> Gathered<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self { shared, octets: 0, room: None }
    }

    /// So many octets more have been gathered.
    pub(super) async fn add(&mut self, octets: usize) -> Result<(), StoreError> {
        self.octets = self.octets.saturating_add(octets);
        if self.octets > GATHERED_OCTETS_MAX {
            let what = "octets by which messages are sorted or threaded at a time";
            return Err(StoreError::TooMany { what, max: GATHERED_OCTETS_MAX });
        }
        if self.octets > GATHERED_OCTETS_FREE && self.room.is_none() {
            self.room = self.shared.room_for(GATHERED_OCTETS_MAX as u64).await;
        }
        Ok(())
    }

    /// Makes of what was gathered what is told, and lets go of the room. Much of it is worked on where nobody else waits.
    pub(super) async fn told<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.octets <= GATHERED_OCTETS_FREE {
            return Ok(work());
        }
        let room = self.room;
        let working = tokio::task::spawn_blocking(move || {
            let told = work();
            drop(room);
            told
        });
        Ok(working.await.map_err(|e| StorageError::unavailable("sorting messages", e))?)
    }
}
