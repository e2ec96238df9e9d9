//! `BODY[section]<partial>` over octets (RFC 3501 §6.4.5).

use std::borrow::Cow;

use crate::header::{FieldNames, Fields, header_len};
use crate::structure::{Part, PartKind, Structure};

/// What of a part is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectionText<'a> {
    /// No word: the whole message, or the body of a part.
    Whole,
    /// `HEADER`: of a message, its empty line included.
    Header,
    /// `HEADER.FIELDS`: the fields of these names, then an empty line.
    HeaderFields(&'a [String]),
    /// `HEADER.FIELDS.NOT`: all others, then an empty line.
    HeaderFieldsNot(&'a [String]),
    /// `TEXT`: of a message, all after its header.
    Text,
    /// `MIME`: the header of a part.
    Mime,
}

/// A section of a message, without part numbers: needs no structure.
/// `None` for `MIME`, which only parts have.
#[must_use]
pub fn message_section<'a>(octets: &'a [u8], text: SectionText<'_>) -> Option<Cow<'a, [u8]>> {
    match text {
        SectionText::Whole => Some(Cow::Borrowed(octets)),
        SectionText::Mime => None,
        // Fields end with the header by themselves: where that is need not be found first.
        SectionText::HeaderFields(names) => Some(Cow::Owned(selected(octets, names, true))),
        SectionText::HeaderFieldsNot(names) => Some(Cow::Owned(selected(octets, names, false))),
        text => {
            let (header, body) = octets.split_at(header_len(octets));
            Some(header_or_text(header, body, text))
        }
    }
}

/// A section by part numbers (from 1). `None` where the message has no such part, or the part has
/// no such text; IMAP answers `NIL`.
#[must_use]
pub fn part_section<'s>(
    structure: &'s Structure<'s>,
    path: &[u32],
    text: SectionText<'_>,
) -> Option<Cow<'s, [u8]>> {
    let part = find_part(structure, path)?;
    match text {
        SectionText::Whole if path.is_empty() => {
            let (header, body) = (part.header_range(), part.body_range());
            debug_assert_eq!(header.end, body.start);
            Some(Cow::Borrowed(whole(structure, header.start..body.end)))
        }
        SectionText::Whole => Some(Cow::Borrowed(part.body())),
        SectionText::Mime if path.is_empty() => None,
        SectionText::Mime => Some(Cow::Borrowed(part.header())),
        text => {
            // With numbers, these words apply to an embedded message only.
            let message = if path.is_empty() { part } else { embedded(part)? };
            Some(header_or_text(message.header(), message.body(), text))
        }
    }
}

fn whole<'s>(structure: &'s Structure<'s>, range: std::ops::Range<usize>) -> &'s [u8] {
    &structure.octets()[range]
}

/// Goes down by part numbers: a number names a part of the multipart at that place; in a message
/// that is no multipart, 1 is its only part (RFC 3501 §6.4.5).
#[must_use]
pub fn find_part<'s>(structure: &'s Structure<'s>, path: &[u32]) -> Option<Part<'s>> {
    let mut part = structure.root();
    let mut is_message = true;
    for number in path {
        if !is_message && part.kind() == PartKind::Message {
            (part, is_message) = (embedded(part)?, true);
        }
        let at = usize::try_from(number.checked_sub(1)?).ok()?;
        if part.kind() == PartKind::Multipart {
            part = part.child(at)?;
        } else if !(is_message && at == 0) {
            return None;
        }
        is_message = false;
    }
    Some(part)
}

fn embedded(part: Part<'_>) -> Option<Part<'_>> {
    if part.kind() == PartKind::Message { part.child(0) } else { None }
}

fn header_or_text<'a>(header: &'a [u8], body: &'a [u8], text: SectionText<'_>) -> Cow<'a, [u8]> {
    match text {
        SectionText::HeaderFields(names) => Cow::Owned(selected(header, names, true)),
        SectionText::HeaderFieldsNot(names) => Cow::Owned(selected(header, names, false)),
        SectionText::Header => Cow::Borrowed(header),
        SectionText::Whole | SectionText::Text | SectionText::Mime => Cow::Borrowed(body),
    }
}

/// Octets that the fields which clients ask for have as a rule.
const CHOSEN_OCTETS: usize = 512;

/// The fields that are (or are not) named, each as it stands, and an empty line.
fn selected(header: &[u8], names: &[String], wanted: bool) -> Vec<u8> {
    let mut chosen = Vec::with_capacity(CHOSEN_OCTETS);
    let names = FieldNames::new(names.iter().map(String::as_str));
    for field in Fields::of(header) {
        if names.place(field.name).is_some() == wanted {
            chosen.extend_from_slice(&header[field.range()]);
        }
    }
    // A last line without its end would swallow the empty line.
    if chosen.last().is_some_and(|octet| *octet != b'\n') {
        chosen.extend_from_slice(b"\r\n");
    }
    chosen.extend_from_slice(b"\r\n");
    chosen
}

/// `<start.length>` of a section: what lies inside of it, empty where it begins after the end.
#[must_use]
pub fn partial(octets: &[u8], start: u64, length: u64) -> &[u8] {
    let clamp = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(octets.len());
    &octets[clamp(start)..clamp(start.saturating_add(length))]
}

#[cfg(test)]
mod tests;
