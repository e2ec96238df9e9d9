//! The port, and its implementation over table and DNS.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use hickory_resolver::proto::rr::{Name, RecordType};
use mail_types::{Domain, Lookup};
use runtime::Random;
use tokio::task::JoinSet;

use crate::client::{Answer, Client, DnsError, Servers, Watched};
use crate::hosts::{HostPort, Hosts, host_and_port};
use crate::mx::{MailHost, MailHosts, Ourselves, alternate, named, rank, usable};
use crate::table_source::MxSet;

/// A future on the heap, so that the port can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where mail goes, by name.
pub trait Resolver: Send + Sync + 'static {
    /// The hosts that take a domain's mail. `NotFound`: the domain does not exist, or has neither MX nor
    /// address. `Unavailable`: nobody could tell now.
    fn mail_hosts<'a>(&'a self, domain: &'a Domain) -> BoxFuture<'a, Lookup<MailHosts>>;

    /// The addresses of a host, without MX; at least one where found. A literal is its own address.
    fn addresses<'a>(&'a self, host: &'a Domain) -> BoxFuture<'a, Lookup<Vec<IpAddr>>>;
}

/// How names are resolved.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whom to ask.
    pub servers: Servers,
    /// The static table; it wins.
    pub hosts: Hosts,
    /// Our own names, as they may stand in MX records.
    pub own_names: Vec<Domain>,
    /// Our own addresses, as others see them; loopback always counts as ours.
    pub own_addresses: Vec<IpAddr>,
}

impl Default for Options {
    fn default() -> Self {
        let (own_names, own_addresses) = (Vec::new(), Vec::new());
        Self { servers: Servers::System, hosts: Hosts::new(), own_names, own_addresses }
    }
}

/// Table and DNS. Clones share the cache.
#[derive(Debug, Clone)]
pub struct Dns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    /// Of which nothing is remembered.
    anew: Client,
    hosts: Hosts,
    ourselves: Ourselves,
    random: Random,
}

impl Dns {
    /// Reads the machine's settings where told to. Blocks a moment; call inside the tokio runtime.
    ///
    /// # Errors
    /// The machine's settings cannot be used.
    pub fn new(options: Options, random: Random) -> Result<Self, DnsError> {
        let (client, anew) = (Client::new(&options.servers)?, Client::without_memory(&options.servers)?);
        let ourselves = Ourselves { names: options.own_names, addresses: options.own_addresses };
        Ok(Self(Arc::new(Inner { client, anew, hosts: options.hosts, ourselves, random })))
    }

    /// The records of a name as text: `A`, `AAAA`, `MX`, `TXT` or `PTR`; for `PTR` also of an address. `NotFound`:
    /// there are none.
    pub async fn query(&self, name: &str, kind: &str) -> Lookup<Vec<String>> {
        let kind = match kind {
            "A" => RecordType::A,
            "AAAA" => RecordType::AAAA,
            "MX" => RecordType::MX,
            "TXT" => RecordType::TXT,
            "PTR" => RecordType::PTR,
            _ => return Lookup::NotFound,
        };
        let reversed = match (kind, name.parse::<IpAddr>()) {
            (RecordType::PTR, Ok(address)) => Some(Name::from(address).to_ascii()),
            _ => None,
        };
        let name = reversed.as_deref().unwrap_or(name).trim_end_matches('.');
        let Ok(name) = Domain::parse(name) else { return Lookup::NotFound };
        match self.0.client.texts(&name, kind).await {
            Answer::Records(records) => Lookup::Found(records),
            Answer::NoData | Answer::NoName => Lookup::NotFound,
            Answer::Unavailable(why) => Lookup::Unavailable(why),
        }
    }

    /// The MX records of a domain as they are now, whatever was known of them before (R19). `NotFound`: there are none.
    pub async fn mx_now(&self, domain: &Domain) -> Lookup<MxSet> {
        match self.0.anew.watched(domain).await {
            Watched::Records(records, _) => Lookup::Found(MxSet(records)),
            Watched::Nothing(_) => Lookup::NotFound,
            Watched::Unavailable(why) => Lookup::Unavailable(why),
        }
    }

    /// These hosts, in their order, with their addresses: each `host`, `host:port`, `192.0.2.1:port` or
    /// `[2001:db8::1]:port`. One that is none of that is left out; where none is left, mail waits until that is mended.
    pub async fn hosts_named(&self, hosts: &[String]) -> Lookup<MailHosts> {
        let named: Vec<HostPort> =
            hosts.iter().filter_map(|text| host_and_port(text).ok()).take(crate::mx::HOSTS_MAX).collect();
        if named.is_empty() && !hosts.is_empty() {
            return Lookup::Unavailable(format!("{}: no name of a host", hosts.join(", ")));
        }
        self.static_hosts(&named).await
    }

    async fn resolve_mail_hosts(&self, domain: &Domain) -> Lookup<MailHosts> {
        if let Some(row) = self.0.hosts.find(domain) {
            return self.static_hosts(row).await;
        }
        if let Some(address) = domain.as_ip() {
            return Lookup::Found(MailHosts::Hosts(vec![literal(domain, address)]));
        }
        let records = match self.0.client.mx(domain).await {
            Answer::Records(records) if records.is_empty() => {
                return Lookup::Found(MailHosts::NoUsableHost);
            }
            Answer::Records(records) => records,
            // RFC 5321 §5.1: the implicit MX, preference 0.
            Answer::NoData => return self.implicit(domain).await,
            Answer::NoName => return Lookup::NotFound,
            Answer::Unavailable(why) => return Lookup::Unavailable(why),
        };
        let Some(hosts) = named(records) else { return Lookup::Found(MailHosts::NullMx) };
        let ranked = rank(hosts, &self.0.random);
        let (hosts, unavailable) = self.with_addresses(ranked).await;
        match (usable(hosts, &self.0.ourselves), unavailable) {
            // It may be that the missing host is the good one.
            (MailHosts::NoUsableHost, Some(why)) => Lookup::Unavailable(why),
            (hosts, _) => Lookup::Found(hosts),
        }
    }

    async fn implicit(&self, domain: &Domain) -> Lookup<MailHosts> {
        self.resolve_addresses(domain).await.map(|addresses| {
            let host = MailHost { preference: 0, host: domain.clone(), port: None, addresses };
            usable(vec![host], &self.0.ourselves)
        })
    }

    /// The table's word holds, even for our own addresses: that is what tests and split domains are.
    async fn static_hosts(&self, row: &[HostPort]) -> Lookup<MailHosts> {
        let mut hosts = Vec::with_capacity(row.len());
        let mut unavailable = None;
        for (preference, (host, port)) in (0_u16..).zip(row) {
            match self.resolve_addresses(host).await {
                Lookup::Found(addresses) => {
                    hosts.push(MailHost { preference, host: host.clone(), port: *port, addresses });
                }
                Lookup::NotFound => {}
                Lookup::Unavailable(why) => unavailable = Some(why),
            }
        }
        match (hosts.is_empty(), unavailable) {
            (false, _) => Lookup::Found(MailHosts::Hosts(hosts)),
            (true, Some(why)) => Lookup::Unavailable(why),
            (true, None) => Lookup::Found(MailHosts::NoUsableHost),
        }
    }

    /// Asks for all at once; the order stays. Gives why one was unavailable, too.
    async fn with_addresses(&self, ranked: Vec<(u16, Domain)>) -> (Vec<MailHost>, Option<String>) {
        let mut asking = JoinSet::new();
        for (place, (_, host)) in ranked.iter().enumerate() {
            let (this, host) = (self.clone(), host.clone());
            asking.spawn(async move { (place, this.resolve_addresses(&host).await) });
        }
        let host = |(preference, host)| MailHost { preference, host, port: None, addresses: Vec::new() };
        let mut hosts: Vec<MailHost> = ranked.into_iter().map(host).collect();
        let mut unavailable = None;
        while let Some(answer) = asking.join_next().await {
            match answer {
                Ok((place, Lookup::Found(addresses))) => hosts[place].addresses = addresses,
                Ok((_, Lookup::NotFound)) => {}
                Ok((_, Lookup::Unavailable(why))) => unavailable = Some(why),
                Err(error) => unavailable = Some(error.to_string()),
            }
        }
        (hosts, unavailable)
    }

    async fn resolve_addresses(&self, host: &Domain) -> Lookup<Vec<IpAddr>> {
        if let Some(address) = host.as_ip() {
            return Lookup::Found(vec![address]);
        }
        if let Some(addresses) = self.0.hosts.addresses(host) {
            return Lookup::Found(addresses);
        }
        let (v6, v4) = tokio::join!(self.0.client.v6(host), self.0.client.v4(host));
        let (v6, why6) = apart(v6);
        let (v4, why4) = apart(v4);
        let all = alternate(v6, v4);
        match (all.is_empty(), why4.or(why6)) {
            (false, _) => Lookup::Found(all),
            (true, Some(why)) => Lookup::Unavailable(why),
            (true, None) => Lookup::NotFound,
        }
    }
}

/// The records, and why there may be more.
fn apart(answer: Answer<IpAddr>) -> (Vec<IpAddr>, Option<String>) {
    match answer {
        Answer::Records(records) => (records, None),
        Answer::NoData | Answer::NoName => (Vec::new(), None),
        Answer::Unavailable(why) => (Vec::new(), Some(why)),
    }
}

fn literal(domain: &Domain, address: IpAddr) -> MailHost {
    MailHost { preference: 0, host: domain.clone(), port: None, addresses: vec![address] }
}

impl Resolver for Dns {
    fn mail_hosts<'a>(&'a self, domain: &'a Domain) -> BoxFuture<'a, Lookup<MailHosts>> {
        Box::pin(self.resolve_mail_hosts(domain))
    }

    fn addresses<'a>(&'a self, host: &'a Domain) -> BoxFuture<'a, Lookup<Vec<IpAddr>>> {
        Box::pin(self.resolve_addresses(host))
    }
}

#[cfg(test)]
mod tests;
