//! LOGIN-DELAY: who logged in when (RFC 2449 §6.5).

use std::collections::HashMap;
use std::time::Duration;

use mail_types::AccountName;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Accounts remembered at a time. Beyond it nobody is delayed: the delay spares the server, it guards nothing.
const ACCOUNTS_MAX: usize = 100_000;

/// The last log-ins.
#[derive(Debug, Default)]
pub(crate) struct Delays(Mutex<HashMap<AccountName, Instant>>);

impl Delays {
    /// Notes a log-in, unless one of the same account was within the delay.
    pub(crate) fn admit(&self, account: &AccountName, delay: Duration) -> bool {
        if delay.is_zero() {
            return true;
        }
        let now = Instant::now();
        let mut last = self.0.lock();
        if last.get(account).is_some_and(|last| now.duration_since(*last) < delay) {
            return false;
        }
        if last.len() >= ACCOUNTS_MAX {
            last.retain(|_, last| now.duration_since(*last) < delay);
        }
        if last.len() < ACCOUNTS_MAX {
            last.insert(account.clone(), now);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_login_waits_for_the_delay() {
        let (delays, account) = (Delays::default(), AccountName::new("mrose").unwrap());
        let delay = Duration::from_secs(900);
        assert!(delays.admit(&account, delay));
        assert!(!delays.admit(&account, delay));
        tokio::time::advance(delay).await;
        assert!(delays.admit(&account, delay));
        assert!(delays.admit(&account, Duration::ZERO));
    }
}
