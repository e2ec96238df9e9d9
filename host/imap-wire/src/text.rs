//! Strings on the wire: as atom, quoted, or literal, whichever the octets allow.

use crate::cursor::is_astring_char;
use crate::mailbox::encode_utf7;

/// Longest string that is written in quotes: longer ones are literals, which need no second look.
const QUOTED_OCTETS_MAX: usize = 1000;

/// Appends `{n}` CRLF: the octets follow.
pub fn write_literal_head(out: &mut Vec<u8>, octets: u64) {
    out.extend_from_slice(format!("{{{octets}}}\r\n").as_bytes());
}

/// Whether octets can stand in quotes: no CR, LF, NUL, nothing beyond ASCII.
pub(crate) fn is_quotable(octets: &[u8]) -> bool {
    octets.len() <= QUOTED_OCTETS_MAX
        && octets.iter().all(|octet| matches!(octet, 0x01..=0x7f) && !b"\r\n".contains(octet))
}

/// Appends a `string`: quoted where possible, else a literal.
pub fn write_string(out: &mut Vec<u8>, octets: &[u8]) {
    if is_quotable(octets) {
        write_quoted(out, octets);
    } else {
        write_literal_head(out, octets.len() as u64);
        out.extend_from_slice(octets);
    }
}

pub(crate) fn write_quoted(out: &mut Vec<u8>, octets: &[u8]) {
    out.push(b'"');
    for octet in octets {
        if matches!(octet, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*octet);
    }
    out.push(b'"');
}

/// Appends an `nstring`: `NIL` where there is none.
pub fn write_nstring(out: &mut Vec<u8>, octets: Option<&[u8]>) {
    match octets {
        Some(octets) => write_string(out, octets),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// Appends an `astring`: an atom where possible (`NIL` as a word is quoted, for readers that take
/// it for the absent string).
pub fn write_astring(out: &mut Vec<u8>, octets: &[u8]) {
    let atom = !octets.is_empty()
        && octets.len() <= QUOTED_OCTETS_MAX
        && octets.iter().all(|octet| is_astring_char(*octet))
        && !octets.eq_ignore_ascii_case(b"NIL");
    if atom { out.extend_from_slice(octets) } else { write_string(out, octets) }
}

/// How mailbox names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameEncoding {
    /// In modified UTF-7 (RFC 3501 §5.1.3).
    #[default]
    Utf7,
    /// In UTF-8, to clients that have enabled it (RFC 6855 §3, RFC 9051 §5.1).
    Utf8,
}

/// Appends a mailbox name.
pub fn write_mailbox(out: &mut Vec<u8>, name: &str, encoding: NameEncoding) {
    match encoding {
        NameEncoding::Utf7 => write_astring(out, encode_utf7(name).as_bytes()),
        NameEncoding::Utf8 if name.is_ascii() => write_astring(out, name.as_bytes()),
        // Names have no control characters: all else may stand in quotes there.
        NameEncoding::Utf8 => write_quoted(out, name.as_bytes()),
    }
}

/// Appends members between parentheses with single spaces.
pub(crate) fn write_list<T>(
    out: &mut Vec<u8>,
    members: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'(');
    for (index, member) in members.into_iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        write(out, member);
    }
    out.push(b')');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_choose_their_form() {
        let written = |write: fn(&mut Vec<u8>, &[u8]), octets: &[u8]| {
            let mut out = Vec::new();
            write(&mut out, octets);
            String::from_utf8_lossy(&out).into_owned()
        };
        for (octets, string, astring) in [
            ("", "\"\"", "\"\""),
            ("abc]", "\"abc]\"", "abc]"),
            ("a b", "\"a b\"", "\"a b\""),
            ("a\"\\", "\"a\\\"\\\\\"", "\"a\\\"\\\\\""),
            ("a\r\nb", "{4}\r\na\r\nb", "{4}\r\na\r\nb"),
            ("ä", "{2}\r\nä", "{2}\r\nä"),
            ("nil", "\"nil\"", "\"nil\""),
        ] {
            assert_eq!(written(write_string, octets.as_bytes()), string);
            assert_eq!(written(write_astring, octets.as_bytes()), astring);
        }
    }
}
