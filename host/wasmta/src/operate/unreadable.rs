//! Messages of the queue that cannot be read: what is told of them, and how an operator takes them out.

use std::path::Path;

use queue::{Filter, OperateError, Unreadable};

use super::repair::{Folder, unused};
use crate::serve::Parts;

/// Messages that the text for people shows.
const SHOWN_MAX: usize = 100;

/// What can be done about one.
pub(super) fn remedy(unreadable: &Unreadable) -> String {
    format!("`wasmta queue delete {}` takes that out, and keeps what is there of it", unreadable.id)
}

/// What is told of one.
pub(super) fn told(unreadable: &Unreadable) -> String {
    format!("{unreadable}: {}", remedy(unreadable))
}

/// A line for each, as far as they are shown.
pub(super) fn add_lines(text: &mut String, unreadable: &[Unreadable]) {
    for one in unreadable.iter().take(SHOWN_MAX) {
        text.push('\n');
        text.push_str(&told(one));
    }
    if unreadable.len() > SHOWN_MAX {
        text.push_str(&format!(
            "\nand {} more messages; --json tells them all",
            unreadable.len() - SHOWN_MAX
        ));
    }
}

/// What became of messages that cannot be read.
#[derive(Default)]
pub(super) struct TakenOut {
    /// Those that were taken out, in words.
    pub(super) done: Vec<String>,
    /// Those that are left, and why.
    pub(super) faults: Vec<String>,
}

/// Takes out what cannot be read of messages that are named, and by nothing else than their ids: whether it meets any other
/// condition, nobody can say. Of others it is told that they are there.
pub(super) async fn take_out(
    parts: &Parts,
    whom: &Filter,
    unreadable: &[Unreadable],
    deletes: Option<&Path>,
) -> Result<TakenOut, String> {
    let mut taken = TakenOut::default();
    let are_named = !whom.ids.is_empty() && *whom == Filter { ids: whom.ids.clone(), ..Filter::default() };
    let Some(data) = deletes.filter(|_| are_named) else {
        taken.faults.extend(unreadable.iter().map(told));
        return Ok(taken);
    };
    for one in unreadable {
        let folder = unused(data, parts.clock.now().as_seconds())?;
        let (queue, id, handle) = (parts.queue.clone(), one.id, tokio::runtime::Handle::current());
        let kept = Folder(folder.clone());
        let work = tokio::task::spawn_blocking(move || {
            let keep = |name: &str, octets: &[u8]| store::Evidence::keep(&kept, name, octets);
            handle.block_on(queue.take_out(id, "operator", &keep))
        });
        match work.await.map_err(|e| e.to_string())? {
            Ok(Some(_)) => {
                taken.done.push(format!("{one}: taken out; what was there of it is in {}", folder.display()));
            }
            // It was mended, or went, meanwhile.
            Ok(None) | Err(OperateError::NotFound(_)) => {}
            Err(why) => taken.faults.push(format!("{one}: {why}")),
        }
    }
    Ok(taken)
}
