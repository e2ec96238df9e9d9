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
                // A "no" of somebody who has nothing to do with it.
                "astray.test." => {
                    response.metadata.response_code = ResponseCode::NXDomain;
                    let mut soa = soa();
                    soa.name = name("elsewhere.test.");
                    response.add_authority(soa);
                }
                text if text.starts_with("silent") => continue,
                text if text.starts_with("swift") => {
                    let mx = RData::MX(MX::new(10, name("us.test.")));
                    response.add_answer(Record::from_rdata(query.name().clone(), 300, mx));
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

async fn watch<S: AsRef<str>>(names: &[S]) -> (Watch, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let server = serve(Arc::clone(&asked)).await;
    let clock = Clock::simulated(Timestamp(1_000_000));
    let options = WatchOptions {
        domains: names.iter().map(|name| domain(name.as_ref())).collect(),
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
    let names = ["ours.test", "gone.test", "empty.test", "lame.test", "broken.test", "astray.test"];
    let (watch, ..) = watch(&names).await;
    let fetched = watch.fetch(known(), Asked::News).await.unwrap();
    let ours = MxSet([MxRecord { preference: 10, host: "us.test".into() }].into());
    let expected = BTreeMap::from([
        (domain("ours.test"), ours),
        (domain("gone.test"), MxSet::default()),
        (domain("empty.test"), MxSet::default()),
    ]);
    assert_eq!(fetched.content, Content::Changed(expected));
    assert_eq!(fetched.failures.len(), 3, "{:?}", fetched.failures);
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

#[tokio::test]
async fn a_failure_stands_until_somebody_answers() {
    let (watch, asked) = watch(&["ours.test", "broken.test"]).await;
    let first = watch.fetch(known(), Asked::News).await.unwrap();
    assert_eq!(first.failures.len(), 1);
    asked.lock().clear();
    // Nothing is due, and nothing is better.
    let second = watch.fetch(known(), Asked::News).await.unwrap();
    assert_eq!((second.content, second.failures), (Content::Same, first.failures));
    assert!(asked.lock().is_empty());
}

#[tokio::test]
async fn one_domain_is_asked_about_due_or_not() {
    let (watch, asked) = watch(&["ours.test", "gone.test", "broken.test"]).await;
    watch.fetch(known(), Asked::News).await.unwrap();
    asked.lock().clear();
    let fetched = watch.fetch_one(known(), &domain("gone.test")).await.unwrap();
    let expected = BTreeMap::from([(domain("gone.test"), MxSet::default())]);
    assert_eq!(fetched.content, Content::Changed(expected));
    assert_eq!(*asked.lock(), ["gone.test."]);
    let why = watch.fetch_one(known(), &domain("broken.test")).await.unwrap_err();
    assert!(why.to_string().contains("broken.test"), "{why}");
}

#[tokio::test]
async fn an_answer_to_an_earlier_question_that_comes_late_says_nothing() {
    let (watch, ..) = watch(&["ours.test"]).await;
    let late = watch.question(domain("ours.test"));
    watch.fetch_one(known(), &domain("ours.test")).await.unwrap();
    let (ours, question, _) = late.await;
    let due = watch.last.lock()[&ours].due;
    watch.heard(&ours, question, Watched::Unavailable("late".to_owned())).unwrap_err();
    let last = watch.last.lock();
    assert!(last[&ours].failure.is_none() && last[&ours].due == due);
}

#[tokio::test]
async fn few_that_nobody_answers_for_hold_up_nobody_else() {
    let named = |n: usize| format!("{}{n}.test", if n % 16 == 5 { "silent" } else { "swift" });
    let names: Vec<String> = (0..96).map(named).collect();
    let (watch, ..) = watch(&names).await;
    let began = Instant::now();
    let fetched = watch.fetch(known(), Asked::News).await.unwrap();
    let Content::Changed(all) = fetched.content else { panic!("nothing came") };
    assert_eq!((all.len(), fetched.failures.len()), (90, 6));
    assert!(began.elapsed() < 2 * QUESTION_TIME_MAX, "{:?}", began.elapsed());
}
