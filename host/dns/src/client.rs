//! Questions to name servers, and what their answers mean.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as AnswerError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use mail_types::Domain;

use crate::mx::Mx;
use crate::record::absolute;
use crate::table_source::MxRecord;
use crate::transfer::plain;

/// How long a server may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The same where somebody asks who has [`crate::watch`]'s time for the whole question: other servers are to have a chance.
const TIMEOUT_WATCHING: Duration = Duration::from_secs(3);
/// How often a question is put again.
const ATTEMPTS: usize = 2;
/// How many answers are remembered.
const CACHE_MAX: u64 = 10_000;
/// How long an answer is remembered at most, whatever its owner says.
const TTL_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long "there is none" is remembered at most: people fix their DNS and expect mail to flow.
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(15 * 60);

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Servers {
    /// Those of the machine (`/etc/resolv.conf`).
    System,
    /// These.
    These(Vec<SocketAddr>),
    /// Nobody: only the static table answers; everything else is unavailable.
    Nobody,
}

/// Why no resolver can be set up.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The machine's settings cannot be used.
    #[error("the machine's name servers cannot be used (/etc/resolv.conf): {0}")]
    System(String),
}

/// One kind of records of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer<T> {
    /// At least one.
    Records(Vec<T>),
    /// The name exists, without such records.
    NoData,
    /// The name does not exist.
    NoName,
    /// Nobody answered the question.
    Unavailable(String),
}

#[derive(Debug, Clone)]
pub(crate) struct Client(Option<TokioResolver>);

/// The MX records of a domain, as somebody sees them who asks again when their time is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Watched {
    /// At least one, and how long they hold.
    Records(BTreeSet<MxRecord>, Duration),
    /// With authority: there are none. How long that holds.
    Nothing(Duration),
    /// Nobody answered the question.
    Unavailable(String),
}

impl Client {
    pub(crate) fn new(servers: &Servers) -> Result<Self, DnsError> {
        Self::remembering(servers, CACHE_MAX, TIMEOUT)
    }

    /// One that asks anew each time.
    pub(crate) fn without_memory(servers: &Servers) -> Result<Self, DnsError> {
        Self::remembering(servers, 0, TIMEOUT_WATCHING)
    }

    fn remembering(servers: &Servers, answers_max: u64, timeout: Duration) -> Result<Self, DnsError> {
        let system = |error: NetError| DnsError::System(error.to_string());
        let mut builder = match servers {
            Servers::Nobody => return Ok(Self(None)),
            Servers::System => TokioResolver::builder_tokio().map_err(system)?,
            Servers::These(addresses) => {
                let servers = addresses.iter().map(server).collect();
                let config = ResolverConfig::from_name_servers(servers);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        options.timeout = timeout;
        options.attempts = ATTEMPTS;
        options.cache_size = answers_max;
        options.positive_max_ttl = Some(TTL_MAX);
        options.negative_max_ttl = Some(NEGATIVE_TTL_MAX);
        options.edns0 = true;
        Ok(Self(Some(builder.build().map_err(system)?)))
    }

    /// The MX records of a domain. One whose name is no domain at all is left out, as a host without an address would be: where no
    /// other is left there are records all the same, and no implicit one (RFC 5321 §5.1).
    pub(crate) async fn mx(&self, domain: &Domain) -> Answer<Mx> {
        let answer = self.ask(domain, RecordType::MX, |data| match data {
            RData::MX(mx) if mx.exchange.is_root() => Some(Some((mx.preference, None))),
            RData::MX(mx) => {
                let name = mx.exchange.to_ascii();
                let host = Domain::parse(name.strip_suffix('.').unwrap_or(&name)).ok();
                Some(host.map(|host| (mx.preference, Some(host))))
            }
            _ => None,
        });
        match answer.await {
            Answer::Records(records) => Answer::Records(records.into_iter().flatten().collect()),
            Answer::NoData => Answer::NoData,
            Answer::NoName => Answer::NoName,
            Answer::Unavailable(why) => Answer::Unavailable(why),
        }
    }

    /// All MX records of a domain, as they were written, with their time to live.
    pub(crate) async fn watched(&self, domain: &Domain) -> Watched {
        let Some(resolver) = &self.0 else {
            return Watched::Unavailable("no name server is configured".to_owned());
        };
        let Ok(name) = absolute(domain.as_str()) else { return Watched::Nothing(TTL_MAX) };
        let seconds = |ttl: u32| Duration::from_secs(u64::from(ttl));
        match resolver.lookup(name, RecordType::MX).await {
            Ok(found) => {
                let mut ttl = TTL_MAX;
                let mut records = BTreeSet::new();
                for record in found.answers() {
                    ttl = ttl.min(seconds(record.ttl));
                    if let RData::MX(mx) = &record.data {
                        records.insert(MxRecord { preference: mx.preference, host: plain(&mx.exchange) });
                    }
                }
                // An answer with a CNAME alone: where it leads there are none.
                if records.is_empty() { Watched::Nothing(ttl) } else { Watched::Records(records, ttl) }
            }
            Err(error) => nothing(&error, domain),
        }
    }

    pub(crate) async fn v4(&self, host: &Domain) -> Answer<IpAddr> {
        self.ask(host, RecordType::A, |data| match data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            _ => None,
        })
        .await
    }

    pub(crate) async fn v6(&self, host: &Domain) -> Answer<IpAddr> {
        self.ask(host, RecordType::AAAA, |data| match data {
            RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
            _ => None,
        })
        .await
    }

    /// Records as text, as in a zone file.
    pub(crate) async fn texts(&self, name: &Domain, kind: RecordType) -> Answer<String> {
        self.ask(name, kind, |data| Some(data.to_string())).await
    }

    async fn ask<T>(&self, domain: &Domain, kind: RecordType, pick: fn(&RData) -> Option<T>) -> Answer<T> {
        let Some(resolver) = &self.0 else {
            return Answer::Unavailable("no name server is configured".to_owned());
        };
        // RFC 5321 §5.1: names are complete, search lists are not for relays.
        let Ok(mut name) = Name::from_ascii(domain.as_str()) else { return Answer::NoName };
        name.set_fqdn(true);
        match resolver.lookup(name, kind).await {
            Ok(found) => {
                let records: Vec<T> =
                    found.answers().iter().filter_map(|record| pick(&record.data)).collect();
                if records.is_empty() { Answer::NoData } else { Answer::Records(records) }
            }
            Err(error) => meaning(&error, domain, kind),
        }
    }
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let mut config = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut config.connections {
        let ConnectionConfig { port, .. } = connection;
        *port = address.port();
    }
    config
}

/// What the absence of MX records means. A name server proves its "no" by the SOA of the zone (RFC 2308 §2), which the name
/// is in; where it does not, it may know nothing at all. Of an alias, the name is the last one that was asked about.
fn nothing(error: &NetError, domain: &Domain) -> Watched {
    if let NetError::Dns(AnswerError::NoRecordsFound(none)) = error
        && matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError)
        && let Some(soa) = &none.soa
    {
        let name = none.query.name();
        if !soa.name.zone_of(name) {
            let why = format!("a \"no\" about {name} by the SOA of {}, which it is not in", soa.name);
            return Watched::Unavailable(format!("MX of {domain}: {why}"));
        }
        let ttl = none.negative_ttl.map_or(NEGATIVE_TTL_MAX, |ttl| Duration::from_secs(u64::from(ttl)));
        return Watched::Nothing(ttl.min(NEGATIVE_TTL_MAX));
    }
    Watched::Unavailable(format!("MX of {domain}: {}", said(error)))
}

/// An error in words: what a server answered that has nothing, or why it did not.
fn said(error: &NetError) -> String {
    match error {
        NetError::Dns(AnswerError::NoRecordsFound(none)) => {
            format!("the name server answers \"{}\", without the zone's SOA", none.response_code)
        }
        other => other.to_string(),
    }
}

/// What the absence of records means. Only an answer that says so makes a name inexistent.
fn meaning<T>(error: &NetError, domain: &Domain, kind: RecordType) -> Answer<T> {
    if let NetError::Dns(AnswerError::NoRecordsFound(none)) = error {
        match none.response_code {
            ResponseCode::NXDomain => return Answer::NoName,
            ResponseCode::NoError => return Answer::NoData,
            _ => {}
        }
    }
    Answer::Unavailable(format!("{kind} of {domain}: {}", said(error)))
}
