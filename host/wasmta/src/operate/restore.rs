//! What is done to a data directory while no server runs: bringing a backup back, and making its files smaller.

use std::fs;
use std::path::Path;

use serde_json::json;
use storage::Storage;
use tokio::sync::mpsc;

use super::backup::{COPY, copy_file, examine};
use super::backup_list;
use super::{PROGRESS_WAITING_MAX, check, data_is_there};
use crate::config::Config;
use crate::config::rounded_size_text as size;
use crate::control::{Answer, Line};
use crate::serve::{DURABLE, DataLock, IN_USE, Parts, Place, RESTORING, counting, movable, put_in_place};

/// How a backup is brought back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Restoring {
    /// Even where there are data: they are kept aside.
    pub(crate) replace: bool,
    /// Mailboxes keep their UIDVALIDITYs.
    pub(crate) keep_uids: bool,
}

/// Brings a backup back: copied, opened as a server would, checked, and only then put in place.
pub(crate) fn restore(place: &Place, folder: &Path, how: Restoring) -> Result<Answer, String> {
    let manifest = examine(folder)?;
    let backup_list::Seen { has_digests, octets } = backup_list::compare(folder, &manifest)?;
    let config = place.load()?;
    let data = &place.data;
    let _lock = DataLock::take(data).map_err(stop_first)?;
    if !how.replace && DURABLE.iter().any(|name| data.join(name).exists()) {
        return Err(format!(
            "{} holds a server's data already: --replace puts the backup in their place, and keeps them aside",
            data.display()
        ));
    }
    let restoring = data.join(RESTORING);
    let fault = |e: std::io::Error| format!("{}: {e}", restoring.display());
    if restoring.exists() {
        // Of an earlier try that never counted.
        fs::remove_dir_all(&restoring).map_err(fault)?;
    }
    nothing_in_the_way(data, &folder.join(COPY))?;
    has_room(data, octets)?;
    let copied = if has_digests {
        backup_list::copy(folder, &restoring)
    } else {
        copy_tree(&folder.join(COPY), &restoring).map_err(fault)
    };
    let verified = copied.and_then(|()| verify(&config, &restoring, how.keep_uids));
    let Verified { seen, hurt, moment } = verified.inspect_err(|_| {
        // What cannot be removed now is removed by the next try.
        let _ = fs::remove_dir_all(&restoring);
    })?;
    let aside = put_in_place(data, moment).map_err(|e| format!("{}: {e}", data.display()))?;
    let had = fs::read_dir(&aside).is_ok_and(|mut entries| entries.next().is_some());
    let mut text = format!("{} is in place; {seen}", folder.display());
    if !has_digests {
        text.push_str(
            "\nit is a backup of a version that kept no digests of files: they are as many and as large as they were, and \
             whether their content is the same was not seen",
        );
    }
    if had {
        text.push_str(&format!("\nwhat was there before is in {}", aside.display()));
    } else {
        // It is empty; what cannot be removed disturbs nobody.
        let _ = fs::remove_dir(&aside);
    }
    text.push_str(
        "\nmail that was queued then is queued again, sent or not: look at `wasmta queue list`, or say `wasmta queue \
         hold --all`, before the server starts",
    );
    let json = json!({
        "restored": folder.display().to_string(), "before": had.then(|| aside.display().to_string()), "damaged": hurt
    });
    if !hurt.is_empty() {
        text.push_str("\nit had messages whose content is damaged or gone, and has them still: `wasmta mailbox repair` keeps what can be read");
    }
    Ok(Answer { json, text, faulty: !hurt.is_empty() })
}

/// What is in the way of what comes, and cannot be moved, is told before anything is written.
fn nothing_in_the_way(data: &Path, copy: &Path) -> Result<(), String> {
    let parts = fs::read_dir(copy).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let parts = parts.map_err(|e| format!("{}: {e}", copy.display()))?;
    let names: Vec<_> = parts.iter().map(fs::DirEntry::file_name).collect();
    movable(data, names.iter().map(|name| name.as_os_str()))
}

/// A disk that cannot hold the copy is told before it is filled.
fn has_room(data: &Path, octets: u64) -> Result<(), String> {
    match runtime::files::free_octets(data) {
        Ok(free) if free < octets => Err(format!(
            "the backup has {}, and the disk of {} has {} left; nothing was changed: make room, or name data on another disk",
            size(octets),
            data.display(),
            size(free)
        )),
        // Where it does not say, it is tried.
        _ => Ok(()),
    }
}

/// What the look at a copy came to.
struct Verified {
    /// What was seen, for people.
    seen: String,
    /// Messages whose content is damaged or gone.
    hurt: Vec<String>,
    /// When, for names.
    moment: u64,
}

/// What is wrong with the content of messages alone: that was so when the backup was made, and is no reason to do without all others.
fn hurt_alone(checked: &Answer) -> Option<Vec<String>> {
    /// How violations of the invariant of contents begin.
    const OF_CONTENT: &str = "[11] ";
    let violations = checked.json["violations"].as_array()?;
    let of_content = violations.iter().map(|what| what.as_str().filter(|what| what.starts_with(OF_CONTENT)));
    of_content.map(|what| what.map(str::to_owned)).collect()
}

/// Opens a copy as a server would, checks it, and makes its UIDs new.
fn verify(config: &Config, copy: &Path, keep_uids: bool) -> Result<Verified, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|e| format!("threads cannot be started: {e}"))?;
    runtime.block_on(async {
        let parts = Parts::open(config, copy, counting()).await.map_err(|e| format!("the backup: {e}"))?;
        let (notes, mut inbox) = mpsc::channel::<Line>(PROGRESS_WAITING_MAX);
        // Nobody watches.
        inbox.close();
        let checked = check::check(&parts, notes).await;
        let hurt = checked.as_ref().ok().and_then(hurt_alone);
        let renewed = match &hurt {
            Some(_) if !keep_uids => parts.store.renew_uid_validities().await.map_err(|e| e.to_string()),
            _ => Ok(0),
        };
        let moment = parts.clock.now().as_seconds();
        parts.close().await;
        let checked = checked?;
        let Some(hurt) = hurt else {
            return Err(format!(
                "the backup is not consistent, and the data stay as they are: {}",
                checked.text
            ));
        };
        let mut text = checked.text;
        if renewed? > 0 {
            text.push_str("; clients read all mailboxes anew, because UIDs given since the backup are void");
        }
        Ok(Verified { seen: text, hurt, moment })
    })
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            copy_file(&entry.path(), &target)?;
        }
    }
    runtime::files::sync_dir(to)
}

/// Makes the files of all environments as small as what is in them.
pub(crate) fn compact(place: &Place) -> Result<Answer, String> {
    let config = place.load()?;
    data_is_there(&place.data)?;
    let _lock = DataLock::take(&place.data).map_err(stop_first)?;
    let (mut lines, mut json) = (Vec::new(), serde_json::Map::new());
    for name in DURABLE {
        let dir = place.data.join(name);
        if !dir.exists() {
            continue;
        }
        let done =
            Storage::compact(&dir, config.storage.size_max).map_err(|e| format!("{}: {e}", dir.display()))?;
        lines.push(format!("{name}: {} before, {} now", size(done.before), size(done.after)));
        json.insert(name.to_owned(), json!({ "before": done.before, "after": done.after }));
    }
    Ok(Answer::new(json.into(), lines.join("\n")))
}

fn stop_first(why: String) -> String {
    if why.contains(IN_USE) {
        format!("{why}: this is done while no server runs; stop it first")
    } else {
        why
    }
}
