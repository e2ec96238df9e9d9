//! What is no TOML, told with the words that stand there and what mends it.

use super::section::File;

/// Notes a fault of the syntax.
pub(super) fn note(file: &File<'_>, text: &str, fault: &toml::de::Error) {
    let at = fault.span().map(|span| span.start.min(text.len()));
    let (before, line) = at.map_or(("", ""), |at| {
        let begins = text[..at].rfind('\n').map_or(0, |end| end + 1);
        (&text[..begins], text[begins..].lines().next().unwrap_or_default())
    });
    let key = key_of(line);
    let mend = match fault.message() {
        "duplicate key" => match last_line_with(before, &key) {
            Some(earlier) => format!("it stands in line {earlier} already: put both together there"),
            None => "it stands above already: put both together there".to_owned(),
        },
        _ => "sections stand in [brackets], texts in \"quotes\", lists in [brackets, with commas]; a value stands on \
              the line of its key"
            .to_owned(),
    };
    file.fault(at, &key, fault.message(), mend);
}

/// The key or section of a line, as it is written there.
fn key_of(line: &str) -> String {
    let line = line.trim_start();
    let key = match line.strip_prefix('[') {
        Some(section) => section.trim_start_matches('[').split(']').next(),
        None => line.split_once('=').map(|(key, _)| key),
    };
    key.unwrap_or_default().trim().to_owned()
}

/// The last line in which a key or section stands, from 1.
fn last_line_with(text: &str, key: &str) -> Option<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().rposition(|line| !line.trim_start().starts_with('#') && key_of(line) == key)?;
    Some(at + 1)
}
