//! What the storage takes up, by command.

use std::fmt::Write as _;

use serde_json::{Value, json};
use storage::{ContentStats, EngineStats, PackProgress, Packed};
use store::Totals;
use tokio::sync::mpsc;

use crate::config::rounded_size_text as size;
use crate::control::{Answer, Line};
use crate::serve::Parts;

/// Counts.
pub(super) async fn stats(parts: &Parts) -> Result<Answer, String> {
    let (store, durable) =
        (parts.store.clone(), parts.durable().map(|(name, storage)| (name, storage.clone())));
    let work = tokio::task::spawn_blocking(move || {
        let totals = store.totals().map_err(|e| e.to_string())?;
        let content =
            store.storage().read().and_then(|view| view.content_stats()).map_err(|e| e.to_string())?;
        let mut engines = Vec::new();
        for (name, storage) in durable {
            engines.extend(storage.stats().map_err(|e| e.to_string())?.map(|stats| (name, stats)));
        }
        Ok::<_, String>(answer(totals, content, &engines))
    });
    work.await.map_err(|e| e.to_string())?
}

/// Compresses content, while mail goes on.
pub(super) async fn compress(parts: &Parts, progress: mpsc::Sender<Line>) -> Result<Answer, String> {
    let tell = |so_far: PackProgress| {
        // A note that finds no room is passed over: the next one says more.
        drop(progress.try_send(Line::Progress(so_far.at, so_far.of, "contents".to_owned())));
        !progress.is_closed()
    };
    let Packed { seen, packed, before, after } =
        parts.store.storage().pack(&tell).await.map_err(|e| e.to_string())?;
    let json = json!({ "seen": seen, "packed": packed, "before": before, "after": after });
    let text = format!(
        "{packed} of {seen} contents that are new since the last time were compressed: {} before, {} now",
        size(before),
        size(after)
    );
    Ok(Answer::new(json, text))
}

fn answer(totals: Totals, content: ContentStats, engines: &[(&str, EngineStats)]) -> Answer {
    let mut text = format!(
        "{} accounts, {} mailboxes, {} messages of {} in all\n\
         {} contents of {} ({} in files), {} references; keeping content once saves {}",
        totals.accounts,
        totals.mailboxes,
        totals.messages,
        size(totals.octets),
        content.contents,
        size(content.octets),
        content.files,
        content.references,
        size(content.saved_octets),
    );
    if content.packed > 0 {
        let saves = size(content.packing_saves_octets);
        let _ = write!(text, "\n{} contents are compressed, which saves {saves}", content.packed);
    }
    let mut environments = serde_json::Map::new();
    for (name, stats) in engines {
        let EngineStats { file_octets, free_octets, size_max, spaces } = stats;
        let _ = write!(
            text,
            "\n{name}: {} of at most {}, of which {} are free",
            size(*file_octets),
            size(*size_max),
            size(*free_octets)
        );
        for space in spaces.iter().filter(|space| space.entries > 0) {
            let _ = write!(
                text,
                "\n  {:<28} {:>10} entries {:>12}",
                space.name,
                space.entries,
                size(space.octets)
            );
        }
        let spaces: Vec<Value> = spaces
            .iter()
            .map(|space| json!({ "name": space.name, "entries": space.entries, "octets": space.octets }))
            .collect();
        let json = json!({
            "file_octets": file_octets, "free_octets": free_octets, "size_max": size_max, "spaces": spaces
        });
        environments.insert((*name).to_owned(), json);
    }
    let json = json!({
        "accounts": totals.accounts,
        "mailboxes": totals.mailboxes,
        "messages": totals.messages,
        "message_octets": totals.octets,
        "contents": content.contents,
        "content_files": content.files,
        "content_octets": content.octets,
        "contents_compressed": content.packed,
        "compression_saves_octets": content.packing_saves_octets,
        "content_references": content.references,
        "saved_octets": content.saved_octets,
        "environments": environments,
    });
    Answer::new(json, text)
}
