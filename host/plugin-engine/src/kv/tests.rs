//! What is kept, expires, and makes room.

use super::sweeping::SweepMax;
use super::*;
use std::time::Duration;

fn open(folder: &std::path::Path) -> Kv {
    let options = storage::Options { size_max: 64 << 20, synced: false, ..Default::default() };
    Kv::new(Storage::open(folder, SPACES, &options).unwrap())
}

#[tokio::test]
async fn values_expire_and_tenants_are_apart() {
    let folder = tempfile::tempdir().unwrap();
    let kv = open(folder.path());
    let name: PluginName = "srs".parse().unwrap();
    let (one, two) = (Domain::parse("a.example").unwrap(), Domain::parse("b.example").unwrap());
    let (one, two) = (Place::new(&name, Some(&one)), Place::new(&name, Some(&two)));
    let at = |seconds| Timestamp(0).plus(Duration::from_secs(seconds));
    kv.write(&one, "k", Some((b"v".to_vec(), 10)), at(100), 1000).await.unwrap();
    assert_eq!(kv.read(&one, "k", at(109)).unwrap().as_deref(), Some(&b"v"[..]));
    assert_eq!(kv.read(&one, "k", at(110)).unwrap(), None);
    assert_eq!(kv.read(&two, "k", at(100)).unwrap(), None);
    assert_eq!(kv.sweep(at(109)).await.unwrap(), 0);
    assert_eq!(kv.sweep(at(110)).await.unwrap(), 1);
    assert_eq!(kv.0.read().unwrap().counter(USED, &one.0, 0).unwrap(), 0);
    kv.write(&one, "k", Some((b"v".to_vec(), 0)), at(200), 1000).await.unwrap();
    assert!(kv.read(&one, "k", at(1_000_000)).unwrap().is_some());
    kv.write(&one, "k", None, at(200), 1000).await.unwrap();
    assert!(kv.read(&one, "k", at(200)).unwrap().is_none());
}

#[tokio::test]
async fn what_would_be_said_is_said_without_keeping_it() {
    let folder = tempfile::tempdir().unwrap();
    let (kv, now) = (open(folder.path()), Timestamp(1_000));
    let place = Place::new(&"greylist".parse().unwrap(), None);
    assert_eq!(kv.counted(&place, "n", 1, now).unwrap(), 1);
    assert_eq!(kv.count(&place, "n", 2, 60, now, 1000).await.unwrap(), 2, "nothing was kept");
    assert_eq!((kv.counted(&place, "n", 1, now).unwrap(), kv.counted(&place, "n", 1, now).unwrap()), (3, 3));
    assert!(kv.check(&place, "k", Some(VALUE_MAX)).is_ok() && kv.check(&place, "", None).is_err());
    assert!(kv.check(&place, "k", Some(VALUE_MAX + 1)).is_err());
}

#[tokio::test]
async fn counters_count_every_call_once_within_their_window() {
    let folder = tempfile::tempdir().unwrap();
    let kv = open(folder.path());
    let place = Place::new(&"greylist".parse().unwrap(), None);
    let at = |seconds| Timestamp(0).plus(Duration::from_secs(seconds));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (kv, place) = (kv.clone(), place.clone());
            tokio::spawn(async move { kv.count(&place, "n", 1, 60, at(0), 1000).await.unwrap() })
        })
        .collect();
    let mut seen = Vec::new();
    for task in tasks {
        seen.push(task.await.unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=8).collect::<Vec<_>>());
    assert_eq!(kv.count(&place, "n", 1, 60, at(59), 1000).await.unwrap(), 9);
    assert_eq!(kv.count(&place, "n", 1, 60, at(60), 1000).await.unwrap(), 1);
    assert!(kv.count(&place, "", 1, 60, at(60), 1000).await.is_err());
}

#[tokio::test]
async fn a_full_store_refuses_and_makes_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let kv = open(folder.path());
    let place = Place::new(&"srs".parse().unwrap(), None);
    let now = Timestamp(0);
    kv.write(&place, "a", Some((vec![0; 50], 0)), now, 100).await.unwrap();
    let refused = kv.write(&place, "b", Some((vec![0; 50], 0)), now, 100).await;
    assert!(matches!(refused, Err(KvError::Refused(_))));
    kv.write(&place, "a", Some((vec![0; 60], 0)), now, 100).await.unwrap();
    kv.write(&place, "a", None, now, 100).await.unwrap();
    kv.write(&place, "b", Some((vec![0; 50], 0)), now, 100).await.unwrap();
    let long = kv.write(&place, "c", Some((vec![0; VALUE_MAX + 1], 0)), now, u64::MAX >> 1).await;
    assert!(matches!(long, Err(KvError::Refused(_))));
}

#[tokio::test]
async fn values_that_are_written_side_by_side_share_the_room() {
    let folder = tempfile::tempdir().unwrap();
    let kv = open(folder.path());
    let place = Place::new(&"srs".parse().unwrap(), None);
    let (writers, fit) = (16, 3);
    kv.write(&place, "k00", Some((vec![0; 50], 0)), Timestamp(0), u64::MAX >> 1).await.unwrap();
    let each = kv.0.read().unwrap().counter(USED, &place.0, 0).unwrap();
    let max = each * fit;
    let tasks: Vec<_> = (1..writers)
        .map(|number| {
            let (kv, place) = (kv.clone(), place.clone());
            let new = Some((vec![0; 50], 0));
            tokio::spawn(
                async move { kv.write(&place, &format!("k{number:02}"), new, Timestamp(0), max).await },
            )
        })
        .collect();
    let mut refused = 0;
    for task in tasks {
        refused += u64::from(matches!(task.await.unwrap(), Err(KvError::Refused(_))));
    }
    assert_eq!(refused, writers - fit, "all others are refused");
    assert_eq!(kv.0.read().unwrap().counter(USED, &place.0, 0).unwrap(), each * fit);
}

#[tokio::test]
async fn a_store_full_of_what_has_expired_takes_more_and_keeps_nobody_from_being_swept() {
    let folder = tempfile::tempdir().unwrap();
    let kv = open(folder.path());
    let at = |seconds| Timestamp(0).plus(Duration::from_secs(seconds));
    let (first, last): (PluginName, PluginName) = ("a".parse().unwrap(), "z".parse().unwrap());
    let (first, last) = (Place::new(&first, None), Place::new(&last, None));
    for nth in 0..40 {
        kv.write(&first, &format!("k{nth:02}"), Some((vec![0; 50], 10)), at(0), 1 << 20).await.unwrap();
    }
    kv.write(&last, "k", Some((vec![0; 50], 10)), at(0), 1 << 20).await.unwrap();
    let used = |place: &Place| kv.0.read().unwrap().counter(USED, &place.0, 0).unwrap();
    let full = used(&first);
    // Sweeps of few go on where the last one ended, and no place takes all of one.
    let max = SweepMax { scanned: 1000, removed: 20, of_one_place: 10 };
    assert_eq!(kv.sweep_up_to(at(10), max).await.unwrap(), 11);
    assert_eq!((used(&first), used(&last)), (full / 40 * 30, 0));
    let max = SweepMax { scanned: 7, removed: 20, of_one_place: 10 };
    for _ in 0..5 {
        kv.sweep_up_to(at(10), max).await.unwrap();
    }
    assert_eq!(used(&first), 0);
    // Whoever finds no room has its own expired values removed first.
    for nth in 0..10 {
        kv.write(&first, &format!("k{nth}"), Some((vec![0; 50], 10)), at(20), 1000).await.unwrap();
    }
    let refused = kv.write(&first, "new", Some((vec![0; 500], 0)), at(29), 1000).await;
    assert!(matches!(refused, Err(KvError::Refused(_))));
    kv.write(&first, "new", Some((vec![0; 500], 0)), at(30), 1000).await.unwrap();
    assert_eq!(kv.count(&first, "k1", 1, 60, at(30), 1000).await.unwrap(), 1);
}

#[tokio::test]
async fn what_a_removed_plugin_kept_goes_by_itself_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (kv, now) = (open(folder.path()), Timestamp(0));
    let (gone, other): (PluginName, PluginName) = ("srs".parse().unwrap(), "srs2".parse().unwrap());
    let tenant = Domain::parse("a.example").unwrap();
    let places = [Place::new(&gone, None), Place::new(&gone, Some(&tenant))];
    for number in 0..SWEEP_BATCH_MAX {
        for place in &places {
            kv.write(place, &format!("k{number}"), Some((b"v".to_vec(), 0)), now, 1 << 20).await.unwrap();
        }
    }
    let beside = Place::new(&other, None);
    kv.write(&beside, "k", Some((b"v".to_vec(), 0)), now, 1000).await.unwrap();
    assert_eq!((kv.keeps(&gone).unwrap(), kv.forget(&gone).await.unwrap()), (true, 2 * SWEEP_BATCH_MAX));
    assert_eq!((kv.keeps(&gone).unwrap(), kv.forget(&gone).await.unwrap()), (false, 0));
    assert!(kv.read(&beside, "k", now).unwrap().is_some());
    assert!(places.iter().all(|place| kv.0.read().unwrap().counter(USED, &place.0, 0).unwrap() == 0));
}

#[tokio::test]
async fn what_is_kept_for_a_tenant_that_is_gone_goes_with_every_plugin_and_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let (kv, now) = (open(folder.path()), Timestamp(0));
    let (gone, other) = (Domain::parse("a.example").unwrap(), Domain::parse("sub.a.example").unwrap());
    let (one, two): (PluginName, PluginName) = ("srs".parse().unwrap(), "greylist".parse().unwrap());
    for place in [
        Place::new(&one, Some(&gone)),
        Place::new(&two, Some(&gone)),
        Place::new(&one, Some(&other)),
        Place::new(&one, None),
    ] {
        kv.write(&place, "k", Some((b"v".to_vec(), 0)), now, 1000).await.unwrap();
    }
    assert_eq!(kv.tenants().unwrap(), [gone.clone(), other.clone()].into());
    assert_eq!((kv.places_of(&gone).unwrap().len(), kv.forget_tenant(&gone).await.unwrap()), (2, 2));
    assert_eq!((kv.places_of(&gone).unwrap().len(), kv.places_of(&other).unwrap().len()), (0, 1));
    assert_eq!(kv.tenants().unwrap(), [other].into());
    assert!(kv.read(&Place::new(&one, None), "k", now).unwrap().is_some());
}
