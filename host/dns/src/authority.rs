//! The embedded authoritative server: the zones of our mail domains, from what is published here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hickory_proto::op::OpCode;
use hickory_proto::rr::rdata::{NS, SOA};
use hickory_proto::rr::{LowerName, Name, RData, Record as Wire};
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneHandler, ZoneType};
use mail_types::Domain;
use parking_lot::Mutex;
use runtime::Clock;

use crate::listening::{Listening, listen};
use crate::notify::Notices;
use crate::publish::{PublishError, Publisher, RecordChange};
use crate::record::{Record, absolute};
use crate::resolver::BoxFuture;

/// Times of the zones in seconds (RFC 1035 §3.3.13): refresh, retry, expire, and how long "there is none" holds.
const TIMES: (i32, i32, i32, u32) = (3600, 600, 86_400, 60);
/// How long the records of the zones themselves may be remembered, in seconds.
const TTL: u32 = 300;

/// How it names itself.
#[derive(Clone)]
pub struct AuthorityOptions {
    /// The name of this server, as zones name it.
    pub name: Domain,
    /// Tops of zones; a mail domain below none of them, and below no other one, is the top of its own.
    pub zones: Vec<Domain>,
    /// Who hears of changes of zones elsewhere, at the same address.
    pub notices: Option<Notices>,
}

/// The server. Clones are the same one.
#[derive(Clone)]
pub struct Authority(Arc<Inner>);

struct Inner {
    options: AuthorityOptions,
    clock: Clock,
    state: Mutex<State>,
    catalog: Swapped,
    /// Why nobody hears it, where that is known.
    unheard: Mutex<Option<String>>,
}

/// What is published, and the serial number of it.
#[derive(Default)]
struct State {
    domains: BTreeMap<Domain, Vec<Record>>,
    serial: u32,
}

/// The zones in force: a question keeps those that it began with.
#[derive(Clone, Default)]
struct Swapped {
    catalog: Arc<ArcSwap<Catalog>>,
    /// Who hears of zones elsewhere, where somebody does.
    notices: Option<Notices>,
}

#[async_trait::async_trait]
impl RequestHandler for Swapped {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        answer: R,
    ) -> ResponseInfo {
        if let Some(notices) = self.notices.as_ref().filter(|_| request.metadata.op_code == OpCode::Notify) {
            return notices.hear(request, answer).await;
        }
        let catalog = self.catalog.load_full();
        catalog.handle_request::<R, T>(request, answer).await
    }
}

impl Authority {
    /// Without any zone yet but those that are named.
    ///
    /// # Errors
    /// A name that is none of the DNS.
    pub fn new(options: AuthorityOptions, clock: Clock) -> Result<Self, String> {
        let catalog = Swapped { notices: options.notices.clone(), ..Swapped::default() };
        let (state, unheard) = (Mutex::default(), Mutex::default());
        let authority = Self(Arc::new(Inner { options, clock, state, catalog, unheard }));
        authority.exchange(&mut authority.0.state.lock())?;
        Ok(authority)
    }

    /// Answers at an address, by UDP and TCP, for as long as the future runs. Binds before the first wait.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn serve(&self, address: SocketAddr) -> Result<Listening, String> {
        listen(address, self.0.catalog.clone())
    }

    /// Notes why nobody hears it, as of an address that is taken; what is put in counts as not published until somebody does.
    pub fn set_unheard(&self, why: Option<String>) {
        *self.0.unheard.lock() = why;
    }

    fn heard(&self) -> Result<(), PublishError> {
        self.0.unheard.lock().clone().map_or(Ok(()), |why| Err(PublishError::Unavailable(why)))
    }

    /// Makes changes and builds the zones anew, once for all of them.
    fn put(&self, changes: &[RecordChange]) -> Result<(), String> {
        let mut state = self.0.state.lock();
        let mut before = Vec::with_capacity(changes.len());
        for change in changes {
            let was = match change.wanted.is_empty() {
                true => state.domains.remove(&change.domain),
                false => state.domains.insert(change.domain.clone(), change.wanted.clone()),
            };
            before.push((&change.domain, was));
        }
        let exchanged = self.exchange(&mut state);
        if exchanged.is_err() {
            // The last change first: of two of one domain the earlier one knows what was there.
            for (domain, was) in before.into_iter().rev() {
                match was {
                    Some(records) => state.domains.insert(domain.clone(), records),
                    None => state.domains.remove(domain),
                };
            }
        }
        exchanged
    }

    /// Whether the records of a change can be told of at all.
    fn check(&self, change: &RecordChange) -> Result<(), PublishError> {
        let records: Vec<&Record> = change.wanted.iter().collect();
        self.zone(change.domain.as_str(), &records, 0).map(drop).map_err(PublishError::Refused)
    }

    /// Builds the zones and puts them in force, all at once.
    fn exchange(&self, state: &mut State) -> Result<(), String> {
        let seconds = u32::try_from(self.0.clock.now().0 / 1000).unwrap_or(u32::MAX);
        let serial = seconds.max(state.serial.wrapping_add(1));
        let mut zones: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
        for zone in &self.0.options.zones {
            zones.entry(zone.as_str()).or_default();
        }
        for (domain, records) in &state.domains {
            let top = self.top_of(domain, &state.domains);
            zones.entry(top.as_str()).or_default().extend(records);
        }
        let mut catalog = Catalog::new();
        for (top, records) in zones {
            let zone: Arc<dyn ZoneHandler> = Arc::new(self.zone(top, &records, serial)?);
            catalog.upsert(LowerName::from(absolute(top)?), vec![zone]);
        }
        self.0.catalog.catalog.store(Arc::new(catalog));
        state.serial = serial;
        Ok(())
    }

    /// The top of the zone that a domain belongs to.
    fn top_of<'a>(&'a self, domain: &'a Domain, all: &'a BTreeMap<Domain, Vec<Record>>) -> &'a Domain {
        let named = self.0.options.zones.iter().filter(|zone| is_within(domain, zone));
        if let Some(zone) = named.max_by_key(|zone| zone.as_str().len()) {
            return zone;
        }
        let mut rest = domain.as_str();
        let mut top = domain;
        while let Some((_, above)) = rest.split_once('.') {
            if let Some((found, _)) = Domain::parse(above).ok().and_then(|above| all.get_key_value(&above)) {
                top = found;
            }
            rest = above;
        }
        top
    }

    fn zone(&self, top: &str, records: &[&Record], serial: u32) -> Result<InMemoryZoneHandler, String> {
        let origin = absolute(top)?;
        let server = absolute(self.0.options.name.as_str())?;
        // RFC 1035 §3.3.13; where the zone's own name leaves no room for it, the server's.
        let hostmaster = |of: &Name| Name::from_ascii("hostmaster").and_then(|name| name.append_domain(of));
        let responsible =
            hostmaster(&origin).or_else(|_| hostmaster(&server)).unwrap_or_else(|_| server.clone());
        let mut zone = InMemoryZoneHandler::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
        let (refresh, retry, expire, minimum) = TIMES;
        let soa = SOA::new(server.clone(), responsible, serial, refresh, retry, expire, minimum);
        zone.upsert_mut(Wire::from_rdata(origin.clone(), TTL, RData::SOA(soa)), serial);
        zone.upsert_mut(Wire::from_rdata(origin, TTL, RData::NS(NS(server))), serial);
        for record in records {
            zone.upsert_mut(record.to_wire()?, serial);
        }
        Ok(zone)
    }
}

/// Whether a domain is a zone's top or below it.
#[must_use]
pub fn is_within(domain: &Domain, zone: &Domain) -> bool {
    let (domain, zone) = (domain.as_str(), zone.as_str());
    domain == zone || domain.strip_suffix(zone).is_some_and(|below| below.ends_with('.'))
}

impl Publisher for Authority {
    fn publish<'a>(&'a self, change: &'a RecordChange) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(async move {
            self.put(std::slice::from_ref(change)).map_err(PublishError::Refused)?;
            self.heard()
        })
    }

    fn publish_all<'a>(
        &'a self,
        changes: &'a [RecordChange],
    ) -> BoxFuture<'a, Vec<Result<(), PublishError>>> {
        Box::pin(async move {
            if self.put(changes).is_ok() {
                return vec![self.heard(); changes.len()];
            }
            // One of them is wrong: the others shall not wait for it, and zones are not built for each of them.
            let mut outcomes: Vec<_> = changes.iter().map(|change| self.check(change)).collect();
            let right = changes.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
            let right: Vec<RecordChange> = right.map(|(change, _)| change.clone()).collect();
            if let Err(why) = self.put(&right) {
                let refused = || Err(PublishError::Refused(why.clone()));
                outcomes
                    .iter_mut()
                    .filter(|outcome| outcome.is_ok())
                    .for_each(|outcome| *outcome = refused());
            }
            outcomes.into_iter().map(|outcome| outcome.and_then(|()| self.heard())).collect()
        })
    }

    fn is_volatile(&self) -> bool {
        true
    }

    fn place(&self) -> String {
        "the embedded name server".to_owned()
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.0.options.name)
    }
}

#[cfg(test)]
mod tests;
