//! Mailboxes whose names cannot be those of files: what they are called instead, in a list beside them.
//!
//! A file system takes 255 octets for a name, and a mailbox may have 400; some names mean something else there. Such a mailbox
//! gets the beginning of its name and its number, and a line in the list: its place, a tab, its name. An import reads the list.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use runtime::files::{Readers, write_durably};

use crate::error::MigrationError;

/// The list of a Maildir++ tree, whose folders of mailboxes begin with a dot; and of mbox files, none of which do.
pub(crate) const IN_MAILDIR: &str = "wasmta-names";
pub(crate) const BESIDE_MBOX: &str = ".wasmta-names";
/// Most octets of a name on the file systems that we know; of it, what is kept for an ending.
pub(crate) const COMPONENT_MAX: usize = 255;
/// Octets of a name that are kept of one that is too long.
const KEPT_OF_LONG: usize = 200;
/// Largest list, in octets: of as many mailboxes as an account may have.
const LIST_OCTETS_MAX: u64 = 64 << 20;

/// Another name in the place of one that cannot be used; the number makes it one of its own.
pub(crate) fn instead_of(name: &str, number: u32) -> String {
    let kept = name.floor_char_boundary(KEPT_OF_LONG.min(name.len()));
    format!("{}~{number}", &name[..kept])
}

/// Places, and the mailboxes that are there.
#[derive(Debug, Default)]
pub(crate) struct GivenNames(Vec<(String, String)>);

impl GivenNames {
    pub(crate) fn add(&mut self, place: &str, mailbox: &str) {
        self.0.push((place.to_owned(), mailbox.to_owned()));
    }

    /// Writes the list, where there is anything in it.
    pub(crate) fn write(&self, root: &Path, file: &str) -> Result<(), MigrationError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let lines: String = self.0.iter().map(|(place, name)| format!("{place}\t{name}\n")).collect();
        let path = root.join(file);
        write_durably(&path, lines.as_bytes(), Readers::Owner).map_err(|e| MigrationError::file(&path, e))
    }

    /// Reads it: names by their places.
    pub(crate) fn read(root: &Path, file: &str) -> io::Result<HashMap<String, String>> {
        let octets = match runtime::files::read_beneath(root, &root.join(file), LIST_OCTETS_MAX) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
            octets => octets?,
        };
        let text = String::from_utf8_lossy(&octets);
        let pairs = text.lines().filter_map(|line| line.split_once('\t'));
        Ok(pairs.map(|(place, name)| (place.to_owned(), name.to_owned())).collect())
    }
}
