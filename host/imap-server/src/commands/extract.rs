//! What the items of a FETCH come to, taken out of a message at once: little, so that the message
//! itself is out of memory again before a client that reads slowly takes the first octet.

use std::borrow::Cow;
use std::ops::Range;

use imap_wire::{FetchItem, Partial, Section, SectionText};
use message::{
    Envelope, PartKind, SectionText as Text, Structure, TransferEncoding, find_part, header_len,
    message_section, part_section, partial, preview,
};
use store::StoreError;

use super::binary::{self, Decoded};
use crate::derived::Kind;
use crate::dialect::Headers;
use crate::structure::{Form, write_body, write_envelope, write_opaque};

/// Of a longer header, ENVELOPE, HEADER.FIELDS and SEARCH see no more than this.
pub(super) const HEADER_OCTETS_MAX: usize = 1024 * 1024;
/// A message whose structure is longer is told as a single part.
const STRUCTURE_OCTETS_MAX: usize = 1024 * 1024;
/// Octets that an ENVELOPE has as a rule, with room.
const ENVELOPE_OCTETS: usize = 1024;
/// What is kept of one message in memory while it is sent; one FETCH may name an item many times.
const EXTRACTS_OCTETS_MAX: usize = 8 * 1024 * 1024;
/// Parts up to this size are copied; larger ones are read again when they are sent.
pub(super) const COPY_OCTETS_MAX: usize = 16 * 1024;
/// How much of a message is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// The record.
    Record,
    /// The header of the message.
    Header,
    /// Any of its octets, in pieces.
    Pieces,
    /// The whole message at once, for its structure, where that was not made before.
    Structure,
    /// The whole message at once.
    Whole,
}

impl Need {
    pub(super) fn of(item: &FetchItem) -> Self {
        match item {
            FetchItem::Flags
            | FetchItem::InternalDate
            | FetchItem::Rfc822Size
            | FetchItem::Uid
            | FetchItem::ModSeq
            | FetchItem::EmailId
            | FetchItem::ThreadId
            | FetchItem::SaveDate => Self::Record,
            FetchItem::Envelope | FetchItem::Rfc822Header => Self::Header,
            FetchItem::Rfc822 | FetchItem::Rfc822Text => Self::Pieces,
            FetchItem::Body | FetchItem::BodyStructure | FetchItem::Preview { .. } => Self::Structure,
            FetchItem::Binary(_) | FetchItem::BinarySize(_) => Self::Whole,
            FetchItem::Section(fetch) if !fetch.section.part.is_empty() => Self::Whole,
            FetchItem::Section(fetch) => match fetch.section.text {
                None | Some(SectionText::Text | SectionText::Mime) => Self::Pieces,
                Some(_) => Self::Header,
            },
        }
    }
}

/// What one item comes to. Octets with NUL are a literal of their own kind (RFC 3516 §7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Extract {
    /// What the record says.
    Record,
    /// To be written as it is.
    Text(Vec<u8>),
    /// The octets of a literal.
    Literal(Vec<u8>),
    /// A literal of these octets of the message.
    Range(Range<u64>),
    /// A literal of pieces of the message, and of others in between.
    Mixed(Vec<Slice>),
    /// The same with NUL among the octets.
    Binary(Vec<Slice>),
    /// The encoding of a part is none that is known (RFC 3516 §4.3).
    UnknownEncoding,
    /// `NIL`
    Absent,
}

/// A piece of a literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Slice {
    /// These octets of the message.
    Stored(Range<u64>),
    /// Others.
    Made(Vec<u8>),
    /// What others of the message come to.
    Decoded(Decoded),
}

impl Slice {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Stored(range) => range.end - range.start,
            Self::Made(octets) => octets.len() as u64,
            Self::Decoded(decoded) => decoded.len(),
        }
    }

    fn octets_held(&self) -> usize {
        match self {
            Self::Stored(_) => 0,
            Self::Made(octets) => octets.len(),
            Self::Decoded(decoded) => decoded.octets_held(),
        }
    }
}

impl Extract {
    pub(super) fn octets_held(&self) -> usize {
        match self {
            Self::Text(octets) | Self::Literal(octets) => octets.len(),
            Self::Mixed(slices) | Self::Binary(slices) => slices.iter().map(Slice::octets_held).sum(),
            _ => 0,
        }
    }
}

/// What items are taken out of.
pub(super) struct Source<'a> {
    /// The message's header, its empty line included.
    pub(super) header: &'a [u8],
    /// The message's size.
    pub(super) len: u64,
    /// The message's structure, where an item needs it or the header is long.
    pub(super) structure: Option<&'a Structure<'a>>,
    /// What was made before.
    pub(super) known: &'a [(Kind, Vec<u8>)],
    /// Whether structures are written for who knows message/global.
    pub(super) knows_global: bool,
}

impl<'a> Source<'a> {
    pub(super) fn of(structure: &'a Structure<'a>, headers: Headers) -> Self {
        let octets = structure.octets();
        let header = &octets[..header_len(octets)];
        let knows_global = headers == Headers::OfRev2;
        Self { header, len: octets.len() as u64, structure: Some(structure), known: &[], knows_global }
    }

    pub(super) fn extract(&self, items: &[FetchItem]) -> Result<Vec<Extract>, StoreError> {
        let (mut extracts, mut octets) = (Vec::with_capacity(items.len()), 0);
        for (place, item) in items.iter().enumerate() {
            let extract = match extracted_before(&items[..place], item) {
                Some(before) => Extract::clone(&extracts[before]),
                None => self.item(item),
            };
            octets += extract.octets_held();
            if octets > EXTRACTS_OCTETS_MAX {
                let what = "octets of headers and structures of one message";
                return Err(StoreError::TooMany { what, max: EXTRACTS_OCTETS_MAX });
            }
            extracts.push(extract);
        }
        Ok(extracts)
    }

    fn item(&self, item: &FetchItem) -> Extract {
        let of_message = |text| Section { part: Vec::new(), text };
        let kind = Kind::of(item);
        if let Some((kind, made)) = self.known.iter().find(|(known, _)| Some(*known) == kind) {
            let made = made.clone();
            return if *kind == Kind::Preview { Extract::Literal(made) } else { Extract::Text(made) };
        }
        match item {
            FetchItem::Preview { .. } => self.preview(),
            FetchItem::Binary(fetch) => self.binary(&fetch.section, fetch.partial),
            FetchItem::BinarySize(section) => self.binary_size(section),
            FetchItem::Envelope => {
                let mut text = Vec::with_capacity(ENVELOPE_OCTETS);
                let seen = &self.header[..self.header.len().min(HEADER_OCTETS_MAX)];
                write_envelope(&mut text, &Envelope::parse(seen));
                Extract::Text(text)
            }
            FetchItem::Body => self.structure(false),
            FetchItem::BodyStructure => self.structure(true),
            FetchItem::Rfc822 => self.section(&of_message(None), None),
            FetchItem::Rfc822Header => self.section(&of_message(Some(SectionText::Header)), None),
            FetchItem::Rfc822Text => self.section(&of_message(Some(SectionText::Text)), None),
            FetchItem::Section(fetch) => self.section(&fetch.section, fetch.partial),
            // The record has it.
            _ => Extract::Record,
        }
    }

    fn structure(&self, is_extended: bool) -> Extract {
        let form = Form { is_extended, knows_global: self.knows_global };
        let Some(structure) = self.structure else { return Extract::Absent };
        let mut text = Vec::new();
        write_body(&mut text, structure.root(), form);
        if text.len() > STRUCTURE_OCTETS_MAX {
            text = Vec::new();
            write_opaque(&mut text, structure.root(), form);
        }
        Extract::Text(text)
    }

    /// A part, and the transfer encoding that is to be taken off it (RFC 3516 §4.2).
    fn encoded(&self, section: &Section) -> Result<(TransferEncoding, &[u8]), Extract> {
        let structure = self.structure.ok_or(Extract::Absent)?;
        if section.part.is_empty() {
            // The whole message: what it holds is encoded, it is not.
            return Ok((TransferEncoding::Identity, structure.octets()));
        }
        let part = find_part(structure, &section.part).ok_or(Extract::Absent)?;
        // message/global may be encoded as a whole (RFC 6532 §3.7), and is ASCII then, whatever is said of it; message/rfc822 and
        // multiparts may not (RFC 2046 §5).
        let may_be_encoded = match part.kind() {
            PartKind::Leaf => true,
            PartKind::Message => part.content_type().is_global() && part.body().is_ascii(),
            PartKind::Multipart => false,
        };
        if !may_be_encoded {
            return Ok((TransferEncoding::Identity, part.body()));
        }
        let encoding = TransferEncoding::parse(&part.encoding()).ok_or(Extract::UnknownEncoding)?;
        Ok((encoding, part.body()))
    }

    fn binary(&self, section: &Section, range: Option<Partial>) -> Extract {
        let (encoding, body) = match self.encoded(section) {
            Ok(encoded) => encoded,
            Err(extract) => return extract,
        };
        let (slice, has_nul) = if encoding == TransferEncoding::Identity {
            let chosen = match range {
                Some(range) => partial(body, range.offset, range.length),
                None => body,
            };
            (self.slice(chosen), chosen.contains(&0))
        } else {
            binary::decoded(encoding, (body, self.place(body)), range)
        };
        match slice {
            slice if has_nul => Extract::Binary(vec![slice]),
            Slice::Stored(range) => Extract::Range(range),
            Slice::Made(octets) => Extract::Literal(octets),
            slice => Extract::Mixed(vec![slice]),
        }
    }

    fn binary_size(&self, section: &Section) -> Extract {
        let size = match self.encoded(section) {
            Ok((encoding, body)) => binary::size(encoding, body),
            Err(Extract::Absent) => 0,
            Err(extract) => return extract,
        };
        Extract::Text(size.to_string().into_bytes())
    }

    /// Where a piece of the message stands in it.
    fn place(&self, piece: &[u8]) -> u64 {
        let start = self.structure.map_or(piece, Structure::octets).as_ptr().addr();
        (piece.as_ptr().addr() - start) as u64
    }

    /// A piece of the message: of a large one, only its place is kept.
    fn slice(&self, piece: &[u8]) -> Slice {
        if piece.len() <= COPY_OCTETS_MAX {
            return Slice::Made(piece.to_vec());
        }
        let start = self.place(piece);
        Slice::Stored(start..start + piece.len() as u64)
    }

    fn preview(&self) -> Extract {
        let text = self.structure.map(preview).unwrap_or_default();
        Extract::Literal(text.into_bytes())
    }

    fn section(&self, section: &Section, range: Option<Partial>) -> Extract {
        let header_len = self.header.len() as u64;
        match (section.part.is_empty(), &section.text) {
            (true, None) => Extract::Range(within(0..self.len, range)),
            (true, Some(SectionText::Text)) => {
                Extract::Range(within(header_len.min(self.len)..self.len, range))
            }
            (true, Some(SectionText::Header)) if self.header.len() > COPY_OCTETS_MAX => {
                Extract::Range(within(0..header_len, range))
            }
            _ => self.found(section, range),
        }
    }

    fn found(&self, section: &Section, range: Option<Partial>) -> Extract {
        let text = match &section.text {
            None => Text::Whole,
            Some(SectionText::Header) => Text::Header,
            Some(SectionText::HeaderFields(names)) => Text::HeaderFields(names),
            Some(SectionText::HeaderFieldsNot(names)) => Text::HeaderFieldsNot(names),
            Some(SectionText::Text) => Text::Text,
            Some(SectionText::Mime) => Text::Mime,
        };
        let found = match self.structure {
            Some(structure) => part_section(structure, &section.part, text),
            None => message_section(self.header, text),
        };
        let Some(found) = found else { return Extract::Absent };
        let found = match found {
            Cow::Owned(made) if range.is_none() && made.len() <= HEADER_OCTETS_MAX => {
                return Extract::Literal(made);
            }
            found => found,
        };
        let chosen = match range {
            Some(range) => partial(&found, range.offset, range.length),
            None => &found,
        };
        match (&found, self.structure) {
            // A slice of the message: only its place is kept.
            (Cow::Borrowed(_), Some(structure)) if chosen.len() > COPY_OCTETS_MAX => {
                let start = (chosen.as_ptr().addr() - structure.octets().as_ptr().addr()) as u64;
                Extract::Range(start..start + chosen.len() as u64)
            }
            _ => Extract::Literal(chosen[..chosen.len().min(HEADER_OCTETS_MAX)].to_vec()),
        }
    }
}

/// Where an item stood before of which all of a part has to be decoded: once is enough.
fn extracted_before(before: &[FetchItem], item: &FetchItem) -> Option<usize> {
    let is_binary = matches!(item, FetchItem::Binary(_) | FetchItem::BinarySize(_));
    if is_binary { before.iter().position(|other| other == item) } else { None }
}

/// What a partial leaves of a range.
fn within(range: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(partial) = partial else { return range };
    let from = range.start.saturating_add(partial.offset).min(range.end);
    from..from.saturating_add(partial.length).min(range.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use imap_wire::SectionFetch;

    fn extract(octets: &[u8], items: &[FetchItem]) -> Result<Vec<Extract>, StoreError> {
        Source::of(&Structure::parse(octets), Headers::AsTheyAre).extract(items)
    }

    fn part(number: u32, partial: Option<Partial>) -> FetchItem {
        let section = Section { part: vec![number], text: None };
        FetchItem::Section(SectionFetch { section, peek: true, partial })
    }

    #[test]
    fn of_a_large_part_its_place_is_kept() {
        let body = "x".repeat(COPY_OCTETS_MAX + 1);
        let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsmall\r\n--b\r\n\r\n";
        let octets = format!("{head}{body}\r\n--b--\r\n");
        let all = COPY_OCTETS_MAX as u64 + 1;
        let items = [
            part(1, None),
            part(2, None),
            part(2, Some(Partial { offset: 1, length: all })),
            part(2, Some(Partial { offset: 1, length: 2 })),
            part(3, None),
        ];
        let start = head.len() as u64;
        assert_eq!(
            extract(octets.as_bytes(), &items).unwrap(),
            [
                Extract::Literal(b"small".to_vec()),
                Extract::Range(start..start + body.len() as u64),
                Extract::Literal(body.as_bytes()[1..].to_vec()),
                Extract::Literal(b"xx".to_vec()),
                Extract::Absent,
            ]
        );
    }

    #[test]
    fn a_message_that_is_encoded_as_a_whole_is_decoded() {
        let binary = |part: &str| {
            let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/";
            let octets = format!("{head}{part}\r\n--b--\r\n");
            let section = Section { part: vec![1], text: None };
            let fetch = SectionFetch { section: section.clone(), peek: true, partial: None };
            let items = [FetchItem::Binary(fetch), FetchItem::BinarySize(section)];
            extract(octets.as_bytes(), &items).unwrap()
        };
        let told =
            |text: &str| [Extract::Literal(text.into()), Extract::Text(text.len().to_string().into_bytes())];
        let inner = "Subject: gr\u{fc}n\r\n\r\n";
        let encoded = message::base64_body(inner.as_bytes());
        let field = "Content-Transfer-Encoding: base64";
        assert_eq!(binary(&format!("global\r\n{field}\r\n\r\n{encoded}")), told(inner));
        assert_eq!(binary(&format!("global\r\n\r\n{inner}")), told(inner));
        // It says so, and is none.
        assert_eq!(binary(&format!("global\r\n{field}\r\n\r\n{inner}")), told(inner));
        assert_eq!(
            binary(&format!("rfc822\r\n{field}\r\n\r\nSubject: x\r\n\r\n")),
            told("Subject: x\r\n\r\n")
        );
    }

    #[test]
    fn a_structure_beyond_all_measure_is_told_as_one_part() {
        let part = format!("--b\r\nContent-Description: {}\r\n\r\n\r\n", "d".repeat(1000));
        let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
        let octets = format!("{head}{}--b--\r\n", part.repeat(1100));
        let expected =
            format!("(\"application\" \"octet-stream\" NIL NIL NIL \"7bit\" {})", octets.len() - head.len());
        assert_eq!(
            extract(octets.as_bytes(), &[FetchItem::Body]).unwrap(),
            [Extract::Text(expected.into_bytes())]
        );
    }

    #[test]
    fn an_item_that_is_named_too_often_is_refused() {
        let octets = format!("Subject: {}\r\n\r\n", "s".repeat(100_000));
        assert!(extract(octets.as_bytes(), &vec![FetchItem::Envelope; 50]).is_ok());
        let refused = extract(octets.as_bytes(), &vec![FetchItem::Envelope; 100]);
        assert!(matches!(refused, Err(StoreError::TooMany { .. })));
    }
}
