//! Change records of LDIF (RFC 2849): `changetype: add`, `modify` and `delete`; a record without a changetype is an entry
//! to be added. Other types, and controls, are refused.

use std::io::BufRead;

use crate::amend::{Amendment, AttributeChange, EntryChange};
use crate::dn::Dn;
use crate::entry::Entry;
use crate::ldif::{LdifError, LdifProblem, LdifReader, Line, is_of_changes};

/// Most changes that one file may hold: they are made as one, all or none.
pub const LDIF_CHANGES_MAX: usize = 10_000;

/// A change, and the line of its `dn:`, from 1.
pub type LdifChange = (u64, EntryChange);

/// Reads all changes of an LDIF.
///
/// # Errors
/// What is wrong, and on which line.
pub fn read_changes<R: BufRead>(source: R) -> Result<Vec<LdifChange>, LdifError> {
    let (mut reader, mut changes) = (LdifReader::new(source), Vec::new());
    while let Some((line, dn)) = reader.name()? {
        if changes.len() == LDIF_CHANGES_MAX {
            return Err(LdifError { line, problem: LdifProblem::TooMany });
        }
        let lines = reader.body(line)?;
        changes.push((line, change(&reader, line, dn, lines)?));
    }
    Ok(changes)
}

fn change<R: BufRead>(
    reader: &LdifReader<R>,
    line: u64,
    dn: Dn,
    lines: Vec<Line>,
) -> Result<EntryChange, LdifError> {
    let mut lines = lines.into_iter().peekable();
    let Some((at, first)) = lines.peek() else {
        return Err(LdifError { line, problem: LdifProblem::Empty(dn) });
    };
    let (name, value) = reader.attribute(*at, first)?;
    let at = *at;
    if name.eq_ignore_ascii_case("control") {
        return Err(LdifError { line: at, problem: LdifProblem::ChangeType("control".to_owned()) });
    }
    let kind = if name.eq_ignore_ascii_case("changetype") {
        lines.next();
        String::from_utf8_lossy(&value).trim().to_ascii_lowercase()
    } else {
        "add".to_owned()
    };
    match kind.as_str() {
        "add" => {
            let mut entry = Entry::new(dn);
            for (at, octets) in lines {
                let (name, value) = reader.attribute(at, &octets)?;
                if is_of_changes(&name) {
                    let what = "changetype and control stand right after the name, once";
                    return Err(LdifError { line: at, problem: LdifProblem::Change(what) });
                }
                entry.add(&name, value);
            }
            if entry.attributes().len() == 0 {
                return Err(LdifError { line, problem: LdifProblem::Empty(entry.dn) });
            }
            Ok(EntryChange::Add(entry))
        }
        "delete" => match lines.next() {
            None => Ok(EntryChange::Remove(dn)),
            Some((at, _)) => {
                let what = "changetype: delete is followed by an empty line, not by attributes";
                Err(LdifError { line: at, problem: LdifProblem::Change(what) })
            }
        },
        "modify" => Ok(EntryChange::Modify(dn, modifications(reader, line, lines)?)),
        other => Err(LdifError { line: at, problem: LdifProblem::ChangeType(other.to_owned()) }),
    }
}

/// `mod-spec`s, each ended by a line `-`; the last one may lack it.
fn modifications<R: BufRead>(
    reader: &LdifReader<R>,
    line: u64,
    lines: impl Iterator<Item = Line>,
) -> Result<Vec<AttributeChange>, LdifError> {
    let mut changes: Vec<AttributeChange> = Vec::new();
    let (mut is_open, mut opened) = (false, line);
    for (at, octets) in lines {
        let fault = |what| Err(LdifError { line: at, problem: LdifProblem::Change(what) });
        if octets == b"-" {
            if !is_open {
                return fault("a line \"-\" ends nothing here");
            }
            is_open = false;
            has_values(changes.last(), opened)?;
            continue;
        }
        let (name, value) = reader.attribute(at, &octets)?;
        match changes.last_mut().filter(|_| is_open) {
            Some(open) if open.attribute.eq_ignore_ascii_case(&name) => {
                open.amendment.values_mut().push(value)
            }
            Some(_) => {
                return fault(
                    "the value of another attribute than this modification is about: end it by a line \"-\"",
                );
            }
            None => {
                let attribute = String::from_utf8_lossy(&value).trim().to_owned();
                let amendment = match name.to_ascii_lowercase().as_str() {
                    "add" => Amendment::Add(Vec::new()),
                    "delete" => Amendment::Delete(Vec::new()),
                    "replace" => Amendment::Replace(Vec::new()),
                    _ => {
                        return fault(
                            "a modification begins with \"add:\", \"delete:\" or \"replace:\" and the attribute",
                        );
                    }
                };
                changes.push(AttributeChange { attribute, amendment });
                (is_open, opened) = (true, at);
            }
        }
    }
    has_values(changes.last(), opened)?;
    if changes.is_empty() {
        let what =
            "changetype: modify is followed by \"add:\", \"delete:\" or \"replace:\" and the attribute";
        return Err(LdifError { line, problem: LdifProblem::Change(what) });
    }
    Ok(changes)
}

/// What is added are values (RFC 4511 §4.6): none is a slip.
fn has_values(change: Option<&AttributeChange>, line: u64) -> Result<(), LdifError> {
    match change.map(|change| &change.amendment) {
        Some(Amendment::Add(values)) if values.is_empty() => {
            let what = "\"add:\" is followed by the values to add";
            Err(LdifError { line, problem: LdifProblem::Change(what) })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_with_their_lines() {
        let text = "version: 1\n\ndn: cn=a,o=x\nchangetype: modify\nadd: mail\nmail: a@b.example\n-\ndelete: cn\n-\n\
                    replace: sn\nsn: One\nsn: Two\n\n# gone\ndn: cn=b,o=x\nchangetype: delete\n\ndn: cn=c,o=x\ncn: c\n";
        let changes = read_changes(text.as_bytes()).unwrap();
        let lines: Vec<u64> = changes.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [3, 15, 18]);
        let EntryChange::Modify(dn, modifications) = &changes[0].1 else { panic!("{changes:?}") };
        assert_eq!(dn.to_string(), "cn=a,o=x");
        let text = |text: &str| text.as_bytes().to_vec();
        let change =
            |attribute: &str, amendment| AttributeChange { attribute: attribute.to_owned(), amendment };
        assert_eq!(
            *modifications,
            [
                change("mail", Amendment::Add(vec![text("a@b.example")])),
                change("cn", Amendment::Delete(Vec::new())),
                change("sn", Amendment::Replace(vec![text("One"), text("Two")])),
            ]
        );
        assert!(matches!(&changes[1].1, EntryChange::Remove(_)));
        assert!(matches!(&changes[2].1, EntryChange::Add(_)));
    }

    #[test]
    fn what_is_no_change_is_refused_with_its_line() {
        for (text, line, part) in [
            ("dn: cn=a\nchangetype: modrdn\nnewrdn: cn=b\n", 2, "modrdn"),
            ("dn: cn=a\nchangetype: modify\ncn: b\n", 3, "begins with"),
            ("dn: cn=a\nchangetype: modify\nadd: cn\nsn: b\n", 4, "another attribute"),
            ("dn: cn=a\nchangetype: modify\nadd: cn\ncn: b\n-\n-\n", 6, "ends nothing"),
            ("dn: cn=a\nchangetype: modify\n", 1, "is followed by"),
            ("dn: cn=a\nchangetype: delete\ncn: a\n", 3, "empty line"),
            ("dn: cn=a\n", 1, "no attribute"),
            ("dn: cn=a\ncn: a\nchangeType: delete\n", 3, "right after the name"),
            ("dn: cn=a\nchangetype: modify\nadd: cn\n-\nadd: sn\nsn: x\n", 3, "values"),
            ("dn: cn=a\nchangetype: modify\nadd: cn\n", 3, "values"),
            ("dn: cn=a\ncontrol: 1.2.3\nchangetype: delete\n", 2, "control"),
        ] {
            let error = read_changes(text.as_bytes()).unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error}");
            assert!(error.to_string().contains(part), "{text:?}: {error}");
        }
    }
}
