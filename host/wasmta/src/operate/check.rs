//! The check of the store, by command.

use serde_json::json;
use tokio::sync::mpsc;

use crate::control::{Answer, Line};
use crate::serve::Parts;

/// Violations that the text for people shows.
const SHOWN_MAX: usize = 100;

/// Compares every mailbox, message and content with each other, and the directory's entries and the
/// tables' rows with their indices, each at one moment, while mail goes on.
pub(super) async fn check(parts: &Parts, progress: mpsc::Sender<Line>) -> Result<Answer, String> {
    let (store, directory) = (parts.store.clone(), parts.directory.clone());
    let tables = parts.routing.tables().clone();
    let work = tokio::task::spawn_blocking(move || {
        let mut seen = 0;
        let violations =
            store.check(|view, visit| Ok(queue::content_references(view, visit)?), &mut |so_far| {
                seen = so_far.messages;
                // A note that finds no room is passed over: the next one says more.
                let _ = progress.try_send(Line::Progress(
                    so_far.messages,
                    so_far.messages_total,
                    "messages".to_owned(),
                ));
            });
        let violations = violations.map_err(|e| e.to_string())?;
        let mut texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
        let entries = directory.check(&mut |_| {}).map_err(|e| e.to_string())?;
        texts.extend(entries.into_iter().map(|what| format!("[directory] {what}")));
        let rows = tables.check(&mut |_| {}).map_err(|e| e.to_string())?;
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
