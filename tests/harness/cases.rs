//! One named test for each file of a folder.
//!
//! A test target with `harness = false` calls [`run`]; it then speaks enough of libtest's command
//! line (`--list`, `--exact`, `--skip`, filters) for `cargo test` and `cargo nextest` alike.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// At most this many cases run side by side within one process.
const THREADS_MAX: usize = 4;

/// One case: a name, and what to run.
pub struct Case {
    /// Path below the folder, without its ending: `smtp/rcpt/unknown_local_user`.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}

/// Every file below `folder` (a folder of `tests/`) with this ending, sorted by name.
#[must_use]
pub fn find(folder: &str, ending: &str) -> Vec<Case> {
    let root = tests_folder().join(folder);
    let mut found = Vec::new();
    collect(&root, &root, ending, &mut found);
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// The `tests` folder of the project.
#[must_use]
pub fn tests_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Whether expectations are to be rewritten from what really happens (`UPDATE=1`).
#[must_use]
pub fn updating() -> bool {
    std::env::var_os("UPDATE").is_some_and(|value| value == "1")
}

fn collect(root: &Path, folder: &Path, ending: &str, found: &mut Vec<Case>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(root, &path, ending, found);
        } else if path.extension().is_some_and(|e| e == ending)
            && let Ok(relative) = path.with_extension("").strip_prefix(root)
        {
            found.push(Case { name: relative.to_string_lossy().into_owned(), path: path.clone() });
        }
    }
}

/// What the command line asks for.
#[derive(Default)]
struct Asked {
    list: bool,
    exact: bool,
    ignored: bool,
    one_thread: bool,
    filters: Vec<String>,
    skip: Vec<String>,
}

impl Asked {
    fn read(mut args: impl Iterator<Item = String>) -> Self {
        let mut asked = Self::default();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--list" => asked.list = true,
                "--exact" => asked.exact = true,
                "--ignored" => asked.ignored = true,
                "--skip" => asked.skip.extend(args.next()),
                "--test-threads" => asked.one_thread = args.next().as_deref() == Some("1"),
                "--test-threads=1" => asked.one_thread = true,
                "--format" | "--color" | "--logfile" | "-Z" => drop(args.next()),
                flag if flag.starts_with('-') => {}
                filter => asked.filters.push(filter.to_owned()),
            }
        }
        asked
    }

    fn wants(&self, name: &str) -> bool {
        let hit =
            |pattern: &String| if self.exact { name == pattern } else { name.contains(pattern.as_str()) };
        !self.ignored
            && (self.filters.is_empty() || self.filters.iter().any(hit))
            && !self.skip.iter().any(hit)
    }
}

/// Runs the cases that the command line asks for, and says how each fared. Fewer than `least` in all are a failure:
/// a folder that is empty, or is not where it was, must not look like success.
pub fn run(cases: Vec<Case>, least: usize, test: impl Fn(&Case) -> Result<(), String> + Sync) -> ExitCode {
    if let Err(why) = enough(cases.len(), least) {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    let asked = Asked::read(std::env::args().skip(1));
    let cases: Vec<Case> = cases.into_iter().filter(|case| asked.wants(&case.name)).collect();
    if asked.list {
        for case in &cases {
            println!("{}: test", case.name);
        }
        return ExitCode::SUCCESS;
    }
    println!("running {} cases", cases.len());
    let failures = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let threads = if asked.one_thread { 1 } else { THREADS_MAX.min(cases.len()) };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(case)));
                    let outcome = outcome.unwrap_or_else(|_| Err("it panicked (see above)".to_owned()));
                    println!("test {} ... {}", case.name, if outcome.is_ok() { "ok" } else { "FAILED" });
                    if let Err(why) = outcome {
                        failures
                            .lock()
                            .expect("no case panics while it holds the lock")
                            .push((&case.path, why));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("all threads have ended");
    for (path, why) in &failures {
        println!("\n---- {}\n{why}", path.display());
    }
    println!("\n{} passed, {} failed", cases.len() - failures.len(), failures.len());
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn enough(found: usize, least: usize) -> Result<(), String> {
    if found >= least {
        Ok(())
    } else {
        Err(format!("{found} cases were found, and there are at least {least}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_is_no_success() {
        let found = find("no-such-folder", "txtar").len();
        assert_eq!(found, 0);
        assert!(enough(found, 1).is_err());
        assert!(enough(find("policy", "txtar").len(), 60).is_ok());
    }
}
