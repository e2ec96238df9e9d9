//! From text to the encodings of mail: encoded words and Base64 bodies.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Octets of UTF-8 in one encoded word: with Base64 and the frame it stays within the 75 of RFC 2047 §2.
const WORD_OCTETS: usize = 45;
/// Octets in one line of a Base64 body: 76 signs (RFC 2045 §6.8).
const LINE_OCTETS: usize = 57;
/// Longest run of text that may stand in a header as it is (RFC 5322 §2.1.1 recommends 78).
const PLAIN_MAX: usize = 60;

/// Text as the unstructured value of a header field, or as a phrase in it: ASCII stays where it is short and without
/// controls; all else becomes encoded words (RFC 2047), folded.
#[must_use]
pub fn encode_header(text: &str) -> String {
    let plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if plain && text.len() <= PLAIN_MAX && !text.contains("=?") {
        return text.to_owned();
    }
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = rest.floor_char_boundary(WORD_OCTETS);
        if end == 0 {
            end = rest.len();
        }
        let (word, after) = rest.split_at(end);
        words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
        rest = after;
    }
    // White space between encoded words is not part of the text (RFC 2047 §6.2).
    words.join("\r\n ")
}

/// A display name before an address: as it is where it is made of atoms, quoted where it is ASCII, else encoded
/// (RFC 5322 §3.2.5, RFC 2047 §5).
#[must_use]
pub fn encode_phrase(name: &str) -> String {
    let ascii = name.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !ascii || name.len() > PLAIN_MAX || name.contains("=?") {
        return encode_header(name);
    }
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" !#$%&'*+-/=?^_`{|}~".contains(&byte)) {
        return name.to_owned();
    }
    let escaped: String =
        name.chars().flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] }).collect();
    format!("\"{escaped}\"")
}

/// Octets as a Base64 body, in lines (RFC 2045 §6.8).
#[must_use]
pub fn base64_body(octets: &[u8]) -> String {
    let mut body = String::with_capacity(octets.len() / LINE_OCTETS * 78 + 78);
    for line in octets.chunks(LINE_OCTETS) {
        body.push_str(&STANDARD.encode(line));
        body.push_str("\r\n");
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decode_header;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(text in "\\PC{0,200}") {
            let encoded = encode_header(&text);
            prop_assert!(encoded.is_ascii() && encoded.split("\r\n").all(|line| line.len() <= 76), "{encoded}");
            let decoded = decode_header(encoded.as_bytes());
            prop_assert_eq!(decoded.trim(), text.trim());
        }
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        for (name, shown) in [
            ("Anna Ahl", "Anna Ahl"),
            ("Ahl, Anna", "\"Ahl, Anna\""),
            ("A \"B\" C", "\"A \\\"B\\\" C\""),
            ("Jürgen", "=?utf-8?B?SsO8cmdlbg==?="),
        ] {
            assert_eq!(encode_phrase(name), shown);
        }
    }
}
