//! Searching the text of a message as a person sees it (RFC 3501 §6.4.4): encodings and character
//! sets undone, case of no regard.

use crate::addresses::{AddressItem, MailboxItem, parse_addresses};
use crate::decode::{TransferEncoding, decode_charset, decode_header};
use crate::header::{Field, FieldNames, Fields};
use crate::structure::{Part, PartKind, Structure};

/// A text to be found, prepared once for many messages.
#[derive(Debug, Clone)]
pub struct Needle {
    pub(crate) lower: String,
    finder: memchr::memmem::Finder<'static>,
}

impl Needle {
    /// Prepares a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let lower = text.to_lowercase();
        Self { finder: memchr::memmem::Finder::new(lower.as_bytes()).into_owned(), lower }
    }

    /// Whether a text contains it. The empty needle is in every text.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        self.lower.is_empty() || self.is_in_lower(&lower_case(text))
    }

    /// The same for a text that is in lower case already.
    fn is_in_lower(&self, text: &str) -> bool {
        self.finder.find(text.as_bytes()).is_some()
    }
}

/// A text as it is compared.
fn lower_case(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.to_lowercase() }
}

/// What the fields of some names have, as it is compared: taken out of a header once for all that is looked for in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderTexts {
    /// Of each name, in their order; `None` where there is no such field. Texts are held apart by [`APART`].
    texts: Vec<Option<String>>,
}

/// What no text has that a client looks for.
const APART: char = '\0';

impl HeaderTexts {
    /// Takes the texts out of a header.
    #[must_use]
    pub fn of(header: &[u8], names: &FieldNames) -> Self {
        let mut texts: Vec<Option<String>> = vec![None; names.len()];
        for field in Fields::of(header) {
            let Some(place) = names.place(field.name) else { continue };
            let all = texts[place].get_or_insert_default();
            all.push_str(&lower_case(&searched(field.value)));
            all.push(APART);
            for address in addresses_without_comments(&field) {
                all.push_str(&lower_case(&address));
                all.push(APART);
            }
        }
        Self { texts }
    }

    /// `HEADER name text`: whether a field of the name, which must be one of those that were taken out, contains the text.
    /// With an empty text: whether there is such a field.
    #[must_use]
    pub fn contains(&self, names: &FieldNames, name: &str, needle: &Needle) -> bool {
        let text = names.place(name.as_bytes()).and_then(|place| self.texts.get(place)?.as_ref());
        text.is_some_and(|text| needle.is_in_lower(text) && !needle.lower.contains(APART))
    }
}

/// The same for one name.
#[must_use]
pub fn header_contains(header: &[u8], name: &str, needle: &Needle) -> bool {
    let names = FieldNames::new([name]);
    HeaderTexts::of(header, &names).contains(&names, name, needle)
}

/// The fields of addresses that SEARCH knows by name (RFC 9051 §6.4.4).
const ADDRESS_FIELDS: [&str; 4] = ["From", "To", "Cc", "Bcc"];

/// Addresses that comments stand within, without these: what is searched is what ENVELOPE tells.
fn addresses_without_comments(field: &Field<'_>) -> Vec<String> {
    if !field.value.contains(&b'(') || !ADDRESS_FIELDS.iter().any(|name| field.is(name)) {
        return Vec::new();
    }
    let addresses = parse_addresses(&field.unfolded()).into_iter().filter_map(|item| match item {
        AddressItem::Mailbox(MailboxItem { local, domain: Some(domain), .. }) => {
            Some(String::from_utf8_lossy(&[&local[..], b"@", &domain[..]].concat()).into_owned())
        }
        _ => None,
    });
    addresses.collect()
}

/// A field's value as it is searched: a tab, as some fold with, is a space to those who look for words.
fn searched(value: &[u8]) -> String {
    decode_header(value).replace('\t', " ")
}

/// Whether a field of a header contains a text, its name and colon included.
#[must_use]
pub fn field_contains(header: &[u8], needle: &Needle) -> bool {
    needle.lower.is_empty() || field_texts(header).any(|text| needle.is_in_lower(&text))
}

/// The texts of a message that are searched, as they are compared: taken out of it once for all that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchTexts {
    /// Fields of the message's own header.
    header: Vec<String>,
    /// Readable parts, and the fields of embedded messages and parts.
    body: Vec<String>,
}

impl SearchTexts {
    /// Takes the texts out of a message. They may take up to three times its room: an octet of some character sets makes
    /// three of UTF-8.
    #[must_use]
    pub fn of(structure: &Structure<'_>) -> Self {
        let mut body = Vec::new();
        for (at, part) in structure.parts().enumerate() {
            if at > 0 {
                body.extend(field_texts(part.header()));
            }
            body.extend(part_text(&part));
        }
        Self { header: field_texts(structure.root().header()).collect(), body }
    }

    /// `BODY text`: whether the text of any part contains it; headers of embedded messages count as
    /// body, the message's own header does not.
    #[must_use]
    pub fn body_contains(&self, needle: &Needle) -> bool {
        needle.lower.is_empty() || self.body.iter().any(|text| needle.is_in_lower(text))
    }

    /// `TEXT text`: whether header or body contains it.
    #[must_use]
    pub fn text_contains(&self, needle: &Needle) -> bool {
        self.header.iter().any(|text| needle.is_in_lower(text)) || self.body_contains(needle)
    }

    /// All of them, header first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.header.iter().chain(&self.body).map(String::as_str)
    }
}

fn field_texts(header: &[u8]) -> impl Iterator<Item = String> {
    // A needle may span the colon, as in "subject: hello".
    let whole = |field: Field<'_>| [&decode_charset(b"", field.name), ": ", &searched(field.value)].concat();
    Fields::of(header).map(move |field| lower_case(&whole(field)))
}

fn part_text(part: &Part<'_>) -> Option<String> {
    let content_type = part.content_type();
    // A report's status, or a message that is one of several pieces, is text that people look for.
    let is_readable = content_type.is_text() || content_type.main.eq_ignore_ascii_case(b"message");
    if part.kind() != PartKind::Leaf || !is_readable {
        return None;
    }
    let encoding = TransferEncoding::parse(&part.encoding()).unwrap_or(TransferEncoding::Identity);
    let plain = encoding.decode(part.body());
    Some(lower_case(&decode_charset(content_type.parameter("charset").unwrap_or_default(), &plain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nX-Empty:\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\
        Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        Stra=DFe und so w=\r\neiter\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\
        Content-Type: application/octet-stream\r\n\r\naGVsbG8=\r\n--b\r\n\
        Content-Type: message/rfc822\r\n\r\nSubject: inner thing\r\n\r\nhidden text\r\n--b\r\n\
        Content-Type: message/delivery-status\r\n\r\nFinal-Recipient: rfc822; gone@x\r\n--b--\r\n";

    #[test]
    fn text_is_found_as_people_see_it() {
        let texts = SearchTexts::of(&Structure::parse(MESSAGE));
        let body = |text: &str| texts.body_contains(&Needle::new(text));
        assert!(body("STRASSE") || body("straße"));
        assert!(body("so weiter") && body("Inner Thing") && body("hidden") && body("gone@x") && body(""));
        let image = SearchTexts::of(&Structure::parse(b"Content-Type: image/png\r\n\r\nx"));
        assert!(image.body_contains(&Needle::new("")) && !image.body_contains(&Needle::new("x")));
        assert!(!body("hello") && !body("preamble") && !body("Grüße"));
        assert!(
            texts.text_contains(&Needle::new("subject: GRÜSSE"))
                || texts.text_contains(&Needle::new("subject: grüße"))
        );
        assert!(!texts.text_contains(&Needle::new("absent")));
        let folded = b"Subject: one\r\n\ttwo\r\n\r\n";
        assert!(header_contains(folded, "Subject", &Needle::new("one two")));
    }

    #[test]
    fn an_empty_text_asks_for_the_field() {
        let found = |name: &str, text: &str| header_contains(MESSAGE, name, &Needle::new(text));
        assert!(found("x-empty", "") && found("subject", "") && found("SUBJECT", "grüße"));
        assert!(!found("x-absent", "") && !found("x-empty", "x"));
    }

    #[test]
    fn of_several_fields_of_a_name_each_is_looked_at_by_itself() {
        let header = b"Received: from one\r\nSubject: two\r\nRECEIVED: by three\r\nTo: a\0b\r\n";
        let names = FieldNames::new(["received", "To", "Received", "Cc"]);
        let texts = HeaderTexts::of(header, &names);
        let found = |name: &str, text: &str| texts.contains(&names, name, &Needle::new(text));
        assert!(found("Received", "FROM ONE") && found("received", "three") && found("Received", ""));
        assert!(!found("Received", "one by") && !found("Received", "one\0by") && !found("Cc", ""));
        assert!(!found("Subject", "two"), "nobody asked for it");
    }

    #[test]
    fn an_address_is_found_without_the_comments_within_it() {
        let header = b"From: <user-from (comment)@ (comment) domain.org>\r\nSubject: x@(y)\r\n";
        let finds = |name: &str, text: &str| header_contains(header, name, &Needle::new(text));
        assert!(finds("From", "user-from@domain.org") && finds("from", "(comment)"));
        assert!(!finds("Subject", "x@y") && !finds("From", "user-from@org"));
    }
}
