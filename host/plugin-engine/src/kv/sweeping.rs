//! What has expired goes: from time to time, and where a full place needs the room.

use std::ops::ControlFlow;

use mail_types::Timestamp;
use storage::{Batch, StorageError};

use super::{Kv, KvError, Place, SWEEP_BATCH_MAX, USED, VALUES, after, is_raw_over, place_of};

/// What one sweep may do: it goes on where the last one ended, and no place keeps it from the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct SweepMax {
    /// Values looked at.
    pub(super) scanned: usize,
    /// Expired values removed.
    pub(super) removed: usize,
    /// The same, of one plugin and tenant.
    pub(super) of_one_place: usize,
}

pub(super) const SWEEP_MAX: SweepMax = SweepMax { scanned: 50_000, removed: 20_000, of_one_place: 2000 };
/// Most places that are known to be full of what has not expired.
const FULL_MAX: usize = 10_000;

/// Expired values as they were found: key, octets.
pub(super) type Over = Vec<(Vec<u8>, Vec<u8>)>;

impl Kv {
    /// Whether anything in a full place had expired. To look takes a while where there is much: once a second is enough.
    pub(super) async fn made_room(&self, place: &Place, now: Timestamp) -> Result<bool, KvError> {
        let second = now.as_seconds();
        if self.3.lock().get(&place.0) == Some(&second) {
            return Ok(false);
        }
        let has_room = self.sweep_place(place, now).await? > 0;
        if !has_room {
            let mut full = self.3.lock();
            if full.len() >= FULL_MAX {
                full.clear();
            }
            full.insert(place.0.clone(), second);
        }
        Ok(has_room)
    }

    /// Removes what has expired, a bounded number at a time; gives how many.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<usize, KvError> {
        self.sweep_up_to(now, SWEEP_MAX).await
    }

    pub(super) async fn sweep_up_to(&self, now: Timestamp, max: SweepMax) -> Result<usize, KvError> {
        let begun = self.2.lock().clone();
        let (over, next) = self.find_expired(begun, now, max)?;
        *self.2.lock() = next;
        self.remove_expired(over).await
    }

    /// Removes what has expired in one place, a bounded number at a time.
    async fn sweep_place(&self, place: &Place, now: Timestamp) -> Result<usize, KvError> {
        let (mut over, mut scanned) = (Over::new(), 0);
        let (from, to) = ([&place.0[..], &[0]].concat(), after(&place.0));
        self.0.read()?.scan(VALUES, &from, &to, &mut |key, raw| {
            scanned += 1;
            if is_raw_over(raw, now) {
                over.push((key.to_vec(), raw.to_vec()));
            }
            let is_enough = over.len() >= SWEEP_MAX.of_one_place || scanned >= SWEEP_MAX.scanned;
            if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        self.remove_expired(over).await
    }

    /// Looks for what has expired from a key on; gives it, and where to go on: at the beginning, once all was seen.
    pub(super) fn find_expired(
        &self,
        mut at: Vec<u8>,
        now: Timestamp,
        max: SweepMax,
    ) -> Result<(Over, Vec<u8>), KvError> {
        let (mut over, mut scanned) = (Over::new(), 0);
        let snapshot = self.0.read()?;
        loop {
            let (mut of_place, mut place, mut stopped) = (0, Vec::new(), None);
            snapshot.scan(VALUES, &at, &[0xff], &mut |key, raw| {
                if scanned >= max.scanned || over.len() >= max.removed {
                    stopped = Some(key.to_vec());
                    return ControlFlow::Break(());
                }
                let its_place = place_of(key);
                if its_place != place {
                    (of_place, place) = (0, its_place.to_vec());
                }
                if of_place >= max.of_one_place {
                    return ControlFlow::Break(());
                }
                scanned += 1;
                if is_raw_over(raw, now) {
                    over.push((key.to_vec(), raw.to_vec()));
                    of_place += 1;
                }
                ControlFlow::Continue(())
            })?;
            match stopped {
                Some(next) => return Ok((over, next)),
                // It has had its share of this sweep: the next place.
                None if of_place >= max.of_one_place => at = after(&place),
                None => return Ok((over, Vec::new())),
            }
        }
    }

    /// Removes expired values, many in one commit; what was changed meanwhile stays.
    pub(super) async fn remove_expired(&self, over: Over) -> Result<usize, KvError> {
        let mut removed = 0;
        for some in over.chunks(SWEEP_BATCH_MAX) {
            removed += match self.remove_all(some).await {
                // One of them has been written anew.
                Err(StorageError::Conflict(_)) => {
                    let mut singly = 0;
                    for one in some {
                        match self.remove_all(std::slice::from_ref(one)).await {
                            Err(StorageError::Conflict(_)) => {}
                            done => singly += done?,
                        }
                    }
                    singly
                }
                done => done?,
            };
        }
        Ok(removed)
    }

    async fn remove_all(&self, over: &[(Vec<u8>, Vec<u8>)]) -> Result<usize, StorageError> {
        let mut batch = Batch::new();
        for (key, raw) in over {
            batch.assert_equals(VALUES, key, raw);
            batch.delete(VALUES, key);
            let size = i64::try_from(key.len() + raw.len()).unwrap_or(i64::MAX);
            batch.add(USED, place_of(key), &[(0, -size)]);
        }
        self.0.commit(batch).await.map(|_| over.len())
    }
}
