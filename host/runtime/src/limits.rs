//! How many connections may be open: in all, and from one client network.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A client network: the unit that connection limits count. One IPv4 address, or one IPv6 /64, which is
/// what a single customer is commonly given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Network {
    /// An IPv4 address (/32).
    V4(u32),
    /// The first 64 bits of an IPv6 address.
    V6(u64),
}

impl Network {
    /// The network of an address. IPv4 addresses in IPv6 form count as IPv4.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.to_bits()),
            IpAddr::V6(v6) => Self::V6(u64::try_from(v6.to_bits() >> 64).unwrap_or(u64::MAX)),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::V4(bits) => write!(f, "{}/32", std::net::Ipv4Addr::from_bits(bits)),
            Self::V6(bits) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(bits) << 64)),
        }
    }
}

/// Which maximum a connection was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefusedWhy {
    /// The listener has as many connections as it may.
    #[error("too many connections")]
    Connections,
    /// This client network has as many connections as it may.
    #[error("too many connections from your network")]
    Network,
}

/// Counts open connections. The table holds only networks that have one open, so it is bounded by
/// `connections_max`. Clones share the counts; several listeners may share one.
#[derive(Debug, Clone)]
pub struct ConnectionLimits(Arc<Limits>);

#[derive(Debug)]
struct Limits {
    connections_max: AtomicUsize,
    per_network_max: AtomicUsize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    connections: usize,
    networks: HashMap<Network, usize>,
}

/// The right to have one connection open; given back when dropped.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    limits: Arc<Limits>,
    network: Network,
}

impl ConnectionLimits {
    /// At most so many in all, and from each client network.
    #[must_use]
    pub fn new(connections_max: usize, per_network_max: usize) -> Self {
        let (connections_max, per_network_max) = (connections_max.into(), per_network_max.into());
        Self(Arc::new(Limits { connections_max, per_network_max, open: Mutex::default() }))
    }

    /// Puts other maxima in force, for connections that come; those that are open stay.
    pub fn set(&self, connections_max: usize, per_network_max: usize) {
        self.0.connections_max.store(connections_max, Ordering::Relaxed);
        self.0.per_network_max.store(per_network_max, Ordering::Relaxed);
    }

    /// Counts one more connection, unless it is one too many.
    ///
    /// # Errors
    /// Which maximum it is over.
    pub fn admit(&self, peer: IpAddr) -> Result<Permit, RefusedWhy> {
        let network = Network::of(peer);
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.connections >= self.0.connections_max.load(Ordering::Relaxed) {
            return Err(RefusedWhy::Connections);
        }
        let count = open.networks.get(&network).copied().unwrap_or(0);
        if count >= self.0.per_network_max.load(Ordering::Relaxed) {
            return Err(RefusedWhy::Network);
        }
        open.connections += 1;
        open.networks.insert(network, count + 1);
        drop(open);
        Ok(Permit { limits: Arc::clone(&self.0), network })
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).connections
    }
}

impl Permit {
    /// Counts the connection for another client: the one for whom a proxy has opened it.
    ///
    /// # Errors
    /// That client's network has as many as it may; the connection stays counted where it was.
    pub fn hand_over(&mut self, client: IpAddr) -> Result<(), RefusedWhy> {
        let network = Network::of(client);
        if network == self.network {
            return Ok(());
        }
        let mut open = self.limits.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.networks.get(&network).copied().unwrap_or(0);
        if count >= self.limits.per_network_max.load(Ordering::Relaxed) {
            return Err(RefusedWhy::Network);
        }
        open.networks.insert(network, count + 1);
        open.leave(self.network);
        drop(open);
        self.network = network;
        Ok(())
    }
}

impl Open {
    fn leave(&mut self, network: Network) {
        match self.networks.get_mut(&network) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.networks.remove(&network)),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.limits.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.connections -= 1;
        open.leave(self.network);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_group_addresses() {
        let of = |text: &str| Network::of(text.parse().unwrap());
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1:2:3"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("2001:db8:0:1::9").to_string(), "2001:db8:0:1::/64");
    }

    #[test]
    fn permits_come_back_and_the_table_empties() {
        let limits = ConnectionLimits::new(3, 2);
        let [one, two] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let first = limits.admit(one).unwrap();
        let second = limits.admit(one).unwrap();
        assert_eq!(limits.admit(one).unwrap_err(), RefusedWhy::Network);
        let third = limits.admit(two).unwrap();
        assert_eq!(limits.admit(two).unwrap_err(), RefusedWhy::Connections);
        drop((first, third));
        assert_eq!(limits.open(), 1);
        let again = limits.admit(one).unwrap();
        drop((second, again));
        assert_eq!(limits.0.open.lock().unwrap().networks.len(), 0);
    }

    #[test]
    fn a_proxy_s_connections_count_for_its_clients() {
        let limits = ConnectionLimits::new(9, 1);
        let [proxy, client] = ["192.0.2.1", "203.0.113.9"].map(|text| text.parse::<IpAddr>().unwrap());
        let mut first = limits.admit(proxy).unwrap();
        first.hand_over(proxy).unwrap();
        first.hand_over(client).unwrap();
        let mut second = limits.admit(proxy).unwrap();
        assert_eq!(second.hand_over(client).unwrap_err(), RefusedWhy::Network);
        assert_eq!(limits.open(), 2);
        drop(first);
        second.hand_over(client).unwrap();
        drop(second);
        assert_eq!(limits.0.open.lock().unwrap().networks.len(), 0);
    }
}
