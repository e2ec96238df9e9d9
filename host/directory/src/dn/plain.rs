//! Names that nothing is odd about, as nearly all are: ASCII, no escapes, no quotes, one attribute a level. They are read and
//! put together in one pass; a directory of a million entries reads several million of them.
//!
//! What is not plain, or no name at all, is left to the general way, which says the same of plain ones.

use super::rdn::is_type;
use super::{Dn, RDN_MAX};

/// Reads a name, where it is plain.
pub(super) fn read(text: &str) -> Option<Dn> {
    if !text.bytes().all(|octet| is_plain(octet) || octet == b',') {
        return None;
    }
    // Normal form and string form, and a NUL for each comma and the end.
    let mut octets = String::with_capacity(2 * text.len() + 1);
    let mut depth = 0;
    for part in text.rsplit(',') {
        let (name, value) = level(part)?;
        push_normal(&mut octets, name, value);
        depth += 1;
    }
    if depth > RDN_MAX {
        return None;
    }
    let key_end = octets.len();
    for part in text.split(',') {
        let (name, value) = level(part)?;
        if octets.len() > key_end {
            octets.push(',');
        }
        push(&mut octets, name, value);
    }
    Some(Dn { octets: octets.into(), key_end, text_start: key_end, is_plain: true })
}

/// The name one level below one, where both are plain.
pub(super) fn child(above: &Dn, name: &str, value: &str) -> Option<Dn> {
    let is_trimmed = !value.starts_with(' ') && !value.ends_with(' ');
    let is_common =
        is_trimmed && value.bytes().all(is_plain) && name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !above.is_plain || !is_common || above.depth() >= RDN_MAX {
        return None;
    }
    let text = above.as_str();
    let room = above.key_end + text.len() + 2 * (name.len() + value.len() + 2);
    let mut octets = String::with_capacity(room);
    octets.push_str(&above.octets[..above.key_end]);
    push_normal(&mut octets, name, value);
    let key_end = octets.len();
    push(&mut octets, name, value);
    if !text.is_empty() {
        octets.push(',');
        octets.push_str(text);
    }
    Some(Dn { octets: octets.into(), key_end, text_start: key_end, is_plain: true })
}

/// Whether the first level of a plain name is a `dc`.
pub(super) fn is_dc(text: &str) -> bool {
    text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("dc="))
}

/// Printable, and nothing that RFC 4514 §3 gives a meaning.
fn is_plain(octet: u8) -> bool {
    matches!(octet, b' '..=b'~') && !matches!(octet, b'"' | b'#' | b'+' | b',' | b';' | b'<' | b'>' | b'\\')
}

/// Attribute and value of a level. A type by its number is not plain: it has other names.
fn level(part: &str) -> Option<(&str, &str)> {
    let (name, value) = part.split_once('=')?;
    let name = name.trim_matches(' ');
    let is_common = name.starts_with(|c: char| c.is_ascii_alphabetic()) && is_type(name);
    is_common.then_some((name, value.trim_matches(' ')))
}

fn push(octets: &mut String, name: &str, value: &str) {
    octets.push_str(name);
    octets.push('=');
    octets.push_str(value);
}

/// Without case, and with runs of spaces as one.
fn push_normal(octets: &mut String, name: &str, value: &str) {
    let start = octets.len();
    octets.push_str(name);
    octets.push('=');
    let mut words = value.split(' ').filter(|word| !word.is_empty());
    octets.push_str(words.next().unwrap_or_default());
    for word in words {
        octets.push(' ');
        octets.push_str(word);
    }
    octets.push('\0');
    octets[start..].make_ascii_lowercase();
}
