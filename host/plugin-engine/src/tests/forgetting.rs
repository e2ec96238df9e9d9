//! What is recorded for a tenant that is gone.

use super::replaying::recorded;
use super::*;
use crate::Forgotten;

async fn forgotten(house: &House, tenant: &str) -> usize {
    let Forgotten { calls, .. } = house.engine.forget_tenant(&Domain::parse(tenant).unwrap()).await.unwrap();
    calls
}

/// The tenants of the calls in a file, in their order, with `=` for what they were made with.
fn tenants(file: &std::path::Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let tenant = |line: &str| {
        if line.starts_with("{\"made_with\":") {
            return "=".to_owned();
        }
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["question"]["rewrite"][0]["tenant"].as_str().unwrap().to_owned()
    };
    text.lines().map(tenant).collect()
}

#[tokio::test]
async fn what_is_recorded_for_a_tenant_goes_with_it_and_recording_goes_on() {
    let house = recorded().await;
    house.asked("one@example.org", 1).await;
    house.asked("two@b.example", 2).await;
    let (new, old) = (house.recordings(), house.recordings().with_file_name("policy.old.jsonl"));
    // As a crash leaves it: whose it was, nobody can tell.
    let text = std::fs::read_to_string(&new).unwrap();
    std::fs::write(&old, format!("{text}{{\"at\":1,\"id\":\"")).unwrap();
    // Not written yet, as far as anybody knows.
    house.rewrite("policy", "three@example.org").await.answer.unwrap();
    assert_eq!(forgotten(&house, "example.org").await, 3);
    assert_eq!(tenants(&old), ["=", "b.example"]);
    assert_eq!(tenants(&new), ["=", "b.example"]);
    assert!(!std::fs::read_to_string(&new).unwrap().contains("example.org"));
    assert_eq!(forgotten(&house, "example.org").await, 0);
    // Of the next tenant of that name.
    house.asked("four@example.org", 2).await;
    assert_eq!(tenants(&new), ["=", "b.example", "=", "example.org"]);
    let played = house.engine.replay(&name("policy"), None::<crate::Offered<'_>>, |_| true).await.unwrap();
    assert_eq!((played.calls.len(), played.unreadable), (3, 0));
    assert!(played.calls.iter().all(crate::Replayed::is_same));
    // A file of which nothing stays, goes.
    assert_eq!(forgotten(&house, "b.example").await, 2);
    assert!(!old.exists());
    let left = std::fs::read_dir(new.parent().unwrap()).unwrap().count();
    assert_eq!(left, 1, "no copy is left over");
}

#[tokio::test]
async fn what_is_written_while_a_file_is_copied_is_kept_wherever_the_file_is_by_then() {
    let house = recorded().await;
    let recorder = &house.engine.0.recorder;
    let policy = name("policy");
    let gone = Domain::parse("example.org").unwrap();
    let (new, old) = (house.recordings(), house.recordings().with_file_name("policy.old.jsonl"));
    for (is_full, count) in [(false, 1), (true, 2)] {
        house.asked("one@example.org", count).await;
        let plugin = policy.clone();
        let seen = recorder.when_written(move |files| files.seen(&plugin)).await.unwrap();
        let seen = seen.into_iter().last().unwrap();
        let (mut seen, folder) = (seen, new.parent().unwrap().to_owned());
        let copy = crate::forgetting::Rest::of(&folder, &mut seen, &gone).unwrap().unwrap();
        house.asked("two@b.example", count + 1).await;
        if is_full {
            std::fs::rename(&new, &old).unwrap();
        }
        let plugin = policy.clone();
        let removed = recorder.when_written(move |files| files.replace(&plugin, &seen, copy)).await.unwrap();
        assert_eq!(removed, 1);
        let file = if is_full { &old } else { &new };
        let kept = tenants(file);
        assert_eq!(kept.iter().filter(|one| *one == "b.example").count(), count, "{kept:?}");
        assert_eq!((kept[0].as_str(), kept.contains(&gone.to_string())), ("=", false), "{kept:?}");
    }
}

#[tokio::test]
async fn the_tenants_that_are_recorded_are_known_after_a_restart_too() {
    let house = recorded().await;
    house.asked("one@example.org", 1).await;
    let (org, b) = (Domain::parse("example.org").unwrap(), Domain::parse("b.example").unwrap());
    let House { engine, world, folder, events } = house;
    assert!(engine.tenants_kept().await.unwrap().contains(&org));
    engine.close().await;
    drop(engine);
    std::fs::write(folder.path().join("plugins/recordings/forgetting.new"), "x").unwrap();
    let engine = Engine::open(&folder.path().join("plugins"), parts(folder.path(), world, &events)).unwrap();
    let recordings = std::fs::read_dir(folder.path().join("plugins/recordings")).unwrap();
    assert_eq!(recordings.count(), 1, "what a crash left of a copy is gone");
    let record = HashMap::from([(name("policy"), 1 << 20)]);
    engine.configure(vec![granted("policy")], record).await;
    let house = House { engine, world: Arc::default(), folder, events };
    house.asked("two@b.example", 2).await;
    assert_eq!(house.engine.tenants_kept().await.unwrap(), [b.clone(), org.clone()].into());
    assert_eq!(forgotten(&house, "example.org").await, 1);
    assert_eq!(house.engine.tenants_kept().await.unwrap(), [b].into());
}
