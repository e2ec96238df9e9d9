//! The directory as LDIF (RFC 2849), and changes by it.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use directory::{
    Directory, Dn, EditError, Entry, LdifChange, Making, PasswordHash, RefusedChange, read_changes,
    write_ldif,
};
use serde_json::json;

use super::absent::absent;
use super::directory::{found, parse_domain};
use super::queue::count;
use super::tell_changed;
use crate::control::Answer;
use crate::serve::Parts;

/// Values that mail cannot use which the answer names.
const WARNINGS_MAX: usize = 100;

/// Writes all entries, or those of a domain, each before what lies below it, to a new file that only its owner may read.
pub(super) async fn export(
    parts: &Parts,
    file: PathBuf,
    domain: Option<&str>,
    without_passwords: bool,
) -> Result<Answer, String> {
    let directory = parts.directory.clone();
    let tops = match domain {
        None => vec![Dn::root()],
        Some(name) => {
            let domain = found(directory.domain(&parse_domain(name)?), || absent(parts, "domain", name))?;
            // Nodes of the DC tree stand beside the entries that they lead to.
            let mut tops: Vec<Dn> = domain.further.iter().chain([&domain.dn]).cloned().collect();
            tops.retain(|dn| *dn != domain.base);
            tops.push(domain.base);
            tops
        }
    };
    let shown = file.display().to_string();
    let work = tokio::task::spawn_blocking(move || write(&directory, &file, &tops, without_passwords));
    let entries = work.await.map_err(|e| e.to_string())?.map_err(|why| format!("{shown}: {why}"))?;
    let text = format!("{entries} entries are in {shown}");
    Ok(Answer::new(json!({ "entries": entries, "file": shown }), text))
}

fn write(directory: &Directory, file: &Path, tops: &[Dn], without_passwords: bool) -> Result<u64, String> {
    let io = |error: std::io::Error| error.to_string();
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(io)?;
    let mut begun = Begun { file, is_whole: false };
    let written = write_entries(directory, created, tops, without_passwords);
    begun.is_whole = written.is_ok();
    written
}

/// A file that is being written. Half of a directory must not be taken for a whole one: however it ends before, it goes.
struct Begun<'f> {
    file: &'f Path,
    is_whole: bool,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if !self.is_whole {
            let _ = std::fs::remove_file(self.file);
        }
    }
}

fn write_entries(
    directory: &Directory,
    file: File,
    tops: &[Dn],
    without_passwords: bool,
) -> Result<u64, String> {
    let mut out = BufWriter::new(file);
    let mut failed = out.write_all(b"version: 1\n\n").err();
    let mut entries = 0;
    for (nth, top) in tops.iter().enumerate() {
        let is_whole = nth + 1 == tops.len();
        let scanned = directory.scan_under(top, &mut |entry| {
            let is_written = is_whole || entry.dn == *top;
            let entry = if without_passwords { without(directory, entry) } else { entry };
            if is_written {
                entries += 1;
                failed = failed.take().or(out.write_all(write_ldif(&entry).as_bytes()).err());
            }
            if failed.is_none() && is_whole { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        scanned.map_err(|e| e.to_string())?;
    }
    if let Some(error) = failed {
        return Err(error.to_string());
    }
    let file = out.into_inner().map_err(|e| e.to_string())?;
    file.sync_all().map_err(|e| e.to_string())?;
    Ok(entries)
}

fn without(directory: &Directory, mut entry: Entry) -> Entry {
    let names = entry.attributes().map(|one| one.name.to_owned());
    for name in names.filter(|name| directory.schema().is_secret(name)).collect::<Vec<_>>() {
        entry.replace(&name, Vec::new());
    }
    entry
}

/// Makes the changes of an LDIF, all or none.
pub(super) async fn apply(parts: &Parts, ldif: String, dry_run: bool) -> Result<Answer, String> {
    let (schema, hasher) = (parts.directory.schema().clone(), parts.hasher.clone());
    // Hashes take a good part of a second each.
    let reading = tokio::task::spawn_blocking(move || -> Result<Vec<LdifChange>, String> {
        let mut changes = read_changes(ldif.as_bytes()).map_err(|error| error.to_string())?;
        for (line, change) in &mut changes {
            // A trial needs none that fits.
            let hash = |clear: &str| match dry_run {
                true => Ok(vec![PasswordHash::new("{TRIAL}*")]),
                false => hasher.hash(clear),
            };
            let hashed = change.hash_passwords(&schema, &hash);
            hashed.map_err(|why| format!("line {line}: a password cannot be hashed: {why}"))?;
        }
        Ok(changes)
    });
    let (lines, changes): (Vec<u64>, Vec<_>) = reading.await.map_err(|e| e.to_string())??.into_iter().unzip();
    let making = if dry_run { Making::Trial } else { Making::Real };
    let line = |at: usize| lines.get(at).copied().unwrap_or_default();
    let (directory, runtime) = (parts.directory.clone(), tokio::runtime::Handle::current());
    // Thousands of entries are planned at once: not on a thread that sessions wait for.
    let planning = tokio::task::spawn_blocking(move || {
        let made = runtime.block_on(directory.amend(&changes, making));
        (made, changes)
    });
    let (made, changes) = planning.await.map_err(|e| e.to_string())?;
    let amended = match made {
        Ok(amended) => amended,
        Err(refused) => {
            // What was made at a source holds, and is told as that.
            for change in changes.iter().take(refused.made) {
                tell_changed(parts, change.dn().as_str(), "changed by LDIF");
            }
            let mut why = told(&refused, &lines);
            if refused.made > 0
                && let Err(behind) = parts.follow_directory().await
            {
                let _ = write!(why, "; {behind}");
            }
            return Err(why);
        }
    };
    if !dry_run {
        for change in &changes {
            tell_changed(parts, change.dn().as_str(), "changed by LDIF");
        }
        parts.follow_directory().await?;
    }
    let mut warnings: Vec<(u64, String)> =
        amended.defects.iter().map(|(at, defect)| (line(*at), defect.to_string())).collect();
    warnings.extend(amended.renamed.iter().map(|at| {
        let what = "the user has another primary address, and the mailboxes go by it";
        (line(*at), what.to_owned())
    }));
    warnings.sort();
    let mut text = count(changes.len(), "change");
    text.push_str(if dry_run { " would be made" } else { " made" });
    for (line, what) in warnings.iter().take(WARNINGS_MAX) {
        let _ = write!(text, "\n  warning: line {line}: {what}");
    }
    if warnings.len() > WARNINGS_MAX {
        let _ = write!(text, "\n  and {} more", warnings.len() - WARNINGS_MAX);
    }
    let warnings: Vec<_> =
        warnings.iter().map(|(line, what)| json!({ "line": line, "what": what })).collect();
    Ok(Answer::new(json!({ "changes": changes.len(), "made": !dry_run, "warnings": warnings }), text))
}

/// Which line was refused and why, and what was made before it.
fn told(refused: &RefusedChange, lines: &[u64]) -> String {
    let at = refused.at.and_then(|at| lines.get(at));
    let why = match at {
        Some(line) => format!("line {line}: {}", refused.error),
        None => refused.error.to_string(),
    };
    match (refused.made, at) {
        (0, _) if matches!(refused.error, EditError::SourceSilent(_)) => why,
        (0, _) => format!("{why}; none of the changes was made"),
        (made, Some(line)) => format!(
            "{why}; {made} of {} were made before it: once it is mended, apply the file from line {line} on",
            count(lines.len(), "change"),
        ),
        (_, None) => why,
    }
}
