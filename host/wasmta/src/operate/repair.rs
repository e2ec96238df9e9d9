//! The mailboxes against their invariants, and what is mended, by command.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use runtime::files::sync_dir;
use serde_json::json;
use storage::Snapshot;
use store::{
    AccountId, CheckProgress, Evidence, Foreign, QueuedContent, Remedy, Store, StoreError, Violation,
};
use tokio::sync::mpsc;

use super::mailbox::account;
use super::unreadable;
use crate::control::{Answer, Line};
use crate::serve::Parts;

/// Most folders of evidence of one moment.
const FOLDERS_MAX: u32 = 100;
/// Lines that the text for people shows.
const SHOWN_MAX: usize = 200;

/// Checks mailboxes, while mail goes on.
pub(super) async fn check(
    parts: &Parts,
    user: Option<&str>,
    progress: mpsc::Sender<Line>,
) -> Result<Answer, String> {
    let account = user.map(|user| account(parts, user)).transpose()?;
    let store = parts.store.clone();
    let work = tokio::task::spawn_blocking(move || {
        let mut seen = 0;
        let found = violations(&store, account, &mut |progressed| {
            seen = progressed.messages;
            let (done, of, what) = so_far(progressed);
            // A note that finds no room is passed over: the next one says more.
            drop(progress.try_send(Line::Progress(done, of, what.to_owned())));
        });
        found.map(|found| (found, seen))
    });
    let (found, seen) = work.await.map_err(|e| e.to_string())??;
    let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
    let json = json!({ "messages": seen, "violations": texts });
    if texts.is_empty() {
        return Ok(Answer::new(json, format!("nothing is wrong with {seen} messages")));
    }
    let text = listed(format!("{} violations in {seen} messages:", texts.len()), &texts);
    let text = format!("{text}\n`wasmta mailbox repair` says what can be done");
    Ok(Answer { json, text, faulty: true })
}

fn violations(
    store: &Store,
    account: Option<AccountId>,
    tell: &mut dyn FnMut(CheckProgress),
) -> Result<Vec<Violation>, String> {
    let found = match account {
        Some(account) => store.check_account(account, tell),
        None => store.check(queued, tell),
    };
    found.map_err(|e| e.to_string())
}

/// The content that messages of the queue have, and those that cannot be read.
pub(super) fn queued(view: &Snapshot, visit: &mut dyn FnMut(Foreign)) -> Result<(), StoreError> {
    let mut told = |reference| match reference {
        queue::Reference::Content(message, content, len) => {
            visit(Foreign::Content(QueuedContent { message, content, len }));
        }
        queue::Reference::Unreadable(which) => visit(Foreign::Unreadable {
            what: which.to_string(),
            remedy: unreadable::remedy(&which),
            may_have_content: which.recipients.is_none(),
        }),
    };
    Ok(queue::content_references(view, &mut told)?)
}

/// How far a check is, and at what.
pub(super) fn so_far(progress: CheckProgress) -> (u64, u64, &'static str) {
    if progress.contents_total > 0 {
        (progress.contents, progress.contents_total, "contents read")
    } else {
        (progress.messages, progress.messages_total, "messages")
    }
}

/// Mends mailboxes, or says what would be done.
pub(super) async fn repair(
    parts: &Parts,
    user: Option<&str>,
    apply: bool,
    data: &Path,
) -> Result<Answer, String> {
    let account = user.map(|user| account(parts, user)).transpose()?;
    let folder = unused(data, parts.clock.now().as_seconds())?;
    let (store, handle) = (parts.store.clone(), tokio::runtime::Handle::current());
    let work = tokio::task::spawn_blocking(move || {
        let kept = apply.then_some(Folder(folder.clone()));
        let evidence = kept.as_ref().map(|kept| kept as &dyn Evidence);
        let remedies =
            handle.block_on(store.repair(account, evidence, &queued)).map_err(|e| e.to_string())?;
        let left = if apply { violations(&store, account, &mut |_| ())? } else { Vec::new() };
        Ok::<_, String>(answer(&remedies, &left, apply, folder.exists().then_some(&*folder)))
    });
    work.await.map_err(|e| e.to_string())?
}

fn answer(remedies: &[Remedy], left: &[Violation], apply: bool, kept: Option<&Path>) -> Answer {
    let left: Vec<String> = left.iter().map(ToString::to_string).collect();
    let all: Vec<_> = remedies
        .iter()
        .map(|remedy| {
            let Violation { invariant, what } = &remedy.violation;
            json!({ "invariant": invariant, "what": what, "action": remedy.action })
        })
        .collect();
    let kept = kept.map(|folder| folder.display().to_string());
    let json = json!({ "applied": apply, "remedies": all, "left": left, "evidence": kept });
    if remedies.is_empty() && left.is_empty() {
        return Answer::new(json, "nothing is wrong");
    }
    let lines: Vec<String> =
        remedies.iter().map(|remedy| format!("{}: {}", remedy.violation, remedy.action)).collect();
    let verb = if apply { "were" } else { "would be" };
    let mut text = listed(format!("{} things {verb} mended:", remedies.len()), &lines);
    if let Some(folder) = kept {
        text.push_str(&format!("\nwhat was taken out of the store is in {folder}"));
    }
    if !apply {
        text.push_str("\nnothing was changed; --apply does it");
    }
    if !left.is_empty() {
        text = listed(format!("{text}\n{} things are left, for a backup to mend:", left.len()), &left);
    }
    Answer { json, text, faulty: !apply || !left.is_empty() }
}

fn listed(head: String, lines: &[String]) -> String {
    let mut text = head;
    for line in lines.iter().take(SHOWN_MAX) {
        text.push_str("\n  ");
        text.push_str(line);
    }
    if lines.len() > SHOWN_MAX {
        text.push_str(&format!("\n  and {} more; --json tells them all", lines.len() - SHOWN_MAX));
    }
    text
}

/// A folder for evidence that is not there yet, by the moment; several of one moment are numbered.
pub(super) fn unused(data: &Path, moment: u64) -> Result<PathBuf, String> {
    let name = |number| match number {
        1 => format!("repaired-{moment}"),
        number => format!("repaired-{moment}-{number}"),
    };
    let mut folders = (1..=FOLDERS_MAX).map(|number| data.join(name(number)));
    folders.find(|folder| !folder.exists()).ok_or_else(|| {
        format!("{FOLDERS_MAX} folders {} are there: remove some", data.join(name(1)).display())
    })
}

/// Keeps evidence in files of a folder, which is made for the first of them.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    fn write(&self, name: &str, octets: &[u8]) -> io::Result<PathBuf> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let path = self.0.join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(octets).and_then(|()| file.sync_all()).inspect_err(|_| {
            // A part of it is no evidence; neither is a folder without any, which is removed only then.
            let _ = fs::remove_file(&path).and_then(|()| fs::remove_dir(&self.0));
        })?;
        sync_dir(&self.0)?;
        sync_dir(self.0.parent().unwrap_or(Path::new(".")))?;
        Ok(path)
    }
}

impl Evidence for Folder {
    fn keep(&self, name: &str, octets: &[u8]) -> Result<String, String> {
        let written = self.write(name, octets);
        written.map(|path| path.display().to_string()).map_err(|e| format!("{}: {e}", self.0.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Folder(dir.path().join("repaired-1"));
        let path = kept.keep("x", b"1").unwrap();
        assert_eq!(fs::read(path).unwrap(), b"1");
        assert!(kept.keep("x", b"2").is_err());
        assert_eq!(unused(dir.path(), 1).unwrap(), dir.path().join("repaired-1-2"));
        assert_eq!(unused(dir.path(), 2).unwrap(), dir.path().join("repaired-2"));
    }
}
