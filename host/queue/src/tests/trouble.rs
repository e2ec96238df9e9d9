//! Panics, records that cannot be read, disks whose answers cannot be trusted.

use std::sync::atomic::{AtomicUsize, Ordering};

use storage::{Engine, LmdbEngine, Reading, Writing};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_channel_that_panics_keeps_neither_the_message_nor_its_place() {
    // A script without answers panics.
    let house = house(Vec::new(), Options::default());
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![remote("a@x.example")])).await.unwrap();
    house.run(Duration::from_secs(60)).await;
    assert_eq!((house.queue.len(), house.queue.active()), (1, 0));
    house.script.answers.lock().push(delivered());
    house.run(Duration::from_secs(3600)).await;
    assert_eq!((house.queue.len(), house.contents()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_left_alone_and_holds_nothing_up() {
    let mut house = house(vec![delivered()], Options::default());
    let broken =
        house.queue.submit(house.submission("<x@y.example>", vec![remote("a@x.example")])).await.unwrap();
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![remote("b@x.example")])).await.unwrap();
    let mut batch = Batch::new();
    batch.put(crate::records::MESSAGES, &broken.id().to_key(), b"no record".to_vec());
    house.storage.commit(batch).await.unwrap();
    house.run(Duration::from_secs(3600)).await;
    let asked: Vec<_> = house.script.asked.lock().iter().flat_map(|(_, names)| names.clone()).collect();
    assert_eq!((asked, house.queue.len()), (vec!["b@x.example".to_owned()], 1));
    let mut batch = Batch::new();
    batch.put(
        crate::records::RECIPIENTS,
        &crate::records::recipient_key(broken.id(), 0),
        b"neither".to_vec(),
    );
    house.storage.commit(batch).await.unwrap();
    house.queue = open(&house.storage, &house.script, &house.local, &house.clock, Options::default());
    assert_eq!(house.queue.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn content_that_has_lost_its_end_stays_here_and_is_given_up_in_its_time() {
    let house = house(vec![delivered()], Options::default());
    let receipt =
        house.queue.submit(house.submission("<x@y.example>", vec![remote("a@x.example")])).await.unwrap();
    let key = receipt.id().to_key();
    let mut value =
        house.storage.read().unwrap().get(crate::records::MESSAGES, &key).unwrap().unwrap().into_owned();
    // The size: one octet more than there is.
    value[16] += 1;
    let mut batch = Batch::new();
    batch.put(crate::records::MESSAGES, &key, value);
    house.storage.commit(batch).await.unwrap();
    house.run(Duration::from_secs(3600)).await;
    assert_eq!((house.script.asked.lock().len(), house.queue.len()), (0, 1));
    house.run(Duration::from_secs(6 * 24 * 3600)).await;
    assert_eq!((house.boxes("x@y.example"), house.queue.len()), (2, 0), "its sender was warned and told");
    assert!(house.script.asked.lock().is_empty(), "what is left of it went nowhere");
}

/// Takes commits, and says now and then that it did not.
struct Doubtful {
    engine: LmdbEngine,
    lies: AtomicUsize,
}

impl Engine for Doubtful {
    fn read(&self) -> Result<Box<dyn Reading + Send + 'static>, StorageError> {
        self.engine.read()
    }

    fn write(
        &self,
        apply: &mut dyn FnMut(&mut dyn Writing) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        self.engine.write(apply)?;
        let lies = self.lies.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if lies.is_ok() {
            Err(StorageError::unavailable("committing", "the last sync failed"))
        } else {
            Ok(())
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_was_taken_after_all_is_not_made_twice() {
    let dir = tempfile::tempdir().unwrap();
    let spaces = [crate::SPACES, &[BOXES]].concat();
    let engine = LmdbEngine::open(dir.path(), &spaces, 1 << 30, true).unwrap();
    let engine = Arc::new(Doubtful { engine, lies: AtomicUsize::new(0) });
    let house = house_over(Arc::clone(&engine) as Arc<dyn Engine>, dir, vec![failed()], Options::default());
    let mut late = remote("a@x.example");
    late.route = Route::new("reprocess", NextHop::Nobody);
    let _ = house.queue.submit(house.submission("<>", vec![late])).await.unwrap();
    engine.lies.store(1, Ordering::Relaxed);
    house.run(Duration::from_secs(600)).await;
    assert_eq!((house.boxes("a@x.example"), house.queue.len(), house.contents()), (1, 0, 1), "one copy");
    // A report that such a commit made is on its way all the same.
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![remote("a@x.example")])).await.unwrap();
    engine.lies.store(1, Ordering::Relaxed);
    house.run(Duration::from_secs(600)).await;
    assert_eq!((house.boxes("x@y.example"), house.queue.len()), (1, 0), "one report");
}

#[tokio::test(start_paused = true)]
async fn who_is_late_is_told_once_however_little_the_disk_says() {
    let dir = tempfile::tempdir().unwrap();
    let spaces = [crate::SPACES, &[BOXES]].concat();
    let engine = LmdbEngine::open(dir.path(), &spaces, 1 << 30, true).unwrap();
    let engine = Arc::new(Doubtful { engine, lies: AtomicUsize::new(0) });
    let answers = vec![deferred(Reach::Destination)];
    let house = house_over(Arc::clone(&engine) as Arc<dyn Engine>, dir, answers, Options::default());
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![remote("a@x.example")])).await.unwrap();
    // From now on each commit is taken, and said to have failed.
    engine.lies.store(usize::MAX, Ordering::Relaxed);
    house.run(Duration::from_secs(24 * 3600)).await;
    assert_eq!((house.boxes("x@y.example"), house.queue.len()), (1, 1), "one warning");
}

#[tokio::test(start_paused = true)]
async fn a_place_that_somebody_else_has_now_is_not_settled_for_who_had_it() {
    let dir = tempfile::tempdir().unwrap();
    let spaces = [crate::SPACES, &[BOXES]].concat();
    let engine = LmdbEngine::open(dir.path(), &spaces, 1 << 30, true).unwrap();
    let engine = Arc::new(Doubtful { engine, lies: AtomicUsize::new(0) });
    let house =
        house_over(Arc::clone(&engine) as Arc<dyn Engine>, dir, vec![delivered()], Options::default());
    house.local.set_full("b@example.org", true);
    let mut told = remote("a@x.example");
    told.recipient.notify = Notify::On { success: true, failure: true, delay: false };
    let both = vec![reprocessed("group-b@example.org"), told];
    let _ = house.queue.submit(house.submission("<x@y.example>", both)).await.unwrap();
    // The delivery is written, and not believed; before it is tried to write it again, the group's member, for whom there is
    // no room, gets the place that has become free.
    engine.lies.store(1, Ordering::Relaxed);
    house.run(Duration::from_secs(60)).await;
    let left: Vec<String> =
        house.queue.summary().unwrap().iter().map(|sum| format!("{} {}", sum.route, sum.waiting)).collect();
    assert_eq!(left, ["store:b@example.org 1"]);
    house.local.set_full("b@example.org", false);
    house.run(Duration::from_secs(3600)).await;
    assert_eq!((house.boxes("b@example.org"), house.boxes("x@y.example"), house.queue.len()), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn many_messages_are_changed_by_few_commits() {
    let house = house(Vec::new(), Options::default());
    let mut ids = Vec::new();
    for number in 0..300 {
        let submission = house.submission("<x@y.example>", vec![remote(&format!("a{number}@x.example"))]);
        ids.push(house.queue.submit(submission).await.unwrap().id());
    }
    let before = house.storage.version();
    let outcomes =
        house.queue.change_all(ids.clone(), Filter::default(), Change::Hold, "test", Duration::ZERO).await;
    assert!(outcomes.iter().map(|(id, _)| *id).eq(ids), "in their order");
    assert!(outcomes.iter().all(|(_, outcome)| matches!(outcome, Ok(1))), "{outcomes:?}");
    let commits = house.storage.version() - before;
    assert!(commits < 30, "{commits} commits");
}

#[tokio::test(start_paused = true)]
async fn what_goes_round_is_resolved_so_often_and_then_its_sender_is_told() {
    let house = house(Vec::new(), Options::default());
    let near = local(&Recipient::new(Address::parse("a@example.org").unwrap()));
    let both = vec![near, reprocessed("round@example.org")];
    let receipt = house.queue.submit(house.submission("<x@y.example>", both)).await.unwrap();
    house.run(Duration::from_secs(600)).await;
    let trail = house.queue.listing().trail(receipt.id()).unwrap();
    let replaced = trail.lines.iter().filter(|line| line.what == "replaced").count();
    let last = trail.lines.last().unwrap();
    assert_eq!((replaced, last.what.as_str()), (usize::from(crate::settle::REPLACED_MAX), "failed"));
    assert!(last.text.contains("resolved anew more than 20 times"), "{}", last.text);
    assert_eq!((house.boxes("x@y.example"), house.boxes("a@example.org"), house.queue.len()), (1, 1, 0));
}
