//! Dynamic updates (RFC 2136), signed by a key that both sides know (TSIG, RFC 8945).

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{DNSClass, Name, RecordType, TSigner};
use mail_types::Domain;
use runtime::{Clock, Random};

use crate::authority::is_within;
use crate::publish::{PublishError, Publisher, RecordChange};
use crate::record::{Data, Record, absolute};
use crate::resolver::BoxFuture;

/// How long the server may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// By how much the clocks of the two sides may differ, in seconds (RFC 8945 §10).
const FUDGE: u16 = 300;
/// Largest key file, in octets.
const KEY_FILE_MAX: u64 = 16 << 10;

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

/// A key with its name, as `tsig-keygen` writes it.
#[derive(Clone)]
pub struct TsigKey(TSigner);

impl std::fmt::Debug for TsigKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TsigKey({})", self.0.signer_name())
    }
}

impl TsigKey {
    /// Reads a file as BIND has it: `key "NAME" { algorithm hmac-sha256; secret "BASE64"; };`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let at = |why: String| format!("{}: {why}", path.display());
        let length = std::fs::metadata(path).map_err(|why| at(why.to_string()))?.len();
        if length > KEY_FILE_MAX {
            return Err(at(format!("{length} octets are no key; at most {KEY_FILE_MAX}")));
        }
        let text = std::fs::read_to_string(path).map_err(|why| at(why.to_string()))?;
        Self::parse(&text).map_err(at)
    }

    /// Reads such a text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text
            .split(|c: char| c.is_whitespace() || "{};\"".contains(c))
            .filter(|w| !w.is_empty())
            .collect();
        let after = |word: &str| words.iter().position(|w| *w == word).and_then(|at| words.get(at + 1));
        let missing = |what: &str| {
            format!(
                "{what} is missing; a key reads: key \"NAME\" {{ algorithm hmac-sha256; secret \"BASE64\"; }};"
            )
        };
        let name = absolute(after("key").ok_or_else(|| missing("key"))?)?;
        let algorithm = match *after("algorithm").ok_or_else(|| missing("algorithm"))? {
            "hmac-sha256" => TsigAlgorithm::HmacSha256,
            "hmac-sha384" => TsigAlgorithm::HmacSha384,
            "hmac-sha512" => TsigAlgorithm::HmacSha512,
            other => return Err(format!("the algorithm {other} is not for new keys: take hmac-sha256")),
        };
        let secret = after("secret").ok_or_else(|| missing("secret"))?;
        let secret = base64::engine::general_purpose::STANDARD.decode(secret);
        let secret = secret.map_err(|why| format!("the secret is no base64: {why}"))?;
        TSigner::new(secret, algorithm, name, FUDGE).map(Self).map_err(|why| why.to_string())
    }
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
        let id = u16::try_from(self.random.u64() & 0xffff).unwrap_or_default();
        let mut message = message(id, zone, change).map_err(PublishError::Refused)?;
        let unavailable = |why: String| PublishError::Unavailable(format!("{}: {why}", self.options.server));
        let mut verifier = None;
        if let Some(TsigKey(key)) = &self.options.key {
            let now = self.clock.now().0 / 1000;
            verifier = message.finalize(key, now).map_err(|why| unavailable(why.to_string()))?;
        }
        let octets = message.to_vec().map_err(|why| PublishError::Refused(why.to_string()))?;
        let asked = tokio::time::timeout(TIMEOUT, ask(self.options.server, &octets)).await;
        let answer = match asked {
            Ok(answer) => answer.map_err(|why| unavailable(why.to_string()))?,
            Err(_) => return Err(unavailable(format!("no answer within {} s", TIMEOUT.as_secs()))),
        };
        let heard = Message::from_vec(&answer).map_err(|why| unavailable(format!("its answer: {why}")))?;
        if heard.id != id {
            return Err(unavailable("it answers another question".to_owned()));
        }
        let said = verdict(heard.response_code, zone, &self.options);
        // Of an error the signature may be missing (RFC 8945 §5.3.2): it changes nothing that is published.
        if said.is_ok()
            && let Some(mut verifier) = verifier
        {
            verifier.verify(&answer).map_err(|why| unavailable(format!("its signature: {why}")))?;
        }
        said
    }
}

/// The update: the MX of the domain are replaced, of everything else our own records (RFC 2136 §2.5).
fn message(id: u16, zone: &Domain, change: &RecordChange) -> Result<Message, String> {
    let mut message = Message::query();
    message.metadata.id = id;
    message.metadata.op_code = OpCode::Update;
    message.metadata.recursion_desired = false;
    let mut of = Query::new();
    of.set_name(absolute(zone.as_str())?).set_query_type(RecordType::SOA).set_query_class(DNSClass::IN);
    message.add_query(of);
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

/// One question by TCP (RFC 1035 §4.2.2).
async fn ask(server: SocketAddr, octets: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = runtime::connect(server, None, TIMEOUT).await?;
    let length = u16::try_from(octets.len())
        .map_err(|_| std::io::Error::other("the update is larger than 65535 octets"))?;
    stream.send(&length.to_be_bytes());
    stream.send(octets);
    stream.flush().await?;
    stream.buffer_max(2 + usize::from(u16::MAX));
    loop {
        let heard = stream.buffered();
        if let Some((length, rest)) = heard.split_at_checked(2) {
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            if let Some(answer) = rest.get(..length) {
                return Ok(answer.to_vec());
            }
        }
        if stream.fill().await? == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
        }
    }
}

/// What a response code means, and how to mend it (RFC 2136 §2.2).
fn verdict(code: ResponseCode, zone: &Domain, options: &UpdateOptions) -> Result<(), PublishError> {
    let server = options.server;
    let refused = |why: String| Err(PublishError::Refused(why));
    match code {
        ResponseCode::NoError => Ok(()),
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
    fn a_key_reads_as_bind_writes_it() {
        let text = "key \"upd-key\" {\n\talgorithm hmac-sha256;\n\tsecret \"c2VjcmV0IG9mIG91cnM=\";\n};\n";
        let TsigKey(key) = TsigKey::parse(text).unwrap();
        assert_eq!((key.signer_name().to_ascii().as_str(), key.key()), ("upd-key.", &b"secret of ours"[..]));
        for (bad, why) in [
            ("", "key is missing"),
            ("key a { secret \"eA==\"; };", "algorithm is missing"),
            ("key a { algorithm hmac-md5; secret \"eA==\"; };", "not for new keys"),
            ("key a { algorithm hmac-sha256; secret \"!\"; };", "no base64"),
        ] {
            let error = TsigKey::parse(bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn an_update_replaces_the_mx_and_touches_nothing_of_others() {
        let domain = Domain::parse("a.dyn.test").unwrap();
        let record = |data| Record { name: "a.dyn.test".into(), data, ttl: 60 };
        let mx = record(Data::Mx { preference: 10, host: Domain::parse("mx.test").unwrap() });
        let (old, new) = (record(Data::Text("old".into())), record(Data::Text("new".into())));
        let change = RecordChange { domain, before: vec![mx.clone(), old], wanted: vec![mx, new] };
        let message = message(7, &Domain::parse("dyn.test").unwrap(), &change).unwrap();
        let lines: Vec<String> = message
            .authorities
            .iter()
            .map(|one| format!("{} {} {}", one.dns_class, one.record_type(), one.ttl))
            .collect();
        assert_eq!(lines, ["ANY MX 0", "NONE TXT 0", "IN MX 60", "IN TXT 60"]);
    }
}
