use std::sync::atomic::{AtomicUsize, Ordering};

use dns::{Data, Record};

use super::*;
use crate::catalogue::PROVIDERS;
use crate::provider::KeyKind;

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn change(name: &str) -> RecordChange {
    let data = Data::Mx { preference: 10, host: domain("mx.a.test") };
    RecordChange {
        domain: domain(name),
        before: Vec::new(),
        wanted: vec![Record { name: name.into(), data, ttl: 60 }],
    }
}

/// PowerDNS where nobody answers; how often the credentials were read.
fn nobody_there() -> (ProviderZones, Arc<AtomicUsize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (asked, pdns) = (Arc::<AtomicUsize>::default(), Provider::named("pdns").unwrap());
    let counted = Arc::clone(&asked);
    let source = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let values = [("api-key", "s3cr3t".to_owned()), ("url", url.clone())];
        Credentials::new(pdns, values).map_err(str::to_owned)
    };
    (ProviderZones::new(pdns, vec![domain("a.test"), domain("b.a.test")], Arc::new(source)), asked)
}

#[tokio::test]
async fn who_does_not_answer_is_asked_once_for_many_changes() {
    let (zones, asked) = nobody_there();
    let made = zones.publish_all(&[change("x.test"), change("a.test"), change("c.a.test")]).await;
    let refused = "x.test is in none of the zones at PowerDNS Authoritative (dns.publish.zones)";
    assert_eq!(made[0], Err(PublishError::Refused(refused.to_owned())));
    let Err(PublishError::Unavailable(why)) = &made[1] else { panic!("{:?}", made[1]) };
    assert!(
        why.starts_with("PowerDNS Authoritative cannot be reached: Failed to send request to http://127"),
        "{why}"
    );
    assert_eq!((&made[2], asked.load(Ordering::Relaxed)), (&made[1], 1));
}

#[tokio::test]
async fn what_the_library_fails_at_is_a_failure_of_the_change_alone() {
    static BROKEN: Provider =
        Provider { name: "broken", title: "Broken", keys: &[], make: |_| panic!("at the library") };
    let source = || Credentials::new(&BROKEN, []).map_err(str::to_owned);
    let zones = ProviderZones::new(&BROKEN, vec![domain("a.test")], Arc::new(source));
    let Err(PublishError::Unavailable(why)) = zones.publish(&change("a.test")).await else {
        panic!("it is made")
    };
    assert!(why.starts_with("Broken: the library failed"), "{why}");
}

#[tokio::test]
async fn credentials_that_cannot_be_read_are_told() {
    let pdns = Provider::named("pdns").unwrap();
    let zones =
        ProviderZones::new(pdns, vec![domain("a.test")], Arc::new(|| Err("provider.toml:1: no".to_owned())));
    let made = zones.publish(&change("a.test")).await;
    assert_eq!(made, Err(PublishError::Refused("provider.toml:1: no".to_owned())));
}

/// A value that a provider's constructor takes.
fn sample(provider: &str, key: &crate::provider::Key) -> String {
    match (provider, key.name, key.kind) {
        (_, _, KeyKind::Flag) => "true".to_owned(),
        (_, _, KeyKind::Number) => "4".to_owned(),
        ("ovh", "endpoint", _) => "ovh-ca".to_owned(),
        ("azure", "environment", _) => "china".to_owned(),
        (_, "region", _) => "eu-west-1".to_owned(),
        (_, "url", _) => "https://provider.test:8443".to_owned(),
        (_, name, _) => format!("a-{name}"),
    }
}

#[tokio::test]
async fn every_provider_is_made_of_its_keys_and_misses_those_that_it_needs() {
    let names: Vec<&str> = PROVIDERS.iter().map(|provider| provider.name).collect();
    assert!(names.is_sorted() && names.len() > 60, "{names:?}");
    for provider in PROVIDERS {
        let value = |key: &'static crate::provider::Key| (key.name, sample(provider.name, key));
        let all = Credentials::new(provider, provider.keys.iter().map(value)).unwrap();
        if let Err(why) = (provider.make)(&all) {
            // It looks at the key at once, and this is none.
            let is_none = provider.name == "oraclecloud" && why.to_string().contains("private key");
            assert!(is_none, "{}: {why}", provider.name);
        }
        for missing in provider.keys.iter().filter(|key| key.is_required) {
            let others = provider.keys.iter().filter(|key| key.name != missing.name).map(value);
            assert_eq!(Credentials::new(provider, others), Err(missing.name), "{}", provider.name);
        }
        assert!(
            provider.keys.iter().any(|key| key.kind == KeyKind::Secret),
            "{} has no secret",
            provider.name
        );
        assert!(!format!("{all:?}").contains("a-"), "{all:?}");
    }
}
