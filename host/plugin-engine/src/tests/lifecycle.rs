//! Installing, going back, and what is refused.

use super::*;
use crate::{Digest, Unfit, compile};

#[tokio::test]
async fn versions_are_installed_swapped_and_taken_back() {
    let house = house();
    let engine = &house.engine;
    let plugin = name("policy");
    let mut settings = granted("policy");
    settings.remember = 10;
    // Before anything is installed, its mail waits.
    let notes = engine.configure(vec![settings.clone()], HashMap::new()).await;
    assert!(notes[0].contains("not installed"), "{notes:?}");
    assert_eq!(house.said("policy", "x@example.org").await, "missing");
    let first = engine.install(&octets("trap"), Some(plugin.clone()), None, "a", false).await.unwrap();
    assert!(first.in_force && first.before.is_none());
    assert_eq!(house.said("policy", "x@example.org").await, "trap");
    let second = engine.install(&octets("forge"), Some(plugin.clone()), None, "b", false).await.unwrap();
    assert_eq!(second.before, Some(first.manifest.digest.clone()));
    let number = |one: &crate::Installation| one.description.version.clone();
    assert_eq!((first.same_version, second.same_version), (false, number(&first) == number(&second)));
    assert_eq!(number(&first), number(&second), "of two samples, made with the same number");
    assert_eq!(house.said("policy", "x@example.org").await, "no-match");
    assert_eq!(engine.roll_back(&plugin).await.unwrap(), first.manifest.digest);
    assert_eq!(house.said("policy", "x@example.org").await, "trap");
    engine.enable(&plugin, false).await.unwrap();
    assert_eq!(house.said("policy", "x@example.org").await, "missing");
    let listed = engine.list().remove(&plugin).unwrap();
    assert!(listed.missing.is_some() && listed.description.is_some());
    assert_eq!(listed.manifest, Some(first.manifest.clone()), "what it is can be told all the same");
    engine.enable(&plugin, true).await.unwrap();
    assert_eq!(house.said("policy", "x@example.org").await, "trap");
    engine.remove(&plugin).await.unwrap();
    assert_eq!(house.said("policy", "x@example.org").await, "missing");
    assert!(engine.list().is_empty());
    let left = std::fs::read_dir(house.folder.path().join("plugins/components")).unwrap().count();
    assert_eq!(left, 0, "nobody names the components any more");
}

#[tokio::test]
async fn a_version_and_the_section_that_fits_it_take_force_together() {
    let house = house();
    let (engine, plugin) = (&house.engine, name("policy"));
    let with = |config: serde_json::Value| Settings { config, ..granted("policy") };
    let old = serde_json::json!({ "separator": "-" });
    engine.configure(vec![with(old.clone())], HashMap::new()).await;
    engine.install(&octets("subaddress-policy"), Some(plugin.clone()), None, "a", false).await.unwrap();
    // This one takes no configuration at all.
    let install = || async {
        engine
            .install(&octets("trap"), Some(plugin.clone()), None, "b", false)
            .await
            .map(|done| done.in_force)
    };
    let unfit = install().await.unwrap_err();
    assert!(unfit.what.contains("does not fit"), "{unfit}");
    // The file was edited, but not so that it would fit.
    engine.offer(vec![with(serde_json::json!({ "other": 1 }))]);
    let unfit = install().await.unwrap_err();
    assert!(unfit.what.contains("as it is now: its configuration does not fit: other"), "{unfit}");
    assert_eq!(house.said("policy", "x-y@example.org").await, "no-match");
    engine.offer(vec![with(serde_json::json!({}))]);
    assert!(install().await.unwrap());
    assert_eq!(engine.plugin(&plugin).unwrap().settings().config, serde_json::json!({}));
    // And back: what is in force fits the version of before, too.
    engine.roll_back(&plugin).await.unwrap();
    assert_eq!(engine.plugin(&plugin).unwrap().settings().config, serde_json::json!({}));
    // The other way round neither what is in force nor the file fits: it goes on by the section that it had.
    engine.install(&octets("trap"), Some(plugin.clone()), None, "b", false).await.unwrap();
    engine.offer(vec![with(old.clone())]);
    engine.install(&octets("subaddress-policy"), Some(plugin.clone()), None, "a", false).await.unwrap();
    engine.configure(vec![with(old.clone())], HashMap::new()).await;
    engine.roll_back(&plugin).await.unwrap();
    assert_eq!(engine.plugin(&plugin).unwrap().settings().config, serde_json::json!({}));
    assert_eq!(house.said("policy", "x-y@example.org").await, "trap");
}

#[tokio::test]
async fn settings_that_would_break_what_runs_are_told_before_they_are_in_force() {
    let house = house().with("subaddress-policy", |_| ()).await;
    let folder = house.folder.path().join("plugins");
    let mut settings = granted("subaddress-policy");
    settings.config = serde_json::json!({ "seperator": "-" });
    settings.grants.clear();
    let [doubt] = &crate::doubts(&folder, std::slice::from_ref(&settings)).unwrap()[..] else { panic!() };
    assert!(doubt.config[0].starts_with("seperator is not known"), "{doubt:?}");
    assert_eq!(doubt.denied.len(), 2);
    let prepared = house.engine.prepare(vec![settings.clone()], HashMap::new()).await;
    assert!(prepared.broken()[0].contains("seperator"), "{:?}", prepared.broken());
    drop(prepared);
    assert_eq!(house.said("subaddress-policy", "x+y@example.org").await, "no-match");
    // Put in force all the same, it goes on as it was.
    let notes = house.engine.configure(vec![settings], HashMap::new()).await;
    assert!(notes[0].contains("seperator"), "{notes:?}");
    assert_eq!(house.said("subaddress-policy", "x+y@example.org").await, "no-match");
    assert_eq!(crate::doubts(&folder, &[granted("subaddress-policy")]).unwrap(), []);
    // Disabled, it keeps what it said of itself, and is held against nothing.
    house.engine.enable(&name("subaddress-policy"), false).await.unwrap();
    let listed = house.engine.list().remove(&name("subaddress-policy")).unwrap();
    assert_eq!(listed.description.unwrap().version, "1.1.0");
}

#[tokio::test]
async fn the_last_good_set_is_there_at_the_next_start() {
    let house = house().with("trap", |_| ()).await;
    let House { engine, world, folder, events } = house;
    engine.close().await;
    drop(engine);
    let parts = parts(folder.path(), Arc::clone(&world), &events);
    let parts = EngineParts { compiler: Arc::new(NoCompiler), ..parts };
    let engine = Engine::open(&folder.path().join("plugins"), parts).unwrap();
    let notes = engine.configure(vec![granted("trap")], HashMap::new()).await;
    assert_eq!(notes, Vec::<String>::new(), "machine code was kept: nothing is compiled");
    let house = House { engine, world, folder, events };
    assert_eq!(house.said("trap", "good@example.org").await, "no-match");
}

/// Compiles nothing.
struct NoCompiler;

impl crate::Compiler for NoCompiler {
    fn compile<'a>(
        &'a self,
        _: &'a std::path::Path,
        _: &'a std::path::Path,
        _: crate::Target,
    ) -> BoxFuture<'a, Result<crate::Manifest, Unfit>> {
        Box::pin(async { Err(Unfit { what: "nothing is compiled here".into(), mend: "nothing".into() }) })
    }
}

#[tokio::test]
async fn machine_code_that_is_not_ours_is_compiled_anew() {
    let house = house().with("trap", |_| ()).await;
    let artefacts = house.folder.path().join("plugins/artefacts");
    let code = std::fs::read_dir(&artefacts)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|ending| ending == "cwasm"))
        .unwrap();
    let good = std::fs::read(&code).unwrap();
    let mut foreign = good.clone();
    let at = foreign.len() / 2;
    foreign[at] ^= 1;
    // Put in place as an attacker would: by renaming, since the old one is mapped.
    let beside = code.with_extension("tmp");
    std::fs::write(&beside, &foreign).unwrap();
    std::fs::rename(&beside, &code).unwrap();
    let mut changed = granted("trap");
    changed.order = 1;
    assert_eq!(house.engine.configure(vec![changed], HashMap::new()).await, Vec::<String>::new());
    assert_eq!(house.said("trap", "good@example.org").await, "no-match");
    assert_eq!(std::fs::read(&code).unwrap(), good, "it was compiled anew");
}

#[tokio::test]
async fn what_a_component_is_stands_beside_its_machine_code_and_is_found_anew_where_it_lacks() {
    let house = house().with("trap", |_| ()).await;
    let manifest = house.engine.plugin(&name("trap")).unwrap().manifest().clone();
    let path = house.folder.path().join(format!("plugins/artefacts/{}.json", manifest.digest.as_str()));
    let stored: crate::Manifest = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((&*stored.contract, stored.core_instances > 0), ("1.1.0", true));
    // As an earlier program wrote it.
    let mut earlier = serde_json::to_value(&stored).unwrap();
    let fields = earlier.as_object_mut().unwrap();
    for field in ["contract", "core_instances"] {
        fields.remove(field).unwrap();
    }
    std::fs::write(&path, earlier.to_string()).unwrap();
    let mut changed = granted("trap");
    changed.order = 1;
    assert_eq!(house.engine.configure(vec![changed], HashMap::new()).await, Vec::<String>::new());
    let stored: crate::Manifest = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(stored, manifest);
}

#[tokio::test]
async fn what_is_no_plugin_is_refused_with_a_mend() {
    let house = house().with("trap", |_| ()).await;
    let machine = crate::Machine::new(crate::Profile::Serving).unwrap();
    let (code, _) = compile(machine.engine(), &octets("trap")).unwrap();
    let good = octets("trap");
    let mut cut = good.clone();
    cut.truncate(good.len() / 2);
    let mut broken = good.clone();
    let at = good.len() / 3;
    broken[at..at + 8].copy_from_slice(&[0xff; 8]);
    let core = b"\0asm\x01\0\0\0".to_vec();
    let empty = b"\0asm\x0d\0\x01\0".to_vec();
    let cases = [
        (b"hello".to_vec(), "no WebAssembly"),
        (Vec::new(), "no WebAssembly"),
        (core, "a core module"),
        (empty, "does not export wasmta:policy/plugin"),
        (cut, "no valid component"),
        (broken, "no valid component"),
        (code, "machine code"),
        (vec![0; crate::COMPONENT_MAX + 1], "larger than"),
    ];
    for (octets, wanted) in cases {
        let refused = house.engine.install(&octets, Some(name("trap")), None, "x", false).await;
        let text = refused.unwrap_err().to_string();
        assert!(text.contains(wanted) && text.contains("; "), "{wanted}: {text}");
    }
    let other = Digest::of(b"another");
    let refused = house.engine.install(&good, None, Some(other), "x", false).await.unwrap_err_or_ok();
    assert!(refused.contains("its digest is"), "{refused}");
    assert_eq!(house.said("trap", "good@example.org").await, "no-match", "what was in force stays");
}

#[tokio::test]
async fn a_configuration_that_does_not_fit_leaves_the_old_one() {
    let house = house()
        .with("subaddress-policy", |settings| settings.config = serde_json::json!({"separator": "+"}))
        .await;
    let before = house.said("subaddress-policy", "anna+x@example.org").await;
    let mut wrong = granted("subaddress-policy");
    wrong.config = serde_json::json!({"separator": "+", "colour": "red"});
    let notes = house.engine.configure(vec![wrong], HashMap::new()).await;
    assert!(notes[0].contains("colour is not known to the plugin"), "{notes:?}");
    assert_eq!(house.said("subaddress-policy", "anna+x@example.org").await, before);
}

#[tokio::test]
async fn decisions_are_played_again_and_candidates_run_beside() {
    let house = house();
    let plugin = name("policy");
    house.engine.install(&octets("forge"), Some(plugin.clone()), None, "test", false).await.unwrap();
    let record = HashMap::from([(plugin.clone(), 1 << 20)]);
    assert_eq!(house.engine.configure(vec![granted("policy")], record).await, Vec::<String>::new());
    house.engine.shadow_begin(&plugin, &octets("trap")).await.unwrap();
    let addresses = ["one@example.org", "two@example.org", "three@b.example"];
    for address in addresses {
        house.rewrite("policy", address).await.answer.unwrap();
    }
    // Written and compared beside the calls: both come in their time.
    let replayed = eventually(async || {
        let played = house.engine.replay(&plugin, None::<crate::Offered<'_>>, |_| true).await.ok()?;
        let replayed = played.calls;
        (replayed.len() == addresses.len()).then_some(replayed)
    })
    .await;
    assert!(replayed.iter().all(crate::Replayed::is_same), "{replayed:#?}");
    let report = eventually(async || {
        let report = house.engine.shadow_report(&plugin, false).ok()?;
        (report.same + report.different + report.left_out == addresses.len() as u64).then_some(report)
    })
    .await;
    assert!(report.different > 0, "{report:?}");
    house.engine.shadow_report(&plugin, true).unwrap();
    assert!(house.engine.shadow_report(&plugin, false).is_err());
    let other = house.engine.replay(&plugin, Some(&octets("trap")), |_| true).await.unwrap().calls;
    assert!(other.iter().any(|one| !one.is_same()));
    // A version that fails where the old one did not is not put in force.
    let refused = house.engine.install(&octets("trap"), Some(plugin.clone()), None, "x", false).await;
    assert!(refused.unwrap_err().to_string().contains("fails on a recorded call"));
    assert!(house.engine.install(&octets("trap"), Some(plugin), None, "x", true).await.unwrap().in_force);
}

/// Asks until there is an answer, for a bounded time.
async fn eventually<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..200 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come");
}

#[tokio::test]
async fn what_cannot_do_without_configuration_is_installed_under_its_own_name() {
    let house = house();
    // `srs`, with a domain that has no default.
    let was = r#""additionalProperties": false,"#;
    let mut wanting = String::from(r#""required": ["domain"],"#);
    wanting.extend(std::iter::repeat_n(' ', was.len() - wanting.len()));
    let mut octets = octets("srs");
    for (was, now) in [(was, &*wanting), (r#", "default": """#, "               ")] {
        let at = octets.windows(was.len()).position(|some| some == was.as_bytes()).unwrap();
        octets[at..at + now.len()].copy_from_slice(now.as_bytes());
    }
    let mut settings = granted("srs");
    settings.config = serde_json::json!({ "domain": "example.org", "max-age-days": 9999 });
    house.engine.configure(vec![settings.clone()], HashMap::new()).await;
    for given in [None, Some(name("srs"))] {
        let refused = house.engine.install(&octets, given, None, "test", false).await;
        let refused = refused.unwrap_err_or_ok();
        assert!(refused.contains("max-age-days") && refused.contains("plugins.srs.config"), "{refused}");
    }
    settings.config = serde_json::json!({ "domain": "example.org" });
    house.engine.configure(vec![settings], HashMap::new()).await;
    assert!(house.engine.install(&octets, None, None, "test", false).await.unwrap().in_force);
    // Without a section it is taken in, and not in force.
    house.engine.remove(&name("srs")).await.unwrap();
    house.engine.configure(Vec::new(), HashMap::new()).await;
    assert!(!house.engine.install(&octets, None, None, "test", false).await.unwrap().in_force);
}

#[tokio::test]
async fn a_stored_component_that_is_lost_is_installed_again_and_not_mended() {
    let house = house();
    let policy = name("policy");
    house.engine.install(&octets("stateful"), Some(policy.clone()), None, "test", false).await.unwrap();
    let digest = house.engine.list()[&policy].installed.active.clone();
    let folder = house.folder.path().join("plugins");
    let component = folder.join(format!("components/{}.wasm", digest.as_str()));
    std::fs::remove_dir_all(folder.join("artefacts")).unwrap();
    std::fs::create_dir(folder.join("artefacts")).unwrap();
    std::fs::write(&component, &octets("stateful")[1..]).unwrap();
    for why in ["is damaged", "is missing"] {
        let notes = house.engine.configure(vec![granted("policy")], HashMap::new()).await;
        let note = &notes[0];
        assert!(
            note.contains(why) && note.ends_with("install it again, or `wasmta plugin rollback`"),
            "{note}"
        );
        let _ = std::fs::remove_file(&component);
    }
    house.engine.install(&octets("stateful"), Some(policy), None, "test", false).await.unwrap();
    assert_eq!(house.said("policy", "x@example.org").await, "no-match");
}

/// A component as a later version of the contract would have it: it names that version, and a function that is not here.
fn of_a_later_contract(component: &str) -> Vec<u8> {
    let mut later = octets(component);
    // With its length before it: a selector is something else.
    for (now, then) in [("@1.1.0", "@1.9.0"), ("\u{6}select", "\u{6}choose")] {
        while let Some(at) = later.windows(now.len()).position(|part| part == now.as_bytes()) {
            later[at..at + now.len()].copy_from_slice(then.as_bytes());
        }
    }
    later
}

#[tokio::test]
async fn who_is_built_for_a_later_contract_hears_which_one_is_spoken_here() {
    let house = house();
    let later = of_a_later_contract("subaddress-policy");
    let unfit = house.engine.install(&later, None, None, "x", false).await.unwrap_err();
    assert!(unfit.what.contains("choose"), "{unfit}");
    let told =
        "it is built for wasmta:policy 1.9.0, and this host speaks 1.1.0: update the host, or build it";
    assert!(unfit.mend.contains(told), "{unfit}");
    // What uses nothing new is taken.
    let later = of_a_later_contract("trap");
    house.engine.install(&later, None, None, "x", false).await.unwrap();
}

/// Compiles, and knows how many do at a time.
#[derive(Default)]
struct Crowded {
    now: std::sync::atomic::AtomicUsize,
    most: std::sync::atomic::AtomicUsize,
}

impl crate::Compiler for Crowded {
    fn compile<'a>(
        &'a self,
        component: &'a std::path::Path,
        artefact: &'a std::path::Path,
        target: crate::Target,
    ) -> BoxFuture<'a, Result<crate::Manifest, Unfit>> {
        use std::sync::atomic::Ordering::SeqCst;
        Box::pin(async move {
            self.most.fetch_max(self.now.fetch_add(1, SeqCst) + 1, SeqCst);
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            let compiled = HereCompiler.compile(component, artefact, target).await;
            self.now.fetch_sub(1, SeqCst);
            compiled
        })
    }
}

#[tokio::test]
async fn two_components_are_compiled_at_a_time() {
    let House { engine, world, folder, events } = house();
    engine.close().await;
    drop(engine);
    let compiler = Arc::new(Crowded::default());
    let parts = EngineParts { compiler: Arc::clone(&compiler) as _, ..parts(folder.path(), world, &events) };
    let engine = Engine::open(&folder.path().join("plugins"), parts).unwrap();
    let settings = ["one", "two", "other"].map(granted).to_vec();
    engine.configure(settings, HashMap::new()).await;
    let (one, two) = (name("one"), name("two"));
    for plugin in [&one, &two] {
        engine.install(&octets("trap"), Some(plugin.clone()), None, "test", false).await.unwrap();
    }
    // Trials and an installation do not wait for each other otherwise.
    let (other, candidate, rival) = (octets("stateful"), octets("forge"), octets("flood"));
    let (begun, begun_too, installed) = tokio::join!(
        engine.shadow_begin(&one, &candidate),
        engine.shadow_begin(&two, &rival),
        engine.install(&other, Some(name("other")), None, "test", false),
    );
    begun.unwrap();
    begun_too.unwrap();
    installed.unwrap();
    assert_eq!(compiler.most.load(std::sync::atomic::Ordering::SeqCst), 2);
}
