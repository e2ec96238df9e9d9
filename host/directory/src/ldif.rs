//! LDIF (RFC 2849): content records, read one at a time with their line, and written.

use std::fmt::Write as _;
use std::io::{BufRead, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::dn::{Dn, DnError, is_type};
use crate::entry::Entry;

/// Longest logical line, folds joined, in octets.
pub const LINE_MAX: usize = 4 << 20;
/// Most octets in one record.
pub const RECORD_MAX: usize = 64 << 20;
/// Where written lines are folded, in octets.
const FOLD_AT: usize = 76;

/// What is wrong with an LDIF, on which line, and how to mend it.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct LdifError {
    /// Line of the file, from 1.
    pub line: u64,
    /// What is wrong there.
    pub problem: LdifProblem,
}

/// The kinds of trouble.
#[derive(Debug, thiserror::Error)]
pub enum LdifProblem {
    /// The source failed.
    #[error("the file cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// `version:` is not 1 (RFC 2849, note 1).
    #[error("version {0:?} is unknown: only \"version: 1\" is read")]
    Version(String),
    /// A change record: this reader loads entries, it does not replay changes.
    #[error("this is a change record ({0}): give whole entries, without \"changetype\"")]
    ChangeRecord(String),
    /// A change of another kind than those that are applied.
    #[error(
        "{0:?} is no change that is made here: write changetype: add, modify or delete, without controls"
    )]
    ChangeType(String),
    /// A change record that cannot be read.
    #[error("{0}")]
    Change(&'static str),
    /// More changes than are made as one.
    #[error("there are more than {max} changes: give the rest in a file of their own", max = crate::ldif_changes::LDIF_CHANGES_MAX)]
    TooMany,
    /// A record begins with something else than `dn:`.
    #[error("a record begins with {0:?}: its first line must be \"dn: …\", after an empty line")]
    NoDn(String),
    /// The name is not valid.
    #[error("the name is not valid: {0}")]
    Dn(#[from] DnError),
    /// The name above all: no entry has it (RFC 4512 §2.3).
    #[error("the name is empty: write the name of the entry after \"dn:\"")]
    Root,
    /// A line without `attribute:`.
    #[error(
        "{0:?} is neither \"attribute: value\" nor a continuation: begin a continued line with one space"
    )]
    Line(String),
    /// Base64 that is none.
    #[error("the value after \"::\" is no base64")]
    Base64,
    /// `attribute:< url`.
    #[error("values from a URL are not read: write the value itself, in base64 after \"::\"")]
    Url,
    /// A name that is no UTF-8 (RFC 2849, note 7).
    #[error("the text is not UTF-8: write it in base64 of UTF-8 after \"::\"")]
    Utf8,
    /// A continuation with nothing to continue.
    #[error("a line begins with a space, but there is no line before it to continue")]
    Continuation,
    /// A line or record over its maximum.
    #[error("the {0} is too long: at most {LINE_MAX} octets a line and {RECORD_MAX} a record are read")]
    TooLong(&'static str),
    /// A record that has a name and nothing else.
    #[error("the entry {0} has no attribute: give it at least its objectClass")]
    Empty(Dn),
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LdifRecord {
    /// Line of its `dn:`, from 1.
    pub line: u64,
    /// The entry.
    pub entry: Entry,
}

/// Reads content records one by one. Memory is bounded by the longest record.
#[derive(Debug)]
pub struct LdifReader<R> {
    source: R,
    /// Number of the physical line read last.
    line: u64,
    /// A physical line read ahead, while looking for continuations.
    ahead: Option<Vec<u8>>,
    failed: bool,
}

/// A logical line: its number and its octets without folds.
pub(crate) type Line = (u64, Vec<u8>);

impl<R: BufRead> LdifReader<R> {
    /// Reads from a source.
    pub fn new(source: R) -> Self {
        Self { source, line: 0, ahead: None, failed: false }
    }

    fn error<T>(&self, line: u64, problem: impl Into<LdifProblem>) -> Result<T, LdifError> {
        Err(LdifError { line, problem: problem.into() })
    }

    /// The next physical line without its end; `None` at the end of the source.
    fn physical(&mut self) -> Result<Option<Vec<u8>>, LdifError> {
        if let Some(line) = self.ahead.take() {
            return Ok(Some(line));
        }
        self.line += 1;
        let mut octets = Vec::new();
        let read = self.source.by_ref().take(LINE_MAX as u64 + 2).read_until(b'\n', &mut octets);
        match read {
            Ok(0) => return Ok(None),
            Ok(_) if octets.len() > LINE_MAX => return self.error(self.line, LdifProblem::TooLong("line")),
            Ok(_) => {}
            Err(error) => return self.error(self.line, error),
        }
        if octets.last() == Some(&b'\n') {
            octets.pop();
            if octets.last() == Some(&b'\r') {
                octets.pop();
            }
        }
        if self.line == 1 && octets.starts_with(b"\xef\xbb\xbf") {
            octets.drain(..3);
        }
        Ok(Some(octets))
    }

    /// The next logical line: comments left out, folds joined (RFC 2849, notes 2 and 3).
    fn logical(&mut self) -> Result<Option<Line>, LdifError> {
        loop {
            let Some(mut octets) = self.physical()? else { return Ok(None) };
            let line = self.line;
            if octets.first() == Some(&b' ') {
                return self.error(line, LdifProblem::Continuation);
            }
            while !octets.is_empty() {
                let Some(next) = self.physical()? else { break };
                if next.first() != Some(&b' ') {
                    self.ahead = Some(next);
                    break;
                }
                octets.extend_from_slice(&next[1..]);
                if octets.len() > LINE_MAX {
                    return self.error(line, LdifProblem::TooLong("line"));
                }
            }
            if octets.first() != Some(&b'#') {
                return Ok(Some((line, octets)));
            }
        }
    }

    /// The name of the next record, and its line.
    pub(crate) fn name(&mut self) -> Result<Option<(u64, Dn)>, LdifError> {
        loop {
            let Some((line, octets)) = self.logical()? else { return Ok(None) };
            if octets.is_empty() {
                continue;
            }
            let (name, value) = self.attribute(line, &octets)?;
            let Ok(text) = std::str::from_utf8(&value) else { return self.error(line, LdifProblem::Utf8) };
            if name.eq_ignore_ascii_case("version") {
                if text != "1" {
                    return self.error(line, LdifProblem::Version(text.to_owned()));
                }
                continue;
            }
            if !name.eq_ignore_ascii_case("dn") {
                return self.error(line, LdifProblem::NoDn(name));
            }
            match Dn::parse(text) {
                Ok(dn) if dn.depth() == 0 => return self.error(line, LdifProblem::Root),
                Ok(dn) => return Ok(Some((line, dn))),
                Err(problem) => return self.error(line, problem),
            }
        }
    }

    /// The lines that follow the name, up to an empty one.
    pub(crate) fn body(&mut self, line: u64) -> Result<Vec<Line>, LdifError> {
        let (mut lines, mut size) = (Vec::new(), 0);
        while let Some((at, octets)) = self.logical()? {
            if octets.is_empty() {
                break;
            }
            size += octets.len();
            if size > RECORD_MAX {
                return self.error(line, LdifProblem::TooLong("record"));
            }
            lines.push((at, octets));
        }
        Ok(lines)
    }

    fn record(&mut self) -> Result<Option<LdifRecord>, LdifError> {
        let Some((line, dn)) = self.name()? else { return Ok(None) };
        let mut entry = Entry::new(dn);
        for (at, octets) in self.body(line)? {
            let (name, value) = self.attribute(at, &octets)?;
            if is_of_changes(&name) {
                return self
                    .error(at, LdifProblem::ChangeRecord(String::from_utf8_lossy(&value).into_owned()));
            }
            entry.add(&name, value);
        }
        if entry.attributes().len() == 0 {
            return self.error(line, LdifProblem::Empty(entry.dn));
        }
        Ok(Some(LdifRecord { line, entry }))
    }

    /// `AttributeDescription value-spec` (RFC 2849, formal syntax).
    pub(crate) fn attribute(&self, line: u64, octets: &[u8]) -> Result<(String, Vec<u8>), LdifError> {
        let shown =
            || LdifProblem::Line(String::from_utf8_lossy(&octets[..octets.len().min(60)]).into_owned());
        let Some(colon) = octets.iter().position(|byte| *byte == b':') else {
            return self.error(line, shown());
        };
        let name = match std::str::from_utf8(&octets[..colon]) {
            Ok(name) if is_description(name) => name.to_owned(),
            _ => return self.error(line, shown()),
        };
        let rest = &octets[colon + 1..];
        let value = match rest.first() {
            Some(b':') => match STANDARD.decode(rest[1..].trim_ascii()) {
                Ok(value) => value,
                Err(_) => return self.error(line, LdifProblem::Base64),
            },
            Some(b'<') => return self.error(line, LdifProblem::Url),
            _ => rest.trim_ascii_start().to_vec(),
        };
        Ok((name, value))
    }
}

impl<R: BufRead> Iterator for LdifReader<R> {
    type Item = Result<LdifRecord, LdifError>;

    /// The next record. After an error there is none: what follows may be misread.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let record = self.record().transpose();
        self.failed = matches!(record, Some(Err(_)));
        record
    }
}

/// Whether a line belongs to a change record (RFC 2849), and is no attribute anywhere.
pub(crate) fn is_of_changes(name: &str) -> bool {
    ["changetype", "control"].iter().any(|word| word.eq_ignore_ascii_case(name))
}

/// `AttributeType [";" options]`.
pub(crate) fn is_description(text: &str) -> bool {
    let mut parts = text.split(';');
    parts.next().is_some_and(is_type)
        && parts.all(|option| {
            !option.is_empty() && option.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

/// Writes an entry as a content record, with an empty line after it.
#[must_use]
pub fn write_ldif(entry: &Entry) -> String {
    let mut text = String::new();
    write_line(&mut text, "dn", entry.dn.as_str().as_bytes());
    for attribute in entry.attributes() {
        for value in attribute.values {
            write_line(&mut text, attribute.name, value);
        }
    }
    text.push('\n');
    text
}

fn write_line(text: &mut String, name: &str, value: &[u8]) {
    let line = match std::str::from_utf8(value) {
        Ok(plain) if is_safe(value) => format!("{name}: {plain}"),
        _ => format!("{name}:: {}", STANDARD.encode(value)),
    };
    // Lines are ASCII, but for a name that was stored before names were looked at: no character is cut in two.
    let (first, mut rest) = line.split_at(line.floor_char_boundary(FOLD_AT));
    text.push_str(first);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(FOLD_AT - 1));
        let _ = write!(text, "\n {piece}");
        rest = after;
    }
    text.push('\n');
}

/// `SAFE-STRING`, and no blank at its end (RFC 2849, note 8).
fn is_safe(value: &[u8]) -> bool {
    let safe = |byte: &u8| !matches!(byte, 0 | b'\n' | b'\r' | 0x80..);
    value.iter().all(safe)
        && !matches!(value.first(), Some(b' ' | b':' | b'<'))
        && !value.first().is_some_and(u8::is_ascii_whitespace)
        && value.last() != Some(&b' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Vec<LdifRecord>, LdifError> {
        LdifReader::new(text.as_bytes()).collect()
    }

    #[test]
    fn records_comments_folds_and_base64_are_read() {
        let text = "# a comment,\n  folded\nversion: 1\n\n\
                    dn: cn=Barbara Jensen, ou=Product Development, dc=airius, dc=com\r\nobjectclass: top\r\n\
                    description:Babs is a big sailing fan, and travels extensively in sea\n rch of perfect sailing conditions.\n\
                    # between\ntitle:Product Manager\n\n\n\
                    dn:: b3U95Za25qWt6YOoLG89QWlyaXVz\nou:: 5Za25qWt6YOo\nou;lang-ja:: 5Za25qWt6YOo\nseeAlso:\n";
        let records = read(text).unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].line, 5);
        assert!(records[0].entry.text("description").unwrap().contains("sea\u{72}ch of"));
        assert_eq!(records[1].entry.dn.to_string(), "ou=営業部,o=Airius");
        assert_eq!(records[1].entry.text("ou;LANG-ja"), Some("営業部"));
        assert_eq!(records[1].entry.text("seealso"), Some(""));
    }

    #[test]
    fn errors_name_the_line_and_the_mend() {
        for (text, line, part) in [
            ("version: 2\n", 1, "version: 1"),
            ("cn: x\n", 1, "dn: "),
            ("dn: cn=x\n\n", 1, "objectClass"),
            ("dn: nonsense\n", 1, "attribute=value"),
            ("dn: cn=x\ncn: x\n\ndn: cn=y\nchangetype: delete\n", 5, "changetype"),
            ("dn: cn=x\nchangeType: delete\n", 2, "changetype"),
            ("dn: cn=x\ncn: x\nchangetype: delete\n", 3, "changetype"),
            ("dn:\ncn: x\n", 1, "empty"),
            ("dn: cn=x\njpegphoto:< file:///etc/passwd\n", 2, "URL"),
            ("dn: cn=x\ncn:: %%\n", 2, "base64"),
            ("dn: cn=x\nhello\n", 2, "continued"),
            (" x\n", 1, "continue"),
            ("dn:: /w==\n", 1, "UTF-8"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.line, line, "{text:?} {error}");
            assert!(error.to_string().contains(part), "{text:?} {error}");
        }
    }

    #[test]
    fn no_character_is_cut_in_two() {
        let name = format!("x{}", "é".repeat(60));
        let text = write_ldif(&Entry::new(Dn::parse("cn=x").unwrap()).with(&name, "1"));
        assert!(text.replace("\n ", "").contains(&format!("{name}: 1\n")), "{text}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..6)) {
            let dn = Dn::parse("uid=ä #x,o=b").unwrap();
            let entry = values.iter().fold(Entry::new(dn), |entry, value| entry.with("x-value", value.clone()));
            let text = write_ldif(&entry);
            prop_assert!(text.lines().all(|line| line.len() <= FOLD_AT));
            prop_assert_eq!(&read(&text).unwrap()[0].entry, &entry);
        }

        #[test]
        fn reading_never_panics(octets in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = LdifReader::new(octets.as_slice()).collect::<Vec<_>>();
        }
    }
}
