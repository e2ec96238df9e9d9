use std::time::Duration;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{DNSClass, Name};
use parking_lot::Mutex;
use tokio::net::UdpSocket;

use super::*;

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn key(secret: &str) -> TsigKey {
    TsigKey::parse(&format!("key k {{ algorithm hmac-sha256; secret \"{secret}\"; }};")).unwrap()
}

struct Heard {
    address: SocketAddr,
    changed: Arc<Notify>,
    refused: Arc<Mutex<Vec<String>>>,
}

/// A listener that follows `example` of a primary, by a key where there is one.
fn listening(primary: &str, key: Option<TsigKey>) -> Heard {
    let (changed, refused) = (Arc::new(Notify::new()), Arc::<Mutex<Vec<String>>>::default());
    let zone = NoticedZone {
        zone: domain("example"),
        primary: primary.parse().unwrap(),
        key,
        changed: Arc::clone(&changed),
    };
    let told = Arc::clone(&refused);
    let notices = Notices::new(vec![zone], Clock::system(), move |zone, why| {
        told.lock().push(format!("{zone}: {why}"));
    });
    let (address, run) = notices.serve(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    tokio::spawn(run);
    Heard { address, changed, refused }
}

fn notice(zone: &str) -> Message {
    let mut message = Message::query();
    message.metadata.id = 77;
    message.metadata.op_code = OpCode::Notify;
    message.metadata.authoritative = true;
    message.metadata.recursion_desired = false;
    let mut query = Query::new();
    query.set_name(Name::from_ascii(zone).unwrap()).set_query_type(RecordType::SOA);
    query.set_query_class(DNSClass::IN);
    message.add_query(query);
    message
}

/// The answer, if there is one before that of a question which is always answered.
async fn send(to: SocketAddr, message: &Message) -> Option<(Vec<u8>, Message)> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&message.to_vec().unwrap(), to).await.unwrap();
    let mut octets = vec![0; 1500];
    let answered = tokio::time::timeout(Duration::from_millis(500), socket.recv(&mut octets)).await;
    octets.truncate(answered.ok()?.unwrap());
    let answer = Message::from_vec(&octets).unwrap();
    Some((octets, answer))
}

/// Whether a notice was passed on.
async fn is_told(heard: &Heard) -> bool {
    // What was told is there at once.
    tokio::time::timeout(Duration::ZERO, heard.changed.notified()).await.is_ok()
}

#[tokio::test]
async fn a_notice_of_the_primary_is_taken_and_answered() {
    let heard = listening("127.0.0.1", None);
    let (_, answer) = send(heard.address, &notice("Example.")).await.unwrap();
    assert_eq!((answer.metadata.id, answer.metadata.op_code), (77, OpCode::Notify));
    assert_eq!((answer.metadata.response_code, answer.metadata.authoritative), (ResponseCode::NoError, true));
    assert!(is_told(&heard).await);
    let (_, answer) = send(heard.address, &notice("other.")).await.unwrap();
    assert_eq!(answer.metadata.response_code, ResponseCode::NotAuth);
    assert!(!is_told(&heard).await);
}

#[tokio::test]
async fn a_notice_of_somebody_else_is_ignored_and_told() {
    let heard = listening("192.0.2.1", None);
    assert!(send(heard.address, &notice("example.")).await.is_none());
    assert!(!is_told(&heard).await);
    assert_eq!(*heard.refused.lock(), ["example: 127.0.0.1 is not its primary server"]);
}

#[tokio::test]
async fn where_there_is_a_key_notice_and_answer_are_signed() {
    let key = key("c2VjcmV0");
    let heard = listening("127.0.0.1", Some(key.clone()));
    let mut signed = notice("example.");
    let now = Clock::system().now().0 / 1000;
    let mut verifier = signed.finalize(&key.0, now).unwrap().unwrap();
    let (octets, answer) = send(heard.address, &signed).await.unwrap();
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    verifier.verify(&octets).unwrap();
    assert!(is_told(&heard).await);
}

#[tokio::test]
async fn a_notice_without_the_right_signature_is_refused() {
    let heard = listening("127.0.0.1", Some(key("c2VjcmV0")));
    let now = Clock::system().now().0 / 1000;
    let (mut forged, mut old) = (notice("example."), notice("example."));
    forged.finalize(&key("YW5vdGhlcg==").0, now).unwrap();
    old.finalize(&key("c2VjcmV0").0, now - 4000).unwrap();
    for (message, why) in
        [(notice("example."), "not signed"), (forged, "signature is wrong"), (old, "of another time")]
    {
        let (_, answer) = send(heard.address, &message).await.unwrap();
        assert_eq!(answer.metadata.response_code, ResponseCode::NotAuth);
        assert!(heard.refused.lock().pop().unwrap().contains(why));
        assert!(!is_told(&heard).await);
    }
}

#[tokio::test]
async fn questions_are_no_notices() {
    let heard = listening("127.0.0.1", None);
    let mut question = notice("example.");
    question.metadata.op_code = OpCode::Query;
    let (_, answer) = send(heard.address, &question).await.unwrap();
    assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
}
