//! Following the directory: the rows of changed entries are replaced, in one batch with the watermark (R38, R45).

use directory::{Dn, Typed};

use super::build::rows_of;
use super::rebuild::{Overlay, encode};
use super::{STATE, STATE_KEY, State, TableError, Tables};

/// Most entries replaced in one batch: more are a case for a rebuild.
pub const CHANGES_MAX: usize = 10_000;

impl Tables {
    /// Replaces the rows of changed entries (`None`: the entry is gone) and moves the watermark to `csn`, all
    /// or nothing. Gives the number of rows written.
    ///
    /// # Errors
    /// A conflict when a rebuild or another change came first: read the state, and decide anew.
    pub async fn replace(&self, changed: &[(Dn, Option<Typed>)], csn: u64) -> Result<u64, TableError> {
        let (batch, rows) = {
            let snapshot = self.storage.read()?;
            let state = super::reader::state(&snapshot)?.ok_or(TableError::NotBuilt)?;
            let mut overlay = Overlay::new(&snapshot, state.generation);
            for (dn, entry) in changed {
                overlay.remove(dn)?;
                if let Some(entry) = entry {
                    overlay.add(dn, &rows_of(entry))?;
                }
            }
            let (rows, uplevel) = (overlay.rows, state.uplevel || overlay.uplevel);
            let mut batch = overlay.into_batch();
            batch.assert_equals(STATE, STATE_KEY, &encode(&state));
            batch.put(STATE, STATE_KEY, encode(&State { csn, uplevel, ..state }));
            (batch, rows)
        };
        self.storage.commit(batch).await?;
        Ok(rows)
    }
}
