//! Which hosts take a domain's mail, in which order (RFC 5321 §5.1).

use std::net::IpAddr;

use mail_types::Domain;
use runtime::Random;

/// Hosts that are looked at for one domain; those behind are hardly ever reached.
pub(crate) const HOSTS_MAX: usize = 20;
/// Addresses that are kept of one host.
pub(crate) const ADDRESSES_MAX: usize = 16;

/// A host that takes mail for a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailHost {
    /// Its rank; lower is better.
    pub preference: u16,
    /// Its name, or the address literal by which it was given.
    pub host: Domain,
    /// Its port, where the static table names one.
    pub port: Option<u16>,
    /// Its addresses, best first; at least one.
    pub addresses: Vec<IpAddr>,
}

/// What is known of a domain that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailHosts {
    /// Hosts, best first; at least one.
    Hosts(Vec<MailHost>),
    /// It says that it takes no mail: a null MX (RFC 7505 §3).
    NullMx,
    /// We are its best mail host ourselves, and do not know it as local: a loop (RFC 5321 §5.1).
    OnlyOurselves,
    /// It names hosts, but none of them has an address (RFC 5321 §5.1: an error).
    NoUsableHost,
}

/// The names and addresses by which we are known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ourselves {
    pub(crate) names: Vec<Domain>,
    pub(crate) addresses: Vec<IpAddr>,
}

impl Ourselves {
    fn is(&self, host: &MailHost) -> bool {
        self.names.contains(&host.host)
            || host.addresses.iter().any(|ip| ip.is_loopback() || self.addresses.contains(ip))
    }
}

/// An MX record: preference and host. None is the root: "no host".
pub(crate) type Mx = (u16, Option<Domain>);

/// Best first, equals in random order (RFC 5321 §5.1 asks to spread the load).
pub(crate) fn rank(mut records: Vec<(u16, Domain)>, random: &Random) -> Vec<(u16, Domain)> {
    random.shuffle(&mut records);
    records.sort_by_key(|(preference, _)| *preference);
    records.truncate(HOSTS_MAX);
    records
}

/// Takes the records apart: the named hosts, or the domain's word that it has none. A root among others
/// is against RFC 7505 §3, and says nothing.
pub(crate) fn named(records: Vec<Mx>) -> Option<Vec<(u16, Domain)>> {
    let named: Vec<_> =
        records.into_iter().filter_map(|(preference, host)| Some((preference, host?))).collect();
    (!named.is_empty()).then_some(named)
}

/// Drops ourselves and everything that is not better than us, and hosts without an address. The hosts
/// come ranked.
pub(crate) fn usable(mut hosts: Vec<MailHost>, ourselves: &Ourselves) -> MailHosts {
    if let Some(own) = hosts.iter().position(|host| ourselves.is(host)) {
        let limit = hosts[own].preference;
        hosts.retain(|host| host.preference < limit);
        if hosts.is_empty() {
            return MailHosts::OnlyOurselves;
        }
    }
    for host in &mut hosts {
        host.addresses.retain(|ip| !ip.is_unspecified() && !ip.is_multicast());
        host.addresses.truncate(ADDRESSES_MAX);
    }
    hosts.retain(|host| !host.addresses.is_empty());
    if hosts.is_empty() { MailHosts::NoUsableHost } else { MailHosts::Hosts(hosts) }
}

/// Alternates the families, IPv6 first, so that one that is cut off costs little; within a family the
/// name server's order stays.
pub(crate) fn alternate(v6: Vec<IpAddr>, v4: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut all = Vec::with_capacity(v6.len() + v4.len());
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    loop {
        let before = all.len();
        all.extend(v6.next());
        all.extend(v4.next());
        if all.len() == before {
            return all;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    fn host(preference: u16, name: &str, addresses: &[&str]) -> MailHost {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        MailHost { preference, host: domain(name), port: None, addresses }
    }

    fn names(hosts: &MailHosts) -> Vec<&str> {
        match hosts {
            MailHosts::Hosts(hosts) => hosts.iter().map(|host| host.host.as_str()).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn better_preference_comes_first_and_equals_take_turns() {
        let records = || vec![(20, domain("c.test")), (10, domain("a.test")), (10, domain("b.test"))];
        let random = Random::seeded(1);
        let mut first = std::collections::BTreeSet::new();
        for _ in 0..50 {
            let ranked = rank(records(), &random);
            assert_eq!(ranked[2].1, domain("c.test"));
            first.insert(ranked[0].1.clone());
        }
        assert_eq!(first.len(), 2);
    }

    #[test]
    fn only_a_lone_root_is_a_null_mx() {
        assert_eq!(named(vec![(0, None)]), None);
        let mixed = vec![(0, None), (10, Some(domain("mx.test")))];
        assert_eq!(named(mixed), Some(vec![(10, domain("mx.test"))]));
    }

    #[test]
    fn ourselves_and_all_that_is_not_better_are_dropped() {
        let own = Ourselves { names: vec![domain("us.test")], addresses: vec!["192.0.2.9".parse().unwrap()] };
        let hosts = || {
            vec![
                host(5, "best.test", &["192.0.2.1"]),
                host(10, "equal.test", &["192.0.2.2"]),
                host(10, "us.test", &["192.0.2.3"]),
                host(20, "worse.test", &["192.0.2.4"]),
            ]
        };
        assert_eq!(names(&usable(hosts(), &own)), ["best.test"]);
        assert_eq!(usable(hosts().split_off(1), &own), MailHosts::OnlyOurselves);
        let by_address = vec![host(10, "alias.test", &["192.0.2.9"])];
        assert_eq!(usable(by_address, &own), MailHosts::OnlyOurselves);
        let loopback = vec![host(10, "trap.test", &["127.0.0.1"])];
        assert_eq!(usable(loopback, &own), MailHosts::OnlyOurselves);
    }

    #[test]
    fn hosts_without_a_usable_address_are_left_out() {
        let own = Ourselves::default();
        let hosts = vec![
            host(1, "none.test", &[]),
            host(2, "odd.test", &["0.0.0.0", "::", "224.0.0.1"]),
            host(3, "good.test", &["0.0.0.0", "192.0.2.1"]),
        ];
        assert_eq!(names(&usable(hosts.clone(), &own)), ["good.test"]);
        assert_eq!(usable(hosts[..2].to_vec(), &own), MailHosts::NoUsableHost);
    }

    #[test]
    fn families_alternate() {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let all = alternate(parse(&["2001:db8::1"]), parse(&["192.0.2.1", "192.0.2.2"]));
        assert_eq!(all, parse(&["2001:db8::1", "192.0.2.1", "192.0.2.2"]));
    }
}
