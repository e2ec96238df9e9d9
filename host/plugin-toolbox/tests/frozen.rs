//! Components of earlier times still load, and give exactly the answers that they gave then: what the contract promises
//! for all of 1.x, shown by what was built and not by what was meant.
//!
//! `tests/plugins/frozen/VERSION/` is the set of that version of the contract: components as they were built, with cases
//! each, the contract's text, and the digests of all files. A set is added with each version and never changed.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use plugin_engine::{Candidate, Digest, Profile};
use plugin_toolbox::{TestOptions, check, test};

/// The version that this host speaks has a set as well.
const LATEST: &str = "1.1.0";
/// At least so many components are in a set.
const COMPONENTS_MIN: usize = 6;

fn sets() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/plugins/frozen");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut sets: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    sets.sort();
    sets
}

fn version(set: &Path) -> String {
    set.file_name().unwrap().to_string_lossy().into_owned()
}

fn files(set: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(set).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|other| other == ending)).collect();
    files.sort();
    files
}

#[test]
fn a_set_is_never_changed() {
    assert!(sets().iter().any(|set| version(set) == LATEST), "contract {LATEST} has no frozen set");
    for set in sets() {
        let recorded = std::fs::read_to_string(set.join("SHA256SUMS")).unwrap();
        let mut known: BTreeSet<PathBuf> = BTreeSet::new();
        for line in recorded.lines() {
            let (digest, name) = line.split_once("  ").unwrap();
            let found = Digest::of(&std::fs::read(set.join(name)).unwrap());
            assert_eq!(found, Digest::parse(digest).unwrap(), "{} was changed", set.join(name).display());
            known.insert(set.join(name));
        }
        let there: BTreeSet<PathBuf> =
            ["wasm", "toml", "wit"].into_iter().flat_map(|ending| files(&set, ending)).collect();
        assert_eq!(there, known, "SHA256SUMS of {} names other files", set.display());
    }
}

#[tokio::test]
async fn frozen_components_load_and_answer_as_they_did() {
    for set in sets() {
        let components = files(&set, "wasm");
        assert!(components.len() >= COMPONENTS_MIN, "{}: {components:?}", set.display());
        for path in components {
            let candidate = Candidate::compile(&std::fs::read(&path).unwrap(), Profile::Serving)
                .unwrap_or_else(|unfit| panic!("{}: {unfit}", path.display()));
            assert_eq!(candidate.manifest().contract, version(&set), "{}", path.display());
            let taken = check(&path).await.unwrap();
            assert!(taken.good, "{}", taken.text);
            let cases = path.with_extension("toml");
            let text = std::fs::read_to_string(&cases).unwrap();
            let open = text.lines().find(|line| line.starts_with("expect") && line.contains("*\""));
            assert_eq!(open, None, "{}: answers stand here in full", cases.display());
            let options = TestOptions { path, cases: Some(cases), seed: 7 };
            let outcome = test(&options, &mut |_| {}).await.unwrap();
            assert!(outcome.good, "{}\n{}", options.path.display(), outcome.text);
        }
    }
}

/// A contract without its comments and line ends: what binaries see of it.
fn bare(text: &str) -> Vec<String> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    code.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

#[test]
fn a_published_contract_keeps_its_text() {
    let of_today = include_str!("../../../wit/policy.wit");
    let set =
        sets().into_iter().find(|set| of_today.contains(&format!("package wasmta:policy@{};", version(set))));
    let set = set.expect("the contract's version has a frozen set");
    let frozen = std::fs::read_to_string(set.join("policy.wit")).unwrap();
    assert_eq!(
        bare(of_today),
        bare(&frozen),
        "what is published is not changed in place: raise the version, and add a set (docs/plugins/README.md)"
    );
}
