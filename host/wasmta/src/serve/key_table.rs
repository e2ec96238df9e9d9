//! Tables that an operator writes: lines of a key and a text. The rules ask the general one, plugins theirs.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::Problem;

/// Largest file of a table, in octets.
const TABLE_MAX: u64 = 64 << 20;

/// What is wrong with a file that an operator writes, and where in it.
#[derive(Debug)]
pub(crate) struct FileFault {
    file: PathBuf,
    /// From 1; 0 where the file as a whole is meant.
    line: usize,
    what: String,
    mend: String,
}

impl FileFault {
    pub(super) fn new(file: &Path, what: impl Into<String>, mend: &str) -> Self {
        Self { file: file.to_owned(), line: 0, what: what.into(), mend: mend.to_owned() }
    }

    pub(super) fn at_line(self, line: usize) -> Self {
        Self { line, ..self }
    }

    /// What a key of a configuration comes to that names the file.
    pub(super) fn problem(self, key: &str) -> Problem {
        let Self { file, line, what, mend } = self;
        Problem { file: file.display().to_string(), line, key: key.to_owned(), what, mend }
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}; {}", self.what, self.mend)
    }
}

/// Reads a table. Keys are kept in lower case: whoever asks folds, too.
pub(super) fn read(path: &Path) -> Result<HashMap<String, String>, FileFault> {
    let octets = runtime::files::read(path, TABLE_MAX)
        .map_err(|e| FileFault::new(path, e.to_string(), "name a file of lines \"key text\""))?;
    let text = String::from_utf8(octets)
        .map_err(|_| FileFault::new(path, "it is not UTF-8", "write it in that encoding"))?;
    parse(&text, path)
}

/// Lines of a key and a text; `#` begins a comment, a key that comes again is a fault.
fn parse(text: &str, path: &Path) -> Result<HashMap<String, String>, FileFault> {
    let mut rows = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fault = |what: String, mend: &str| FileFault::new(path, what, mend).at_line(number + 1);
        let Some((key, value)) = line.split_once(char::is_whitespace) else {
            return Err(fault(format!("the key {line:?} has no text"), "write \"key text\""));
        };
        if rows.insert(key.to_lowercase(), value.trim().to_owned()).is_some() {
            return Err(fault(format!("the key {key:?} stands here twice"), "take one out"));
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_lines_of_key_and_text() {
        let path = Path::new("legacy.tsv");
        let rows = parse("# old new\nAnna@old.example anna@example.org\nb\tx y \n\n", path).unwrap();
        assert_eq!(rows["anna@old.example"], "anna@example.org");
        assert_eq!(rows["b"], "x y");
        assert!(parse("alone", path).unwrap_err().to_string().starts_with("legacy.tsv:1: "));
        assert!(parse("a b\nA c", path).unwrap_err().to_string().starts_with("legacy.tsv:2: "));
    }
}
