//! Slowing down those who guess, without locking anybody out.
//!
//! Failures are counted per client network, and per account *from* a network; the counts drain
//! with time. Who guesses at an account from one network is refused there, while its owner gets in
//! from any other. A network from which an account got in before is exempt from the count of the
//! network: one forgotten phone behind an office's address does not shut out the office.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use mail_types::Timestamp;
use parking_lot::Mutex;

/// Limits of the throttle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThrottleOptions {
    /// Failures of one account from one network until it is refused there.
    pub account_failures_max: u32,
    /// Failures from one network, whatever the account, until it is refused.
    pub network_failures_max: u32,
    /// The time in which a full count drains.
    pub drain: Duration,
    /// Most counts, and most remembered networks of accounts, that are kept.
    pub entries_max: usize,
}

impl Default for ThrottleOptions {
    fn default() -> Self {
        Self {
            account_failures_max: 10,
            network_failures_max: 50,
            drain: Duration::from_secs(600),
            entries_max: 20_000,
        }
    }
}

/// A network: an IPv4 address, or the /64 of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network(IpAddr);

impl Network {
    fn of(peer: IpAddr) -> Self {
        match peer.to_canonical() {
            IpAddr::V6(v6) => Self(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into()),
            v4 => Self(v4),
        }
    }
}

/// An account is kept as a keyed digest: names of any length cost the same.
pub(crate) type AccountKey = [u8; 32];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Counted {
    Network(Network),
    Account(AccountKey, Network),
}

/// A count that drains: its level at a time.
#[derive(Debug, Clone, Copy)]
struct Level {
    level: f64,
    at: Timestamp,
}

#[derive(Debug, Default)]
struct Tables {
    counts: HashMap<Counted, Level>,
    /// When an account last got in from a network.
    known: HashMap<(AccountKey, Network), Timestamp>,
}

/// The throttle. Bounded; what is dropped when it is full are the emptiest counts.
#[derive(Debug)]
pub(crate) struct Throttle {
    options: ThrottleOptions,
    tables: Mutex<Tables>,
}

impl Throttle {
    pub(crate) fn new(options: ThrottleOptions) -> Self {
        Self { options, tables: Mutex::new(Tables::default()) }
    }

    /// Whether a try may be made now.
    pub(crate) fn admits(&self, account: &AccountKey, peer: IpAddr, now: Timestamp) -> bool {
        let network = Network::of(peer);
        let tables = self.tables.lock();
        let full = |counted, max| self.level(&tables, counted, max, now) > f64::from(max) - 0.5;
        if full(Counted::Account(*account, network), self.options.account_failures_max) {
            return false;
        }
        tables.known.contains_key(&(*account, network))
            || !full(Counted::Network(network), self.options.network_failures_max)
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, account: &AccountKey, peer: IpAddr, now: Timestamp) {
        let network = Network::of(peer);
        let mut tables = self.tables.lock();
        for (counted, max) in [
            (Counted::Account(*account, network), self.options.account_failures_max),
            (Counted::Network(network), self.options.network_failures_max),
        ] {
            let level = (self.level(&tables, counted, max, now) + 1.0).min(f64::from(max));
            self.make_room(&mut tables, now);
            tables.counts.insert(counted, Level { level, at: now });
        }
    }

    /// Forgets the account's failures from there, and remembers the network.
    pub(crate) fn succeeded(&self, account: &AccountKey, peer: IpAddr, now: Timestamp) {
        let network = Network::of(peer);
        let mut tables = self.tables.lock();
        tables.counts.remove(&Counted::Account(*account, network));
        if tables.known.len() >= self.options.entries_max && !tables.known.contains_key(&(*account, network))
        {
            // Half of them by age, so that it happens seldom.
            let mut times: Vec<Timestamp> = tables.known.values().copied().collect();
            let middle = times.len() / 2;
            let (_, oldest_kept, _) = times.select_nth_unstable(middle);
            let oldest_kept = *oldest_kept;
            tables.known.retain(|_, at| *at > oldest_kept);
        }
        tables.known.insert((*account, network), now);
    }

    fn level(&self, tables: &Tables, counted: Counted, max: u32, now: Timestamp) -> f64 {
        tables.counts.get(&counted).map_or(0.0, |level| self.drained(*level, max, now))
    }

    fn drained(&self, level: Level, max: u32, now: Timestamp) -> f64 {
        let drain = self.options.drain.as_secs_f64().max(1.0);
        let drained = f64::from(max) * now.since(level.at).as_secs_f64() / drain;
        (level.level - drained).max(0.0)
    }

    /// Drops counts that have drained; if that is not enough, the emptier half.
    fn make_room(&self, tables: &mut Tables, now: Timestamp) {
        if tables.counts.len() < self.options.entries_max {
            return;
        }
        let current = |counted: &Counted, level: &Level| {
            let max = match counted {
                Counted::Network(_) => self.options.network_failures_max,
                Counted::Account(..) => self.options.account_failures_max,
            };
            self.drained(*level, max, now) / f64::from(max.max(1))
        };
        tables.counts.retain(|counted, level| current(counted, level) > 0.0);
        if tables.counts.len() < self.options.entries_max {
            return;
        }
        let mut levels: Vec<f64> =
            tables.counts.iter().map(|(counted, level)| current(counted, level)).collect();
        let middle = levels.len() / 2;
        let (_, median, _) = levels.select_nth_unstable_by(middle, f64::total_cmp);
        let median = *median;
        tables.counts.retain(|counted, level| current(counted, level) > median);
    }

    #[cfg(test)]
    fn len(&self) -> (usize, usize) {
        let tables = self.tables.lock();
        (tables.counts.len(), tables.known.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: AccountKey = [1; 32];
    const B: AccountKey = [2; 32];

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn minutes(n: u64) -> Timestamp {
        Timestamp(n * 60_000)
    }

    #[test]
    fn guessing_is_refused_where_it_comes_from_and_nowhere_else() {
        let throttle = Throttle::new(ThrottleOptions::default());
        for _ in 0..10 {
            assert!(throttle.admits(&A, ip("192.0.2.1"), minutes(0)));
            throttle.failed(&A, ip("192.0.2.1"), minutes(0));
        }
        assert!(!throttle.admits(&A, ip("192.0.2.1"), minutes(0)));
        assert!(throttle.admits(&A, ip("192.0.2.2"), minutes(0)));
        assert!(throttle.admits(&B, ip("192.0.2.1"), minutes(0)));
        // One try comes back each minute.
        assert!(throttle.admits(&A, ip("192.0.2.1"), minutes(1)));
        throttle.failed(&A, ip("192.0.2.1"), minutes(1));
        assert!(!throttle.admits(&A, ip("192.0.2.1"), minutes(1)));
        throttle.succeeded(&A, ip("192.0.2.1"), minutes(2));
        assert!(throttle.admits(&A, ip("192.0.2.1"), minutes(2)));
    }

    #[test]
    fn a_network_that_sprays_is_refused_but_not_for_those_it_is_known_to() {
        let throttle = Throttle::new(ThrottleOptions::default());
        throttle.succeeded(&A, ip("2001:db8::1"), minutes(0));
        for n in 0..50 {
            throttle.failed(&[n + 10; 32], ip("2001:db8::2"), minutes(1));
        }
        assert!(!throttle.admits(&B, ip("2001:db8::3"), minutes(1)));
        assert!(throttle.admits(&A, ip("2001:db8::4"), minutes(1)));
        assert!(throttle.admits(&B, ip("2001:db8:0:1::1"), minutes(1)));
        assert!(throttle.admits(&B, ip("2001:db8::3"), minutes(11)));
    }

    #[test]
    fn it_is_bounded() {
        let throttle = Throttle::new(ThrottleOptions { entries_max: 100, ..ThrottleOptions::default() });
        for n in 0..2_000_u32 {
            let peer = IpAddr::from(n.to_be_bytes());
            throttle.failed(&A, peer, minutes(0));
            throttle.succeeded(&A, peer, minutes(u64::from(n)));
        }
        let (counts, known) = throttle.len();
        assert!(counts <= 101 && known <= 100, "{counts} {known}");
        assert!(throttle.admits(&A, ip("192.0.2.1"), minutes(0)));
    }
}
