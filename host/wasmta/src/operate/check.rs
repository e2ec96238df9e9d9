//! The check of the store, by command.

use serde_json::json;
use tokio::sync::mpsc;

use super::repair;
use crate::control::{Answer, Line};
use crate::serve::Parts;

/// Violations that the text for people shows.
const SHOWN_MAX: usize = 100;
/// After how many entries of the directory the check says how far it is.
const TELL_EVERY: u64 = 1000;

/// Compares every mailbox, message and content with each other, and the directory's entries and the
/// tables' rows with their indices, each at one moment, while mail goes on.
pub(super) async fn check(parts: &Parts, progress: mpsc::Sender<Line>) -> Result<Answer, String> {
    let (store, directory) = (parts.store.clone(), parts.directory.clone());
    let tables = parts.routing.tables().clone();
    let work = tokio::task::spawn_blocking(move || {
        // A note that finds no room is passed over: the next one says more.
        let tell = |done, of, what: &str| drop(progress.try_send(Line::Progress(done, of, what.to_owned())));
        let mut seen = 0;
        let violations = store.check(repair::queued, &mut |so_far| {
            seen = so_far.messages;
            let (done, of, what) = repair::so_far(so_far);
            tell(done, of, what);
        });
        let violations = violations.map_err(|e| e.to_string())?;
        let mut texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
        let total = directory.counts().map_err(|e| e.to_string())?.entries;
        let mut tell_entries = |done: u64| {
            if done.is_multiple_of(TELL_EVERY) {
                tell(done, total, "directory entries");
            }
        };
        let entries = directory.check(&mut tell_entries).map_err(|e| e.to_string())?;
        texts.extend(entries.into_iter().map(|what| format!("[directory] {what}")));
        // Each entry has a key of its own beside those of its rows.
        let total = tables.state().map_err(|e| e.to_string())?.map_or(0, |state| state.rows + total);
        let rows = tables.check(&mut |done| tell(done, total.max(done), "table rows"));
        let rows = rows.map_err(|e| e.to_string())?;
        texts.extend(rows.into_iter().map(|what| format!("[tables] {what}")));
        Ok::<_, String>((texts, seen))
    });
    let (texts, seen) = work.await.map_err(|e| e.to_string())??;
    let json = json!({ "messages": seen, "violations": texts });
    if texts.is_empty() {
        return Ok(Answer::new(json, format!("nothing is wrong with {seen} messages")));
    }
    let mut text = format!("{} violations in {seen} messages:", texts.len());
    for violation in texts.iter().take(SHOWN_MAX) {
        text.push_str("\n  ");
        text.push_str(violation);
    }
    if texts.len() > SHOWN_MAX {
        text.push_str(&format!("\n  and {} more; --json tells them all", texts.len() - SHOWN_MAX));
    }
    Ok(Answer { json, text, faulty: true })
}
