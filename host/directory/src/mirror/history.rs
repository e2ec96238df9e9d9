//! The syncs of the past: bounded, and kept over restarts.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use storage::{Batch, Space};

use super::records::{GENERAL_SOURCE, SYNC};
use crate::directory::Directory;
use crate::error::DirectoryError;
use crate::layout::read_u64;

/// Most syncs that are remembered.
pub const HISTORY_MAX: usize = 100;

/// Where those of a source stand.
fn prefix(source: &str) -> Vec<u8> {
    if source == GENERAL_SOURCE { b"history/".to_vec() } else { format!("past/{source}/").into() }
}

/// One sync, as it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRecord {
    /// `full`, `incremental`, `live`.
    pub kind: String,
    /// When it began, in milliseconds since 1970.
    pub began: u64,
    /// How long it took.
    pub milliseconds: u64,
    /// The source; [`GENERAL_SOURCE`] of a sync of the time before there were several.
    #[serde(default = "general")]
    pub source: String,
    /// The domain that it was limited to.
    pub domain: Option<String>,
    /// Which server was asked.
    pub server: String,
    /// Entries that the source showed.
    pub seen: u64,
    /// Entries that were new here.
    pub added: u64,
    /// Entries that were otherwise here.
    pub modified: u64,
    /// Entries that stand elsewhere now.
    pub moved: u64,
    /// Entries that are gone.
    pub removed: u64,
    /// Entries that break a rule.
    pub refused: u64,
    /// Why it changed nothing, or nothing more; absent where it went well.
    pub failure: Option<String>,
}

fn general() -> String {
    GENERAL_SOURCE.to_owned()
}

/// Key and value.
type Row = (Vec<u8>, Vec<u8>);

impl Directory {
    /// Adds a sync to the history of its source; the oldest ones go.
    pub(crate) async fn remember(&self, record: &SyncRecord) -> Result<(), DirectoryError> {
        let prefix = prefix(&record.source);
        let (last, old) = {
            let view = self.raw_view()?;
            let mut keys: Vec<Vec<u8>> = Vec::new();
            view.snapshot.scan(SYNC, &prefix, &until(&prefix), &mut |key, _| {
                keys.push(key.to_vec());
                ControlFlow::Continue(())
            })?;
            let last = keys.last().map_or(0, |key| read_u64(&key[prefix.len()..]));
            keys.truncate((keys.len() + 1).saturating_sub(HISTORY_MAX));
            (last, keys)
        };
        let mut batch = Batch::new();
        let text = serde_json::to_vec(record).map_err(|why| DirectoryError::Damaged(why.to_string()))?;
        batch.put(SYNC, &[&prefix[..], &u64::to_be_bytes(last + 1)].concat(), text);
        old.iter().for_each(|key| batch.delete(SYNC, key));
        Ok(self.commit(batch).await?)
    }

    /// The syncs of a source, the newest first.
    pub(crate) fn history(&self, source: &str) -> Result<Vec<SyncRecord>, DirectoryError> {
        let view = self.raw_view()?;
        let mut records = Vec::new();
        let prefix = prefix(source);
        view.snapshot.scan_back(SYNC, &prefix, &until(&prefix), &mut |_, text| {
            // One that cannot be read was written by another version.
            records.extend(serde_json::from_slice::<SyncRecord>(text).ok());
            ControlFlow::Continue(())
        })?;
        Ok(records)
    }

    /// One row.
    pub(crate) fn row(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, DirectoryError> {
        Ok(self.raw_view()?.snapshot.get(space, key)?.map(std::borrow::Cow::into_owned))
    }

    /// The rows of a space whose keys begin so, at most so many.
    pub(crate) fn rows(&self, space: Space, prefix: &[u8], most: usize) -> Result<Vec<Row>, DirectoryError> {
        let until = [prefix, &[0xff; 9]].concat();
        let mut rows = Vec::new();
        self.raw_view()?.snapshot.scan(space, prefix, &until, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            if rows.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(rows)
    }
}

fn until(prefix: &[u8]) -> Vec<u8> {
    [prefix, &[0xff; 9]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::apply::tests::open;

    fn record(source: &str, began: u64) -> SyncRecord {
        SyncRecord {
            kind: "full".to_owned(),
            began,
            milliseconds: 1,
            source: source.to_owned(),
            domain: None,
            server: String::new(),
            seen: 0,
            added: 0,
            modified: 0,
            moved: 0,
            removed: 0,
            refused: 0,
            failure: None,
        }
    }

    #[tokio::test]
    async fn the_oldest_syncs_of_a_source_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let directory = open(dir.path());
        directory.remember(&record("ldap", 7)).await.unwrap();
        for number in 0..HISTORY_MAX as u64 + 7 {
            directory.remember(&record("acme", number)).await.unwrap();
        }
        let history = directory.history("acme").unwrap();
        assert_eq!(history.len(), HISTORY_MAX);
        assert_eq!(history[0].began, HISTORY_MAX as u64 + 6);
        assert_eq!(directory.history("ldap").unwrap(), [record("ldap", 7)]);
        assert_eq!(directory.history("ac").unwrap(), []);
    }
}
