//! The engine's promises, each with a test that can fail.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use proptest::prelude::*;

use crate::{Batch, Content, ContentId, LmdbEngine, Options, Patch, PatchInto, Space, Storage, StorageError};

const THINGS: Space = Space::new("things");
const COUNTS: Space = Space::new("counts");

fn open(dir: &std::path::Path) -> Storage {
    let options = Options { size_max: 1 << 30, inline_max: 1024, synced: true };
    Storage::open(dir, &[THINGS, COUNTS], &options).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[tokio::test]
async fn a_batch_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path());
    let mut batch = Batch::new();
    batch.put(THINGS, b"a", *b"1");
    batch.add(COUNTS, b"c", &[(0, 5), (3, 7), (0, -2)]);
    storage.commit(batch).await.unwrap();
    storage.close().await;
    drop(storage);
    let storage = open(dir.path());
    let view = storage.read().unwrap();
    assert_eq!(view.get(THINGS, b"a").unwrap().as_deref(), Some(&b"1"[..]));
    let fields: Vec<u64> = (0..5).map(|field| view.counter(COUNTS, b"c", field).unwrap()).collect();
    assert_eq!(fields, [3, 0, 0, 7, 0]);
}

#[tokio::test]
async fn what_is_handed_over_is_written_in_order_whether_waited_for_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path());
    let value = |text: &str| {
        let mut batch = Batch::new();
        batch.put(THINGS, b"a", text);
        batch
    };
    drop(storage.hand_over(value("1")).await.unwrap());
    let second = storage.hand_over(value("2")).await.unwrap();
    let mut third = value("3");
    third.assert_equals(THINGS, b"a", b"1");
    let third = storage.hand_over(third).await.unwrap();
    assert!(matches!(third.committed().await, Err(StorageError::Conflict(_))));
    second.committed().await.unwrap();
    assert_eq!(storage.read().unwrap().get(THINGS, b"a").unwrap().as_deref(), Some(&b"2"[..]));
}

#[tokio::test]
async fn what_is_asserted_of_a_counter_holds_after_the_batches_before_it_in_its_group() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path());
    // While it is written, the others gather behind it.
    let mut large = Batch::new();
    (0..2000_u64).for_each(|key| large.put(THINGS, &key.to_be_bytes(), vec![0; 500]));
    let counted = |expected: Option<u64>| {
        let mut batch = Batch::new();
        match expected {
            Some(value) => batch.assert_equals(COUNTS, b"c", &value.to_le_bytes()),
            None => batch.assert_absent(COUNTS, b"c"),
        }
        batch.add(COUNTS, b"c", &[(0, 1)]);
        batch
    };
    let mut waiting = vec![(true, storage.hand_over(large).await.unwrap())];
    for (expected, holds) in [(None, true), (None, false), (Some(1), true), (Some(1), false), (Some(2), true)]
    {
        waiting.push((holds, storage.hand_over(counted(expected)).await.unwrap()));
    }
    for (holds, committing) in waiting {
        let committed = committing.committed().await;
        match committed {
            Ok(_) => assert!(holds),
            Err(StorageError::Conflict(why)) => assert!(!holds, "{why}"),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(storage.read().unwrap().counter(COUNTS, b"c", 0).unwrap(), 3);
}

/// Who committed a batch that draws a number, and that number.
async fn drawn_by(storage: &Storage, operations: usize) -> (String, u64) {
    let mut batch = Batch::new();
    let number = batch.draw(COUNTS, b"c", 0);
    (1..operations).for_each(|key| batch.put(THINGS, &key.to_be_bytes(), "x"));
    let told = move |committed: crate::Committed| {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        (thread, committed.value(number))
    };
    storage.commit_then(batch, told).await.unwrap()
}

#[tokio::test]
async fn who_is_alone_commits_and_of_many_at_once_groups_are_made() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { synced: false, ..Options::default() };
    let storage = Storage::open(dir.path(), &[THINGS, COUNTS], &options).unwrap();
    let mut last = 0;
    for tries in 1.. {
        let (thread, number) = drawn_by(&storage, 1).await;
        assert_eq!(number, last + 1);
        last = number;
        if thread != "storage-writer" {
            break;
        }
        // A machine that is busy may be slow now and then.
        assert!(tries < 10_000, "no commit was quick");
    }
    let (thread, number) = drawn_by(&storage, 100).await;
    assert_eq!((&*thread, number), ("storage-writer", last + 1), "a large one holds nobody's thread");
    // The second and the third one find a batch before them that the writer has.
    let mut large = Batch::new();
    (0..100_u64).for_each(|key| large.put(THINGS, &key.to_be_bytes(), "y"));
    drop(storage.hand_over(large).await.unwrap());
    let (second, third) = tokio::join!(drawn_by(&storage, 1), drawn_by(&storage, 1));
    assert_eq!((second.1, third.1), (last + 2, last + 3));
    storage.close().await;
    assert!(matches!(storage.commit(Batch::new()).await, Err(StorageError::Closed)));
}

#[tokio::test]
async fn what_follows_a_commit_is_done_though_its_caller_has_gone() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path());
    let mut batch = Batch::new();
    let number = batch.draw(COUNTS, b"c", 0);
    let (told, hears) = tokio::sync::oneshot::channel();
    let committing = storage.commit_then(batch, move |committed| told.send(committed.value(number)));
    // Asked once, and dropped.
    drop(tokio::time::timeout(std::time::Duration::ZERO, committing).await);
    assert_eq!(hears.await, Ok(1));
    let mut failing = Batch::new();
    failing.assert_present(THINGS, b"a");
    let lock = std::sync::Arc::new(());
    let held = std::sync::Arc::downgrade(&lock);
    let refused = storage.commit_then(failing, move |_| drop(lock)).await;
    assert!(matches!(refused, Err(StorageError::Conflict(_))));
    assert_eq!(held.strong_count(), 0, "what was kept for it is let go");
}

#[tokio::test]
async fn a_failed_assertion_changes_nothing_and_spares_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path());
    let batch = |name: &[u8]| {
        let mut batch = Batch::new();
        batch.assert_absent(THINGS, b"once");
        batch.put(THINGS, b"once", name);
        batch.add(COUNTS, b"c", &[(0, 1)]);
        batch
    };
    let (first, second) = tokio::join!(storage.commit(batch(b"x")), storage.commit(batch(b"y")));
    assert!(first.is_ok());
    assert!(matches!(second, Err(StorageError::Conflict(_))), "{second:?}");
    let view = storage.read().unwrap();
    assert_eq!(view.counter(COUNTS, b"c", 0).unwrap(), 1);
    assert_eq!(view.get(THINGS, b"once").unwrap().as_deref(), Some(&b"x"[..]));
}

#[tokio::test]
async fn drawn_numbers_go_into_keys_and_values_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path());
    let draws = (0..20).map(|_| {
        let mut batch = Batch::new();
        let uid = batch.draw(COUNTS, b"m", 0);
        let place = |into, at, width| Patch { into, at, width, drawn: uid };
        let patches = [place(PatchInto::Key, 1, 4), place(PatchInto::Value, 0, 8)];
        batch.put_drawn(THINGS, b"k\0\0\0\0", vec![0; 8], &patches);
        let storage = storage.clone();
        async move { storage.commit(batch).await.unwrap().value(uid) }
    });
    let mut numbers = Vec::new();
    for draw in draws {
        numbers.push(draw.await);
    }
    assert_eq!(numbers, (1..=20).collect::<Vec<u64>>());
    let mut seen = Vec::new();
    let view = storage.read().unwrap();
    view.scan(THINGS, b"k", b"l", &mut |key, value| {
        let uid = u32::from_be_bytes(key[1..].try_into().unwrap());
        assert_eq!(u64::from_be_bytes(value.try_into().unwrap()), u64::from(uid));
        seen.push(uid);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(seen, (1..=20).collect::<Vec<u32>>());
}

async fn stored(storage: &Storage, octets: &[u8], references: u32) -> ContentId {
    let mut writer = storage.content(1 << 20);
    writer.write(octets).await.unwrap();
    let mut batch = Batch::new();
    let drawn = batch.store_content(writer.finish().await.unwrap(), references);
    ContentId(storage.commit(batch).await.unwrap().value(drawn))
}

#[tokio::test]
async fn content_lives_as_long_as_its_references_inline_and_in_files() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path());
    for size in [0, 10, 1024, 1025, 700_000] {
        let octets: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let id = stored(&storage, &octets, 2).await;
        let loaded = storage.read().unwrap().content(id).unwrap().unwrap();
        assert_eq!(loaded.to_bytes().unwrap(), octets);
        assert_eq!(loaded.range(7, 5).unwrap(), octets.iter().copied().skip(7).take(5).collect::<Vec<u8>>());
        let mut batch = Batch::new();
        batch.retain_content(id, 1);
        batch.release_content(id, 2);
        storage.commit(batch).await.unwrap();
        assert_eq!(storage.read().unwrap().content_references(id).unwrap(), Some(1));
        let mut batch = Batch::new();
        batch.release_content(id, 1);
        storage.commit(batch).await.unwrap();
        assert!(storage.read().unwrap().content(id).unwrap().is_none());
    }
    // Files go after the answer: who closes has waited for that.
    storage.close().await;
    assert_eq!(std::fs::read_dir(dir.path().join("content")).unwrap().count(), 0);
}

#[tokio::test]
async fn content_files_that_nothing_names_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path());
    let kept = stored(&storage, &[7; 5000], 1).await;
    let mut writer = storage.content(1 << 20);
    writer.write(&[8; 5000]).await.unwrap();
    drop(writer.finish().await.unwrap());
    std::fs::write(dir.path().join("content/00000000000000ff"), b"left by a crash").unwrap();
    storage.close().await;
    drop(storage);
    let storage = open(dir.path());
    assert_eq!(std::fs::read_dir(dir.path().join("content")).unwrap().count(), 1);
    assert_eq!(storage.read().unwrap().content(kept).unwrap().unwrap().len(), 5000);
}

#[tokio::test]
async fn content_beyond_its_maximum_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path());
    let mut writer = storage.content(10);
    assert!(writer.write(&[0; 10]).await.is_ok());
    assert!(matches!(writer.write(&[0]).await, Err(StorageError::TooLarge(10))));
}

#[test]
fn an_unknown_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let opened = |format: &str| {
        std::fs::write(dir.path().join("FORMAT"), format).unwrap();
        Storage::open(dir.path(), &[THINGS], &Options::default()).err().unwrap()
    };
    assert!(matches!(opened("wasmta storage 0\n"), StorageError::Corrupt(_)));
    assert!(matches!(opened("something else"), StorageError::Corrupt(_)));
    let why = opened("wasmta storage 99\n").to_string();
    assert!(why.contains("written by a newer version"), "{why}");
    assert!(!why.contains("corrupt"), "{why}");
}

#[tokio::test]
async fn what_was_handed_over_before_closing_is_committed_and_later_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path());
    let mut batch = Batch::new();
    batch.put(THINGS, b"a", *b"1");
    let (committed, ()) = tokio::join!(storage.commit(batch), storage.close());
    assert!(committed.is_ok());
    assert!(matches!(storage.commit(Batch::new()).await, Err(StorageError::Closed)));
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, Vec<u8>),
    Delete(u8),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(k, v)| Step::Put(k, v)),
        3 => any::<u8>().prop_map(Step::Delete),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn scans_agree_with_a_sorted_map(steps in steps(), from: u8, until: u8) {
        let dir = tempfile::tempdir().unwrap();
        let mut model = BTreeMap::new();
        runtime().block_on(async {
            let mut storage = open(dir.path());
            for step in steps {
                let mut batch = Batch::new();
                match step {
                    Step::Put(key, value) => { batch.put(THINGS, &[key], value.clone()); model.insert(key, value); }
                    Step::Delete(key) => { batch.delete(THINGS, &[key]); model.remove(&key); }
                    Step::Reopen => { storage.close().await; drop(storage); storage = open(dir.path()); }
                }
                storage.commit(batch).await.unwrap();
            }
            let view = storage.read().unwrap();
            let (mut up, mut down) = (Vec::new(), Vec::new());
            view.scan(THINGS, &[from], &[until], &mut |k, v| { up.push((k[0], v.to_vec())); ControlFlow::Continue(()) }).unwrap();
            view.scan_back(THINGS, &[from], &[until], &mut |k, v| { down.push((k[0], v.to_vec())); ControlFlow::Continue(()) }).unwrap();
            down.reverse();
            let expected: Vec<(u8, Vec<u8>)> = if from < until {
                model.range(from..until).map(|(k, v)| (*k, v.clone())).collect()
            } else { Vec::new() };
            assert_eq!(up, expected);
            assert_eq!(down, expected);
        });
    }
}

/// Refuses everything, and says why.
struct Broken;

impl crate::Engine for Broken {
    fn read(&self) -> Result<Box<dyn crate::Reading + Send + 'static>, StorageError> {
        Err(StorageError::unavailable("beginning to read", "MDB_PANIC"))
    }

    fn is_broken(&self) -> bool {
        true
    }

    fn write(
        &self,
        _: &mut dyn FnMut(&mut dyn crate::Writing) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        Err(StorageError::unavailable("beginning to write", "MDB_PANIC"))
    }
}

#[tokio::test]
async fn an_engine_that_has_to_be_opened_anew_is_told_of_by_whoever_meets_it_first() {
    let (storage, writer) = Storage::over(std::sync::Arc::new(Broken));
    let watching = tokio::spawn({
        let storage = storage.clone();
        async move { storage.broken().await }
    });
    assert!(storage.read().is_err());
    watching.await.unwrap();
    let (storage, another) = Storage::over(std::sync::Arc::new(Broken));
    tokio::spawn(another.run());
    assert!(storage.commit(Batch::new()).await.is_err());
    storage.broken().await;
    drop(writer);
}

/// A disk that is full as long as the reserve is there.
struct Full(LmdbEngine, std::path::PathBuf);

impl crate::Engine for Full {
    fn read(&self) -> Result<Box<dyn crate::Reading + Send + 'static>, StorageError> {
        self.0.read()
    }

    fn write(
        &self,
        apply: &mut dyn FnMut(&mut dyn crate::Writing) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        if self.1.exists() {
            return Err(StorageError::Full { doing: "committing", cause: "No space left on device".into() });
        }
        self.0.write(apply)
    }
}

#[tokio::test]
async fn a_full_disk_takes_what_brings_no_content() {
    let dir = tempfile::tempdir().unwrap();
    let reserve = crate::Reserve::open(dir.path(), &[]);
    reserve.make().unwrap();
    let file = dir.path().join("RESERVE");
    let engine = LmdbEngine::open(dir.path(), &[THINGS], 1 << 20, true).unwrap();
    let (storage, writer) = Storage::over(std::sync::Arc::new(Full(engine, file.clone())));
    writer.desk.set(|committing| committing.reserve = Some(reserve));
    tokio::spawn(writer.run());
    let bringing = || {
        let mut batch = Batch::new();
        batch.store_content(Content::from(b"new".to_vec()), 1);
        batch
    };
    let refused = storage.commit(bringing()).await.unwrap_err();
    assert!(matches!(refused, StorageError::Full { .. }), "{refused}");
    assert!(file.exists(), "for new content it is not given up");
    let mut freeing = Batch::new();
    freeing.put(THINGS, b"a", *b"1");
    storage.commit(freeing).await.unwrap();
    assert!(!file.exists());
    assert!(storage.read().unwrap().get(THINGS, b"a").unwrap().is_some());
    // This disk has room: so the reserve is made again before content is taken, and the engine is full again.
    assert!(storage.commit(bringing()).await.is_err());
    assert!(file.exists());
    storage.close().await;
}

#[tokio::test]
async fn an_unsynced_folder_that_is_torn_is_begun_anew() {
    let options = Options { size_max: 1 << 30, inline_max: 1024, synced: false };
    let open = |dir: &std::path::Path| Storage::open(dir, &[THINGS, COUNTS], &options).unwrap();
    let is_there = |storage: &Storage| storage.read().unwrap().get(THINGS, b"a").unwrap().is_some();
    let dir = tempfile::tempdir().unwrap();
    let fill = async |storage: &Storage| {
        let mut batch = Batch::new();
        batch.put(THINGS, b"a", *b"1");
        storage.commit(batch).await.unwrap();
    };
    let storage = open(dir.path());
    fill(&storage).await;
    storage.close().await;
    drop(storage);
    let storage = open(dir.path());
    assert!(is_there(&storage), "closed in order");
    storage.close().await;
    drop(storage);
    // Both pages that say where everything else is.
    let path = dir.path().join("data.mdb");
    let mut octets = std::fs::read(&path).unwrap();
    octets[..8192].fill(0xa5);
    std::fs::write(&path, octets).unwrap();
    let storage = open(dir.path());
    assert!(!is_there(&storage));
    fill(&storage).await;
    storage.close().await;
    drop(storage);
    // A power cut: the mark is of another boot, and pages are of any time. Nothing reads them.
    std::fs::write(dir.path().join("UNSYNCED"), "open, boot of yesterday\n").unwrap();
    let octets = std::fs::read(&path).unwrap();
    std::fs::write(&path, &octets[..octets.len() - 4096]).unwrap();
    let storage = open(dir.path());
    assert!(!is_there(&storage));
    fill(&storage).await;
    storage.close().await;
}

#[tokio::test]
async fn what_one_commit_frees_at_the_limit_is_room_for_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { size_max: 16 << 20, inline_max: 4 << 20, ..Options::default() };
    let storage = Storage::open(dir.path(), &[], &options).unwrap();
    let store = async || {
        let mut batch = Batch::new();
        let drawn = batch.store_content(Content::from(vec![b'x'; 880_000]), 1);
        storage.commit(batch).await.map(|committed| ContentId(committed.value(drawn)))
    };
    let mut ids = Vec::new();
    let why = loop {
        match store().await {
            Ok(id) => ids.push(id),
            Err(why) => break why,
        }
    };
    assert!(matches!(why, StorageError::AtSizeMax { .. }), "{why}");
    assert!(store().await.is_err(), "nothing was freed meanwhile");
    let mut batch = Batch::new();
    ids[..5].iter().for_each(|id| batch.release_content(*id, 1));
    storage.commit(batch).await.unwrap();
    for _ in 0..4 {
        store().await.unwrap();
    }
    storage.close().await;
}
