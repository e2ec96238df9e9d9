//! Names that accounts had: mail that was decided on by such a name, before it was another one's, is its account's.

use std::collections::HashMap;
use std::ops::ControlFlow;

use mail_types::{AccountName, Timestamp};
use parking_lot::RwLock;
use storage::Snapshot;

use crate::Store;
use crate::accounts::read_account;
use crate::changes::Draft;
use crate::error::StoreError;
use crate::ids::AccountId;
use crate::keys;

/// Most former names that are kept once all is decided by the new ones: of more, those go first that are former for longest.
pub const FORMER_NAMES_MAX: usize = 1_000_000;

/// Until when a name is meant still: whoever decides by it has not followed.
const OPEN: Timestamp = Timestamp(u64::MAX);

/// What was called so, and until when decisions may have meant it.
type Meant = (AccountId, Timestamp);

/// Former names, in memory.
#[derive(Default)]
pub(crate) struct Former(RwLock<HashMap<AccountName, Meant>>);

impl Former {
    pub(crate) fn read(&self, snapshot: &Snapshot) -> Result<(), StoreError> {
        let mut all = HashMap::new();
        snapshot.scan(keys::FORMER, &[], &keys::END, &mut |key, value| {
            let name = std::str::from_utf8(key).ok().and_then(AccountName::new);
            if let (Some(name), Some(id), Some(until)) =
                (name, keys::u32_at(value, 0), keys::u64_at(value, 4))
            {
                all.insert(name, (AccountId(id), Timestamp(until)));
            }
            ControlFlow::Continue(())
        })?;
        *self.0.write() = all;
        Ok(())
    }

    /// From now on decisions by this name may mean an account that has another one.
    pub(crate) fn open(&self, name: &AccountName, id: AccountId) {
        self.0.write().insert(name.clone(), (id, OPEN));
    }

    fn of(&self, name: &AccountName) -> Option<Meant> {
        self.0.read().get(name).copied()
    }
}

pub(crate) fn draft(draft: &mut Draft, name: &AccountName, (id, until): Meant) {
    let value = [&keys::account(id)[..], &until.0.to_be_bytes()].concat();
    draft.batch.put(keys::FORMER, name.as_str().as_bytes(), value);
}

pub(crate) fn draft_open(of: &mut Draft, name: &AccountName, id: AccountId) {
    draft(of, name, (id, OPEN));
}

impl Store {
    /// Whether an account of this name may have been meant, since then, that has another one now: who has decided by the name
    /// has to decide again.
    #[must_use]
    pub fn renamed_since(&self, name: &AccountName, since: Timestamp) -> bool {
        self.inner.former.of(name).is_some_and(|(_, until)| until >= since)
    }

    /// The account that had a name which none has now.
    pub(crate) fn formerly(&self, name: &AccountName) -> Result<Option<AccountId>, StoreError> {
        let Some((id, _)) = self.inner.former.of(name) else { return Ok(None) };
        match read_account(&self.inner.storage.read()?, id) {
            Ok(_) => Ok(Some(id)),
            Err(StoreError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What an account is called now that was meant by a name at some time; `None` where that is the same.
    pub fn now_called(&self, name: &AccountName, at: Timestamp) -> Result<Option<AccountName>, StoreError> {
        let Some((id, _)) = self.inner.former.of(name).filter(|(_, until)| *until >= at) else {
            return Ok(None);
        };
        match read_account(&self.inner.storage.read()?, id) {
            Ok(record) => Ok(AccountName::new(&record.name).filter(|now| now != name)),
            Err(StoreError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whoever decides by names has followed all renames so far.
    ///
    /// # Errors
    /// Storage: then decisions count as made by former names for longer, and are made again.
    pub async fn renames_are_followed(&self) -> Result<(), StoreError> {
        let open: Vec<(AccountName, AccountId)> = {
            let all = self.inner.former.0.read();
            let open = all.iter().filter(|(_, (_, until))| *until == OPEN);
            open.map(|(name, (id, _))| (name.clone(), *id)).collect()
        };
        if open.is_empty() {
            return Ok(());
        }
        let held = self.inner.locks.lock_making().await;
        let now = self.inner.clock.now();
        let mut closing = Draft::new();
        for (name, id) in &open {
            draft(&mut closing, name, (*id, now));
        }
        let outlived = outlived(&self.inner.former.0.read(), FORMER_NAMES_MAX);
        for name in &outlived {
            closing.batch.delete(keys::FORMER, name.as_str().as_bytes());
        }
        self.commit(closing, held).await?;
        let mut all = self.inner.former.0.write();
        for name in outlived {
            // Unless it was somebody's again meanwhile, and given up.
            if all.get(&name).is_some_and(|(_, until)| *until != OPEN) {
                all.remove(&name);
            }
        }
        for (name, id) in open {
            // Unless it was renamed again meanwhile.
            all.entry(name).and_modify(|meant| {
                if *meant == (id, OPEN) {
                    meant.1 = now
                }
            });
        }
        Ok(())
    }
}

/// The names that are former for longest, where there are more than so many. None of them is open.
fn outlived(all: &HashMap<AccountName, Meant>, most: usize) -> Vec<AccountName> {
    let excess = all.len().saturating_sub(most);
    if excess == 0 {
        return Vec::new();
    }
    let mut closed: Vec<(Timestamp, &AccountName)> = all
        .iter()
        .filter(|(_, (_, until))| *until != OPEN)
        .map(|(name, (_, until))| (*until, name))
        .collect();
    closed.sort_unstable();
    closed.into_iter().take(excess).map(|(_, name)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_names_go_and_no_open_one() {
        let name = |text: &str| AccountName::new(text).unwrap();
        let all: HashMap<AccountName, Meant> = [("a", 30), ("b", 10), ("c", u64::MAX), ("d", 20)]
            .map(|(text, until)| (name(text), (AccountId(1), Timestamp(until))))
            .into();
        assert_eq!(outlived(&all, 4), []);
        assert_eq!(outlived(&all, 2), [name("b"), name("d")]);
        assert_eq!(outlived(&all, 0), [name("b"), name("d"), name("a")]);
    }
}
