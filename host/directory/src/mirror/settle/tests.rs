use storage::Batch;

use super::*;
use crate::mirror::records::{Seen, StoredFound};
use crate::mirror::tests::{mirror, options, user};

/// More than two batches of what is not a first sync.
const USERS: u32 = 2 * BATCH_MAX as u32 + 10;

/// A mirror with so many users, and what a full sync has staged of them: each has the address of another one.
async fn staged(
    dir: &std::path::Path,
    users: u32,
    has: impl Fn(u32) -> u32,
) -> (crate::mirror::mirrors::Mirrors, Mirror) {
    let (all, mirror) = mirror(dir, options());
    let of = |number: u32, mail: u32| user(number, &format!("u{mail}@d.test"), 0);
    let there: Vec<Step> = (0..users).map(|number| Step::Put(Box::new(of(number, number)))).collect();
    for chunk in there.chunks(BATCH_MAX) {
        mirror.apply(Way::Full, chunk, &Vec::new()).await.unwrap();
    }
    let mut batch = Batch::new();
    for number in 0..users {
        let found = of(number, has(number));
        let key = seen_key(mirror.number(), found.dn().key());
        batch.put(SEEN, &key, Seen::Differs(StoredFound::of(&found)).encode());
    }
    mirror.directory().commit(batch).await.unwrap();
    (all, mirror)
}

/// Who has an address.
fn holder(mirror: &Mirror, number: u32) -> String {
    let address = mail_types::Address::parse(&format!("u{number}@d.test")).unwrap();
    match mirror.directory().by_address(&address) {
        mail_types::Lookup::Found(entry) => entry.dn.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_full_sync_postpones_so_many_entries_and_refuses_the_others() {
    // Each has the address of one in the other half: most wait for another batch.
    let (half, dir) = (USERS / 2, tempfile::tempdir().unwrap());
    for (most, refuses) in [(usize::MAX, false), (1, true)] {
        let dir = tempfile::tempdir_in(dir.path()).unwrap();
        let (_all, mirror) = staged(dir.path(), USERS, |number| (number + half) % USERS).await;
        let mut applied = mirror.apply_differing(USERS as usize, most, &|_| ()).await.unwrap();
        assert_eq!(applied.refusals > 0, refuses, "at most {most}");
        // It is looked at before each batch.
        assert!(!refuses || applied.postponed.len() <= BATCH_MAX, "{}", applied.postponed.len());
        if !refuses {
            let postponed = std::mem::take(&mut applied.postponed);
            mirror.apply_postponed(postponed, Vec::new(), GROUP_MAX).await.unwrap();
            assert_eq!(holder(&mirror, half), "uid=u0,o=isp");
        }
    }
}

#[tokio::test]
async fn so_many_who_wait_for_each_other_are_put_in_their_places_together() {
    let (ring, dir) = (6, tempfile::tempdir().unwrap());
    for (most, refuses) in [(6, false), (5, true)] {
        let dir = tempfile::tempdir_in(dir.path()).unwrap();
        let (_all, mirror) = staged(dir.path(), ring, |number| (number + 1) % ring).await;
        let waiter = |number: u32| {
            let dn = |number: u32| Dn::parse(&format!("uid=u{number},o=isp")).unwrap();
            (dn(number), Waiter { place: dn(number), holder: Some(dn((number + 1) % ring)) })
        };
        let postponed = (0..ring).map(waiter).collect();
        let (applied, _) = mirror.apply_postponed(postponed, Vec::new(), most).await.unwrap();
        assert_eq!(applied.refusals > 0, refuses, "{most}: {applied:?}");
        // The refused ones of a ring that small are tried again together.
        assert_eq!(holder(&mirror, 1), "uid=u0,o=isp");
    }
}
