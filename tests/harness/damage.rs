//! What befalls files: a case takes away, cuts off or overwrites what a server keeps.

use std::fs;
use std::path::Path;

/// Does what the words behind `@damage` say, below a case's folder.
pub(crate) fn damage(folder: &Path, words: &[&str]) -> Result<(), String> {
    let place = |name: &str| folder.join(name);
    let done = match words {
        ["remove", name] if place(name).is_dir() => fs::remove_dir_all(place(name)),
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
        _ => return Err("nothing of this kind befalls files".to_owned()),
    };
    done.map_err(|e| e.to_string())
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
