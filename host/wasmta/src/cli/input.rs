//! What a command reads before it asks: a file, or its own input.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::size_text;

/// Largest message that is explained, or given to a plugin, in octets.
pub(super) const MESSAGE_MAX: u64 = 16 << 20;

/// The content of a file, or with `-` of the command's input. `mend` is what to do about one that is too large.
pub(super) fn octets(file: &Path, max: u64, mend: &str) -> Result<Vec<u8>, String> {
    let fault = |why: String| format!("{}: {why}", file.display());
    let mut octets = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(max + 1).read_to_end(&mut octets)
    } else {
        let opened = File::open(file).map_err(|error| fault(error.to_string()))?;
        opened.take(max + 1).read_to_end(&mut octets)
    };
    read.map_err(|error| fault(error.to_string()))?;
    if octets.len() as u64 > max {
        return Err(fault(format!("it is larger than {}: {mend}", size_text(max))));
    }
    Ok(octets)
}

/// A message as requests carry it.
pub(super) fn message(file: &Path) -> Result<String, String> {
    Ok(STANDARD.encode(octets(file, MESSAGE_MAX, "header and the beginning may do")?))
}

/// Names that mean something else to each process.
const OF_A_PROCESS: [&str; 3] = ["/dev/stdin", "/dev/fd", "/proc"];

/// The name of a file, or a folder of them, that the server reads: one that means the same to it.
pub(super) fn for_the_server(file: &Path) -> Result<PathBuf, String> {
    let path = std::path::absolute(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let own = file == Path::new("-") || OF_A_PROCESS.iter().any(|own| path.starts_with(own));
    // What is not seen from here, the server may see all the same.
    let flows = std::fs::metadata(&path).is_ok_and(|found| !found.is_file() && !found.is_dir());
    if own || flows {
        return Err(format!(
            "{}: the server reads it, and sees nothing of this command's pipes: write what comes into a file, and name that",
            file.display()
        ));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_this_process_sees_is_not_given_to_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for name in ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "/dev/zero", pipe.to_str().unwrap()] {
            let why = for_the_server(Path::new(name)).unwrap_err();
            assert!(why.contains("into a file, and name that"), "{name}: {why}");
        }
        let why = octets(Path::new("/dev/zero"), 1 << 20, "give less").unwrap_err();
        assert_eq!(why, "/dev/zero: it is larger than 1 MiB: give less");
        for name in [folder.path().to_str().unwrap(), "/nowhere/srs.wasm"] {
            assert_eq!(for_the_server(Path::new(name)), Ok(name.into()));
        }
    }
}
