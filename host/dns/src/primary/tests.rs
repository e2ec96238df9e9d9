use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hickory_proto::op::OpCode;
use hickory_proto::rr::rdata::MX;
use hickory_proto::rr::{TSigResponseContext, TSigner};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::table_source::{MxRecord, MxSet};

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn soa(serial: u32) -> Record {
    let soa = SOA::new(name("ns.example."), name("root.example."), serial, 3600, 600, 86_400, 60);
    Record::from_rdata(name("example."), 60, RData::SOA(soa))
}

fn mx(owner: &str, host: &str) -> Record {
    Record::from_rdata(name(owner), 60, RData::MX(MX::new(10, name(host))))
}

fn set(host: &str) -> MxSet {
    MxSet([MxRecord { preference: 10, host: host.to_owned() }].into())
}

fn key(secret: &str) -> TsigKey {
    TsigKey::parse(&format!("key k {{ algorithm hmac-sha256; secret \"{secret}\"; }};")).unwrap()
}

/// What the fake server says to one question: a code and answers, message by message; then the connection ends.
#[derive(Clone)]
struct Said(ResponseCode, Vec<Vec<Record>>);

/// A name server that is asked these questions in this order, and signs the first message of each answer by its key.
struct Fake {
    address: SocketAddr,
    left: Arc<Mutex<VecDeque<(RecordType, Said)>>>,
}

impl Fake {
    async fn start(signer: Option<TSigner>, script: &[(RecordType, Said)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let left = Arc::new(Mutex::new(script.iter().cloned().collect::<VecDeque<_>>()));
        let script = Arc::clone(&left);
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let length = socket.read_u16().await.unwrap();
                let mut octets = vec![0; usize::from(length)];
                socket.read_exact(&mut octets).await.unwrap();
                let asked = Message::from_vec(&octets).unwrap();
                let next = script.lock().pop_front();
                let Some((kind, Said(code, messages))) = next else { continue };
                assert_eq!(asked.queries[0].query_type(), kind);
                for answers in messages {
                    let octets = answer(&asked, code, answers, signer.as_ref());
                    socket.write_u16(u16::try_from(octets.len()).unwrap()).await.unwrap();
                    socket.write_all(&octets).await.unwrap();
                }
            }
        });
        Self { address, left }
    }

    fn primary(&self, key: Option<TsigKey>) -> Primary {
        let options = PrimaryOptions {
            table: "t".to_owned(),
            zone: domain("example"),
            server: self.address,
            key,
            again_min: Duration::from_secs(60),
            again_max: Duration::from_secs(86_400),
        };
        Primary::new(options, Clock::system(), Random::seeded(1)).unwrap()
    }

    fn is_done(&self) -> bool {
        self.left.lock().is_empty()
    }
}

fn answer(asked: &Message, code: ResponseCode, answers: Vec<Record>, signer: Option<&TSigner>) -> Vec<u8> {
    let mut response = Message::response(asked.metadata.id, OpCode::Query);
    response.metadata.response_code = code;
    response.metadata.authoritative = true;
    response.add_query(asked.queries[0].clone());
    response.add_answers(answers);
    if let (Some(signer), Some(request)) = (signer, asked.signature()) {
        let now = Clock::system().now().0 / 1000;
        let mac = request.data.mac.to_vec();
        let context = TSigResponseContext::new(asked.metadata.id, now, signer.clone(), mac, None);
        let signature = context.sign(&response.to_vec().unwrap()).unwrap();
        response.set_signature(signature);
    }
    response.to_vec().unwrap()
}

fn good(answers: &[Record]) -> Said {
    Said(ResponseCode::NoError, vec![answers.to_vec()])
}

fn refused(code: ResponseCode) -> Said {
    Said(code, vec![Vec::new()])
}

async fn fetch(primary: &Primary, serial: Option<u32>) -> Result<Fetched, FetchError> {
    let records = |_: &Domain| set("mx.example");
    primary.fetch(Known { serial, records: &records }, Asked::News).await
}

fn zone() -> Vec<Record> {
    vec![soa(5), mx("a.example.", "mx.example."), soa(5)]
}

#[tokio::test]
async fn a_zone_comes_whole_with_its_times_and_signed() {
    let key = key("c2VjcmV0");
    let script = [(RecordType::SOA, good(&[soa(5)])), (RecordType::AXFR, good(&zone()))];
    let fake = Fake::start(Some(key.0.clone()), &script).await;
    let fetched = fetch(&fake.primary(Some(key)), None).await.unwrap();
    assert_eq!(fetched.content, Content::Whole(BTreeMap::from([(domain("a.example"), set("mx.example"))])));
    let times = (fetched.again.as_secs(), fetched.retry.as_secs(), fetched.expire.unwrap().as_secs());
    assert_eq!((fetched.serial, times), (Some(5), (3600, 600, 86_400)));
    assert!(fake.is_done());
}

#[tokio::test]
async fn an_answer_by_another_key_or_none_is_not_believed() {
    for signer in [None, Some(key("YW5vdGhlcg==").0)] {
        let fake = Fake::start(signer, &[(RecordType::SOA, good(&[soa(5)]))]).await;
        let why = fetch(&fake.primary(Some(key("c2VjcmV0"))), None).await.unwrap_err();
        assert!(why.to_string().contains("its signature"), "{why}");
    }
}

#[tokio::test]
async fn the_version_decides_whether_there_is_a_transfer() {
    let fake = Fake::start(None, &[(RecordType::SOA, good(&[soa(5)]))]).await;
    assert_eq!(fetch(&fake.primary(None), Some(5)).await.unwrap().content, Content::Same);
    let fake = Fake::start(None, &[(RecordType::SOA, good(&[soa(4)]))]).await;
    let why = fetch(&fake.primary(None), Some(5)).await.unwrap_err();
    let expected = "went back from 5 to 4: if that is meant, `wasmta sync dns t`";
    assert!(why.to_string().contains(expected), "{why}");
    // The circle of numbers (RFC 1982): 1 comes after 4294967295.
    let steps = [soa(1), soa(u32::MAX), mx("b.example.", "mx.example."), soa(1), soa(1)];
    let script = [(RecordType::SOA, good(&[soa(1)])), (RecordType::IXFR, good(&steps))];
    let fake = Fake::start(None, &script).await;
    let fetched = fetch(&fake.primary(None), Some(u32::MAX)).await.unwrap();
    assert_eq!(fetched.content, Content::Changed(BTreeMap::from([(domain("b.example"), MxSet::default())])));
}

#[tokio::test]
async fn where_differences_are_not_offered_the_whole_zone_is_fetched() {
    for offered in [
        refused(ResponseCode::NotImp),
        refused(ResponseCode::FormErr),
        good(&[soa(5), soa(2), soa(5), soa(5)]),
        // What is taken away was never there; what is added was there before (RFC 1995 §4).
        good(&[soa(5), soa(4), mx("ghost.example.", "no.example."), soa(5), soa(5)]),
        good(&[soa(5), soa(4), soa(5), mx("a.example.", "mx.example."), soa(5)]),
        Said(ResponseCode::NoError, Vec::new()),
    ] {
        let script = [
            (RecordType::SOA, good(&[soa(5)])),
            (RecordType::IXFR, offered),
            (RecordType::AXFR, good(&zone())),
        ];
        let fake = Fake::start(None, &script).await;
        let fetched = fetch(&fake.primary(None), Some(4)).await.unwrap();
        assert!(matches!(fetched.content, Content::Whole(zone) if zone.len() == 1));
        assert!(fake.is_done());
    }
}

#[tokio::test]
async fn a_partial_or_refused_answer_is_an_error() {
    let cut = Said(ResponseCode::NoError, vec![vec![soa(5), mx("a.example.", "mx.example.")]]);
    let broken_off =
        Said(ResponseCode::NoError, vec![zone()[..2].to_vec(), vec![mx("b.example.", "c.example.")]]);
    for (said, expected) in [
        (cut, "closed the connection"),
        (broken_off, "closed the connection"),
        (refused(ResponseCode::Refused), "allow-transfer"),
        (refused(ResponseCode::NotAuth), "compare key-file"),
        (refused(ResponseCode::ServFail), "Server Failure"),
    ] {
        let fake = Fake::start(None, &[(RecordType::SOA, good(&[soa(5)])), (RecordType::AXFR, said)]).await;
        let why = fetch(&fake.primary(None), None).await.unwrap_err();
        assert!(why.to_string().contains(expected), "{why}");
    }
    let fake = Fake::start(None, &[(RecordType::SOA, good(&[]))]).await;
    let why = fetch(&fake.primary(None), None).await.unwrap_err();
    assert!(why.to_string().contains("no authority"), "{why}");
}

#[tokio::test]
async fn nobody_at_the_port_is_an_error() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let fake = Fake { address: port, left: Arc::default() };
    assert!(fetch(&fake.primary(None), Some(5)).await.is_err());
}
