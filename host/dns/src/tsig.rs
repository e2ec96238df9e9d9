//! Keys that both sides know, and answers signed by them (TSIG, RFC 8945).

use std::path::Path;

use base64::Engine as _;
use hickory_proto::op::Message;
use hickory_proto::rr::TSigner;
use hickory_proto::rr::rdata::tsig::{TsigAlgorithm, signed_bitmessage_to_buf};

use crate::record::absolute;

/// By how much the clocks of the two sides may differ, in seconds (RFC 8945 §10).
const FUDGE: u16 = 300;
/// Largest key file, in octets.
const KEY_FILE_MAX: u64 = 16 << 10;
/// Most messages of an answer between two that are signed (RFC 8945 §5.3.1).
const UNSIGNED_MAX: usize = 99;

/// A key with its name, as `tsig-keygen` writes it.
#[derive(Clone)]
pub struct TsigKey(pub(crate) TSigner);

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

/// The signatures of one answer, message by message (RFC 8945 §5.3.1).
pub(crate) struct Chain {
    key: TSigner,
    /// Of the message signed last: the request's at first.
    mac: Vec<u8>,
    is_first: bool,
    /// When that was signed, in seconds.
    signed_at: u64,
    /// The messages since then.
    unsigned: Vec<u8>,
    unsigned_count: usize,
}

impl Chain {
    /// Signs a request. `now` in seconds.
    pub(crate) fn begin(key: &TsigKey, request: &mut Message, now: u64) -> Result<Self, String> {
        request.finalize(&key.0, now).map_err(|why| why.to_string())?;
        let mac = request.signature().map(|signature| signature.data.mac.to_vec()).unwrap_or_default();
        let (unsigned, unsigned_count) = (Vec::new(), 0);
        Ok(Self { key: key.0.clone(), mac, is_first: true, signed_at: 0, unsigned, unsigned_count })
    }

    /// Takes the next message of the answer in; an error ends the trust in all of it.
    pub(crate) fn take(&mut self, octets: &[u8], message: &Message, now: u64) -> Result<(), String> {
        if message.signature().is_none() {
            self.unsigned_count += 1;
            if self.is_first || self.unsigned_count > UNSIGNED_MAX {
                return Err("it is not signed".to_owned());
            }
            self.unsigned.extend_from_slice(octets);
            return Ok(());
        }
        let read = signed_bitmessage_to_buf(octets, Some(&self.mac), self.is_first);
        let (mut signed, record) = read.map_err(|why| why.to_string())?;
        let tsig = record.data;
        // Truncated signatures are not taken, for RFC 8945 §5.2.2.1 leaves that to policy: all have the length of ours.
        if record.name != *self.key.signer_name()
            || tsig.algorithm != *self.key.algorithm()
            || tsig.mac.len() != self.mac.len()
        {
            return Err("it is signed by another key".to_owned());
        }
        // The prior MAC with its length comes first, then all messages since it was made.
        let behind_mac = (2 + self.mac.len()).min(signed.len());
        signed.splice(behind_mac..behind_mac, self.unsigned.drain(..));
        self.key.verify(&signed, &tsig.mac).map_err(|_| "its signature is wrong".to_owned())?;
        if tsig.time < self.signed_at || now.abs_diff(tsig.time) > u64::from(tsig.fudge) {
            return Err("its signature is of another time: compare the clocks".to_owned());
        }
        self.mac = tsig.mac.to_vec();
        (self.signed_at, self.is_first, self.unsigned_count) = (tsig.time, false, 0);
        Ok(())
    }

    /// Ends the answer: its last message has to be signed.
    pub(crate) fn end(&self) -> Result<(), String> {
        if self.unsigned_count > 0 { Err("its end is not signed".to_owned()) } else { Ok(()) }
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

    fn key(secret: &str) -> TsigKey {
        let text = format!("key k {{ algorithm hmac-sha256; secret \"{secret}\"; }};");
        TsigKey::parse(&text).unwrap()
    }

    fn message(answers: usize) -> Message {
        use hickory_proto::rr::rdata::A;
        use hickory_proto::rr::{Name, RData, Record};
        let mut message = Message::response(7, hickory_proto::op::OpCode::Query);
        for last in 0..answers {
            let address = RData::A(A::new(192, 0, 2, u8::try_from(last).unwrap()));
            message.add_answer(Record::from_rdata(Name::root(), 0, address));
        }
        message
    }

    /// The server's side of RFC 8945 §5.3.1: which of the messages are signed, and when the first of them was.
    struct Signing {
        key: TsigKey,
        mac: Vec<u8>,
        unsigned: Vec<u8>,
        is_first: bool,
    }

    impl Signing {
        fn send(&mut self, mut message: Message, signed: bool, now: u64) -> (Vec<u8>, Message) {
            use hickory_proto::rr::rdata::tsig::{TSIG, make_tsig_record};
            let octets = message.to_vec().unwrap();
            if !signed {
                self.unsigned.extend_from_slice(&octets);
                return (octets, message);
            }
            let mut digest = u16::try_from(self.mac.len()).unwrap().to_be_bytes().to_vec();
            digest.extend_from_slice(&self.mac);
            digest.append(&mut self.unsigned);
            digest.extend_from_slice(&octets);
            let stub = TSIG::new(TsigAlgorithm::HmacSha256, now, FUDGE, Vec::new(), 7, None, Vec::new());
            if self.is_first {
                let mut variables = Vec::new();
                let mut encoder = hickory_proto::serialize::binary::BinEncoder::new(&mut variables);
                stub.emit_tsig_for_mac(&mut encoder, self.key.0.signer_name()).unwrap();
                digest.extend_from_slice(&variables);
            } else {
                digest.extend_from_slice(&now.to_be_bytes()[2..]);
                digest.extend_from_slice(&FUDGE.to_be_bytes());
            }
            self.is_first = false;
            self.mac = self.key.0.sign(&digest).unwrap();
            let record = make_tsig_record(self.key.0.signer_name().clone(), stub.set_mac(self.mac.clone()));
            message.set_signature(Box::new(record));
            (message.to_vec().unwrap(), message)
        }
    }

    fn begun(secret: &str) -> (Chain, Signing) {
        let key = key(secret);
        let mut request = Message::query();
        request.metadata.id = 7;
        let chain = Chain::begin(&key, &mut request, 1000).unwrap();
        let mac = chain.mac.clone();
        (chain, Signing { key, mac, unsigned: Vec::new(), is_first: true })
    }

    #[test]
    fn signed_messages_follow_one_another_with_some_unsigned_between() {
        let (mut chain, mut server) = begun("c2VjcmV0");
        for (nth, signed) in [true, false, false, true, true].into_iter().enumerate() {
            let (octets, message) = server.send(message(nth + 1), signed, 1000 + nth as u64);
            assert_eq!(chain.take(&octets, &message, 1000), Ok(()), "message {nth}");
            assert_eq!(chain.end().is_ok(), signed);
        }
    }

    #[test]
    fn what_is_not_signed_as_it_should_be_is_not_believed() {
        let (mut chain, mut server) = begun("c2VjcmV0");
        let (octets, unsigned) = server.send(message(1), false, 1000);
        assert!(chain.take(&octets, &unsigned, 1000).unwrap_err().contains("not signed"));

        let (mut chain, mut server) = begun("c2VjcmV0");
        server.key = key("YW5vdGhlcg==");
        let (octets, forged) = server.send(message(1), true, 1000);
        assert!(chain.take(&octets, &forged, 1000).unwrap_err().contains("wrong"));

        let (mut chain, mut server) = begun("c2VjcmV0");
        let (octets, old) = server.send(message(1), true, 1000);
        assert!(chain.take(&octets, &old, 1301).unwrap_err().contains("another time"));

        // An unsigned message between two that are signed is changed on the way.
        let (mut chain, mut server) = begun("c2VjcmV0");
        let (octets, first) = server.send(message(1), true, 1000);
        chain.take(&octets, &first, 1000).unwrap();
        server.send(message(2), false, 1000);
        let (changed, other) = (message(3).to_vec().unwrap(), message(3));
        chain.take(&changed, &other, 1000).unwrap();
        let (octets, last) = server.send(message(4), true, 1000);
        assert!(chain.take(&octets, &last, 1000).unwrap_err().contains("wrong"));
    }

    #[test]
    fn too_many_unsigned_messages_end_the_trust() {
        let (mut chain, mut server) = begun("c2VjcmV0");
        let (octets, first) = server.send(message(1), true, 1000);
        chain.take(&octets, &first, 1000).unwrap();
        for _ in 0..UNSIGNED_MAX {
            let (octets, next) = server.send(message(1), false, 1000);
            chain.take(&octets, &next, 1000).unwrap();
        }
        let (octets, next) = server.send(message(1), false, 1000);
        assert!(chain.take(&octets, &next, 1000).is_err());
    }
}
