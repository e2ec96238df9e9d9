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
