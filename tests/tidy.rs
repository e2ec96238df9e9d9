//! The house's rules, held by a test: layers, sizes, words.

#![allow(clippy::unwrap_used)] // what is missing fails the test, as it should

use std::collections::BTreeMap;

use mail_tests::sources::{assert_none, root, sources};

/// The layers: a crate imports only from lower ones (ARCHITECTURE.md, "Rooms").
const LAYERS: [&[&str]; 8] = [
    &["mail-types"],
    &["runtime", "smtp-wire", "imap-wire", "message"],
    &["events", "storage", "dns", "hooks"],
    &["directory", "queue", "store", "dns-providers", "metrics"],
    &["auth", "routing", "plugin-engine"],
    &["profiles"],
    &["smtp-server", "imap-server", "pop3-server", "channels", "migration", "plugin-toolbox"],
    &["wasmta"],
];

/// Edges that a lower layer would allow and the design forbids: (crate, must not name).
const FORBIDDEN: [(&str, &[&str]); 9] = [
    ("metrics", &["events", "storage", "dns", "hooks"]),
    ("plugin-toolbox", &["directory", "queue", "store", "routing", "dns", "smtp-wire", "imap-wire"]),
    ("plugin-engine", &["directory", "queue", "store", "message", "smtp-wire", "imap-wire", "dns"]),
    ("migration", &["queue", "directory", "routing", "profiles", "dns", "smtp-wire"]),
    ("store", &["smtp-wire", "imap-wire"]),
    ("queue", &["dns", "smtp-wire", "imap-wire"]),
    ("imap-server", &["queue", "routing", "smtp-wire", "dns"]),
    ("pop3-server", &["queue", "routing", "smtp-wire", "imap-wire", "dns"]),
    ("smtp-server", &["store", "imap-wire", "dns", "directory"]),
];

/// Dependencies that only one crate may name; TOML, the one that reads the configuration and the one that reads cases.
const ONLY: [(&str, &str); 18] = [
    ("wasmtime", "plugin-engine"),
    ("heed", "storage"),
    ("zstd", "storage"),
    ("mail-parser", "message"),
    ("hickory-resolver", "dns"),
    ("hickory-proto", "dns"),
    ("hickory-server", "dns"),
    ("dns-update", "dns-providers"),
    ("hyper", "metrics"),
    ("ldap3", "directory"),
    ("clap", "wasmta"),
    ("toml", "wasmta"),
    ("toml", "plugin-toolbox"),
    ("tokio-rustls", "runtime"),
    ("rcgen", "runtime"),
    ("socket2", "runtime"),
    ("rustix", "runtime"),
    ("tracing-subscriber", "events"),
];

/// Longest source file, in lines.
const LINES_MAX: usize = 500;

/// Words that name nothing.
const EMPTY_NAMES: [&str; 7] = ["common", "utils", "util", "core", "helpers", "misc", "manager"];

/// Every crate of `host/` with its manifest.
fn manifests() -> BTreeMap<String, toml::Table> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("host")).unwrap().flatten() {
        let text = std::fs::read_to_string(entry.path().join("Cargo.toml")).unwrap();
        found.insert(entry.file_name().to_string_lossy().into_owned(), text.parse().unwrap());
    }
    found
}

/// What a manifest names, dev-dependencies apart.
fn dependencies(manifest: &toml::Table) -> Vec<String> {
    let tables = ["dependencies", "build-dependencies"].iter().filter_map(|name| manifest.get(*name));
    tables.filter_map(toml::Value::as_table).flat_map(|table| table.keys().cloned()).collect()
}

#[test]
fn every_crate_imports_only_from_lower_layers() {
    let layer = |name: &str| LAYERS.iter().position(|crates| crates.contains(&name));
    let mut faults = Vec::new();
    for (name, manifest) in manifests() {
        let Some(own) = layer(&name) else {
            faults.push(format!("{name} stands in no layer"));
            continue;
        };
        for dependency in dependencies(&manifest) {
            if layer(&dependency).is_some_and(|other| other >= own) {
                faults.push(format!("{name} (layer {own}) names {dependency}, which is not below it"));
            }
            if FORBIDDEN.iter().any(|(one, not)| *one == name && not.contains(&dependency.as_str())) {
                faults.push(format!("{name} names {dependency}, which the design forbids"));
            }
        }
    }
    assert_none(&faults, "layers");
}

#[test]
fn some_dependencies_have_one_owner() {
    let mut faults = Vec::new();
    for (name, manifest) in manifests() {
        for dependency in dependencies(&manifest) {
            let mut owners = ONLY.iter().filter(|(what, _)| *what == dependency).peekable();
            if owners.peek().is_some() && owners.all(|(_, owner)| *owner != name) {
                faults.push(format!("{name} names {dependency}"));
            }
        }
    }
    assert_none(&faults, "only one crate may name it");
}

#[test]
fn dependencies_come_from_the_one_registry_that_deny_toml_allows() {
    let text = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let deny: toml::Table = text.parse().unwrap();
    let allowed: Vec<&str> =
        deny["sources"]["allow-registry"].as_array().unwrap().iter().filter_map(|url| url.as_str()).collect();
    let lock: toml::Table = std::fs::read_to_string(root().join("Cargo.lock")).unwrap().parse().unwrap();
    let mut faults = Vec::new();
    for package in lock["package"].as_array().unwrap() {
        // Our own have no source.
        let Some(source) = package.get("source").and_then(toml::Value::as_str) else { continue };
        if !allowed.iter().any(|url| source.strip_prefix("registry+") == Some(*url)) {
            faults.push(format!("{} comes from {source}", package["name"]));
        }
    }
    assert_none(&faults, "sources");
}

#[test]
fn files_are_short_and_crates_say_what_they_are() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{}: {lines} lines, more than {LINES_MAX}", path.display()));
        }
        let documented = text.starts_with("//!");
        if !documented && path.starts_with("host") && !path.ends_with("tests.rs") {
            faults.push(format!("{}: does not begin by saying what it is (//!)", path.display()));
        }
        let is_crate = path.starts_with("host") && path.ends_with("src/lib.rs");
        if is_crate && !(text.contains("*What:*") && text.contains("*Why:*") && text.contains("*Layer")) {
            faults.push(format!("{}: lacks *What:*, *Why:* or *Layer n:*", path.display()));
        }
    }
    assert_none(&faults, "files");
}

#[test]
fn no_empty_names_and_nothing_left_undone() {
    let mut faults = Vec::new();
    for name in manifests().keys() {
        if EMPTY_NAMES.contains(&name.as_str()) {
            faults.push(format!("host/{name}: the name says nothing"));
        }
    }
    let banned = ["todo", "unimplemented", "dbg"].map(|word| format!("{word}!("));
    for (path, text) in sources() {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if EMPTY_NAMES.contains(&stem.as_ref()) {
            faults.push(format!("{}: the name says nothing", path.display()));
        }
        for (number, line) in text.lines().enumerate() {
            let ignored = line.trim_start().starts_with("#[ignore");
            if ignored || banned.iter().any(|word| line.contains(word.as_str())) {
                faults.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert_none(&faults, "words");
}

#[test]
fn documents_stand_and_name_no_machine() {
    let mut faults = Vec::new();
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "docs/operator.md",
        "docs/conformance.md",
        "docs/security.md",
        "docs/quirks.md",
    ];
    for name in documents {
        match std::fs::read_to_string(root().join(name)) {
            Err(why) => faults.push(format!("{name}: {why}")),
            Ok(text) => {
                let path = ["/", "work", "/"].concat();
                if text.contains(&path) {
                    faults.push(format!("{name}: names a path of one machine"));
                }
            }
        }
    }
    assert_none(&faults, "documents");
}
