//! Where each key of a configuration stands, for faults that are found after it was read: in the files that it names.

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::Problem;

/// The places of a file's keys.
#[derive(Debug, Clone, Default)]
pub struct Places {
    file: String,
    text: String,
    /// Where a key begins, by its full name: an octet of the text.
    keys: BTreeMap<String, usize>,
}

impl Places {
    pub(super) fn of(file: &str, text: &str, table: &DeTable<'_>) -> Self {
        let mut places = Self { file: file.to_owned(), text: text.to_owned(), keys: BTreeMap::new() };
        places.gather("", table);
        places
    }

    fn gather(&mut self, above: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = key.get_ref();
            let full = if above.is_empty() { name.to_string() } else { format!("{above}.{name}") };
            if let Some(below) = value.get_ref().as_table() {
                self.gather(&full, below);
            }
            self.keys.insert(full, key.span().start);
        }
    }

    /// A fault of what a key says: at its line, or of the whole file where the default says it.
    #[must_use]
    pub fn problem(&self, key: &str, what: impl Into<String>, mend: impl Into<String>) -> Problem {
        let at = self.keys.get(key).map(|at| self.text.get(..*at).unwrap_or_default());
        Problem {
            file: self.file.clone(),
            line: at.map_or(0, |before| before.matches('\n').count() + 1),
            key: key.to_owned(),
            what: what.into(),
            mend: mend.into(),
        }
    }
}
