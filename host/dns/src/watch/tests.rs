use std::net::SocketAddr;
use std::sync::Arc;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{MX, SOA};
use hickory_proto::rr::{Name, RData, Record};
use tokio::net::UdpSocket;

use super::*;
use crate::table_source::MxRecord;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

/// Domains whose names say how they are answered; counts the questions.
async fn serve(asked: Arc<Mutex<Vec<String>>>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut octets = [0; 1500];
        loop {
            let (length, peer) = socket.recv_from(&mut octets).await.unwrap();
            let question = Message::from_vec(&octets[..length]).unwrap();
            let query = question.queries[0].clone();
            let text = query.name().to_ascii().to_lowercase();
            asked.lock().push(text.clone());
            let mut response = Message::response(question.metadata.id, question.metadata.op_code);
            response.add_query(query.clone());
            let soa = || {
                let soa = SOA::new(name("ns.test."), name("root.test."), 1, 60, 60, 60, 90);
                Record::from_rdata(name("test."), 90, RData::SOA(soa))
            };
            match text.as_str() {
                "ours.test." => {
                    let mx = RData::MX(MX::new(10, name("US.test.")));
                    response.add_answer(Record::from_rdata(query.name().clone(), 300, mx));
                }
                "gone.test." => {
                    response.metadata.response_code = ResponseCode::NXDomain;
                    response.add_authority(soa());
                }
                "empty.test." => {
                    response.add_authority(soa());
                }
                // A "no" that nobody stands for.
                "lame.test." => response.metadata.response_code = ResponseCode::NXDomain,
                _ => response.metadata.response_code = ResponseCode::ServFail,
            }
            socket.send_to(&response.to_vec().unwrap(), peer).await.unwrap();
        }
    });
    address
}

async fn watch(names: &[&str]) -> (Watch, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let server = serve(Arc::clone(&asked)).await;
    let clock = Clock::simulated(Timestamp(1_000_000));
    let options = WatchOptions {
        domains: names.iter().map(|name| domain(name)).collect(),
        servers: Servers::These(vec![server]),
        again_min: Duration::from_secs(60),
        again_max: Duration::from_secs(200),
    };
    (Watch::new(options, clock).unwrap(), asked)
}

fn known() -> Known<'static> {
    Known { serial: None, records: &|_| MxSet::default() }
}

#[tokio::test]
async fn each_answer_keeps_its_meaning() {
    let (watch, ..) = watch(&["ours.test", "gone.test", "empty.test", "lame.test", "broken.test"]).await;
    let fetched = watch.fetch(known(), Asked::News).await.unwrap();
    let ours = MxSet([MxRecord { preference: 10, host: "us.test".into() }].into());
    let expected = BTreeMap::from([
        (domain("ours.test"), ours),
        (domain("gone.test"), MxSet::default()),
        (domain("empty.test"), MxSet::default()),
    ]);
    assert_eq!(fetched.content, Content::Changed(expected));
    assert_eq!(fetched.failures.len(), 2, "{:?}", fetched.failures);
}

#[tokio::test]
async fn if_nobody_answers_nothing_is_said() {
    let (watch, ..) = watch(&["broken.test", "lame.test"]).await;
    assert!(watch.fetch(known(), Asked::News).await.is_err());
}

#[tokio::test]
async fn a_domain_is_asked_about_again_when_its_time_is_up() {
    let (watch, asked) = watch(&["ours.test", "gone.test"]).await;
    let fetched = watch.fetch(known(), Asked::News).await.unwrap();
    // 90 s of the SOA come before 300 s of the record, which are more than the bound.
    assert_eq!(fetched.again.as_secs(), 90);
    asked.lock().clear();
    assert_eq!(watch.fetch(known(), Asked::News).await.unwrap().content, Content::Same);
    assert!(asked.lock().is_empty());
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(91)).await;
    tokio::time::resume();
    watch.fetch(known(), Asked::News).await.unwrap();
    assert_eq!(*asked.lock(), ["gone.test."]);
    asked.lock().clear();
    watch.fetch(known(), Asked::Everything).await.unwrap();
    assert_eq!(asked.lock().len(), 2);
}
