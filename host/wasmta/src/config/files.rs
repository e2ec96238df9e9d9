//! `[files]`: files that mail may be delivered to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use channels::FilePath;

use super::programs::is_name;
use super::section::Section;
use super::server::secs;

/// Most registered files of one configuration.
const FILES_MAX: usize = 10_000;
/// Most roots.
const ROOTS_MAX: usize = 64;

/// `[files]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Folders below which files are; nothing is written elsewhere.
    pub roots: Vec<PathBuf>,
    /// Whether users may name any file below the roots by its path.
    pub free_paths: bool,
    /// Registered files, by their names in lower case.
    pub registered: BTreeMap<String, FilePath>,
    /// Largest mailbox file, and largest message in a Maildir, in octets.
    pub size_max: u64,
    /// How long a mailbox file may be locked by others.
    pub lock_wait: Duration,
}

impl Files {
    pub(super) fn read(mut s: Section<'_>) -> Self {
        let roots: Vec<PathBuf> =
            s.parsed_list("roots", "write absolute paths of folders").unwrap_or_default();
        check_roots(&s, &roots);
        let free_paths = s.flag("free-paths", true);
        let size_max = s.size("size-max", 1 << 30, 1 << 10..=1 << 44);
        let lock_wait = s.duration("lock-wait", secs(30), secs(0)..=secs(600));
        let named = s.named_sections();
        if named.len() > FILES_MAX {
            s.fault("", format!("{} files are named here", named.len()), format!("at most {FILES_MAX}"));
        }
        let mut registered = BTreeMap::new();
        for (name, one) in named {
            if !is_name(&name) {
                s.fault(
                    &name,
                    "is no name of a file",
                    "use letters, digits, \"-\", \"_\" and \".\", at most 63",
                );
            }
            let Some(path) = read_file(one, &roots) else { continue };
            if registered.insert(name.to_ascii_lowercase(), path).is_some() {
                s.fault(&name, "is registered twice", "names are compared without regard to case");
            }
        }
        Self { roots, free_paths, registered, size_max, lock_wait }
    }
}

fn check_roots(s: &Section<'_>, roots: &[PathBuf]) {
    if roots.len() > ROOTS_MAX {
        s.fault("roots", format!("has {} folders", roots.len()), format!("at most {ROOTS_MAX}"));
    }
    for root in roots {
        let what = if !root.is_absolute() {
            "is no absolute path"
        } else if root.parent().is_none() {
            "would leave nothing out"
        } else {
            continue;
        };
        s.fault("roots", format!("{} {what}", root.display()), "name a folder for nothing else than mail");
    }
}

fn read_file(mut s: Section<'_>, roots: &[PathBuf]) -> Option<FilePath> {
    if !s.has("path") {
        s.fault("path", "a file needs this key", "add path = \"/…\"; a Maildir's ends with \"/\"");
    }
    let mend = "write an absolute path; {account} stands for the account, and a Maildir's ends with \"/\"";
    let path: Option<FilePath> = s.parsed("path", mend);
    if path.as_ref().is_some_and(|path| !path.is_below(roots)) {
        s.fault("path", "is below none of files.roots", "add its folder to roots, without \"..\"");
    }
    s.close();
    path
}
