//! Dynamic updates (RFC 2136), signed by a key that both sides know (TSIG, RFC 8945).

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use mail_types::Domain;
use runtime::{Clock, Random};

use crate::authority::is_within;
use crate::conversation::{Conversation, Heard};
use crate::publish::{PublishError, Publisher, RecordChange};
use crate::record::{Data, Record, absolute};
use crate::resolver::BoxFuture;
use crate::tsig::TsigKey;

/// How long the server may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where updates are sent.
#[derive(Clone)]
pub struct UpdateOptions {
    /// The primary server of the zones.
    pub server: SocketAddr,
    /// The zones that it takes updates for; the longest that holds a domain is the domain's.
    pub zones: Vec<Domain>,
    /// The key; none where the server trusts addresses.
    pub key: Option<TsigKey>,
}

/// A name server that takes updates.
#[derive(Clone)]
pub struct UpdateServer {
    options: UpdateOptions,
    clock: Clock,
    random: Random,
}

impl UpdateServer {
    /// One that is asked when there is something to publish.
    #[must_use]
    pub fn new(options: UpdateOptions, clock: Clock, random: Random) -> Self {
        Self { options, clock, random }
    }

    async fn update(&self, change: &RecordChange) -> Result<(), PublishError> {
        let zone = self.options.zones.iter().filter(|zone| is_within(&change.domain, zone));
        let Some(zone) = zone.max_by_key(|zone| zone.as_str().len()) else {
            let why = format!(
                "{} is in none of the zones that {} takes updates for (dns.publish.zones)",
                change.domain, self.options.server
            );
            return Err(PublishError::Refused(why));
        };
        let message = message(zone, change).map_err(PublishError::Refused)?;
        let unsure = |why: String| PublishError::Unsure(format!("{}: {why}", self.options.server));
        let asked = tokio::time::timeout(TIMEOUT, self.ask(message)).await;
        let (mut conversation, heard) = match asked {
            Ok(answer) => answer?,
            Err(_) => return Err(unsure(format!("no answer within {} s", TIMEOUT.as_secs()))),
        };
        let said = verdict(heard.message.response_code, zone, &self.options);
        // Of an error the signature may be missing (RFC 8945 §5.3.2): it changes nothing that is published.
        if said.is_ok() {
            conversation.verify(&heard).map_err(unsure)?;
        }
        said
    }

    async fn ask(&self, message: Message) -> Result<(Conversation, Heard), PublishError> {
        let server = self.options.server;
        let mut conversation = Conversation::open(server, TIMEOUT, self.clock.clone())
            .await
            .map_err(|why| PublishError::Unavailable(format!("{server}: {why}")))?;
        // From here on it may have been heard.
        let unsure = |why: String| PublishError::Unsure(format!("{server}: {why}"));
        conversation.ask(message, self.options.key.as_ref(), &self.random).await.map_err(unsure)?;
        let heard = conversation.hear().await.map_err(unsure)?;
        Ok((conversation, heard))
    }
}

/// The update: the MX of the domain are replaced, of everything else our own records (RFC 2136 §2.5).
fn message(zone: &Domain, change: &RecordChange) -> Result<Message, String> {
    let mut message = Message::query();
    message.metadata.op_code = OpCode::Update;
    message.metadata.recursion_desired = false;
    let mut of = Query::new();
    of.set_name(absolute(zone.as_str())?).set_query_type(RecordType::SOA).set_query_class(DNSClass::IN);
    message.add_query(of);
    if !change.wanted.is_empty() {
        // "RRset does not exist" (RFC 2136 §2.4.3): beside a CNAME an addition would be ignored, and answered as if it had been
        // made (§3.4.2.2).
        let mut none =
            hickory_proto::rr::Record::update0(absolute(change.domain.as_str())?, 0, RecordType::CNAME);
        none.dns_class = DNSClass::NONE;
        message.add_answer(none);
    }
    let mx = |records: &[Record]| records.iter().any(|record| matches!(record.data, Data::Mx { .. }));
    if mx(&change.before) || mx(&change.wanted) {
        // "Delete an RRset" (RFC 2136 §2.5.2).
        let name: Name = absolute(change.domain.as_str())?;
        let mut all = hickory_proto::rr::Record::update0(name, 0, RecordType::MX);
        all.dns_class = DNSClass::ANY;
        message.add_authority(all);
    }
    for record in change.before.iter().filter(|record| !matches!(record.data, Data::Mx { .. })) {
        // "Delete an RR from an RRset" (RFC 2136 §2.5.4).
        let mut gone = record.to_wire()?;
        gone.dns_class = DNSClass::NONE;
        gone.ttl = 0;
        message.add_authority(gone);
    }
    for record in &change.wanted {
        message.add_authority(record.to_wire()?);
    }
    Ok(message)
}

/// What a response code means, and how to mend it (RFC 2136 §2.2).
fn verdict(code: ResponseCode, zone: &Domain, options: &UpdateOptions) -> Result<(), PublishError> {
    let server = options.server;
    let refused = |why: String| Err(PublishError::Refused(why));
    match code {
        ResponseCode::NoError => Ok(()),
        ResponseCode::YXRRSet => refused(format!(
            "{server} has a CNAME at the domain's name, and nothing can be published beside it (RFC 1034 §3.6.2): take it out \
             there"
        )),
        ResponseCode::NotAuth | ResponseCode::BADSIG | ResponseCode::BADKEY => refused(format!(
            "{server} does not accept the key for {zone} ({code}): compare dns.publish.key-file with its own, and the \
             clocks"
        )),
        ResponseCode::Refused => refused(format!(
            "{server} refuses the update of {zone}: its update-policy does not allow it to this key, or a mail host in its \
             zone has no address; its log says which"
        )),
        ResponseCode::NotZone | ResponseCode::NXDomain => {
            refused(format!("{server} has no zone {zone} ({code}): mend dns.publish.zones"))
        }
        ResponseCode::ServFail => Err(PublishError::Unavailable(format!("{server}: SERVFAIL"))),
        other => refused(format!("{server} refuses the update of {zone}: {other}")),
    }
}

impl Publisher for UpdateServer {
    fn publish<'a>(&'a self, change: &'a RecordChange) -> BoxFuture<'a, Result<(), PublishError>> {
        Box::pin(self.update(change))
    }

    fn is_volatile(&self) -> bool {
        false
    }

    fn place(&self) -> String {
        format!("the name server {}", self.options.server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_replaces_the_mx_and_touches_nothing_of_others() {
        let domain = Domain::parse("a.dyn.test").unwrap();
        let record = |data| Record { name: "a.dyn.test".into(), data, ttl: 60 };
        let mx = record(Data::Mx { preference: 10, host: Domain::parse("mx.test").unwrap() });
        let (old, new) = (record(Data::Text("old".into())), record(Data::Text("new".into())));
        let change = RecordChange { domain, before: vec![mx.clone(), old], wanted: vec![mx, new] };
        let message = message(&Domain::parse("dyn.test").unwrap(), &change).unwrap();
        let lines: Vec<String> = message
            .authorities
            .iter()
            .map(|one| format!("{} {} {}", one.dns_class, one.record_type(), one.ttl))
            .collect();
        assert_eq!(lines, ["ANY MX 0", "NONE TXT 0", "IN MX 60", "IN TXT 60"]);
    }
}
