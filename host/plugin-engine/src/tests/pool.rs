//! The pool's places: whoever holds them, they come free again, and nobody keeps them from others.

use hooks::Sitting;

use super::*;
use crate::Reuse;
use crate::engine::PLACES;

/// `stateful`, kept warm.
fn warm(order: i64) -> Settings {
    let mut settings = granted("stateful");
    settings.reuse = Some(Reuse::default());
    settings.limits.wall = Duration::from_millis(300);
    settings.order = order;
    settings
}

#[tokio::test]
async fn what_a_replaced_version_kept_warm_is_let_go() {
    let house = house().with("stateful", |settings| *settings = warm(0)).await;
    for order in 1..20 {
        for tenant in ["a.example", "b.example", "c.example"] {
            assert_eq!(house.said("stateful", &format!("one@{tenant}")).await, "no-match");
        }
        let notes = house.engine.configure(vec![warm(order)], HashMap::new()).await;
        assert_eq!(notes, Vec::<String>::new());
        assert_eq!(house.engine.0.places.free(), PLACES as usize, "after {order} changes");
    }
    house.said("stateful", "one@example.org").await;
    house.engine.remove(&name("stateful")).await.unwrap();
    assert_eq!(house.engine.0.places.free(), PLACES as usize);
}

#[tokio::test]
async fn idle_warm_instances_give_way_to_whoever_wants_a_place() {
    let house = house().with("stateful", |settings| *settings = warm(0)).await;
    for at in 0..PLACES + 10 {
        let address = format!("one@d{at}.example");
        assert_eq!(house.said("stateful", &address).await, "no-match", "{address}");
    }
    // Those used last are still there, those used first are not.
    let latest = format!("two@d{}.example", PLACES + 9);
    assert!(house.said("stateful", &latest).await.starts_with("again "));
    assert_eq!(house.said("stateful", "two@d0.example").await, "no-match");
    // So they do to another plugin.
    let house = house.with("trap", |_| ()).await;
    assert_eq!(house.said("trap", "good@d1.example").await, "no-match");
}

#[tokio::test]
async fn who_waits_gets_the_place_that_would_be_kept_warm() {
    let house = house().with("stateful", |settings| *settings = warm(0)).await;
    let places = &house.engine.0.places;
    let _most = places.of(&None, PLACES - 1).await.unwrap();
    let mut last = places.of(&None, 1).await;
    let release = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(last.take())
    };
    let (first, second, _) =
        tokio::join!(house.said("stateful", "a@a.example"), house.said("stateful", "b@b.example"), release);
    assert_eq!((&*first, &*second), ("no-match", "no-match"));
}

/// A section of a component: its number, its length, its contents.
fn section(id: u8, contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len()).unwrap();
    let length = [u8::try_from(length & 0x7f | 0x80).unwrap(), u8::try_from(length >> 7).unwrap()];
    [&[id], &length[..], contents].concat()
}

/// A component that makes, beside what it needs, so many instances of a module of this section alone.
fn with(component: &str, count: u8, inner: &[u8]) -> Vec<u8> {
    let mut octets = octets(component);
    let (mut modules, mut depth) = (0_u8, 0);
    for payload in wasmparser::Parser::new(0).parse_all(&octets) {
        match payload.unwrap() {
            wasmparser::Payload::ModuleSection { .. } => {
                modules += u8::from(depth == 0);
                depth += 1;
            }
            wasmparser::Payload::ComponentSection { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth -= 1,
            _ => {}
        }
    }
    octets.extend(section(1, &[b"\0asm\x01\0\0\0", inner].concat()));
    let instances = [0, modules, 0].repeat(usize::from(count));
    octets.extend(section(2, &[&[count][..], &instances].concat()));
    octets
}

/// A memory of no pages, a table of no elements.
const MEMORY: [u8; 5] = [5, 3, 1, 0, 0];
const TABLE: [u8; 6] = [4, 4, 1, 0x70, 0, 0];

#[tokio::test]
async fn what_takes_too_much_of_the_pool_is_refused_with_the_number() {
    let house = house();
    for (octets, wanted) in [
        (with("stateful", 40, &MEMORY), "it makes 41 memories, more than 16"),
        (with("stateful", 40, &TABLE), "tables, more than 32"),
        (with("stateful", 80, &[]), "core instances, more than 64"),
    ] {
        let refused = house.engine.install(&octets, None, None, "test", false).await.unwrap_err_or_ok();
        assert!(refused.contains(wanted), "{refused}");
    }
}

#[tokio::test]
async fn instances_are_weighed_by_all_that_they_take_of_the_pool() {
    for octets in [with("stateful", 15, &MEMORY), with("stateful", 25, &TABLE), with("stateful", 40, &[])] {
        let house = house();
        house.engine.install(&octets, None, None, "test", false).await.unwrap();
        let settings = Settings { reuse: None, ..warm(0) };
        assert_eq!(house.engine.configure(vec![settings], HashMap::new()).await, Vec::<String>::new());
        let mut sittings = Vec::new();
        let full = loop {
            let mut sitting = Sitting::default();
            let address = format!("one@d{}.example", sittings.len());
            match &*house.said_in(&mut sitting, "stateful", &address).await {
                "no-match" => sittings.push(sitting),
                other => break other.to_owned(),
            }
        };
        assert_eq!((&*full, sittings.len() > 20), ("busy", true), "{} instances", sittings.len());
        drop(sittings);
        assert_eq!(house.said("stateful", "one@example.org").await, "no-match");
    }
}

#[tokio::test]
async fn a_pool_that_is_used_up_is_nobodys_fault() {
    let house = house().with("stateful", |settings| settings.breaker.faults = 1).await;
    let engine = house.engine.0.machine.engine();
    let module = wasmtime::Module::new(engine, [b"\0asm\x01\0\0\0", &MEMORY[..]].concat()).unwrap();
    // Made beside the places, as by something that nobody has thought of.
    let mut beside = Vec::new();
    loop {
        let mut store = wasmtime::Store::new(engine, ());
        match wasmtime::Instance::new(&mut store, &module, &[]) {
            Ok(_) => beside.push(store),
            Err(_) => break,
        }
    }
    assert_eq!(house.said("stateful", "one@example.org").await, "busy");
    drop(beside);
    assert_eq!(house.said("stateful", "one@example.org").await, "no-match", "it does not rest");
}
