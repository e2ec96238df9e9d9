//! The static host table: which hosts take a domain's mail, whatever the DNS says.

use std::collections::HashMap;
use std::net::IpAddr;

use mail_types::Domain;

/// Hosts that one row may name.
const ROW_MAX: usize = 20;

/// Why a row is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The key is no domain.
    #[error("{0:?} is not a domain, a \".domain\" (everything under it) or \"*\"")]
    Key(String),
    /// A value is no host.
    #[error("{0:?} is not host, host:port, address:port or [address]:port")]
    Host(String),
    /// Not between one and the maximum of hosts.
    #[error("{0:?} names {1} hosts; there may be 1 to {ROW_MAX}")]
    Count(String, usize),
}

/// Host and port of a row, or of a configured next hop.
pub(crate) type HostPort = (Domain, Option<u16>);

/// The table. The most exact row wins: the domain itself, then `.parent` rows from the nearest parent
/// on, then `*`. A row stands for MX *and* address lookups of its key.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    exact: HashMap<Domain, Vec<HostPort>>,
    under: HashMap<Domain, Vec<HostPort>>,
    all: Option<Vec<HostPort>>,
}

impl Hosts {
    /// No rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row: a domain, `.domain` for everything under it, or `*`; and its hosts, best first, each
    /// `host`, `host:port`, `192.0.2.1:port` or `[2001:db8::1]:port`.
    ///
    /// # Errors
    /// Key or host is not valid.
    pub fn insert(&mut self, key: &str, hosts: &[impl AsRef<str>]) -> Result<(), HostError> {
        if hosts.is_empty() || hosts.len() > ROW_MAX {
            return Err(HostError::Count(key.to_owned(), hosts.len()));
        }
        let row = hosts.iter().map(|text| host_and_port(text.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let domain = |text: &str| Domain::parse(text).map_err(|_| HostError::Key(key.to_owned()));
        match key.strip_prefix('.') {
            Some(parent) => drop(self.under.insert(domain(parent)?, row)),
            None if key == "*" => self.all = Some(row),
            None => drop(self.exact.insert(domain(key)?, row)),
        }
        Ok(())
    }

    pub(crate) fn find(&self, domain: &Domain) -> Option<&[HostPort]> {
        self.find_row(domain).map(|(_, row)| row)
    }

    /// The key of the row that a domain's mail goes by, as [`Hosts::insert`] takes it, for people.
    #[must_use]
    pub fn key_of(&self, domain: &Domain) -> Option<String> {
        self.find_row(domain).map(|(key, _)| key)
    }

    fn find_row(&self, domain: &Domain) -> Option<(String, &[HostPort])> {
        if let Some(row) = self.exact.get(domain) {
            return Some((domain.to_string(), row));
        }
        if !self.under.is_empty() {
            let mut parent = domain.parent();
            while let Some(name) = parent {
                if let Some(row) = self.under.get(&name) {
                    return Some((format!(".{name}"), row));
                }
                parent = name.parent();
            }
        }
        self.all.as_deref().map(|row| ("*".to_owned(), row))
    }

    /// The addresses of a row whose hosts are all given by address; names in it are for the DNS.
    pub(crate) fn addresses(&self, host: &Domain) -> Option<Vec<IpAddr>> {
        let row = self.exact.get(host)?;
        let addresses: Vec<IpAddr> = row.iter().filter_map(|(host, _)| host.as_ip()).collect();
        (!addresses.is_empty()).then_some(addresses)
    }
}

pub(crate) fn host_and_port(text: &str) -> Result<HostPort, HostError> {
    let error = || HostError::Host(text.to_owned());
    let number = |digits: &str| digits.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(error);
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']').ok_or_else(error)? {
            (inner, "") => (inner, None),
            (inner, after) => (inner, Some(number(after.strip_prefix(':').ok_or_else(error)?)?)),
        },
        // More than one colon without brackets can only be an IPv6 address.
        None => match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(number(port)?)),
            _ => (text, None),
        },
    };
    let host = host.get(..5).filter(|tag| tag.eq_ignore_ascii_case("ipv6:")).map_or(host, |_| &host[5..]);
    let domain = match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => Domain::parse(&format!("[{v4}]")),
        Ok(IpAddr::V6(v6)) => Domain::parse(&format!("[ipv6:{v6}]")),
        Err(_) => Domain::parse(host),
    };
    domain.map(|domain| (domain, port)).map_err(|_| error())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    #[test]
    fn hosts_are_read_in_every_form() {
        let read = |text: &str| host_and_port(text).map(|(host, port)| (host.to_string(), port)).ok();
        let some = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(read("MX.example.org"), some("mx.example.org", None));
        assert_eq!(read("mx.example.org:2525"), some("mx.example.org", Some(2525)));
        assert_eq!(read("127.0.0.1:2526"), some("[127.0.0.1]", Some(2526)));
        assert_eq!(read("[127.0.0.1]:2526"), some("[127.0.0.1]", Some(2526)));
        assert_eq!(read("[::1]:25"), some("[ipv6:::1]", Some(25)));
        assert_eq!(read("[IPv6:2001:db8::1]"), some("[ipv6:2001:db8::1]", None));
        assert_eq!(read("2001:db8::1"), some("[ipv6:2001:db8::1]", None));
        for bad in ["", "a b", "mx:0", "mx:99999", "mx:", "[::1", "[::1]25", "-x.test"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_most_exact_row_wins() {
        let mut hosts = Hosts::new();
        for (key, host) in [("a.test", "exact"), (".a.test", "under-a"), (".test", "under"), ("*", "all")] {
            hosts.insert(key, &[host]).unwrap();
        }
        let find = |text: &str| hosts.find(&domain(text)).unwrap()[0].0.to_string();
        assert_eq!(find("A.test"), "exact");
        assert_eq!(find("x.y.a.test"), "under-a");
        assert_eq!(find("b.test"), "under");
        assert_eq!(find("test"), "all");
        let key = |text: &str| hosts.key_of(&domain(text)).unwrap();
        assert_eq!([key("A.test"), key("x.a.test"), key("test")], ["a.test", ".a.test", "*"]);
        assert_eq!(Hosts::new().find(&domain("a.test")), None);
    }

    #[test]
    fn bad_rows_are_refused() {
        let mut hosts = Hosts::new();
        assert!(matches!(hosts.insert("not a domain", &["mx"]), Err(HostError::Key(_))));
        assert!(matches!(hosts.insert("a.test", &["not a host"]), Err(HostError::Host(_))));
        assert!(matches!(hosts.insert("a.test", &[""; 0]), Err(HostError::Count(_, 0))));
    }
}
