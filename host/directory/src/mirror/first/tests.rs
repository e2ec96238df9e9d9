use super::*;
use crate::mirror::tests::{mirror, options, user};

#[tokio::test]
async fn of_large_entries_fewer_are_taken_in_together() {
    let dir = tempfile::tempdir().unwrap();
    let (_all, mirror) = mirror(dir.path(), options());
    let mut first = mirror.first(&SyncOrder::default()).unwrap().unwrap();
    let (mut staged, octets) = (Staged::default(), BATCH_OCTETS_MAX / 4);
    let large = |number: u32| Ok(user(number, &format!("u{number}@d.test"), octets));
    let there = || mirror.directory().counts().unwrap().entries;
    // The third has less than four times as much as one batch may have, the fourth as much, and the fifth begins anew.
    for (number, expected) in [(0, 0), (1, 0), (2, 0), (3, 4), (4, 4), (5, 4)] {
        mirror.take_first(vec![large(number)], &mut first, &mut staged).await.unwrap();
        // The base that they stand on is one more.
        assert_eq!(there(), if expected == 0 { 0 } else { expected + 1 }, "after {number}");
    }
    mirror.write_first(&mut first, 0).await.unwrap();
    assert_eq!(there(), 7);
}
