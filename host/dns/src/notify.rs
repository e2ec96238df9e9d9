//! Notices that a zone has changed (NOTIFY, RFC 1996): from its primary server alone, signed where there is a key.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_proto::op::{Header, HeaderCounts, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::tsig::TsigError;
use hickory_proto::rr::{RecordType, TSigResponseContext};
use hickory_proto::serialize::binary::BinEncoder;
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use mail_types::Domain;
use runtime::Clock;
use tokio::sync::Notify;

use crate::listening::{Listening, listen};
use crate::transfer::plain;
use crate::tsig::TsigKey;

/// A zone of which notices are heard.
pub struct NoticedZone {
    /// The zone.
    pub zone: Domain,
    /// Where its notices come from.
    pub primary: IpAddr,
    /// By which key they are signed; none: by none.
    pub key: Option<TsigKey>,
    /// Told when there is one. Several before anybody looks are one (RFC 1996 §4.4).
    pub changed: Arc<Notify>,
}

/// Who hears of notices that are not believed.
type Refused = dyn Fn(&Domain, &str) + Send + Sync;

/// Hears notices. Clones are the same.
#[derive(Clone)]
pub struct Notices(Arc<Inner>);

struct Inner {
    zones: Vec<NoticedZone>,
    clock: Clock,
    refused: Box<Refused>,
}

/// What is made of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is true.
    Taken,
    /// Nobody here follows that zone, or not from there: it is not answered (RFC 1996 §3.10).
    Ignored,
    /// It is not signed by the key.
    Forged(TsigFault),
}

/// What is wrong with a signature (RFC 8945 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TsigFault {
    Missing,
    Key,
    Signature,
    Time,
}

impl Notices {
    /// Of these zones; `refused` hears, with a zone of ours, of a notice that is not believed, and why.
    pub fn new(
        zones: Vec<NoticedZone>,
        clock: Clock,
        refused: impl Fn(&Domain, &str) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner { zones, clock, refused: Box::new(refused) }))
    }

    /// Hears at an address, by UDP and TCP, for as long as the future runs. Binds before the first wait.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn serve(&self, address: SocketAddr) -> Result<Listening, String> {
        listen(address, Alone(self.clone()))
    }

    /// Answers a NOTIFY.
    pub(crate) async fn hear<R: ResponseHandler>(&self, request: &Request, answer: R) -> ResponseInfo {
        let now = self.0.clock.now().0 / 1000;
        let named = request.queries.queries();
        let [query] = named else {
            return respond(request, answer, ResponseCode::FormErr, None).await;
        };
        let zone = plain(query.original().name());
        let found = self.0.zones.iter().find(|one| one.zone.as_str() == zone);
        let Some(noticed) = found.filter(|_| query.query_type() == RecordType::SOA) else {
            return respond(request, answer, ResponseCode::NotAuth, None).await;
        };
        let source = request.src().ip().to_canonical();
        match noticed.judge(request, source, now) {
            Verdict::Taken => {
                noticed.changed.notify_one();
                let signing = noticed.key.as_ref().and_then(|key| signed(request, key, now, None));
                respond(request, answer, ResponseCode::NoError, signing).await
            }
            Verdict::Ignored => {
                let why = format!("{source} is not its primary server");
                (self.0.refused)(&noticed.zone, &why);
                silence(request)
            }
            Verdict::Forged(fault) => {
                (self.0.refused)(&noticed.zone, &format!("{source}: {}", fault.words()));
                let signing = noticed.key.as_ref().and_then(|key| fault.signing(request, key, now));
                respond(request, answer, ResponseCode::NotAuth, signing).await
            }
        }
    }
}

impl NoticedZone {
    fn judge(&self, request: &Request, source: IpAddr, now: u64) -> Verdict {
        if source != self.primary.to_canonical() {
            return Verdict::Ignored;
        }
        let Some(TsigKey(key)) = &self.key else { return Verdict::Taken };
        let Some(signature) = &request.signature else { return Verdict::Forged(TsigFault::Missing) };
        if signature.name != *key.signer_name() {
            return Verdict::Forged(TsigFault::Key);
        }
        match key.verify_message_byte(request.as_slice(), None, true) {
            Ok((_, _, times)) if times.contains(&now) => Verdict::Taken,
            Ok(_) => Verdict::Forged(TsigFault::Time),
            Err(_) => Verdict::Forged(TsigFault::Signature),
        }
    }
}

impl TsigFault {
    fn words(self) -> &'static str {
        match self {
            Self::Missing => "it is not signed, and key-file says that it is",
            Self::Key => "it is signed by another key than that of key-file",
            Self::Signature => "its signature is wrong",
            Self::Time => "its signature is of another time: compare the clocks",
        }
    }

    /// What the answer says of the fault (RFC 8945 §5.2.1 to §5.2.3).
    fn signing(self, request: &Request, key: &TsigKey, now: u64) -> Option<TSigResponseContext> {
        let id = request.metadata.id;
        match self {
            Self::Missing => None,
            Self::Key => {
                let name = request.signature.as_ref().map(|signature| signature.name.clone())?;
                Some(TSigResponseContext::unknown_key(id, now, name))
            }
            Self::Signature => Some(TSigResponseContext::bad_signature(id, now, key.0.clone())),
            Self::Time => signed(request, key, now, Some(TsigError::BadTime)),
        }
    }
}

/// An answer to a signed request is signed, too (RFC 8945 §5.3).
fn signed(
    request: &Request,
    key: &TsigKey,
    now: u64,
    error: Option<TsigError>,
) -> Option<TSigResponseContext> {
    let mac = request.signature.as_ref().map(|signature| signature.data.mac.to_vec())?;
    Some(TSigResponseContext::new(request.metadata.id, now, key.0.clone(), mac, error))
}

/// "Identical to the NOTIFY request, except that the QR bit is also set" (RFC 1996 §4.7).
async fn respond<R: ResponseHandler>(
    request: &Request,
    mut answer: R,
    code: ResponseCode,
    signing: Option<TSigResponseContext>,
) -> ResponseInfo {
    let mut metadata = Metadata::new(request.metadata.id, MessageType::Response, OpCode::Notify);
    metadata.authoritative = code == ResponseCode::NoError;
    metadata.response_code = code;
    let plain = || MessageResponseBuilder::from_message_request(request).build_no_records(metadata);
    let mut response = plain();
    if let Some(signing) = signing {
        let mut octets = Vec::new();
        let encoded = plain().destructive_emit(&mut BinEncoder::new(&mut octets));
        // An answer that cannot be signed is none.
        let Some(signature) = encoded.ok().and_then(|_| signing.sign(&octets).ok()) else {
            return silence(request);
        };
        response.set_signature(signature);
    }
    answer.send_response(response).await.unwrap_or_else(|_| silence(request))
}

/// No answer.
fn silence(request: &Request) -> ResponseInfo {
    let metadata = Metadata::new(request.metadata.id, MessageType::Response, request.metadata.op_code);
    ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
}

/// A listener for notices and nothing else.
struct Alone(Notices);

#[async_trait::async_trait]
impl RequestHandler for Alone {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        answer: R,
    ) -> ResponseInfo {
        if request.metadata.op_code == OpCode::Notify {
            return self.0.hear(request, answer).await;
        }
        respond(request, answer, ResponseCode::Refused, None).await
    }
}

#[cfg(test)]
mod tests;
