//! How LDAP servers are reached, as the configuration says it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Most servers in each list.
pub const SERVERS_MAX: usize = 16;
/// Most bases.
pub const BASES_MAX: usize = 64;

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Not at all: for the loopback and closed networks.
    None,
    /// By StartTLS (RFC 4511 §4.14) on the plain port.
    StartTls,
    /// By TLS from the first octet (`ldaps://`).
    Tls,
}

/// A server: `ldap://host[:port]` or `ldaps://host[:port]` (RFC 4516, without anything after the host).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    /// Whether it is `ldaps`.
    pub tls: bool,
    /// Name or address, as written.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (tls, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("ldap") => (false, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("ldaps") => (true, rest),
            _ => return Err(format!("{text:?} does not begin with ldap:// or ldaps://")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let bracketed =
            rest.starts_with('[').then(|| rest.find(']').map(|at| rest.split_at(at + 1))).flatten();
        let (host, port) = match bracketed {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
        if host.is_empty() || !host.chars().all(is_plain) {
            return Err(format!("{text:?} names no host: write it as ldap://host:port, without a base"));
        }
        let usual = if tls { 636 } else { 389 };
        let port = port.map_or(Ok(usual), |port| port.parse().map_err(|_| format!("{port:?} is no port")))?;
        Ok(Self { tls, host: host.to_owned(), port })
    }
}

impl ServerUrl {
    /// Whether both are the same server, reached the same way.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (self.tls, self.port) == (other.tls, other.port) && self.host.eq_ignore_ascii_case(&other.host)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "ldaps" } else { "ldap" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// What becomes of an answer that is continued on another server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Referrals {
    /// The operation fails, with the address of the other server.
    Refuse,
    /// What lies elsewhere counts as not there.
    Ignore,
    /// The other server is asked, if the operator named it (RFC 4511 §4.1.10).
    Follow,
}

/// How the servers are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LdapOptions {
    /// The servers, the preferred one first (R4).
    pub servers: Vec<ServerUrl>,
    /// Servers that are asked only where one of the others points to them, by the same rules.
    pub referral_servers: Vec<ServerUrl>,
    /// Whether plain connections are turned into TLS before anything else is said.
    pub start_tls: bool,
    /// The authorities that a server's certificate must come from; the machine's where absent.
    pub authorities: Option<PathBuf>,
    /// As whom we bind; nobody where absent.
    pub bind_dn: Option<String>,
    /// The file with the password.
    pub password_file: Option<PathBuf>,
    /// How long a connection may take to be made, with TLS and bind.
    pub connect_timeout: Duration,
    /// How long a server may take for one answer.
    pub operation_timeout: Duration,
    /// Connections at a time.
    pub connections_max: usize,
    /// Entries in one page (RFC 2696).
    pub page_size: u16,
    /// What becomes of referrals.
    pub referrals: Referrals,
}

impl LdapOptions {
    /// How a connection to that server is protected.
    #[must_use]
    pub fn protection(&self, server: &ServerUrl) -> Protection {
        match (server.tls, self.start_tls) {
            (true, _) => Protection::Tls,
            (false, true) => Protection::StartTls,
            (false, false) => Protection::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_they_are_written() {
        for (text, shown) in [
            ("ldap://dir.example.org", "ldap://dir.example.org:389"),
            ("LDAPS://dir.example.org/", "ldaps://dir.example.org:636"),
            ("ldap://127.0.0.1:10389", "ldap://127.0.0.1:10389"),
            ("ldap://[::1]:10389", "ldap://[::1]:10389"),
            ("ldaps://[2001:db8::1]", "ldaps://[2001:db8::1]:636"),
        ] {
            assert_eq!(text.parse::<ServerUrl>().map(|url| url.to_string()).as_deref(), Ok(shown), "{text}");
        }
        for text in
            ["", "dir.example.org", "http://x", "ldap://", "ldap://x/o=isp", "ldap://x:y", "ldap://a b"]
        {
            assert!(text.parse::<ServerUrl>().is_err(), "{text}");
        }
    }
}
