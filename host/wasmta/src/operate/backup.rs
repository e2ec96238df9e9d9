//! A consistent copy of the data directory, while the server runs.
//!
//! Each environment is copied as of one moment, the directory first and the mail last; the tables are left out, because they
//! are built from the directory. The file that says that a copy is whole is written when all else is on stable storage.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use mail_types::{QueueId, Timestamp};
use runtime::files::{Readers, create_dir_durably, sync_dir, write_durably};
use serde_json::{Value, json};
use storage::{ContentId, Storage};
use tokio::sync::mpsc;

use super::backup_list;
use crate::config::Config;
use crate::config::rounded_size_text as size;
use crate::control::{Answer, Line};
use crate::serve::{Parts, is_own_file};

/// The file that makes a folder a backup.
pub(super) const MANIFEST: &str = "BACKUP.json";
/// The format that is written and read.
pub(super) const BACKUP_FORMAT: u64 = 1;
/// Largest manifest, in octets.
const MANIFEST_OCTETS_MAX: u64 = 64 << 10;
/// Most files besides the environments: certificates, keys, plugins and what was compiled of them.
const OTHER_FILES_MAX: u64 = 100_000;
/// Most levels of folders among them.
pub(super) const FOLDERS_DEPTH_MAX: usize = 16;

/// Makes a backup.
pub(super) async fn backup(
    parts: &Parts,
    config: &Config,
    folder: PathBuf,
    data: PathBuf,
    progress: mpsc::Sender<Line>,
) -> Result<Answer, String> {
    let durable = parts.durable().map(|(name, storage)| (name, storage.clone()));
    let (size_max, began) = (config.storage.size_max, parts.clock.now());
    let work = tokio::task::spawn_blocking(move || {
        outside(&folder, &data)?;
        let (unfinished, _alone) = prepare(&folder)?;
        let made = copy(&durable, size_max, (&data, &unfinished), &progress).and_then(|(mut json, text)| {
            let files = json["files"].take().as_u64().unwrap_or(0);
            json["files"] = backup_list::write(&unfinished, &folder, &mut |done| {
                drop(progress.try_send(Line::Progress(done, files.max(done), "files read again".to_owned())));
                !progress.is_closed()
            })?;
            json["began"] = json!(began.0);
            finish(&folder, &unfinished, &json)?;
            Ok((json, text))
        });
        let made = made.inspect_err(|_| {
            // What cannot be removed is no backup without its manifest, and gives way to the next try.
            let _ = remove_unfinished(&folder);
        });
        let (json, text) = made.map_err(|why| {
            format!("{}: the backup was not made, and nothing of it is left: {why}", folder.display())
        })?;
        Ok::<_, String>(Answer::new(json, format!("{} is whole: {text}", folder.display())))
    });
    work.await.map_err(|e| e.to_string())?
}

/// Gives the copy its name, and then says that it is whole.
fn finish(folder: &Path, unfinished: &Path, json: &Value) -> Result<(), String> {
    let named = std::fs::rename(unfinished, folder.join(COPY)).and_then(|()| sync_dir(folder));
    named.map_err(|e| format!("{}: {e}", folder.display()))?;
    let manifest = folder.join(MANIFEST);
    write_durably(&manifest, format!("{json:#}\n").as_bytes(), Readers::Owner)
        .map_err(|e| format!("{}: {e}", manifest.display()))
}

/// The folder within a backup that holds the copy of the data directory.
pub(super) const COPY: &str = "data";
/// What it is called until it is whole.
const UNFINISHED: &str = "data.unfinished";
/// What the file that says so is called until all of it is written.
const MANIFEST_UNFINISHED: &str = "BACKUP.json.new";

/// A backup within the data directory would be copied into itself, and lost with it; and what a backup begins anew over must
/// never be the data.
fn outside(folder: &Path, data: &Path) -> Result<(), String> {
    let data = std::fs::canonicalize(data).map_err(|e| format!("{}: {e}", data.display()))?;
    if std::fs::canonicalize(folder).is_ok_and(|folder| data.starts_with(folder)) {
        return Err(format!(
            "{} has the data directory {} in it: name a folder that is not there yet",
            folder.display(),
            data.display()
        ));
    }
    // Of what is not there yet, the nearest that is.
    let nearest = folder.ancestors().find_map(|path| std::fs::canonicalize(path).ok());
    if nearest.is_some_and(|nearest| nearest.starts_with(&data)) {
        return Err(format!(
            "{} is within the data directory {}: name a folder outside of it",
            folder.display(),
            data.display()
        ));
    }
    Ok(())
}

/// Makes the folder, for its owner alone: keys and hashes of passwords come into it. What an interrupted backup has left there
/// gives way. As long as the file lives, nobody else makes a backup there.
fn prepare(folder: &Path) -> Result<(PathBuf, File), String> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |e: io::Error| format!("{}: {e}", folder.display());
    create_dir_durably(folder).map_err(failed)?;
    let alone = File::open(folder).map_err(failed)?;
    alone.try_lock().map_err(|_| format!("{}: another backup is being made there", folder.display()))?;
    if is_unfinished(folder).map_err(failed)? {
        remove_unfinished(folder).map_err(failed)?;
    }
    if std::fs::read_dir(folder).map_err(failed)?.next().is_some() {
        return Err(format!("{} is not empty: name a folder that is not there yet", folder.display()));
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
    let unfinished = folder.join(UNFINISHED);
    std::fs::create_dir(&unfinished).map_err(failed)?;
    Ok((unfinished, alone))
}

/// Whether all that a folder has is of a backup that was interrupted. A copy that has its name already, and not yet the file
/// that says that it is whole, has a list beside it, which nothing but a backup writes.
fn is_unfinished(folder: &Path) -> io::Result<bool> {
    let (mut is_empty, mut is_named) = (true, false);
    for entry in std::fs::read_dir(folder)? {
        match entry?.file_name().to_str() {
            Some(UNFINISHED | backup_list::LIST | MANIFEST_UNFINISHED) => {}
            Some(COPY) => is_named = true,
            _ => return Ok(false),
        }
        is_empty = false;
    }
    Ok(!is_empty && (!is_named || backup_list::is_list(folder)))
}

/// Removes what is there of a backup that is not whole.
fn remove_unfinished(folder: &Path) -> io::Result<()> {
    let gone = |removed: io::Result<()>| match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    };
    gone(std::fs::remove_dir_all(folder.join(UNFINISHED)))?;
    gone(std::fs::remove_dir_all(folder.join(COPY)))?;
    gone(std::fs::remove_file(folder.join(MANIFEST_UNFINISHED)))?;
    // Last: by it a copy that has its name is known.
    gone(std::fs::remove_file(folder.join(backup_list::LIST)))
}

fn copy(
    durable: &[(&'static str, Storage)],
    size_max: u64,
    (data, unfinished): (&Path, &Path),
    progress: &mpsc::Sender<Line>,
) -> Result<(Value, String), String> {
    let (mut environments, mut octets, mut files) = (serde_json::Map::new(), 0, 0);
    for (name, storage) in durable {
        let mut tell = |done, of| {
            // A note that finds no room is passed over: the next one says more.
            drop(progress.try_send(Line::Progress(done, of, format!("content files of {name}"))));
            !progress.is_closed()
        };
        let copied = storage.copy_to(&unfinished.join(name), size_max, &mut tell);
        let copied = copied.map_err(|why| {
            let whose = why.content.map(|content| whose(storage, content)).unwrap_or_default();
            format!("{name}: {why}{whose}")
        })?;
        octets += copied.engine_octets + copied.file_octets;
        files += copied.files;
        let json = json!({
            "octets": copied.engine_octets, "content_files": copied.files, "content_octets": copied.file_octets
        });
        environments.insert((*name).to_owned(), json);
    }
    let mut others = 0;
    copy_others(data, unfinished, 0, &mut others)?;
    let json = json!({
        "format": BACKUP_FORMAT, "version": env!("CARGO_PKG_VERSION"),
        "environments": environments, "other_files": others, "files": files + others,
    });
    let text = format!(
        "{}, {files} content files, {others} other files; the configuration is not in it",
        size(octets)
    );
    Ok((json, text))
}

/// Whose content it is that cannot be copied, and what to do.
fn whose(storage: &Storage, content: ContentId) -> String {
    let mut queued = Vec::new();
    let found = storage.read().and_then(|view| {
        queue::content_references(&view, &mut |reference| match reference {
            queue::Reference::Content(id, named, _) if named == content => queued.push(id),
            _ => {}
        })
    });
    let listing = queue::Listing::new(storage, Timestamp::default());
    let told = |id: &QueueId| {
        let shown = listing.show(*id).ok().flatten();
        let sender = shown.map_or_else(String::new, |message| format!(" from {}", message.sender));
        format!("message {id} of the queue{sender}")
    };
    match (found, queued.first()) {
        (Ok(()), Some(id)) => format!(
            "; it is the content of {}: bring the file back from a backup, or give the message up (`wasmta queue delete {id}`, or \
             `bounce`, which tells the sender), and give the command again",
            queued.iter().map(told).collect::<Vec<_>>().join(", ")
        ),
        _ => "; `wasmta mailbox check` says whose it is: bring the file back from a backup, or let `wasmta mailbox repair` keep \
              what can be read, and give the command again"
            .to_owned(),
    }
}

/// Copies what is no environment, and no mark of a running process. Where a link stands, what it leads to is copied: without
/// that the backup would not be whole.
fn copy_others(from: &Path, to: &Path, depth: usize, count: &mut u64) -> Result<(), String> {
    let failed = |e: io::Error| format!("{}: {e}", from.display());
    if depth > FOLDERS_DEPTH_MAX {
        return Err(format!("{}: more than {FOLDERS_DEPTH_MAX} folders within each other", from.display()));
    }
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, name) = (entry.path(), entry.file_name());
        if depth == 0 && is_own_file(&name.to_string_lossy()) {
            continue;
        }
        let (kind, target) = (kind_of(&entry)?, to.join(&name));
        if kind.is_dir() {
            std::fs::create_dir(&target).map_err(failed)?;
            copy_others(&path, &target, depth + 1, count)?;
        } else if kind.is_file() {
            if *count == OTHER_FILES_MAX {
                return Err(format!(
                    "{}: more than {OTHER_FILES_MAX} files besides the mail",
                    from.display()
                ));
            }
            // It may have been replaced or removed meanwhile, as old artefacts of plugins are.
            match copy_file(&path, &target) {
                Err(e) if e.kind() == io::ErrorKind::NotFound && !path.exists() => {}
                copied => {
                    copied.map_err(|e| format!("{} to {}: {e}", path.display(), target.display()))?;
                    *count += 1;
                }
            }
        } else {
            return Err(format!("{} is neither file nor folder: take it out of there", path.display()));
        }
    }
    sync_dir(to).map_err(failed)
}

/// What an entry is, or what it leads to.
fn kind_of(entry: &std::fs::DirEntry) -> Result<std::fs::FileType, String> {
    let path = entry.path();
    let failed = |e: io::Error| format!("{}: {e}", path.display());
    let kind = entry.file_type().map_err(failed)?;
    if !kind.is_symlink() {
        return Ok(kind);
    }
    let led = || Ok((std::fs::canonicalize(&path)?, std::fs::metadata(&path)?.file_type()));
    let (place, kind) = led().map_err(|e: io::Error| {
        format!("{} is a link that leads nowhere: {e}; take it out of there, or mend it", path.display())
    })?;
    let folder = path.parent().and_then(|folder| std::fs::canonicalize(folder).ok());
    if folder.is_some_and(|folder| folder.starts_with(place)) {
        return Err(format!(
            "{} is a link to a folder that it lies in: take it out of there",
            path.display()
        ));
    }
    Ok(kind)
}

/// Copies a file with its permissions, synced.
pub(super) fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::copy(from, to)?;
    std::fs::File::open(to)?.sync_all()
}

/// What a backup's manifest says; why it is none that this program can read.
pub(super) fn examine(folder: &Path) -> Result<Value, String> {
    let path = folder.join(MANIFEST);
    let octets = runtime::files::read(&path, MANIFEST_OCTETS_MAX).map_err(|e| {
        format!(
            "{}: {e}; a folder without this file is no backup, or one that was not finished",
            path.display()
        )
    })?;
    let manifest: Value = serde_json::from_slice(&octets).map_err(|e| format!("{}: {e}", path.display()))?;
    match manifest["format"].as_u64() {
        Some(BACKUP_FORMAT) => Ok(manifest),
        other => Err(format!(
            "{} is of format {}, and this program reads {BACKUP_FORMAT}: use the version that made it, {}",
            folder.display(),
            other.map_or("unknown".to_owned(), |format| format.to_string()),
            manifest["version"]
        )),
    }
}
