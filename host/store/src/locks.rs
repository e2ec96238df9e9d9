//! Locks: one at a time changes an account, one at a time reads it by POP3.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::Store;
use crate::ids::AccountId;

/// Locks that nobody holds are forgotten when there are more than this many.
const LOCKS_KEPT_MAX: usize = 1024;

/// The lock of an account, held.
pub(crate) type Held = OwnedMutexGuard<()>;

/// The locks under which accounts are changed. Deliveries do without.
#[derive(Default)]
pub(crate) struct AccountLocks {
    locks: Mutex<HashMap<AccountId, Weak<AsyncMutex<()>>>>,
    /// Held while an account is made.
    making: Arc<AsyncMutex<()>>,
}

impl AccountLocks {
    pub(crate) async fn lock(&self, account: AccountId) -> Held {
        let lock = self.of(account);
        lock.lock_owned().await
    }

    /// Locks two accounts, always in the same order, so that two callers never wait for each other.
    pub(crate) async fn lock_both(&self, one: AccountId, other: AccountId) -> (Held, Option<Held>) {
        let first = self.lock(one.min(other)).await;
        let second = if one == other { None } else { Some(self.lock(one.max(other)).await) };
        (first, second)
    }

    pub(crate) async fn lock_making(&self) -> Held {
        Arc::clone(&self.making).lock_owned().await
    }

    fn of(&self, account: AccountId) -> Arc<AsyncMutex<()>> {
        let mut locks = self.locks.lock();
        if let Some(lock) = locks.get(&account).and_then(Weak::upgrade) {
            return lock;
        }
        if locks.len() >= LOCKS_KEPT_MAX {
            locks.retain(|_, lock| lock.strong_count() > 0);
        }
        let lock = Arc::new(AsyncMutex::new(()));
        locks.insert(account, Arc::downgrade(&lock));
        lock
    }
}

/// Which accounts a POP3 session holds.
#[derive(Default)]
pub(crate) struct PopLocks {
    held: Mutex<HashSet<AccountId>>,
}

/// The exclusive-access lock of POP3 (RFC 1939 §4): until it is dropped, no other session gets it.
#[must_use]
pub struct PopLock {
    locks: Arc<PopLocks>,
    account: AccountId,
}

impl Drop for PopLock {
    fn drop(&mut self) {
        self.locks.held.lock().remove(&self.account);
    }
}

impl Store {
    /// Takes the POP3 lock of an account; `None` while another session has it.
    #[must_use]
    pub fn pop_lock(&self, account: AccountId) -> Option<PopLock> {
        let locks = &self.inner.pop_locks;
        let free = locks.held.lock().insert(account);
        free.then(|| PopLock { locks: Arc::clone(locks), account })
    }
}
