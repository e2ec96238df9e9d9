//! Passwords verified lately, so that clients that log in for every message do not cost an argon2
//! each time.
//!
//! The key is an HMAC under a key of this process over account, stored values and password: a
//! changed password or stored value is simply another key, and the table shows no password. Where a source
//! verifies passwords and shows no values, a change makes no other key: there it is asked again soon, and what is known
//! here counts only while it does not answer.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use mail_types::Timestamp;
use parking_lot::Mutex;

/// Key of a verified password.
pub(crate) type CacheKey = [u8; 32];

#[derive(Debug, Default)]
struct Table {
    /// Until when each counts.
    until: HashMap<CacheKey, Timestamp>,
    /// The keys in the order of their coming.
    order: VecDeque<CacheKey>,
}

/// The bounded table. Only successes are kept.
#[derive(Debug)]
pub(crate) struct Verified {
    entries_max: usize,
    lifetime: Duration,
    table: Mutex<Table>,
}

impl Verified {
    pub(crate) fn new(entries_max: usize, lifetime: Duration) -> Self {
        Self { entries_max, lifetime, table: Mutex::new(Table::default()) }
    }

    /// How long ago it was verified; `None` where that counts no more.
    pub(crate) fn age(&self, key: &CacheKey, now: Timestamp) -> Option<Duration> {
        let until = self.table.lock().until.get(key).copied().filter(|until| now < *until)?;
        Some(self.lifetime.saturating_sub(until.since(now)))
    }

    /// It is right no more.
    pub(crate) fn forget(&self, key: &CacheKey) {
        let mut table = self.table.lock();
        if table.until.remove(key).is_some() {
            table.order.retain(|other| other != key);
        }
    }

    pub(crate) fn add(&self, key: CacheKey, now: Timestamp) {
        if self.entries_max == 0 {
            return;
        }
        let mut table = self.table.lock();
        if table.until.insert(key, now.plus(self.lifetime)).is_none() {
            table.order.push_back(key);
        }
        while table.order.len() > self.entries_max {
            if let Some(oldest) = table.order.pop_front() {
                table.until.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_end_by_time_and_by_number() {
        let verified = Verified::new(3, Duration::from_secs(10));
        for n in 0..5 {
            verified.add([n; 32], Timestamp(0));
        }
        let known: Vec<bool> = (0..5).map(|n| verified.age(&[n; 32], Timestamp(9_999)).is_some()).collect();
        assert_eq!(known, [false, false, true, true, true]);
        assert_eq!(verified.age(&[4; 32], Timestamp(9_000)), Some(Duration::from_secs(9)));
        assert_eq!(verified.age(&[4; 32], Timestamp(10_000)), None);
        verified.add([4; 32], Timestamp(10_000));
        assert_eq!(verified.age(&[4; 32], Timestamp(11_000)), Some(Duration::from_secs(1)));
        verified.forget(&[4; 32]);
        assert_eq!(verified.age(&[4; 32], Timestamp(11_000)), None);
        assert_eq!(verified.table.lock().order.len(), 2);
    }
}
