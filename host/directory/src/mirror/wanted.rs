//! A full sync that has to be made, whatever comes between. A server tells of a renamed subtree by its top alone, so the
//! entries below are found by comparing everything. That is noted in the batch that takes the rename in, and the note goes
//! when everything has been compared since: neither a restart, nor a failure, nor a comparison that had begun before loses it.

use storage::{Batch, StorageError};

use super::applied::Applied;
use super::records::{SYNC, Way, source_key};
use super::source::Mirror;
use crate::error::DirectoryError;

/// What the note is kept under, with the name of its source.
const WANTED: &str = "wanted";

/// Notes that a full sync has to be made, in the batch of what makes it needed. `csn` tells notes apart.
pub(super) fn note(batch: &mut Batch, source: &str, csn: u64) {
    batch.put(SYNC, &source_key(WANTED, source), csn.to_be_bytes());
}

/// Whether what was taken in is for a full sync to complete.
pub(super) fn is_half(applied: &Applied, way: Way) -> bool {
    applied.subtrees_moved > 0 && way != Way::Full
}

impl Mirror {
    /// The note that a full sync has to be made.
    pub(super) fn wanted(&self) -> Result<Option<Vec<u8>>, DirectoryError> {
        let view = self.0.directory.raw_view()?;
        let note = view.snapshot.get(SYNC, &source_key(WANTED, self.name()))?;
        Ok(note.map(std::borrow::Cow::into_owned))
    }

    /// Whether a full sync has to be made; where that cannot be read, others say so.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted().is_ok_and(|note| note.is_some())
    }

    /// Takes a note away that stood when a full sync began which is complete now. A newer one stays, and is heard.
    pub(super) async fn settle_wanted(&self, note: &[u8]) -> Result<(), DirectoryError> {
        let key = source_key(WANTED, self.name());
        let mut batch = Batch::new();
        batch.assert_equals(SYNC, &key, note);
        batch.delete(SYNC, &key);
        match self.0.directory.commit(batch).await {
            Ok(_) => Ok(()),
            Err(StorageError::Conflict(_)) => {
                self.0.full_wanted.notify_one();
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
