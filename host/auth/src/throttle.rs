//! Slowing down those who guess, without locking anybody out.
//!
//! Failures are counted per client network, and per account *from* a network; the counts drain
//! with time. Who guesses at an account from one network is refused there, while its owner gets in
//! from any other. A network from which an account got in before is exempt from the count of the
//! network: one forgotten phone behind an office's address does not shut out the office.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

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
#[derive(Debug, Clone)]
struct Level {
    level: f64,
    at: Duration,
    /// The login that it is about, as far as it is shown; none for a network.
    login: Option<Box<str>>,
}

/// Octets of a login that are kept for whoever looks at the counts.
const LOGIN_SHOWN_MAX: usize = 64;

/// A count, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginCount {
    /// From where: an IPv4 address, or the first of an IPv6 /64.
    pub network: IpAddr,
    /// The login, cut off where it is long; none for all log-ins from the network.
    pub login: Option<String>,
    /// Wrong passwords, less what has drained since.
    pub failures: u32,
    /// So many and it is refused.
    pub failures_max: u32,
    /// How long it is refused yet, where it is: then one try is admitted again, later more.
    pub refused_for: Option<Duration>,
}

#[derive(Debug, Default)]
struct Tables {
    counts: HashMap<Counted, Level>,
    /// When an account last got in from a network.
    known: HashMap<(AccountKey, Network), Duration>,
}

/// The throttle. Its times are those of a clock that nobody sets: a machine's that is set back would hold counts where they are
/// until it has caught up. Bounded; what is dropped when it is full are the emptiest counts.
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
    pub(crate) fn admits(&self, account: &AccountKey, peer: IpAddr, now: Duration) -> bool {
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
    pub(crate) fn failed(&self, account: &AccountKey, login: &str, peer: IpAddr, now: Duration) {
        let network = Network::of(peer);
        let mut tables = self.tables.lock();
        for (counted, max) in [
            (Counted::Account(*account, network), self.options.account_failures_max),
            (Counted::Network(network), self.options.network_failures_max),
        ] {
            let level = (self.level(&tables, counted, max, now) + 1.0).min(f64::from(max));
            self.make_room(&mut tables, now);
            let login = match counted {
                Counted::Account(..) => Some(login[..login.floor_char_boundary(LOGIN_SHOWN_MAX)].into()),
                Counted::Network(_) => None,
            };
            tables.counts.insert(counted, Level { level, at: now, login });
        }
    }

    /// Forgets the account's failures from there, and remembers the network.
    pub(crate) fn succeeded(&self, account: &AccountKey, peer: IpAddr, now: Duration) {
        let network = Network::of(peer);
        let mut tables = self.tables.lock();
        tables.counts.remove(&Counted::Account(*account, network));
        if tables.known.len() >= self.options.entries_max && !tables.known.contains_key(&(*account, network))
        {
            // Half of them by age, so that it happens seldom.
            let mut times: Vec<Duration> = tables.known.values().copied().collect();
            let middle = times.len() / 2;
            let (_, oldest_kept, _) = times.select_nth_unstable(middle);
            let oldest_kept = *oldest_kept;
            tables.known.retain(|_, at| *at > oldest_kept);
        }
        tables.known.insert((*account, network), now);
    }

    /// The counts that have not drained, the fullest first.
    pub(crate) fn counts(&self, now: Duration) -> Vec<LoginCount> {
        let tables = self.tables.lock();
        let mut counts: Vec<(f64, LoginCount)> = tables
            .counts
            .iter()
            .filter_map(|(counted, level)| {
                let (Counted::Network(network) | Counted::Account(_, network)) = *counted;
                let max = self.max(counted);
                let left = self.drained(level, max, now);
                let over = left - (f64::from(max) - 0.5);
                let a_unit = self.options.drain.as_secs_f64().max(1.0) / f64::from(max.max(1));
                let count = LoginCount {
                    network: network.0,
                    login: level.login.as_deref().map(str::to_owned),
                    failures: left.ceil() as u32,
                    failures_max: max,
                    refused_for: (over > 0.0).then(|| Duration::from_secs_f64(over * a_unit)),
                };
                (left > 0.0).then(|| (left / f64::from(max.max(1)), count))
            })
            .collect();
        counts.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        counts.into_iter().map(|(_, count)| count).collect()
    }

    /// Forgets what is counted of a network and of all accounts from there; how many counts.
    pub(crate) fn forget_network(&self, peer: IpAddr) -> usize {
        let wanted = Network::of(peer);
        self.forget(|counted| {
            let (Counted::Network(network) | Counted::Account(_, network)) = counted;
            *network == wanted
        })
    }

    /// Forgets what is counted of an account, wherever from; how many counts.
    pub(crate) fn forget_account(&self, account: &AccountKey) -> usize {
        self.forget(|counted| matches!(counted, Counted::Account(key, _) if key == account))
    }

    /// Forgets all counts; how many.
    pub(crate) fn forget_all(&self) -> usize {
        self.forget(|_| true)
    }

    fn forget(&self, means: impl Fn(&Counted) -> bool) -> usize {
        let mut tables = self.tables.lock();
        let before = tables.counts.len();
        tables.counts.retain(|counted, _| !means(counted));
        before - tables.counts.len()
    }

    fn max(&self, counted: &Counted) -> u32 {
        match counted {
            Counted::Network(_) => self.options.network_failures_max,
            Counted::Account(..) => self.options.account_failures_max,
        }
    }

    fn level(&self, tables: &Tables, counted: Counted, max: u32, now: Duration) -> f64 {
        tables.counts.get(&counted).map_or(0.0, |level| self.drained(level, max, now))
    }

    fn drained(&self, level: &Level, max: u32, now: Duration) -> f64 {
        let drain = self.options.drain.as_secs_f64().max(1.0);
        let drained = f64::from(max) * now.saturating_sub(level.at).as_secs_f64() / drain;
        (level.level - drained).max(0.0)
    }

    /// Drops counts that have drained; if that is not enough, the emptier half.
    fn make_room(&self, tables: &mut Tables, now: Duration) {
        if tables.counts.len() < self.options.entries_max {
            return;
        }
        let current = |counted: &Counted, level: &Level| {
            let max = self.max(counted);
            self.drained(level, max, now) / f64::from(max.max(1))
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

    fn minutes(n: u64) -> Duration {
        Duration::from_secs(n * 60)
    }

    #[test]
    fn guessing_is_refused_where_it_comes_from_and_nowhere_else() {
        let throttle = Throttle::new(ThrottleOptions::default());
        for _ in 0..10 {
            assert!(throttle.admits(&A, ip("192.0.2.1"), minutes(0)));
            throttle.failed(&A, "a", ip("192.0.2.1"), minutes(0));
        }
        assert!(!throttle.admits(&A, ip("192.0.2.1"), minutes(0)));
        assert!(throttle.admits(&A, ip("192.0.2.2"), minutes(0)));
        assert!(throttle.admits(&B, ip("192.0.2.1"), minutes(0)));
        // One try comes back each minute.
        assert!(throttle.admits(&A, ip("192.0.2.1"), minutes(1)));
        throttle.failed(&A, "a", ip("192.0.2.1"), minutes(1));
        assert!(!throttle.admits(&A, ip("192.0.2.1"), minutes(1)));
        throttle.succeeded(&A, ip("192.0.2.1"), minutes(2));
        assert!(throttle.admits(&A, ip("192.0.2.1"), minutes(2)));
    }

    #[test]
    fn a_network_that_sprays_is_refused_but_not_for_those_it_is_known_to() {
        let throttle = Throttle::new(ThrottleOptions::default());
        throttle.succeeded(&A, ip("2001:db8::1"), minutes(0));
        for n in 0..50 {
            throttle.failed(&[n + 10; 32], "a", ip("2001:db8::2"), minutes(1));
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
            throttle.failed(&A, "a", peer, minutes(0));
            throttle.succeeded(&A, peer, minutes(u64::from(n)));
        }
        let (counts, known) = throttle.len();
        assert!(counts <= 101 && known <= 100, "{counts} {known}");
        assert!(throttle.admits(&A, ip("192.0.2.1"), minutes(0)));
    }

    #[test]
    fn counts_are_shown_and_forgotten() {
        let throttle = Throttle::new(ThrottleOptions::default());
        for _ in 0..10 {
            throttle.failed(&A, "anna", ip("2001:db8::1"), minutes(0));
        }
        throttle.failed(&B, "ben", ip("192.0.2.1"), minutes(0));
        let counts = throttle.counts(minutes(0));
        let shown: Vec<_> = counts.iter().map(|one| (one.login.as_deref(), one.failures)).collect();
        assert_eq!(shown[..2], [(Some("anna"), 10), (None, 10)]);
        assert_eq!(counts[0].network, ip("2001:db8::"));
        assert_eq!(counts[0].refused_for, Some(Duration::from_secs(30)), "half a failure has to drain");
        assert_eq!((counts.len(), counts[1].refused_for), (4, None));
        assert!(!throttle.admits(&A, ip("2001:db8::2"), minutes(0)));
        assert_eq!(throttle.forget_account(&A), 1);
        assert!(throttle.admits(&A, ip("2001:db8::2"), minutes(0)));
        assert_eq!(throttle.forget_network(ip("2001:db8::3")), 1);
        assert_eq!(throttle.forget_network(ip("192.0.2.1")), 2);
        assert_eq!((throttle.counts(minutes(0)).len(), throttle.forget_all()), (0, 0));
    }
}
