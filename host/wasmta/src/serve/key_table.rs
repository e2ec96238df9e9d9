//! Tables that an operator writes: lines of a key and a text. The rules ask the general one, plugins theirs.

use std::collections::HashMap;
use std::path::Path;

/// Largest file of a table, in octets.
const TABLE_MAX: u64 = 64 << 20;

/// Reads a table. Keys are kept in lower case: whoever asks folds, too.
pub(super) fn read(path: &Path) -> Result<HashMap<String, String>, String> {
    let octets = runtime::files::read(path, TABLE_MAX).map_err(|e| format!("{}: {e}", path.display()))?;
    let text = String::from_utf8(octets).map_err(|_| format!("{}: is not UTF-8", path.display()))?;
    parse(&text, path)
}

/// Lines of a key and a text; `#` begins a comment, a key that comes again is a fault.
fn parse(text: &str, path: &Path) -> Result<HashMap<String, String>, String> {
    let mut rows = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("{}:{}", path.display(), number + 1);
        let Some((key, value)) = line.split_once(char::is_whitespace) else {
            return Err(format!("{place}: the key {line:?} has no text; write \"key text\""));
        };
        if rows.insert(key.to_lowercase(), value.trim().to_owned()).is_some() {
            return Err(format!("{place}: the key {key:?} stands here twice; take one out"));
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
        assert!(parse("alone", path).unwrap_err().starts_with("legacy.tsv:1: "));
        assert!(parse("a b\nA c", path).unwrap_err().starts_with("legacy.tsv:2: "));
    }
}
