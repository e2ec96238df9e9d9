//! What is remembered of hosts that gave trouble.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mail_types::Timestamp;
use runtime::Clock;

/// Hosts remembered of each kind; when there are more, the memory starts anew.
const HOSTS_MAX: usize = 10_000;

/// Which trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Trouble {
    /// It could not be reached, or would not talk.
    Unreachable,
    /// Its TLS does not work, though it is offered.
    Handshake,
}

/// Hosts in trouble, each until a moment.
#[derive(Debug)]
pub(crate) struct Memory {
    clock: Clock,
    lasting: Duration,
    hosts: Mutex<HashMap<(SocketAddr, Trouble), Timestamp>>,
}

impl Memory {
    pub(crate) fn new(clock: Clock, lasting: Duration) -> Self {
        Self { clock, lasting, hosts: Mutex::default() }
    }

    pub(crate) fn remember(&self, address: SocketAddr, trouble: Trouble) {
        let now = self.clock.now();
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= HOSTS_MAX {
            hosts.retain(|_, until| *until > now);
            if hosts.len() >= HOSTS_MAX {
                hosts.clear();
            }
        }
        hosts.insert((address, trouble), now.plus(self.lasting));
    }

    pub(crate) fn forget(&self, address: SocketAddr, trouble: Trouble) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if !hosts.is_empty() {
            hosts.remove(&(address, trouble));
        }
    }

    pub(crate) fn recalls(&self, address: SocketAddr, trouble: Trouble) -> bool {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.get(&(address, trouble)).is_some_and(|until| *until > self.clock.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn trouble_is_forgotten_in_time_and_never_piles_up() {
        let memory = Memory::new(Clock::simulated(Timestamp(0)), Duration::from_secs(60));
        let host = |port| SocketAddr::from(([192, 0, 2, 1], port));
        memory.remember(host(25), Trouble::Unreachable);
        assert!(memory.recalls(host(25), Trouble::Unreachable));
        assert!(!memory.recalls(host(25), Trouble::Handshake));
        memory.forget(host(25), Trouble::Unreachable);
        assert!(!memory.recalls(host(25), Trouble::Unreachable));
        for port in 0..20_000 {
            memory.remember(host(port), Trouble::Handshake);
        }
        assert!(memory.hosts.lock().unwrap().len() <= HOSTS_MAX);
        assert!(memory.recalls(host(19_999), Trouble::Handshake));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(!memory.recalls(host(19_999), Trouble::Handshake));
    }
}
