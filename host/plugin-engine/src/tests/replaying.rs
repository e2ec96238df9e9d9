//! Recorded calls, played again: of what is kept, whatever else goes on.

use super::*;
use crate::{Offered, Replayed};

/// Plays what is recorded of `policy`.
async fn replayed(house: &House) -> Vec<Replayed> {
    house.engine.replay(&name("policy"), None::<Offered<'_>>, |_| true).await.unwrap().calls
}

pub(super) async fn recorded() -> House {
    let house = house();
    let plugin = name("policy");
    house.engine.install(&octets("forge"), Some(plugin.clone()), None, "test", false).await.unwrap();
    let record = HashMap::from([(plugin, 1 << 20)]);
    assert_eq!(house.engine.configure(vec![granted("policy")], record).await, Vec::<String>::new());
    house
}

impl House {
    pub(super) fn recordings(&self) -> PathBuf {
        self.folder.path().join("plugins/recordings/policy.jsonl")
    }

    /// What is on disk of calls, without what they were made with; whole lines.
    pub(super) fn lines(&self) -> String {
        let text = std::fs::read(self.recordings()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.filter(|line| !line.starts_with("{\"made_with\":")).collect()
    }

    /// Asks, and waits until so many calls are on disk.
    pub(super) async fn asked(&self, address: &str, count: usize) {
        self.rewrite("policy", address).await.answer.unwrap();
        for _ in 0..500 {
            if self.lines().lines().count() == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it was not recorded");
    }
}

#[tokio::test]
async fn calls_of_a_version_that_is_no_longer_kept_are_told_and_the_others_played() {
    let house = recorded().await;
    house.asked("one@example.org", 1).await;
    house.engine.install(&octets("trap"), Some(name("policy")), None, "test", true).await.unwrap();
    house.asked("good@example.org", 2).await;
    house.engine.roll_back(&name("policy")).await.unwrap();
    for _ in 0..2 {
        let replayed = replayed(&house).await;
        assert_eq!(replayed.len(), 2);
        assert!(replayed.iter().all(Replayed::is_same), "looking on takes nothing away: {replayed:#?}");
    }
    house.engine.install(&octets("forge"), Some(name("policy")), None, "test", false).await.unwrap();
    for _ in 0..2 {
        let mut replayed = replayed(&house).await;
        assert!(replayed[0].is_same() && replayed[0].is_played() && !replayed[1].is_played());
        let (_, why) = replayed.remove(1).answer.unwrap_err();
        assert!(why.contains("is no longer kept"), "{why}");
    }
    // Settings that do not fit any more do not matter: those of then are kept with the calls.
    let mut other = granted("policy");
    other.config = serde_json::json!({"unknown": true});
    house.engine.configure(vec![other], HashMap::new()).await;
    assert!(replayed(&house).await.remove(0).is_same());
    // Where they are not, that is another thing, and has its own words.
    std::fs::write(house.recordings(), house.lines()).unwrap();
    let unfit = replayed(&house).await.remove(0);
    assert!(!unfit.is_played() && unfit.answer.unwrap_err().1.contains("cannot be started any more"));
}

#[tokio::test]
async fn a_broken_line_costs_itself_alone() {
    use std::io::Write as _;
    let house = recorded().await;
    house.asked("one@example.org", 1).await;
    // As a crash leaves it: within a letter of two octets.
    let mut file = std::fs::OpenOptions::new().append(true).open(house.recordings()).unwrap();
    file.write_all(b"{\"at\":1,\"id\":\"\xc3").unwrap();
    drop(file);
    house.asked("two@example.org", 3).await;
    assert_eq!(replayed(&house).await.len(), 2, "what was written after it counts");
    let refused = house.engine.install(&octets("trap"), Some(name("policy")), None, "x", false).await;
    assert!(refused.unwrap_err().to_string().contains("fails on a recorded call"));
    // What cannot be read at all is told, instead of tried on nothing.
    std::fs::remove_file(house.recordings()).unwrap();
    std::fs::create_dir(house.recordings()).unwrap();
    let refused = house.engine.install(&octets("trap"), Some(name("policy")), None, "x", false).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("recordings cannot be read") && refused.contains("--force"), "{refused}");
    house.engine.install(&octets("trap"), Some(name("policy")), None, "x", true).await.unwrap();
}

#[tokio::test]
async fn an_answer_goes_to_the_question_that_it_was_given_to() {
    let house = house();
    let plugin = name("policy");
    house.engine.install(&octets("subaddress-policy"), Some(plugin.clone()), None, "x", false).await.unwrap();
    let record = HashMap::from([(plugin, 1 << 20)]);
    assert_eq!(house.engine.configure(vec![granted("policy")], record).await, Vec::<String>::new());
    house.asked("anna+shop@example.org", 1).await;
    let recorded = house.lines();
    let line: serde_json::Value = serde_json::from_str(&recorded).unwrap();
    let asked = line["asked"].as_array().unwrap();
    assert_eq!(asked.len(), line["host"].as_array().unwrap().len());
    assert!(asked[0].as_str().unwrap().starts_with("lookup.select"), "{asked:?}");
    assert!(replayed(&house).await[0].is_same());
    // The same answers, to a look-up of another row: of the version that is played now, as it were.
    let other = recorded.replacen("anna", "emma", 1);
    assert_ne!(other, recorded);
    std::fs::write(house.recordings(), &other).unwrap();
    let (kind, why) = replayed(&house).await.remove(0).answer.unwrap_err();
    assert_eq!(kind, FailureKind::Answer, "{why}");
    assert!(why.contains("lookup.select") && why.contains("something else than the recorded call"), "{why}");
    // To another function.
    std::fs::write(house.recordings(), recorded.replace("lookup.select", "dns.query")).unwrap();
    let (_, why) = replayed(&house).await.remove(0).answer.unwrap_err();
    assert!(why.contains("lookup.select") && why.contains("asked for dns.query"), "{why}");
    // What was recorded before questions were kept goes by its order, as it did then.
    let mut line = line;
    line.as_object_mut().unwrap().remove("asked");
    std::fs::write(house.recordings(), line.to_string()).unwrap();
    assert!(replayed(&house).await[0].is_same());
}

#[tokio::test]
async fn a_call_is_played_with_the_configuration_that_it_was_made_with() {
    let house = house();
    let policy = octets("subaddress-policy");
    house.engine.install(&policy, Some(name("policy")), None, "x", false).await.unwrap();
    // So little that a few calls fill a file.
    let record = || HashMap::from([(name("policy"), 2 * 6000)]);
    let configured = async |unknown: &str| {
        let mut settings = granted("policy");
        settings.config = serde_json::json!({"unknown-tag": unknown, "default-tags": []});
        assert_eq!(house.engine.configure(vec![settings], record()).await, Vec::<String>::new());
    };
    for (unknown, count) in [("remove", 1), ("refuse", 2), ("keep", 3), ("remove", 4)] {
        configured(unknown).await;
        house.asked("anna+shop@example.org", count).await;
    }
    let played = house.engine.replay(&name("policy"), None::<Offered<'_>>, |_| true).await.unwrap();
    assert_eq!((played.calls.len(), played.unreadable, played.otherwise_configured), (4, 0, 2));
    assert!(played.calls.iter().all(Replayed::is_same), "{:#?}", played.calls);
    // A candidate is what would be: with the configuration of now.
    let played = house.engine.replay(&name("policy"), Some(&policy[..]), |_| true).await.unwrap();
    let same: Vec<bool> = played.calls.iter().map(Replayed::is_same).collect();
    assert_eq!(same, [true, false, false, true]);
    // Another file begins, as the next process does: each says at its beginning what its calls were made with.
    let text = std::fs::read_to_string(house.recordings()).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("{\"made_with\":")).count(), 4);
    for count in 0..60 {
        house.rewrite("policy", &format!("anna+shop{count}@example.org")).await.answer.unwrap();
    }
    let files = [house.recordings().with_file_name("policy.old.jsonl"), house.recordings()];
    let told = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.starts_with("{\"made_with\":{\"config\":")
    };
    for _ in 0..500 {
        if files.iter().all(told) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("a file does not say what its calls were made with");
}

#[tokio::test]
async fn what_is_recorded_of_a_plugin_goes_with_it() {
    let house = recorded().await;
    house.asked("one@example.org", 1).await;
    let old = house.recordings().with_file_name("policy.old.jsonl");
    std::fs::copy(house.recordings(), &old).unwrap();
    // Not written yet, as far as anybody knows.
    house.rewrite("policy", "two@example.org").await.answer.unwrap();
    house.engine.remove(&name("policy")).await.unwrap();
    assert!(!house.recordings().exists() && !old.exists());
    // Nor does what was not there keep a plugin from being removed.
    house.engine.install(&octets("forge"), Some(name("policy")), None, "test", false).await.unwrap();
    house.engine.remove(&name("policy")).await.unwrap();
}

#[tokio::test]
async fn what_a_kill_left_over_goes_at_the_next_start() {
    let house = recorded().await;
    house.asked("one@example.org", 1).await;
    house.engine.install(&octets("trap"), Some(name("gone")), None, "test", false).await.unwrap();
    let House { engine, world, folder, events } = house;
    engine.close().await;
    drop(engine);
    // As it is after a kill right behind the change of the list.
    let plugins = folder.path().join("plugins");
    let list = plugins.join("installed.json");
    let recordings = plugins.join("recordings");
    for kept in ["gone.jsonl", "gone.old.jsonl", "policy.old.jsonl"] {
        std::fs::copy(recordings.join("policy.jsonl"), recordings.join(kept)).unwrap();
    }
    let all = std::fs::read_to_string(&list).unwrap();
    let mut without: serde_json::Value = serde_json::from_str(&all).unwrap();
    without["plugins"].as_object_mut().unwrap().remove("gone").unwrap();
    std::fs::write(&list, without.to_string()).unwrap();
    let left = |part: &str| {
        let entries = std::fs::read_dir(plugins.join(part)).unwrap();
        let mut names: Vec<_> = entries.map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let engine = Engine::open(&plugins, parts(folder.path(), world, &events)).unwrap();
    assert_eq!(left("recordings"), ["policy.jsonl", "policy.old.jsonl"]);
    assert_eq!((left("components").len(), left("artefacts").len()), (1, 3));
    drop(engine);
}

#[tokio::test]
async fn a_new_version_is_tried_on_the_latest_calls_for_so_long_and_no_longer() {
    use crate::recordings::Recordings;
    let house = recorded().await;
    house.asked("one@example.org", 1).await;
    house.asked("two@example.org", 2).await;
    let none = house.engine.replay(&name("policy"), None::<Offered<'_>>, |one| one.id == "nix").await;
    let none = none.unwrap_err().to_string();
    assert!(none.contains("none of the 2 recorded calls is meant; choose others with --id"), "{none}");
    let inner = &house.engine.0;
    let plugin = house.engine.plugin(&name("policy")).unwrap();
    let played = async |longest: Duration| {
        let recordings = Recordings::read(&[house.recordings()], u64::MAX, |_| true, || false).unwrap();
        inner.play_within(longest, recordings, &plugin, false, Default::default()).await.unwrap()
    };
    for (longest, expected) in [(Duration::ZERO, (0, 2)), (Duration::MAX, (2, 0))] {
        let tried = played(longest).await;
        assert_eq!((tried.replayed, tried.unplayed), expected);
    }
}

#[tokio::test]
async fn what_was_only_tried_is_not_kept() {
    let house = recorded().await;
    house.asked("one@example.org", 1).await;
    let policy = name("policy");
    let components = house.folder.path().join("plugins/components");
    let kept = || std::fs::read_dir(&components).unwrap().count();
    // The other takes no configuration.
    let settings = Settings { config: serde_json::json!({ "separator": "-" }), ..granted("policy") };
    let separating = octets("subaddress-policy");
    house.engine.install(&separating, Some(policy.clone()), None, "test", true).await.unwrap();
    assert_eq!(house.engine.configure(vec![settings], HashMap::new()).await, Vec::<String>::new());
    assert_eq!(kept(), 2);
    for unfit in [b"no component".to_vec(), octets("trap")] {
        house.engine.shadow_begin(&policy, &unfit).await.unwrap_err();
        assert_eq!(kept(), 2);
        house.engine.replay(&policy, Some(&unfit), |_| true).await.unwrap_err();
        assert_eq!(kept(), 2);
    }
    let house = recorded().await;
    let components = house.folder.path().join("plugins/components");
    let kept = || std::fs::read_dir(&components).unwrap().count();
    // Of trials that were begun one after the other, the last one's is kept.
    for candidate in ["trap", "stateful", "slow"] {
        house.engine.shadow_begin(&policy, &octets(candidate)).await.unwrap();
        assert_eq!(kept(), 2, "{candidate}");
    }
}

/// Compiles when it is told to.
struct Waiting(Arc<tokio::sync::Notify>, Arc<tokio::sync::Notify>);

impl crate::Compiler for Waiting {
    fn compile<'a>(
        &'a self,
        component: &'a std::path::Path,
        artefact: &'a std::path::Path,
        target: crate::Target,
    ) -> BoxFuture<'a, Result<crate::Manifest, crate::Unfit>> {
        Box::pin(async move {
            self.0.notify_one();
            self.1.notified().await;
            HereCompiler.compile(component, artefact, target).await
        })
    }
}

#[tokio::test]
async fn what_is_being_installed_is_not_swept_by_whoever_replays() {
    let house = recorded().await;
    house.asked("one@example.org", 1).await;
    house.engine.shadow_begin(&name("policy"), &octets("trap")).await.unwrap();
    let House { engine, world, folder, events } = house;
    engine.close().await;
    drop(engine);
    let (begun, go_on) = (Arc::<tokio::sync::Notify>::default(), Arc::<tokio::sync::Notify>::default());
    let compiler = Arc::new(Waiting(Arc::clone(&begun), Arc::clone(&go_on)));
    let parts = EngineParts { compiler, ..parts(folder.path(), Arc::clone(&world), &events) };
    let engine = Engine::open(&folder.path().join("plugins"), parts).unwrap();
    let house = House { engine, world, folder, events };
    house.engine.configure(vec![granted("policy")], HashMap::new()).await;
    let other = octets("stateful");
    let install = house.engine.install(&other, None, None, "test", false);
    let meanwhile = async {
        begun.notified().await;
        replayed(&house).await;
        go_on.notify_one();
    };
    let (installed, ()) = tokio::join!(install, meanwhile);
    let digest = installed.unwrap().manifest.digest;
    let kept = house.folder.path().join(format!("plugins/components/{}.wasm", digest.as_str()));
    assert!(kept.exists(), "the component itself is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_takes_in_the_same_at_once_does_not_stand_in_another_s_way() {
    let house = recorded().await;
    house.asked("one@example.org", 1).await;
    let (policy, trap) = (name("policy"), octets("trap"));
    for _ in 0..5 {
        let replay = || {
            let (engine, policy, trap) = (house.engine.clone(), policy.clone(), trap.clone());
            tokio::spawn(async move { engine.replay(&policy, Some(&trap), |_| true).await })
        };
        let others = [replay(), replay(), replay()];
        house.engine.install(&trap, Some(name("other")), None, "test", false).await.unwrap();
        for other in others {
            assert_eq!(other.await.unwrap().unwrap().calls.len(), 1);
        }
        house.engine.remove(&name("other")).await.unwrap();
    }
}

#[tokio::test]
async fn who_disables_a_plugin_does_not_wait_for_what_is_compiled() {
    let house = recorded().await;
    let House { engine, world, folder, events } = house;
    engine.close().await;
    drop(engine);
    let (begun, go_on) = (Arc::<tokio::sync::Notify>::default(), Arc::<tokio::sync::Notify>::default());
    let compiler = Arc::new(Waiting(Arc::clone(&begun), Arc::clone(&go_on)));
    let parts = EngineParts { compiler, ..parts(folder.path(), world, &events) };
    let engine = Engine::open(&folder.path().join("plugins"), parts).unwrap();
    engine.configure(vec![granted("policy")], HashMap::new()).await;
    let (policy, other, trap) = (name("policy"), octets("stateful"), octets("trap"));
    let meanwhile = async || {
        begun.notified().await;
        let disabled = tokio::time::timeout(Duration::from_secs(10), engine.enable(&policy, false)).await;
        disabled.expect("it waits for nobody").unwrap();
        engine.enable(&policy, true).await.unwrap();
        go_on.notify_one();
    };
    let (installed, ()) =
        tokio::join!(engine.install(&other, Some(name("other")), None, "test", false), meanwhile());
    installed.unwrap();
    let (begins, ()) = tokio::join!(engine.shadow_begin(&policy, &trap), meanwhile());
    begins.unwrap();
}
