//! The project's own files, for tests that hold them to rules.

use std::path::{Path, PathBuf};

use crate::cases::tests_folder;

/// The folder of the project.
#[must_use]
pub fn root() -> PathBuf {
    tests_folder().join("..")
}

/// Every Rust source of the project, with its path below the project's folder.
#[must_use]
pub fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in ["host", "tests"] {
        collect(&root().join(folder), &mut found);
    }
    assert!(found.len() > 20, "the sources are not where this test looks");
    found
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" {
            collect(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            found.push((path.strip_prefix(root()).unwrap_or(&path).to_path_buf(), text));
        }
    }
}

/// Fails with all faults against a rule, if there are any.
pub fn assert_none(faults: &[String], rule: &str) {
    assert!(faults.is_empty(), "{rule}:\n  {}", faults.join("\n  "));
}
