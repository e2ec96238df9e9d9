use super::*;
use crate::record::Data;
use crate::{Dns, Hosts, Options, Resolver, Servers};
use mail_types::Lookup;
use runtime::Random;

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn mx(name: &str, host: &str) -> Vec<Record> {
    vec![Record { name: name.into(), data: Data::Mx { preference: 10, host: domain(host) }, ttl: 60 }]
}

fn change(name: &str, wanted: Vec<Record>) -> RecordChange {
    RecordChange { domain: domain(name), before: Vec::new(), wanted }
}

/// A server, and who asks it.
fn served(zones: &[&str]) -> (Authority, Dns) {
    let zones = zones.iter().map(|zone| domain(zone)).collect();
    let options = AuthorityOptions { name: domain("ns.example.org"), zones, notices: None };
    let authority = Authority::new(options, Clock::system()).unwrap();
    let (address, run) = authority.serve(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    tokio::spawn(run);
    let options =
        Options { servers: Servers::These(vec![address]), hosts: Hosts::new(), ..Options::default() };
    (authority, Dns::new(options, Random::system()).unwrap())
}

#[tokio::test]
async fn what_is_published_is_answered() {
    let (authority, dns) = served(&[]);
    for name in ["one.example", "new.branch.one.example"] {
        authority.publish(&change(name, mx(name, "mx.example.org"))).await.unwrap();
    }
    let found = dns.query("new.branch.one.example", "MX").await;
    assert_eq!(found, Lookup::Found(vec!["10 mx.example.org.".to_owned()]));
    // The deeper one belongs to the zone above it: beside them, a name there does not exist.
    assert_eq!(dns.mail_hosts(&domain("other.one.example")).await.map(|_| ()), Lookup::NotFound);
}

#[tokio::test]
async fn what_is_withdrawn_is_answered_no_more() {
    let (authority, dns) = served(&["example"]);
    let name = "one.example";
    authority.publish(&change(name, mx(name, "mx.example.org"))).await.unwrap();
    assert_eq!(authority.0.state.lock().domains.len(), 1);
    authority.publish(&change(name, Vec::new())).await.unwrap();
    assert_eq!(dns.query(name, "MX").await, Lookup::NotFound);
}

#[tokio::test]
async fn a_serial_number_never_falls_and_rises_with_every_change() {
    let (authority, _) = served(&[]);
    let mut last = authority.0.state.lock().serial;
    for _ in 0..3 {
        authority.publish(&change("one.example", mx("one.example", "mx.example.org"))).await.unwrap();
        let serial = authority.0.state.lock().serial;
        assert!(serial > last, "{serial} after {last}");
        last = serial;
    }
}

#[tokio::test]
async fn one_wrong_change_undoes_no_other() {
    let (authority, dns) = served(&["example"]);
    let (good, wrong) = ("one.example", "two.example");
    authority.publish(&change(good, mx(good, "mx.example.org"))).await.unwrap();
    let odd = Record { name: "a..b".into(), data: Data::Text("x".into()), ttl: 60 };
    let changes = [change(good, mx(good, "new.example.org")), change(wrong, vec![odd])];
    let made = authority.publish_all(&changes).await;
    assert_eq!(made.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false]);
    assert_eq!(dns.query(good, "MX").await, Lookup::Found(vec!["10 new.example.org.".to_owned()]));
    assert_eq!(authority.0.state.lock().domains.len(), 1);
}

#[tokio::test]
async fn the_longest_name_is_answered() {
    let (authority, dns) = served(&[]);
    let name = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
    assert_eq!(name.len(), 253);
    authority.publish(&change(&name, mx(&name, "mx.example.org"))).await.unwrap();
    assert_eq!(dns.query(&name, "MX").await, Lookup::Found(vec!["10 mx.example.org.".to_owned()]));
}

#[tokio::test]
async fn what_nobody_hears_is_not_published_and_is_there_once_somebody_does() {
    let (authority, dns) = served(&[]);
    let change = change("one.example", mx("one.example", "mx.example.org"));
    authority.set_unheard(Some("taken".to_owned()));
    let unavailable = Err(PublishError::Unavailable("taken".to_owned()));
    assert_eq!(authority.publish(&change).await, unavailable);
    assert_eq!(authority.publish_all(std::slice::from_ref(&change)).await, [unavailable]);
    authority.set_unheard(None);
    assert_eq!(authority.publish(&change).await, Ok(()));
    assert!(matches!(dns.query("one.example", "MX").await, Lookup::Found(_)));
}
