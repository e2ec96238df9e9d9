//! From the encodings of mail to text: transfer encodings, character sets, encoded words.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::header::unfold;

/// Longest encoded word that is taken for one, in octets. RFC 2047 §2 says 75; senders exceed it.
const ENCODED_WORD_MAX: usize = 4096;

/// White space at the end of a quoted-printable line that is taken for added on the way (RFC 2045 §6.7 rule 3), in octets. More of
/// it is text: lines have 76 octets at most.
pub(crate) const BLANKS_MAX: usize = 1024;

/// Base64 as it comes: without padding, with anything in the bits that say nothing.
pub(crate) const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A content transfer encoding (RFC 2045 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferEncoding {
    /// 7bit, 8bit, binary: the octets stand for themselves.
    Identity,
    /// RFC 2045 §6.8.
    Base64,
    /// RFC 2045 §6.7.
    QuotedPrintable,
}

impl TransferEncoding {
    /// From the value of a Content-Transfer-Encoding field; unknown ones are `None`.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let word = value.trim_ascii();
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        if word.is_empty() || is(b"7bit") || is(b"8bit") || is(b"binary") {
            Some(Self::Identity)
        } else if is(b"base64") {
            Some(Self::Base64)
        } else if is(b"quoted-printable") {
            Some(Self::QuotedPrintable)
        } else {
            None
        }
    }

    /// Decodes; what does not belong to the encoding is skipped or kept, never an error.
    /// The result is never longer than what came in.
    #[must_use]
    pub fn decode(self, octets: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Identity => Cow::Borrowed(octets),
            Self::Base64 => Cow::Owned(decode_base64(octets)),
            Self::QuotedPrintable => Cow::Owned(decode_quoted_printable(octets)),
        }
    }
}

fn decode_base64(octets: &[u8]) -> Vec<u8> {
    let end = memchr::memchr(b'=', octets).unwrap_or(octets.len());
    let mut digits = Vec::with_capacity(end);
    gather_digits(&octets[..end], &mut digits);
    // A lone last digit says nothing.
    if digits.len() % 4 == 1 {
        digits.pop();
    }
    LENIENT.decode(&digits).unwrap_or_default()
}

/// Appends the digits among some octets.
pub(crate) fn gather_digits(octets: &[u8], digits: &mut Vec<u8>) {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    // Line by line: most have nothing but digits.
    for line in octets.split(|byte| matches!(byte, b'\r' | b'\n')) {
        if line.iter().all(is_digit) {
            digits.extend_from_slice(line);
        } else {
            digits.extend(line.iter().copied().filter(is_digit));
        }
    }
}

fn decode_quoted_printable(octets: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(octets.len());
    for line in octets.split_inclusive(|byte| *byte == b'\n') {
        decode_line(line, &mut plain);
    }
    plain
}

/// A line of quoted-printable, with its end where it has one.
pub(crate) fn decode_line(line: &[u8], plain: &mut Vec<u8>) {
    let unended = line.strip_suffix(b"\n").unwrap_or(line);
    let blanks =
        unended.iter().rev().take(BLANKS_MAX + 1).take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
    // RFC 2045 §6.7 rule 3: white space before the end of a line was added on the way.
    let blanks = blanks.count();
    if blanks > BLANKS_MAX {
        return decode_escapes(line, false, plain);
    }
    let has_end = unended.len() < line.len();
    let end = if has_end && unended.ends_with(b"\r") { unended.len() - 1 } else { unended.len() };
    let text = &unended[..unended.len() - blanks];
    match text.strip_suffix(b"=") {
        // Rule 5: a soft line break.
        Some(text) if has_end => decode_escapes(text, false, plain),
        _ => {
            decode_escapes(text, false, plain);
            plain.extend_from_slice(&line[end..]);
        }
    }
}

/// Octets and `=` with two digits. `in_word` follows the "Q" encoding of RFC 2047 §4.2, where `_` is a space.
pub(crate) fn decode_escapes(octets: &[u8], in_word: bool, plain: &mut Vec<u8>) {
    let mut at = 0;
    while at < octets.len() {
        match octets[at] {
            b'=' => {
                let hex = |at: usize| octets.get(at).and_then(|byte| char::from(*byte).to_digit(16));
                if let (Some(high), Some(low)) = (hex(at + 1), hex(at + 2)) {
                    plain.push((high * 16 + low) as u8);
                    at += 3;
                    continue;
                }
                plain.push(b'=');
            }
            b'_' if in_word => plain.push(b' '),
            byte => plain.push(byte),
        }
        at += 1;
    }
}

/// Turns octets of a character set into text. Unknown sets are read as UTF-8 where that is
/// possible, else as windows-1252.
#[must_use]
pub fn decode_charset<'a>(label: &[u8], octets: &'a [u8]) -> Cow<'a, str> {
    let is_plain = label.is_empty() || label.eq_ignore_ascii_case(b"us-ascii");
    let encoding = if is_plain { None } else { encoding_rs::Encoding::for_label(label) };
    match encoding {
        Some(encoding) => encoding.decode_without_bom_handling(octets).0,
        None => match std::str::from_utf8(octets) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(octets).0,
        },
    }
}

/// Whether a character set's name is one that [`decode_charset`] knows.
#[must_use]
pub fn is_known_charset(label: &[u8]) -> bool {
    label.eq_ignore_ascii_case(b"us-ascii") || encoding_rs::Encoding::for_label(label).is_some()
}

/// The text of a header value: unfolded, encoded words decoded (RFC 2047).
#[must_use]
pub fn decode_header(value: &[u8]) -> String {
    let value = unfold(value);
    let mut text = String::with_capacity(value.len());
    // Neighbours of one character set are joined before decoding: senders split characters.
    let mut pending: Option<(&[u8], Vec<u8>)> = None;
    let mut rest = &value[..];
    while !rest.is_empty() {
        let Some(found) = memchr::memmem::find(rest, b"=?") else { break };
        let (before, from_word) = rest.split_at(found);
        let Some((word, after)) = encoded_word(from_word) else {
            flush(&mut text, &mut pending);
            text.push_str(&decode_charset(b"", &rest[..found + 2]));
            rest = &rest[found + 2..];
            continue;
        };
        // White space between encoded words is not shown (RFC 2047 §6.2).
        if !(pending.is_some() && before.trim_ascii().is_empty()) {
            flush(&mut text, &mut pending);
            text.push_str(&decode_charset(b"", before));
        }
        match &mut pending {
            Some((charset, octets)) if charset.eq_ignore_ascii_case(word.charset) => {
                octets.extend(word.octets)
            }
            _ => {
                flush(&mut text, &mut pending);
                pending = Some((word.charset, word.octets));
            }
        }
        rest = after;
    }
    flush(&mut text, &mut pending);
    text.push_str(&decode_charset(b"", rest));
    text
}

fn flush(text: &mut String, pending: &mut Option<(&[u8], Vec<u8>)>) {
    if let Some((charset, octets)) = pending.take() {
        text.push_str(&decode_charset(charset, &octets));
    }
}

struct EncodedWord<'a> {
    charset: &'a [u8],
    octets: Vec<u8>,
}

/// `"=?" charset "?" encoding "?" encoded-text "?="` at the start, and what follows it.
fn encoded_word(octets: &[u8]) -> Option<(EncodedWord<'_>, &[u8])> {
    let window = octets[..octets.len().min(ENCODED_WORD_MAX)].strip_prefix(b"=?")?;
    let charset_end = window.iter().position(|byte| *byte == b'?' || byte.is_ascii_whitespace())?;
    let [b'?', encoding, b'?', encoded @ ..] = &window[charset_end..] else { return None };
    let end = memchr::memmem::find(encoded, b"?=")?;
    let plain = match encoding {
        b'b' | b'B' => decode_base64(&encoded[..end]),
        b'q' | b'Q' => {
            let mut plain = Vec::with_capacity(end);
            decode_escapes(&encoded[..end], true, &mut plain);
            plain
        }
        _ => return None,
    };
    // RFC 2231 §5 appends a language to the character set.
    let charset = window[..charset_end].split(|byte| *byte == b'*').next().unwrap_or_default();
    let consumed = 2 + charset_end + 3 + end + 2;
    Some((EncodedWord { charset, octets: plain }, &octets[consumed..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn encoded_words_of_rfc_2047_are_decoded() {
        for (value, expected) in [
            ("=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"),
            ("=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?=", "Keld Jørn Simonsen"),
            (
                "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\r\n =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
                "If you can read this you understand the example.",
            ),
            ("(=?ISO-8859-1?Q?a?= b)", "(a b)"),
            ("(=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=)", "(ab)"),
            ("=?utf-8*de?q?gr=C3?= =?UTF-8?Q?=BCn?=", "grün"),
            ("plain =? text =?utf-8?x?a?= =?utf-8?q?open", "plain =? text =?utf-8?x?a?= =?utf-8?q?open"),
            ("=?no-such-set?q?a?=", "a"),
            ("rohes ü", "rohes ü"),
        ] {
            assert_eq!(decode_header(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn transfer_encodings_are_decoded_with_patience() {
        let qp = TransferEncoding::parse(b" Quoted-Printable ").unwrap();
        assert_eq!(qp.decode(b"a=3D=\r\nb= \t\r\nc=zz=").as_ref(), b"a=bc=zz=");
        // RFC 2045 §6.7 rule 3.
        assert_eq!(qp.decode(b"hello  \r\n\t\r\nx=20 \ny \t").as_ref(), b"hello\r\n\r\nx \ny");
        let base64 = TransferEncoding::parse(b"BASE64").unwrap();
        assert_eq!(base64.decode(b"aGVs\r\nbG8=\r\ntrailing").as_ref(), b"hello");
        assert_eq!(base64.decode(b"aGVsb").as_ref(), b"hel");
        assert_eq!(TransferEncoding::parse(b"uuencode"), None);
    }

    proptest! {
        #[test]
        fn decoding_never_panics_and_never_grows(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            for encoding in [TransferEncoding::Base64, TransferEncoding::QuotedPrintable] {
                prop_assert!(encoding.decode(&octets).len() <= octets.len());
            }
            let _ = decode_header(&octets);
        }

        #[test]
        fn near_encoded_words_never_panic(value in "(=\\?|\\?=|utf-8|[?=bqA_ ]|\r\n ){0,30}") {
            let _ = decode_header(value.as_bytes());
        }
    }
}
