//! What a command reads before it asks: a file, or its own input.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Largest message that is explained, in octets.
const MESSAGE_MAX: u64 = 16 << 20;

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
        return Err(fault(format!("it is larger than {} MiB: {mend}", max >> 20)));
    }
    Ok(octets)
}

/// A message as requests carry it.
pub(super) fn message(file: &Path) -> Result<String, String> {
    Ok(STANDARD.encode(octets(file, MESSAGE_MAX, "header and the beginning may do")?))
}
