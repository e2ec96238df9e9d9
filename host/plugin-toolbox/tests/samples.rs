//! Every committed sample passes its own cases, and the tools have something to say of each.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test")]

use std::path::{Path, PathBuf};

use hooks::Role;
use plugin_toolbox::{BenchOptions, Draft, SingleCall, TestOptions, bench, check, describe, run, test};

fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins")
}

/// The folders of plugins whose components are committed.
fn samples(below: &str) -> Vec<PathBuf> {
    let folder = plugins().join(below);
    let entries = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            path.join("cases.toml").is_file() && plugins().join(format!("components/{name}.wasm")).is_file()
        })
        .collect();
    found.sort();
    found
}

async fn tested(path: &Path) -> plugin_toolbox::Outcome {
    let options = TestOptions { path: path.to_path_buf(), cases: None, seed: 7 };
    test(&options, &mut |_| {}).await.unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

#[tokio::test]
async fn every_sample_passes_its_cases() {
    let samples = samples("");
    assert!(samples.len() >= 6, "{samples:?}");
    let mut faults = Vec::new();
    for path in samples {
        let outcome = tested(&path).await;
        if !outcome.good {
            let failed = outcome.text.lines().filter(|line| !line.starts_with("passed"));
            faults.push(format!("{}\n{}", path.display(), failed.collect::<Vec<_>>().join("\n")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn a_case_is_told_before_the_next_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let cases = folder.path().join("cases.toml");
    // Each takes several turns, so that the test can look on.
    let case =
        |name| format!("[[rewrite]]\nname = \"{name}\"\naddress = \"any@example.org\"\nexpect = \"trap\"\n");
    let three = ["a", "b", "c"].map(case).concat();
    std::fs::write(&cases, format!("stateful = true\nhostile = false\n[limits]\ncpu = \"20 ms\"\n{three}"))
        .unwrap();
    let lines = std::cell::RefCell::new(Vec::new());
    let mut tell = |line: &str| lines.borrow_mut().push(line.to_owned());
    let path = plugins().join("components/loop.wasm");
    let options = TestOptions { path, cases: Some(cases), seed: 7 };
    let mut tested = Box::pin(test(&options, &mut tell));
    // How many lines there were whenever it waited for an answer.
    let mut seen = std::collections::BTreeSet::new();
    let outcome = std::future::poll_fn(|context| {
        let now = tested.as_mut().poll(context);
        seen.insert(lines.borrow().len());
        now
    });
    let outcome = outcome.await.unwrap();
    drop(tested);
    assert_eq!(outcome.text, lines.borrow().join("\n"));
    assert!([0, 1, 2].iter().all(|count| seen.contains(count)), "{seen:?}");
}

#[tokio::test]
async fn hostile_ones_do_what_their_tables_say() {
    let samples = samples("hostile");
    assert!(samples.len() >= 7, "{samples:?}");
    for path in samples {
        let outcome = tested(&path).await;
        let failed: Vec<&str> = outcome.text.lines().filter(|line| line.starts_with("FAILED")).collect();
        if path.ends_with("stateful") {
            // Between calls, and between the questions of one.
            let (warm, batched): (Vec<&str>, Vec<&str>) =
                failed.iter().copied().partition(|line| line.contains("hidden state"));
            assert!(!warm.is_empty() && !batched.is_empty(), "its state was not found:\n{}", outcome.text);
            assert!(batched.iter().all(|line| line.contains("batch: 2 cases")), "{}", outcome.text);
        } else {
            assert!(outcome.good, "{}\n{}", path.display(), outcome.text);
        }
    }
}

#[tokio::test]
async fn a_plugin_that_traps_does_not_pass_the_tools_own_questions() {
    let options = TestOptions { path: plugins().join("components/trap.wasm"), cases: None, seed: 7 };
    let outcome = test(&options, &mut |_| {}).await.unwrap();
    assert!(
        !outcome.good && outcome.text.contains("FAILED  rewrite: hostile: the local part"),
        "{}",
        outcome.text
    );
    assert!(outcome.text.starts_with("note    there are no cases: "), "{}", outcome.text);
}

#[tokio::test]
async fn every_sample_is_what_a_server_takes() {
    for path in samples("").into_iter().chain(samples("hostile")) {
        let outcome = check(&path).await.unwrap();
        assert!(outcome.good, "{}", outcome.text);
        let said = describe(&path).await.unwrap();
        assert!(said.text.contains("Capabilities to grant:"), "{}", said.text);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.wasm");
    for (octets, mend) in
        [(&b"\0asm\x01\0\0\0"[..], "wasm-tools component new"), (b"MZ", "give the built component")]
    {
        std::fs::write(&file, octets).unwrap();
        let outcome = check(&file).await.unwrap();
        assert!(!outcome.good && outcome.text.contains(mend), "{}", outcome.text);
    }
}

#[tokio::test]
async fn one_call_and_its_costs() {
    let draft = Draft { address: "anna-shop@example.org".into(), ..Draft::default() };
    let path = plugins().join("catch-all-tags");
    let call = SingleCall {
        path: path.clone(),
        role: Role::Rewrite,
        draft,
        with: None,
        channels: Vec::new(),
        seed: 0,
    };
    let outcome = run(&call).await.unwrap();
    assert!(outcome.good && outcome.text.contains("answer  again anna+shop@example.org"), "{}", outcome.text);
    let other = SingleCall { role: Role::RouteTable, ..call };
    assert!(run(&other).await.unwrap_err().contains("does not have the role"));
    let outcome = bench(&BenchOptions { path, cases: None }).await.unwrap();
    for role in ["rewrite", "disposition", "authorize-sender"] {
        assert!(outcome.text.contains(&format!("{role}: warm call")), "{}", outcome.text);
    }
    assert!(outcome.json["roles"][0]["fuel"][0].as_u64().unwrap() > 0);
    assert!(outcome.json["instantiation"]["median_ns"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_configuration_that_does_not_fit_is_told_with_its_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let cases = folder.path().join("bad.toml");
    std::fs::write(&cases, "stateful = true\n[config]\ndomain = 5\n").unwrap();
    let path = plugins().join("components/srs.wasm");
    let tested =
        test(&TestOptions { path: path.clone(), cases: Some(cases.clone()), seed: 7 }, &mut |_| {}).await;
    let asked = run(&call(&path, Some(cases.clone()), Draft::default())).await;
    let measured = bench(&BenchOptions { path, cases: Some(cases) }).await;
    for outcome in [tested, asked, measured] {
        let why = outcome.err().unwrap();
        assert!(why.contains("bad.toml:2: config: domain is 5, not of type string; mend [config]"), "{why}");
    }
}

fn call(path: &Path, with: Option<PathBuf>, draft: Draft) -> SingleCall {
    let address = "anna@example.org".to_owned();
    let draft = if draft == Draft::default() { Draft { address, ..draft } } else { draft };
    SingleCall { path: path.to_path_buf(), role: Role::Rewrite, draft, with, channels: Vec::new(), seed: 0 }
}

#[tokio::test]
async fn what_no_server_asks_is_refused_by_who_asks_once() {
    let path = plugins().join("components/trap.wasm");
    let good = Draft { address: "good@example.org".to_owned(), ..Draft::default() };
    assert!(run(&call(&path, None, good.clone())).await.unwrap().good);
    let some = |text: &str| Some(text.to_owned());
    let address = |text: &str| Draft { address: text.to_owned(), ..good.clone() };
    for (draft, why) in [
        (address("foo"), "--address: \"foo\" is no address"),
        (address("a@ b"), "--address: \"a@ b\" is no address"),
        (Draft { tenant: some("x y"), ..good.clone() }, "--tenant: \"x y\" is no domain"),
        (
            Draft { position: some("nix"), ..good.clone() },
            "--position: \"nix\" is not one of envelope, header",
        ),
        (Draft { direction: some("up"), ..good.clone() }, "--direction: \"up\" is not one of to, from"),
    ] {
        let refused = run(&call(&path, None, draft)).await.err().unwrap();
        assert!(refused.contains(why), "{refused}");
    }
}

#[tokio::test]
async fn one_that_never_ends_is_not_asked_everything() {
    let options = TestOptions { path: plugins().join("components/loop.wasm"), cases: None, seed: 7 };
    let outcome = test(&options, &mut |_| {}).await.unwrap();
    assert!(outcome.text.contains("the others were not asked"), "{}", outcome.text);
}

#[tokio::test]
async fn a_copied_project_is_told_of_the_name_that_it_still_has() {
    let folder = tempfile::tempdir().unwrap();
    for (name, expected) in [("copied", true), ("srs", false)] {
        let project = folder.path().join(name);
        std::fs::create_dir_all(project.join("target")).unwrap();
        std::fs::copy(plugins().join("components/srs.wasm"), project.join("target/srs.wasm")).unwrap();
        let outcome = check(&project).await.unwrap();
        let told =
            "describe() calls it srs, and its folder copied: installed, it takes the place of a plugin srs";
        assert_eq!(outcome.text.contains(told), expected, "{}", outcome.text);
    }
}
