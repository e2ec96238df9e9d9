//! The header of an internationalized message for clients that read ASCII alone (RFC 6858): what can be said is said in the
//! older forms, the rest is left out.

use crate::addresses::{AddressItem, MailboxItem, parse_addresses};
use crate::encode::{encode_header, encode_phrase};
use crate::header::{Field, Fields};

/// The fields whose addresses are replaced (RFC 6858 §2.1).
const ADDRESS_FIELDS: [&str; 12] = [
    "Bcc",
    "Cc",
    "From",
    "Reply-To",
    "Resent-Bcc",
    "Resent-Cc",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Return-Path",
    "Sender",
    "To",
];
/// The fields with MIME parameters (RFC 6858 §2.2).
const PARAMETER_FIELDS: [&str; 2] = ["Content-Type", "Content-Disposition"];
/// An address that belongs to nobody, in the place of one that cannot be shown.
const NOBODY: &str = "<invalid@internationalized-address.invalid>";

/// Whether such a client gets a surrogate of this header.
#[must_use]
pub fn needs_surrogate(header: &[u8]) -> bool {
    !header.is_ascii() && std::str::from_utf8(header).is_ok()
}

/// The header of a message as such a client may have it, its empty line included; `None` where it may have it as it is: it
/// is ASCII, or no UTF-8 at all, which no mode makes right.
#[must_use]
pub fn surrogate_header(header: &[u8]) -> Option<Vec<u8>> {
    if !needs_surrogate(header) {
        return None;
    }
    let mut surrogate = Vec::with_capacity(header.len());
    let mut fields = Fields::of(header);
    for field in fields.by_ref() {
        let octets = &header[field.range()];
        if octets.is_ascii() {
            surrogate.extend_from_slice(octets);
        } else if let Some(value) = field.name.is_ascii().then(|| replaced(&field)).flatten() {
            surrogate.extend_from_slice(field.name);
            surrogate.extend_from_slice(b": ");
            surrogate.extend_from_slice(value.as_bytes());
            surrogate.extend_from_slice(b"\r\n");
        }
    }
    if fields.ended_by_empty_line() {
        surrogate.extend_from_slice(b"\r\n");
    }
    Some(surrogate)
}

/// What stands in the place of a field's value; `None` where the field is left out (RFC 6858 §2.4).
fn replaced(field: &Field<'_>) -> Option<String> {
    let value = field.unfolded();
    let is_one_of = |names: &[&str]| names.iter().any(|name| field.is(name));
    if field.is("Subject") {
        Some(encode_header(&String::from_utf8_lossy(&value)))
    } else if is_one_of(&ADDRESS_FIELDS) {
        Some(addresses(&value))
    } else if is_one_of(&PARAMETER_FIELDS) {
        parameters(&String::from_utf8_lossy(&value))
    } else {
        None
    }
}

fn addresses(value: &[u8]) -> String {
    let mut text = String::new();
    // A comma stands between addresses, none after a group's colon.
    let mut separator = "";
    for item in parse_addresses(value) {
        match item {
            AddressItem::GroupStart(name) => {
                text.push_str(separator);
                text.push_str(&encode_phrase(&String::from_utf8_lossy(&name)));
                text.push_str(": ");
                separator = "";
            }
            AddressItem::Mailbox(item) => {
                text.push_str(separator);
                text.push_str(&mailbox(&item));
                separator = ",\r\n ";
            }
            AddressItem::GroupEnd => {
                text.push(';');
                separator = ",\r\n ";
            }
        }
    }
    text
}

fn mailbox(item: &MailboxItem) -> String {
    let lossy = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let name = item.name.as_deref().map(lossy).filter(|name| !name.is_empty());
    let domain = item.domain.as_deref().unwrap_or_default();
    let address = format!("{}@{}", lossy(&item.local), lossy(domain));
    if address.is_ascii() && !domain.is_empty() {
        let is_plain = item
            .local
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(byte));
        let local = if is_plain { lossy(&item.local) } else { quoted(&lossy(&item.local)) };
        let address = format!("<{local}@{}>", lossy(domain));
        return name.map_or(address.clone(), |name| format!("{} {address}", encode_phrase(&name)));
    }
    let told = name.map_or(address.clone(), |name| format!("{name} {address}"));
    format!("{} {NOBODY}", encode_phrase(&told))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A value without the parameters that are not ASCII; `None` where the value itself is not.
fn parameters(value: &str) -> Option<String> {
    let mut pieces = Vec::new();
    let (mut start, mut in_quotes, mut escaped) = (0, false, false);
    for (at, c) in value.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_quotes => escaped = true,
            '"' => in_quotes = !in_quotes,
            ';' if !in_quotes => {
                pieces.push(&value[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&value[start..]);
    let mut kept = pieces.into_iter().enumerate().filter(|(at, piece)| *at == 0 || piece.is_ascii());
    let first = kept.next().map(|(_, piece)| piece).filter(|piece| piece.is_ascii())?;
    Some(kept.fold(first.trim().to_owned(), |text, (_, piece)| text + ";\r\n " + piece.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(header: &str) -> String {
        String::from_utf8(surrogate_header(header.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn ascii_and_what_is_no_utf_8_stay_as_they_are() {
        assert_eq!(surrogate_header(b"Subject: a\r\n\r\n"), None);
        assert_eq!(surrogate_header(b"Subject: \xe9\r\n\r\n"), None);
    }

    #[test]
    fn subjects_and_names_are_encoded_and_addresses_belong_to_nobody() {
        assert_eq!(
            of("From: Fred F\u{f6}o <fred@example.com>, a@b.test\r\nSubject: gr\u{fc}n\r\nDate: x\r\n\r\n"),
            "From: =?utf-8?B?RnJlZCBGw7Zv?= <fred@example.com>,\r\n <a@b.test>\r\n\
             Subject: =?utf-8?B?Z3LDvG4=?=\r\nDate: x\r\n\r\n"
        );
        let to = of("To: Fred Foo <fred@\u{e9}xample.com>\r\n\r\n");
        assert!(to.ends_with(&format!("{NOBODY}\r\n\r\n")) && to.is_ascii(), "{to}");
        assert_eq!(
            of("Cc: fr\u{e9}res: a@b.test;, c@d.test\r\n\r\n").lines().next(),
            Some("Cc: =?utf-8?B?ZnLDqXJlcw==?=: <a@b.test>;,")
        );
    }

    #[test]
    fn parameters_and_other_fields_are_left_out() {
        assert_eq!(
            of(
                "Content-Disposition: attachment; filename=\"\u{e9};x\"; size=3\r\nX-Note: \u{e9}\r\nTo: a@b\r\n\r\n"
            ),
            "Content-Disposition: attachment;\r\n size=3\r\nTo: a@b\r\n\r\n"
        );
    }

    proptest! {
        #[test]
        fn whatever_the_header_says_the_surrogate_is_an_ascii_header(
            fields in proptest::collection::vec(("(From|To|Subject|Content-Type|X-A|[\u{e9}a]{1,3})", "[a-z\u{e9}<>@,;:\"\\\\()=. ]{0,40}"), 1..6),
        ) {
            let header: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).chain(["\r\n".to_owned()]).collect();
            if let Some(surrogate) = surrogate_header(header.as_bytes()) {
                prop_assert!(surrogate.is_ascii());
                prop_assert_eq!(crate::header_len(&surrogate), surrogate.len());
                prop_assert!(surrogate.ends_with(b"\r\n\r\n") || surrogate == b"\r\n");
            }
        }
    }
}
