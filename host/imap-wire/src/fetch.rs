//! What FETCH asks for.

use std::fmt;

use crate::cursor::{Cursor, ParseError};

/// An item of FETCH (RFC 3501 §6.4.5). Macros are written out when read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchItem {
    /// `ENVELOPE`
    Envelope,
    /// `FLAGS`
    Flags,
    /// `INTERNALDATE`
    InternalDate,
    /// `RFC822`: `BODY[]` under an older name.
    Rfc822,
    /// `RFC822.HEADER`: `BODY.PEEK[HEADER]` under an older name.
    Rfc822Header,
    /// `RFC822.SIZE`
    Rfc822Size,
    /// `RFC822.TEXT`: `BODY[TEXT]` under an older name.
    Rfc822Text,
    /// `BODY`: the structure without extension data.
    Body,
    /// `BODYSTRUCTURE`
    BodyStructure,
    /// `UID`
    Uid,
    /// `MODSEQ` (RFC 7162 §3.1.4.2)
    ModSeq,
    /// `EMAILID` (RFC 8474 §5.3)
    EmailId,
    /// `THREADID`
    ThreadId,
    /// `SAVEDATE` (RFC 8514 §4.2)
    SaveDate,
    /// `PREVIEW`, and `PREVIEW (LAZY)`: only where it costs little (RFC 8970 §4.1).
    Preview {
        /// `LAZY`
        lazy: bool,
    },
    /// `BODY[…]<…>` and `BODY.PEEK[…]<…>`
    Section(SectionFetch),
    /// `BINARY[…]<…>` and `BINARY.PEEK[…]<…>`: of a section without text, decoded (RFC 3516 §4.2).
    Binary(SectionFetch),
    /// `BINARY.SIZE[…]`
    BinarySize(Section),
}

/// `BODY[section]<partial>`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionFetch {
    /// Which part.
    pub section: Section,
    /// `.PEEK`: `\Seen` stays as it is.
    pub peek: bool,
    /// Which octets of it.
    pub partial: Option<Partial>,
}

/// `<offset.length>`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partial {
    /// The first octet.
    pub offset: u64,
    /// At most so many, never 0.
    pub length: u64,
}

/// A part of a message: a path of part numbers, then which text of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    /// Part numbers from the outside in, none 0; empty for the message itself.
    pub part: Vec<u32>,
    /// `None`: the whole part.
    pub text: Option<SectionText>,
}

/// Which text of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionText {
    /// `HEADER`
    Header,
    /// `HEADER.FIELDS (…)`
    HeaderFields(Vec<String>),
    /// `HEADER.FIELDS.NOT (…)`
    HeaderFieldsNot(Vec<String>),
    /// `TEXT`
    Text,
    /// `MIME`: only after part numbers.
    Mime,
}

const SIMPLE: [(&str, FetchItem); 15] = [
    ("ENVELOPE", FetchItem::Envelope),
    ("FLAGS", FetchItem::Flags),
    ("INTERNALDATE", FetchItem::InternalDate),
    ("RFC822", FetchItem::Rfc822),
    ("RFC822.HEADER", FetchItem::Rfc822Header),
    ("RFC822.SIZE", FetchItem::Rfc822Size),
    ("RFC822.TEXT", FetchItem::Rfc822Text),
    ("BODY", FetchItem::Body),
    ("BODYSTRUCTURE", FetchItem::BodyStructure),
    ("UID", FetchItem::Uid),
    ("MODSEQ", FetchItem::ModSeq),
    ("EMAILID", FetchItem::EmailId),
    ("THREADID", FetchItem::ThreadId),
    ("SAVEDATE", FetchItem::SaveDate),
    ("PREVIEW", FetchItem::Preview { lazy: false }),
];

impl FetchItem {
    /// Whether the item sets `\Seen` (RFC 3501 §6.4.5).
    #[must_use]
    pub fn sets_seen(&self) -> bool {
        match self {
            Self::Rfc822 | Self::Rfc822Text => true,
            Self::Section(section) | Self::Binary(section) => !section.peek,
            _ => false,
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let text = match self {
            Self::Section(fetch) => fetch.text("BODY"),
            Self::Binary(fetch) => fetch.text("BINARY"),
            Self::BinarySize(section) => format!("BINARY.SIZE{section}"),
            Self::Preview { lazy: true } => "PREVIEW (LAZY)".to_owned(),
            simple => {
                let name = SIMPLE.iter().find(|(_, item)| item == simple).map_or("", |(name, _)| name);
                name.to_owned()
            }
        };
        out.extend_from_slice(text.as_bytes());
    }
}

impl SectionFetch {
    fn text(&self, word: &str) -> String {
        let peek = if self.peek { ".PEEK" } else { "" };
        let partial = self.partial.map(|partial| format!("<{}.{}>", partial.offset, partial.length));
        format!("{word}{peek}{}{}", self.section, partial.unwrap_or_default())
    }
}

impl fmt::Display for Section {
    /// With its brackets, as in `BODY[1.2.HEADER]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, part) in self.part.iter().enumerate() {
            write!(f, "{}{part}", if index > 0 { "." } else { "" })?;
        }
        if let Some(text) = &self.text {
            f.write_str(if self.part.is_empty() { "" } else { "." })?;
            match text {
                SectionText::Header => f.write_str("HEADER")?,
                SectionText::HeaderFields(names) => header_list(f, "HEADER.FIELDS", names)?,
                SectionText::HeaderFieldsNot(names) => header_list(f, "HEADER.FIELDS.NOT", names)?,
                SectionText::Text => f.write_str("TEXT")?,
                SectionText::Mime => f.write_str("MIME")?,
            }
        }
        f.write_str("]")
    }
}

fn header_list(f: &mut fmt::Formatter<'_>, word: &str, names: &[String]) -> fmt::Result {
    write!(f, "{word} (")?;
    for (index, name) in names.iter().enumerate() {
        f.write_str(if index > 0 { " " } else { "" })?;
        if !name.is_empty() && name.bytes().all(crate::cursor::is_astring_char) {
            f.write_str(name)?;
        } else {
            write!(f, "\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))?;
        }
    }
    f.write_str(")")
}

/// ```text
/// fetch = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")")
/// ```
pub(crate) fn fetch_items(cursor: &mut Cursor<'_>) -> Result<Vec<FetchItem>, ParseError> {
    use FetchItem::{Body, Envelope, Flags, InternalDate, Rfc822Size};
    if cursor.peek() == Some(b'(') {
        return cursor.list(1, "fetch items", fetch_item);
    }
    // RFC 3501 §6.4.5: a macro stands alone.
    for (word, items) in [
        ("ALL", vec![Flags, InternalDate, Rfc822Size, Envelope]),
        ("FULL", vec![Flags, InternalDate, Rfc822Size, Envelope, Body]),
        ("FAST", vec![Flags, InternalDate, Rfc822Size]),
    ] {
        if cursor.rest().eq_ignore_ascii_case(word.as_bytes()) {
            cursor.take_word(word);
            return Ok(items);
        }
    }
    Ok(vec![fetch_item(cursor)?])
}

/// ```text
/// fetch-att = "ENVELOPE" / "FLAGS" / "INTERNALDATE" / "RFC822" [".HEADER" / ".SIZE" / ".TEXT"] /
///             "BODY" ["STRUCTURE"] / "UID" / "BODY" section ["<" number "." nz-number ">"] /
///             "BODY.PEEK" section ["<" number "." nz-number ">"]
/// ```
pub(crate) fn fetch_item(cursor: &mut Cursor<'_>) -> Result<FetchItem, ParseError> {
    let wrong = cursor.expected("a fetch item");
    let word = cursor.word("a fetch item")?;
    if cursor.peek() == Some(b'[') {
        let word = word.to_ascii_uppercase();
        let section = section(cursor)?;
        let peek = word.ends_with(".PEEK");
        // section-binary = "[" [section-part] "]" ; RFC 3516 §7
        let is_binary = section.text.is_none();
        return Ok(match word.as_str() {
            "BODY" | "BODY.PEEK" => {
                FetchItem::Section(SectionFetch { section, peek, partial: partial(cursor)? })
            }
            "BINARY" | "BINARY.PEEK" if is_binary => {
                FetchItem::Binary(SectionFetch { section, peek, partial: partial(cursor)? })
            }
            "BINARY.SIZE" if is_binary => FetchItem::BinarySize(section),
            _ => return wrong,
        });
    }
    if word.eq_ignore_ascii_case("PREVIEW") && cursor.take_word(" (LAZY)") {
        return Ok(FetchItem::Preview { lazy: true });
    }
    match SIMPLE.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
        Some((_, item)) => Ok(item.clone()),
        None => wrong,
    }
}

/// Deepest path of part numbers.
const PARTS_MAX: usize = 100;

/// ```text
/// section         = "[" [section-spec] "]"
/// section-spec    = section-msgtext / (section-part ["." section-text])
/// section-part    = nz-number *("." nz-number)
/// section-text    = section-msgtext / "MIME"
/// section-msgtext = "HEADER" / "HEADER.FIELDS" [".NOT"] SP header-list / "TEXT"
/// ```
pub(crate) fn section(cursor: &mut Cursor<'_>) -> Result<Section, ParseError> {
    cursor.must(b'[', "a section")?;
    let mut section = Section::default();
    while cursor.peek().is_some_and(|octet| octet.is_ascii_digit()) {
        if section.part.len() == PARTS_MAX {
            return Err(ParseError::TooDeep);
        }
        section.part.push(cursor.nz_number()?);
        if cursor.take(b']') {
            return Ok(section);
        }
        cursor.must(b'.', ". or ] after a part number")?;
    }
    if section.part.is_empty() && cursor.take(b']') {
        return Ok(section);
    }
    section.text = Some(section_text(cursor, !section.part.is_empty())?);
    cursor.must(b']', "the end of the section")?;
    Ok(section)
}

fn section_text(cursor: &mut Cursor<'_>, in_part: bool) -> Result<SectionText, ParseError> {
    let wrong = cursor.expected("a section's text");
    Ok(match cursor.word("a section's text")?.to_ascii_uppercase().as_str() {
        "HEADER" => SectionText::Header,
        "HEADER.FIELDS" => SectionText::HeaderFields(header_names(cursor)?),
        "HEADER.FIELDS.NOT" => SectionText::HeaderFieldsNot(header_names(cursor)?),
        "TEXT" => SectionText::Text,
        "MIME" if in_part => SectionText::Mime,
        _ => return wrong,
    })
}

/// `header-list = "(" header-fld-name *(SP header-fld-name) ")"`
fn header_names(cursor: &mut Cursor<'_>) -> Result<Vec<String>, ParseError> {
    cursor.space()?;
    cursor.list(1, "a list of header fields", header_name)
}

/// `header-fld-name = astring`, of which only printing ASCII can be a field's name.
pub(crate) fn header_name(cursor: &mut Cursor<'_>) -> Result<String, ParseError> {
    let wrong = cursor.expected("a header field's name");
    let name = cursor.astring("a header field's name")?;
    match String::from_utf8(name) {
        Ok(name) if name.bytes().all(|octet| (0x20..0x7f).contains(&octet)) => Ok(name),
        _ => wrong,
    }
}

/// `partial = "<" number64 "." nz-number64 ">"` (RFC 9051 §9)
fn partial(cursor: &mut Cursor<'_>) -> Result<Option<Partial>, ParseError> {
    if !cursor.take(b'<') {
        return Ok(None);
    }
    let offset = cursor.number64()?;
    cursor.must(b'.', ". between offset and length")?;
    let wrong = cursor.expected("a number above 0");
    let length = cursor.number64()?;
    if length == 0 {
        return wrong;
    }
    cursor.must(b'>', "the end of the partial")?;
    Ok(Some(Partial { offset, length }))
}
