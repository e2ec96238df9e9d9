//! How remote channels behave, as the operator sets it.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use mail_types::Domain;
use runtime::TlsClient;

/// Which protocol a channel speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SMTP (RFC 5321): one reply for the whole message; MX records are followed.
    Smtp,
    /// LMTP (RFC 2033): one reply for each recipient; never by MX, never on port 25.
    Lmtp,
}

/// What is asked of the way to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsPolicy {
    /// Always in clear.
    Never,
    /// By STARTTLS where it is offered and works, else in clear (RFC 7435).
    #[default]
    Opportunistic,
    /// By STARTTLS with any certificate, or not at all.
    Required,
    /// By STARTTLS with a certificate for the host's name, or not at all.
    Verified,
}

/// How to present ourselves to a smart host (RFC 4954).
#[derive(Clone)]
pub struct Credentials {
    /// The name.
    pub login: String,
    /// The secret.
    pub password: String,
    /// Whether they may be sent without TLS.
    pub allow_clear: bool,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("login", &self.login).finish_non_exhaustive()
    }
}

/// The TLS that a channel uses; without one, TLS is never used and policies that demand it defer.
#[derive(Debug, Clone, Default)]
pub struct RemoteTls {
    /// Taking any certificate.
    pub opportunistic: Option<TlsClient>,
    /// Taking only certificates for the name.
    pub verified: Option<TlsClient>,
}

/// How long to wait for a peer (RFC 5321 §4.5.3.2: these are the minima that it names).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection.
    pub connect: Duration,
    /// For the greeting.
    pub greeting: Duration,
    /// For the reply to EHLO, STARTTLS, AUTH, MAIL, RCPT, RSET.
    pub command: Duration,
    /// For the reply to DATA.
    pub data: Duration,
    /// For each part of the content to be taken.
    pub block: Duration,
    /// For the reply after the content.
    pub end: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            greeting: Duration::from_secs(5 * 60),
            command: Duration::from_secs(5 * 60),
            data: Duration::from_secs(2 * 60),
            block: Duration::from_secs(3 * 60),
            end: Duration::from_secs(10 * 60),
        }
    }
}

/// How a remote channel behaves.
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// The protocol.
    pub dialect: Dialect,
    /// Our name in EHLO or LHLO.
    pub host_name: String,
    /// The port where the route names none.
    pub port: u16,
    /// Our address for IPv4 connections.
    pub bind_v4: Option<IpAddr>,
    /// Our address for IPv6 connections.
    pub bind_v6: Option<IpAddr>,
    /// TLS, where nothing else is said.
    pub tls_policy: TlsPolicy,
    /// TLS by mail domain or host: the next hop's name, or a parent of it.
    pub tls_policies: HashMap<Domain, TlsPolicy>,
    /// Credentials by next hop: the host or domain of the route.
    pub credentials: HashMap<Domain, Credentials>,
    /// Addresses tried in one attempt.
    pub tries_max: usize,
    /// How long an unused connection is kept.
    pub idle: Duration,
    /// Unused connections kept to one next hop.
    pub idle_per_destination: usize,
    /// Unused connections kept in all.
    pub idle_max: usize,
    /// Messages over one connection.
    pub messages_per_connection: u32,
    /// How long a host that failed is put behind others.
    pub failure_memory: Duration,
    /// Waits.
    pub timeouts: Timeouts,
}

impl RemoteOptions {
    /// The usual settings for a protocol.
    #[must_use]
    pub fn new(dialect: Dialect, host_name: &str) -> Self {
        Self {
            dialect,
            host_name: host_name.to_owned(),
            port: if dialect == Dialect::Smtp { 25 } else { 24 },
            bind_v4: None,
            bind_v6: None,
            tls_policy: TlsPolicy::default(),
            tls_policies: HashMap::new(),
            credentials: HashMap::new(),
            tries_max: 5,
            idle: Duration::from_secs(5),
            idle_per_destination: 20,
            idle_max: 500,
            messages_per_connection: 1000,
            failure_memory: Duration::from_secs(5 * 60),
            timeouts: Timeouts::default(),
        }
    }

    /// The policy for a next hop: its own, or its nearest parent's, or the common one.
    pub(crate) fn policy(&self, next_hop: &Domain) -> TlsPolicy {
        if self.tls_policies.is_empty() {
            return self.tls_policy;
        }
        let mut name = Some(next_hop.clone());
        while let Some(domain) = name {
            if let Some(policy) = self.tls_policies.get(&domain) {
                return *policy;
            }
            name = domain.parent();
        }
        self.tls_policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_policy_counts() {
        let domain = |text: &str| Domain::parse(text).unwrap();
        let mut options = RemoteOptions::new(Dialect::Smtp, "us.test");
        options.tls_policies.insert(domain("bank.test"), TlsPolicy::Verified);
        options.tls_policies.insert(domain("old.bank.test"), TlsPolicy::Never);
        assert_eq!(options.policy(&domain("mx.bank.test")), TlsPolicy::Verified);
        assert_eq!(options.policy(&domain("a.old.bank.test")), TlsPolicy::Never);
        assert_eq!(options.policy(&domain("test")), TlsPolicy::Opportunistic);
    }

    #[test]
    fn secrets_do_not_show() {
        let password = "hush".to_owned();
        let credentials = Credentials { login: "us".into(), password, allow_clear: false };
        assert!(!format!("{credentials:?}").contains("hush"));
    }
}
