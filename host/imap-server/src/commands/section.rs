//! `BODY[section]<partial>` and its older names: which octets, and their way out in pieces.

use std::borrow::Cow;

use imap_wire::{FetchItem, FetchResponse, Partial, Section, SectionText};
use message::{SectionText as Text, message_section, part_section, partial};
use store::Octets;

use super::fetch::Fetched;
use crate::io::{End, Io};

/// Octets of a message that are read and sent at a time.
const PIECE_OCTETS: usize = 256 * 1024;
/// Texts up to this size are gathered with what else is sent; larger ones are sent uncopied.
const COPY_OCTETS_MAX: usize = 16 * 1024;

/// Whether a section is of the message itself, and then whether its header is enough; `None` where
/// the structure is needed.
pub(super) fn need(section: &Section) -> Option<bool> {
    if !section.part.is_empty() {
        return None;
    }
    Some(matches!(
        section.text,
        Some(SectionText::Header | SectionText::HeaderFields(_) | SectionText::HeaderFieldsNot(_))
    ))
}

/// Writes the item of one message.
pub(super) async fn write(
    io: &mut Io,
    response: &mut FetchResponse,
    item: &FetchItem,
    fetched: &Fetched<'_>,
) -> Result<(), End> {
    let whole = Section::default();
    let header = Section { part: Vec::new(), text: Some(SectionText::Header) };
    let text = Section { part: Vec::new(), text: Some(SectionText::Text) };
    let (name, section, range) = match item {
        FetchItem::Rfc822 => ("RFC822".to_owned(), &whole, None),
        FetchItem::Rfc822Header => ("RFC822.HEADER".to_owned(), &header, None),
        FetchItem::Rfc822Text => ("RFC822.TEXT".to_owned(), &text, None),
        FetchItem::Section(fetch) => {
            (section_name(&fetch.section, fetch.partial), &fetch.section, fetch.partial)
        }
        _ => return Ok(()),
    };
    match (section.part.is_empty(), &section.text, fetched.octets) {
        (true, None, Some(octets)) => write_pieces(io, response, &name, octets, 0, range).await,
        (true, Some(SectionText::Text), Some(octets)) => {
            write_pieces(io, response, &name, octets, fetched.header.len() as u64, range).await
        }
        _ => write_whole(io, response, &name, found(section, fetched), range).await,
    }
}

/// `"BODY" section ["<" number ">"]`
fn section_name(section: &Section, partial: Option<Partial>) -> String {
    match partial {
        Some(partial) => format!("BODY{section}<{}>", partial.offset),
        None => format!("BODY{section}"),
    }
}

fn found<'a>(section: &'a Section, fetched: &'a Fetched<'_>) -> Option<Cow<'a, [u8]>> {
    let text = match &section.text {
        None => Text::Whole,
        Some(SectionText::Header) => Text::Header,
        Some(SectionText::HeaderFields(names)) => Text::HeaderFields(names),
        Some(SectionText::HeaderFieldsNot(names)) => Text::HeaderFieldsNot(names),
        Some(SectionText::Text) => Text::Text,
        Some(SectionText::Mime) => Text::Mime,
    };
    match fetched.structure {
        Some(structure) => part_section(structure, &section.part, text),
        None => message_section(fetched.header, text),
    }
}

async fn write_whole(
    io: &mut Io,
    response: &mut FetchResponse,
    name: &str,
    found: Option<Cow<'_, [u8]>>,
    range: Option<Partial>,
) -> Result<(), End> {
    let Some(found) = found else {
        response.name(io.out(), name);
        io.out().extend_from_slice(b"NIL");
        return Ok(());
    };
    let octets = match range {
        Some(range) => partial(&found, u64::from(range.offset), u64::from(range.length)),
        None => &found,
    };
    response.literal(io.out(), name, octets.len() as u64);
    send(io, octets).await
}

async fn send(io: &mut Io, octets: &[u8]) -> Result<(), End> {
    if octets.len() <= COPY_OCTETS_MAX {
        io.out().extend_from_slice(octets);
        io.flush_if_full().await
    } else {
        io.flush_with(octets).await
    }
}

/// Sends the octets from `start` on, read piece by piece: memory holds one piece.
async fn write_pieces(
    io: &mut Io,
    response: &mut FetchResponse,
    name: &str,
    octets: &Octets,
    start: u64,
    range: Option<Partial>,
) -> Result<(), End> {
    let len = octets.len();
    let (from, until) = match range {
        Some(range) => {
            let from = start.saturating_add(u64::from(range.offset)).min(len);
            (from, from.saturating_add(u64::from(range.length)).min(len))
        }
        None => (start.min(len), len),
    };
    response.literal(io.out(), name, until - from);
    let mut at = from;
    while at < until {
        let want = usize::try_from(until - at).unwrap_or(usize::MAX).min(PIECE_OCTETS);
        // The size is announced: what cannot be read now cannot be made good but by closing.
        let piece = octets.range(at, want).map_err(|error| End::Lost(error.to_string().into()))?;
        if piece.is_empty() {
            return Err(End::Lost("stored content is shorter than its record says".into()));
        }
        send(io, &piece).await?;
        at += piece.len() as u64;
    }
    Ok(())
}
