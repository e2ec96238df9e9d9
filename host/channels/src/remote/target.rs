//! From a next hop to the addresses to try, best first (RFC 5321 §5.1).

use std::net::{IpAddr, SocketAddr};

use dns::{MailHosts, Resolver};
use mail_types::{Domain, Lookup, NextHop};
use queue::{Outcome, Reach};

use crate::outcome::{deferred, failed};
use crate::remote::options::{Dialect, RemoteOptions};

/// One address to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The host's name, for TLS and the log.
    pub(crate) host: String,
    pub(crate) address: SocketAddr,
}

impl Target {
    /// As logs and reports name it: `host[address]:port`.
    pub(crate) fn remote(&self) -> String {
        let (ip, port) = (self.address.ip(), self.address.port());
        if self.host.starts_with('[') {
            format!("[{ip}]:{port}")
        } else {
            format!("{}[{ip}]:{port}", self.host)
        }
    }

    /// The name whose certificate is expected: addresses go without brackets.
    pub(crate) fn tls_name(&self) -> String {
        if self.host.starts_with('[') { self.address.ip().to_string() } else { self.host.clone() }
    }
}

/// The name that policies and credentials go by.
pub(crate) fn name_of(next_hop: &NextHop) -> Option<&Domain> {
    match next_hop {
        NextHop::Domain(domain) => Some(domain),
        NextHop::Host { host, .. } => Some(host),
        NextHop::Account(_)
        | NextHop::Mailbox { .. }
        | NextHop::Named { .. }
        | NextHop::Answer { .. }
        | NextHop::Nobody => None,
    }
}

/// The addresses of a next hop, or the outcome for everybody where there are none.
pub(crate) async fn targets(
    next_hop: &NextHop,
    options: &RemoteOptions,
    resolver: &dyn Resolver,
) -> Result<Vec<Target>, Outcome> {
    let (name, port) = match next_hop {
        NextHop::Domain(domain) if options.dialect == Dialect::Smtp => {
            return match resolver.mail_hosts(domain).await {
                Lookup::Found(hosts) => by_mail_hosts(domain, hosts, options.port),
                Lookup::NotFound => Err(inexistent(domain)),
                Lookup::Unavailable(why) => Err(unresolved(domain, why)),
            };
        }
        NextHop::Domain(domain) => (domain, None),
        NextHop::Host { host, port } => (host, *port),
        NextHop::Account(_)
        | NextHop::Mailbox { .. }
        | NextHop::Named { .. }
        | NextHop::Answer { .. }
        | NextHop::Nobody => {
            let text = "The route does not lead to another host";
            return Err(deferred((3, 5), text, "route without a host", Reach::Destination));
        }
    };
    match resolver.addresses(name).await {
        Lookup::Found(addresses) => {
            let port = port.unwrap_or(options.port);
            Ok(addresses.into_iter().map(|ip| target(name, ip, port)).collect())
        }
        // Named by the configuration or the directory, not by the sender: that is for us to mend, and the mail waits.
        Lookup::NotFound if matches!(next_hop, NextHop::Host { .. }) => {
            let text = "The next mail server is not found";
            Err(deferred((4, 4), text, format!("{name} is not in the DNS"), Reach::Destination))
        }
        Lookup::NotFound => Err(inexistent(name)),
        Lookup::Unavailable(why) => Err(unresolved(name, why)),
    }
}

fn by_mail_hosts(domain: &Domain, hosts: MailHosts, port: u16) -> Result<Vec<Target>, Outcome> {
    match hosts {
        MailHosts::Hosts(hosts) => Ok(hosts
            .iter()
            .flat_map(|mail_host| {
                let port = mail_host.port.unwrap_or(port);
                mail_host.addresses.iter().map(move |ip| target(&mail_host.host, *ip, port))
            })
            .collect()),
        // RFC 7505 §4.1, RFC 7504 §4.
        MailHosts::NullMx => {
            Err(failed(556, (1, 10), &format!("The domain {domain} takes no mail"), "null MX"))
        }
        MailHosts::OnlyOurselves => {
            let text = format!("The mail host of {domain} is this server, which does not know the domain");
            Err(failed(554, (4, 6), &text, "the best MX is ourselves"))
        }
        MailHosts::NoUsableHost => {
            let text = format!("None of the mail hosts of {domain} has an address");
            Err(failed(550, (4, 4), &text, "MX without addresses"))
        }
    }
}

fn inexistent(name: &Domain) -> Outcome {
    failed(550, (1, 2), &format!("The domain {name} does not exist, or takes no mail"), "not in the DNS")
}

fn unresolved(name: &Domain, why: String) -> Outcome {
    let text = format!("The address of {name} cannot be found out now");
    deferred((4, 3), &text, why, Reach::Destination)
}

fn target(host: &Domain, ip: IpAddr, port: u16) -> Target {
    Target { host: host.to_string(), address: SocketAddr::new(ip, port) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A DNS in which no name exists.
    struct Empty;

    impl Resolver for Empty {
        fn mail_hosts<'a>(&'a self, _: &'a Domain) -> dns::BoxFuture<'a, Lookup<MailHosts>> {
            Box::pin(async { Lookup::NotFound })
        }

        fn addresses<'a>(&'a self, _: &'a Domain) -> dns::BoxFuture<'a, Lookup<Vec<IpAddr>>> {
            Box::pin(async { Lookup::NotFound })
        }
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_fails_where_a_sender_wrote_it_and_waits_where_we_did() {
        let name = Domain::parse("there.test").unwrap();
        let (domain, host) = (NextHop::Domain(name.clone()), NextHop::Host { host: name, port: None });
        for (dialect, next_hop, code) in [
            (Dialect::Smtp, &domain, "550 5.1.2"),
            (Dialect::Lmtp, &domain, "550 5.1.2"),
            // A smart host, the mailHost of an entry, the host of a rule: an operator's slip loses nothing.
            (Dialect::Smtp, &host, "451 4.4.4"),
            (Dialect::Lmtp, &host, "451 4.4.4"),
        ] {
            let reply = match targets(next_hop, &RemoteOptions::new(dialect, "us.test"), &Empty).await {
                Err(
                    Outcome::Deferred { reply, reach: Reach::Destination, .. }
                    | Outcome::Failed { reply, .. },
                ) => reply.to_string(),
                other => panic!("{other:?}"),
            };
            assert!(reply.starts_with(code), "{dialect:?} {next_hop}: {reply}");
        }
    }
}
