//! The pool's places: whoever holds them, they come free again, and nobody keeps them from others.

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
        assert_eq!(house.engine.0.places.free(), PLACES, "after {order} changes");
    }
    house.said("stateful", "one@example.org").await;
    house.engine.remove(&name("stateful")).await.unwrap();
    assert_eq!(house.engine.0.places.free(), PLACES);
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
    let places = u32::try_from(PLACES).unwrap();
    let all = house.engine.0.places.of(places).await.unwrap();
    let mut all = Some(all);
    let release = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        all.as_mut().and_then(|all| all.split(1)).map(drop)
    };
    let (first, second, _) =
        tokio::join!(house.said("stateful", "a@a.example"), house.said("stateful", "b@b.example"), release);
    assert_eq!((&*first, &*second), ("no-match", "no-match"));
}
