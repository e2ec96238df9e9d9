//! Which parts a data directory has. One that is gone, as when its file system is not mounted, must not be taken for one
//! that never was: mail would go into an empty store, under the mount point.
//!
//! The first start notes the parts when all of them are there; until then, a crash leaves the next start free to make what
//! is not there yet. Tables and what is derived are no such parts: they are built anew.

use std::io;
use std::path::Path;

use runtime::files::{Readers, sync_dir, write_durably};

use super::restored::{DURABLE, RESTORING};

/// The note: a line for each part.
pub(super) const PARTS: &str = "PARTS";
/// Longest note, in octets.
const PARTS_OCTETS_MAX: u64 = 4096;

/// Refuses a data directory that lacks a part that it had.
pub(crate) fn complete(data: &Path) -> Result<(), String> {
    let is_empty = !DURABLE.iter().any(|part| is_there(data, part));
    if is_empty && data.join(RESTORING).exists() {
        return Err(format!(
            "{} has a restore that was interrupted, and nothing else: give `wasmta store restore` again; only to begin with \
             nothing in its place: rm -r {0}/{RESTORING}",
            data.display()
        ));
    }
    let had = had(data)?;
    let missing: Vec<&str> =
        DURABLE.into_iter().filter(|part| had.contains(part) && !is_there(data, part)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let shown = std::path::absolute(data).unwrap_or_else(|_| data.to_path_buf());
    let shown = shown.display();
    let names: Vec<String> = missing.iter().map(|part| format!("{shown}/{part}")).collect();
    let others: Vec<&str> = DURABLE.into_iter().filter(|part| !missing.contains(part)).collect();
    Err(format!(
        "{} {} missing, and this data directory had {}: mount what is not mounted, or bring a backup back (`wasmta store \
         restore FOLDER --replace`); only to begin with nothing in its place: printf '{}\\n' > {shown}/{PARTS}",
        names.join(" and "),
        if missing.len() == 1 { "is" } else { "are" },
        if missing.len() == 1 { "it" } else { "them" },
        others.join("\\n"),
    ))
}

/// Notes that all parts are there, on stable storage.
pub(super) fn note(data: &Path) -> Result<(), String> {
    let path = data.join(PARTS);
    let text = DURABLE.map(|part| format!("{part}\n")).concat();
    let known = runtime::files::read(&path, PARTS_OCTETS_MAX);
    if known.is_ok_and(|known| known == text.as_bytes()) {
        return Ok(());
    }
    let noted = DURABLE.iter().try_for_each(|part| sync_dir(&data.join(part)));
    noted
        .and_then(|()| write_durably(&path, text.as_bytes(), Readers::Owner))
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// The parts that a data directory had.
fn had(data: &Path) -> Result<Vec<&'static str>, String> {
    let path = data.join(PARTS);
    match runtime::files::read(&path, PARTS_OCTETS_MAX) {
        Ok(note) => {
            let note = String::from_utf8_lossy(&note).into_owned();
            Ok(DURABLE.into_iter().filter(|part| note.lines().any(|line| line == *part)).collect())
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(implied(data)),
        Err(e) => Err(format!("{}: {e}", path.display())),
    }
}

/// Without a note, of an earlier version or of a first start that was interrupted: what must have been there before what is
/// there now. A first start makes the directory, the decoy key, the tables, the store, and then what is derived.
fn implied(data: &Path) -> Vec<&'static str> {
    let mut had = Vec::new();
    if data.join("decoy.key").exists()
        || ["tables", "store", "derived"].iter().any(|part| is_there(data, part))
    {
        had.push("directory");
    }
    if is_there(data, "derived") {
        had.push("store");
    }
    had
}

/// Whether an environment has anything in it: an empty folder is what is left of one that is not mounted.
fn is_there(data: &Path, part: &str) -> bool {
    std::fs::metadata(data.join(part).join("data.mdb")).is_ok_and(|file| file.len() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(data: &Path, parts: &[&str]) {
        for part in parts {
            std::fs::create_dir_all(data.join(part)).unwrap();
            std::fs::write(data.join(part).join("data.mdb"), "x").unwrap();
        }
    }

    #[test]
    fn a_first_start_may_be_interrupted_anywhere() {
        let order = ["directory", "decoy.key", "tables", "plugin-store", "store", "derived"];
        for reached in 0..=order.len() {
            let dir = tempfile::tempdir().unwrap();
            for part in order.iter().take(reached) {
                if *part == "decoy.key" {
                    std::fs::write(dir.path().join(part), "x").unwrap();
                } else {
                    make(dir.path(), &[part]);
                }
            }
            complete(dir.path()).unwrap();
        }
    }

    #[test]
    fn a_restore_that_was_interrupted_is_no_first_start() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(RESTORING)).unwrap();
        assert!(complete(dir.path()).unwrap_err().contains("give `wasmta store restore` again"));
        // Over data, it changed nothing.
        make(dir.path(), &DURABLE);
        complete(dir.path()).unwrap();
    }

    #[test]
    fn a_part_that_was_there_is_missed() {
        for gone in DURABLE {
            let dir = tempfile::tempdir().unwrap();
            make(dir.path(), &DURABLE);
            note(dir.path()).unwrap();
            // What is built anew may be missing.
            complete(dir.path()).unwrap();
            let path = dir.path().join(gone);
            std::fs::remove_file(path.join("data.mdb")).unwrap();
            let why = complete(dir.path()).unwrap_err();
            assert!(why.starts_with(&format!("{} is missing", path.display())), "{why}");
            // As it says.
            let (_, text) = why.split_once("printf '").unwrap();
            let (text, _) = text.split_once("' >").unwrap();
            std::fs::write(dir.path().join(PARTS), text.replace("\\n", "\n")).unwrap();
            complete(dir.path()).unwrap();
        }
    }

    #[test]
    fn data_of_before_are_missed_by_what_came_after_them() {
        for gone in ["directory", "store"] {
            let dir = tempfile::tempdir().unwrap();
            make(dir.path(), &["directory", "tables", "plugin-store", "store", "derived"]);
            complete(dir.path()).unwrap();
            std::fs::remove_dir_all(dir.path().join(gone)).unwrap();
            let why = complete(dir.path()).unwrap_err();
            assert!(why.contains(&format!("/{gone} is missing")), "{why}");
        }
    }
}
