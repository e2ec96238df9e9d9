use super::*;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, SOA};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use std::net::SocketAddr;
use tokio::net::UdpSocket;

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// A zone of a few names; everything else does not exist. `broken.test` fails, `silent.test` is mute.
fn zone(question: &Name, kind: RecordType) -> Result<Vec<RData>, Option<ResponseCode>> {
    let mx = |preference, host: &str| RData::MX(MX::new(preference, name(host)));
    let a = |last| RData::A(A::new(192, 0, 2, last));
    let text = question.to_ascii().to_lowercase();
    let data = match (text.as_str(), kind) {
        ("broken.test.", _) | ("half.test.", RecordType::A) => return Err(Some(ResponseCode::ServFail)),
        ("silent.test.", _) => return Err(None),
        ("example.test.", RecordType::MX) => {
            vec![mx(20, "mx2.test."), mx(10, "mx1.test."), mx(30, "gone.test.")]
        }
        ("null.test.", RecordType::MX) => vec![mx(0, ".")],
        ("ours.test.", RecordType::MX) => vec![mx(10, "us.test."), mx(20, "mx1.test.")],
        ("unfit.test.", RecordType::MX) => {
            // No name of a host.
            let unfit = Name::from_labels([b"a b".as_slice(), b"test"]).unwrap();
            vec![RData::MX(MX::new(10, unfit))]
        }
        ("dead.test.", RecordType::MX) => vec![mx(10, "gone.test.")],
        ("maybe.test.", RecordType::MX) => vec![mx(10, "half.test.")],
        ("alias.test.", RecordType::MX) => {
            vec![RData::CNAME(CNAME(name("example.test."))), mx(10, "mx1.test.")]
        }
        ("mx1.test.", RecordType::A) => vec![a(1)],
        ("mx1.test.", RecordType::AAAA) => vec![RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))],
        ("mx2.test.", RecordType::A) => vec![a(2), a(3)],
        ("us.test." | "plain.test." | "unfit.test.", RecordType::A) => vec![a(9)],
        ("mx1.test." | "mx2.test." | "us.test." | "plain.test." | "half.test." | "bare.test.", _) => {
            Vec::new()
        }
        _ => return Err(Some(ResponseCode::NXDomain)),
    };
    Ok(data)
}

fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let asked = Message::from_vec(question).unwrap();
    let query = asked.queries[0].clone();
    let mut response = Message::response(asked.metadata.id, asked.metadata.op_code);
    response.metadata.recursion_desired = true;
    response.metadata.recursion_available = true;
    response.add_query(query.clone());
    let mut owner = query.name().clone();
    match zone(query.name(), query.query_type()) {
        Ok(data) => {
            for data in data {
                let next = match &data {
                    RData::CNAME(target) => target.0.clone(),
                    _ => owner.clone(),
                };
                response.add_answer(Record::from_rdata(std::mem::replace(&mut owner, next), 60, data));
            }
        }
        Err(Some(code)) => response.metadata.response_code = code,
        Err(None) => return None,
    }
    if response.answers.is_empty() {
        let soa = SOA::new(name("ns.test."), name("root.test."), 1, 60, 60, 60, 60);
        response.add_authority(Record::from_rdata(name("test."), 60, RData::SOA(soa)));
    }
    Some(response.to_vec().unwrap())
}

async fn serve_zone() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut octets = [0; 1500];
        loop {
            let (len, peer) = socket.recv_from(&mut octets).await.unwrap();
            if let Some(response) = answer(&octets[..len]) {
                socket.send_to(&response, peer).await.unwrap();
            }
        }
    });
    address
}

async fn dns() -> Dns {
    let options = Options {
        servers: Servers::These(vec![serve_zone().await]),
        own_names: vec![domain("us.test")],
        ..Options::default()
    };
    Dns::new(options, Random::seeded(1)).unwrap()
}

async fn hosts_of(dns: &Dns, text: &str) -> Lookup<Vec<String>> {
    dns.mail_hosts(&domain(text)).await.map(|hosts| match hosts {
        MailHosts::Hosts(hosts) => hosts
            .iter()
            .map(|host| {
                let addresses: Vec<String> = host.addresses.iter().map(IpAddr::to_string).collect();
                format!("{} {} {}", host.preference, host.host, addresses.join(","))
            })
            .collect(),
        other => vec![format!("{other:?}")],
    })
}

#[tokio::test]
async fn mail_hosts_are_ranked_with_their_addresses() {
    let dns = dns().await;
    let expected = ["10 mx1.test 2001:db8::1,192.0.2.1", "20 mx2.test 192.0.2.2,192.0.2.3"];
    assert_eq!(hosts_of(&dns, "example.test").await, Lookup::Found(expected.map(String::from).to_vec()));
}

#[tokio::test]
async fn each_kind_of_answer_keeps_its_meaning() {
    let dns = dns().await;
    let found = |text: &str| Lookup::Found(vec![text.to_owned()]);
    assert_eq!(hosts_of(&dns, "null.test").await, found("NullMx"));
    assert_eq!(hosts_of(&dns, "ours.test").await, found("OnlyOurselves"));
    assert_eq!(hosts_of(&dns, "dead.test").await, found("NoUsableHost"));
    // There are MX records, so its own address is none to send to (RFC 5321 §5.1).
    assert_eq!(hosts_of(&dns, "unfit.test").await, found("NoUsableHost"));
    assert_eq!(hosts_of(&dns, "plain.test").await, found("0 plain.test 192.0.2.9"));
    assert_eq!(hosts_of(&dns, "alias.test").await, found("10 mx1.test 2001:db8::1,192.0.2.1"));
    assert_eq!(hosts_of(&dns, "bare.test").await, Lookup::NotFound);
    assert_eq!(hosts_of(&dns, "nowhere.test").await, Lookup::NotFound);
    assert_eq!(hosts_of(&dns, "[192.0.2.7]").await, found("0 [192.0.2.7] 192.0.2.7"));
}

#[tokio::test]
async fn failures_are_unavailable_and_never_not_found() {
    let dns = dns().await;
    for text in ["broken.test", "maybe.test", "half.test"] {
        assert!(matches!(hosts_of(&dns, text).await, Lookup::Unavailable(_)), "{text}");
    }
    assert!(matches!(dns.addresses(&domain("broken.test")).await, Lookup::Unavailable(_)));
    assert_eq!(dns.addresses(&domain("nowhere.test")).await, Lookup::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_mute_server_is_unavailable_in_time() {
    let dns = dns().await;
    assert!(matches!(hosts_of(&dns, "silent.test").await, Lookup::Unavailable(_)));
}

#[tokio::test]
async fn the_table_wins_and_needs_no_dns() {
    let mut hosts = Hosts::new();
    hosts.insert("example.test", &["127.0.0.1:2526", "[::1]:2527"]).unwrap();
    hosts.insert("relay.test", &["192.0.2.1"]).unwrap();
    hosts.insert("split.test", &["relay.test:26"]).unwrap();
    let options = Options { servers: Servers::Nobody, hosts, ..Options::default() };
    let dns = Dns::new(options, Random::seeded(1)).unwrap();
    let expected = ["0 [127.0.0.1] 127.0.0.1", "1 [ipv6:::1] ::1"];
    assert_eq!(hosts_of(&dns, "example.test").await, Lookup::Found(expected.map(String::from).to_vec()));
    let Lookup::Found(MailHosts::Hosts(split)) = dns.mail_hosts(&domain("split.test")).await else {
        panic!()
    };
    assert_eq!((split[0].port, split[0].addresses[0].to_string()), (Some(26), "192.0.2.1".to_owned()));
    assert!(matches!(hosts_of(&dns, "other.test").await, Lookup::Unavailable(_)));
}
