//! What befalls files: a case takes away, cuts off or overwrites what a server keeps.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use mail_types::QueueId;
use storage::Storage;

/// Does what the words behind `@damage` say, below a case's folder.
pub(crate) async fn damage(folder: &Path, words: &[&str]) -> Result<(), String> {
    let place = |name: &str| folder.join(name);
    if let ["shorten", name, space, id, octets] = words {
        return shorten(&place(name), space, id, octets).await;
    }
    let done = match words {
        ["remove", name] if place(name).is_dir() && !place(name).is_symlink() => {
            fs::remove_dir_all(place(name))
        }
        ["remove", name] => fs::remove_file(place(name)),
        ["cut", name, octets] => {
            let octets: u64 = octets.parse().map_err(|_| format!("{octets} is no number"))?;
            let file = fs::File::options().write(true).open(place(name));
            file.and_then(|file| file.set_len(file.metadata()?.len().saturating_sub(octets)))
        }
        ["overwrite", name, octets] => {
            use std::os::unix::fs::FileExt;
            let at: u64 = octets.parse().map_err(|_| format!("{octets} is no number"))?;
            let file = fs::File::options().write(true).open(place(name));
            file.and_then(|file| file.write_all_at(b"damaged", at))
        }
        ["write", name, text @ ..] => fs::write(place(name), format!("{}\n", text.join(" "))),
        ["copy", from, to] => copy(&place(from), &place(to)),
        ["rename", from, to] => fs::rename(place(from), place(to)),
        ["link", to, name] => std::os::unix::fs::symlink(place(to), place(name)),
        _ => return Err("nothing of this kind befalls files".to_owned()),
    };
    done.map_err(|e| e.to_string())
}

/// Takes octets from the end of each record that the queue has of a message in a space: what is in the middle of a page is
/// nobody's to see from outside.
async fn shorten(folder: &Path, space: &str, id: &str, octets: &str) -> Result<(), String> {
    let id: QueueId = id.parse().map_err(|_| format!("{id} is no queue id"))?;
    let octets: usize = octets.parse().map_err(|_| format!("{octets} is no number"))?;
    let space = queue::SPACES.iter().find(|known| known.name() == space);
    let space = *space.ok_or("the queue has no such space")?;
    let failed = |e: storage::StorageError| e.to_string();
    let storage = Storage::open(folder, queue::SPACES, &storage::Options::default()).map_err(failed)?;
    let mut batch = storage::Batch::new();
    storage
        .read()
        .and_then(|view| {
            let after = QueueId::from_u64(id.as_u64() + 1);
            view.scan(space, &id.to_key(), &after.to_key(), &mut |key, value| {
                batch.put(space, key, &value[..value.len().saturating_sub(octets)]);
                ControlFlow::Continue(())
            })
        })
        .map_err(failed)?;
    if batch.is_empty() {
        return Err("there is no such record".to_owned());
    }
    let done = storage.commit(batch).await.map(drop).map_err(failed);
    storage.close().await;
    done
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
