//! Content-Type and its parameters (RFC 2045 §5.1).

/// Most parameters that are read from one field.
const PARAMETERS_MAX: usize = 100;

/// Names and values in their order; names as they stand, values without quoting.
pub type Parameters = Vec<(Vec<u8>, Vec<u8>)>;

/// A media type with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentType {
    /// As `text`, in the case it stands in.
    pub main: Vec<u8>,
    /// As `plain`.
    pub sub: Vec<u8>,
    /// As `charset`.
    pub parameters: Parameters,
}

impl ContentType {
    /// `text/plain; charset=us-ascii`: what a missing field means (RFC 2045 §5.2).
    #[must_use]
    pub fn text_plain() -> Self {
        Self {
            main: b"text".to_vec(),
            sub: b"plain".to_vec(),
            parameters: vec![(b"charset".to_vec(), b"us-ascii".to_vec())],
        }
    }

    /// `message/rfc822`.
    #[must_use]
    pub fn message() -> Self {
        Self { main: b"message".to_vec(), sub: b"rfc822".to_vec(), parameters: Vec::new() }
    }

    /// `application/octet-stream`.
    #[must_use]
    pub fn octet_stream() -> Self {
        Self { main: b"application".to_vec(), sub: b"octet-stream".to_vec(), parameters: Vec::new() }
    }

    /// Reads an unfolded value.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (word, parameters) = word_and_parameters(value);
        let slash = word.iter().position(|byte| *byte == b'/')?;
        let (main, sub) = (word[..slash].to_vec(), word[slash + 1..].to_vec());
        (!main.is_empty() && !sub.is_empty()).then_some(Self { main, sub, parameters })
    }

    /// The value of a parameter, without regard to the case of its name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&[u8]> {
        let found = self.parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| value.as_slice())
    }

    /// Whether it is `text/…`.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.main.eq_ignore_ascii_case(b"text")
    }

    /// Whether it is `multipart/…`.
    #[must_use]
    pub fn is_multipart(&self) -> bool {
        self.main.eq_ignore_ascii_case(b"multipart")
    }

    /// Whether it is a message in a message: `message/rfc822` or `message/global`.
    #[must_use]
    pub fn is_message(&self) -> bool {
        self.main.eq_ignore_ascii_case(b"message")
            && (self.sub.eq_ignore_ascii_case(b"rfc822") || self.sub.eq_ignore_ascii_case(b"global"))
    }

    pub(crate) fn is_digest(&self) -> bool {
        self.is_multipart() && self.sub.eq_ignore_ascii_case(b"digest")
    }

    /// The boundary of a multipart that has one.
    pub(crate) fn boundary(&self) -> Option<&[u8]> {
        let boundary = self.parameter("boundary").filter(|_| self.is_multipart())?;
        // White space at its end cannot be told from padding (RFC 2046 §5.1.1).
        Some(boundary.trim_ascii_end()).filter(|boundary| !boundary.is_empty())
    }
}

/// Reads `word; name=value; …` with comments (RFC 2045 §5.1).
pub(crate) fn word_and_parameters(value: &[u8]) -> (Vec<u8>, Parameters) {
    let mut cursor = Cursor { octets: value, at: 0 };
    let word = cursor.text_until(b";");
    let mut parameters = Vec::new();
    while cursor.at < value.len() && parameters.len() < PARAMETERS_MAX {
        cursor.at += 1;
        let name = cursor.text_until(b"=;");
        if value.get(cursor.at) != Some(&b'=') {
            continue;
        }
        cursor.at += 1;
        let text = cursor.text_until(b";");
        if !name.is_empty() {
            parameters.push((name, text));
        }
    }
    (word, parameters)
}

struct Cursor<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    /// Tokens and quoted strings up to a stop, without comments and white space outside of quotes.
    fn text_until(&mut self, stops: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        while let Some(&octet) = self.octets.get(self.at) {
            match octet {
                b'"' => self.quoted(&mut text),
                b'(' => self.comment(),
                octet if stops.contains(&octet) => break,
                octet => {
                    if !octet.is_ascii_whitespace() {
                        text.push(octet);
                    }
                    self.at += 1;
                }
            }
        }
        text
    }

    fn quoted(&mut self, text: &mut Vec<u8>) {
        self.at += 1;
        while let Some(&octet) = self.octets.get(self.at) {
            self.at += 1;
            match octet {
                b'"' => return,
                b'\\' => {
                    text.extend(self.octets.get(self.at));
                    self.at += 1;
                }
                octet => text.push(octet),
            }
        }
    }

    fn comment(&mut self) {
        let mut depth = 0_usize;
        while let Some(&octet) = self.octets.get(self.at) {
            self.at += 1;
            match octet {
                b'(' => depth += 1,
                b')' => depth -= 1,
                b'\\' => self.at += 1,
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn media_types_are_read_with_their_parameters() {
        let read = ContentType::parse(
            b"multipart/Mixed (a (nested) comment); boundary=\"a b;\\\"c \"; Charset=us-ascii (Plain text); empty=; junk",
        )
        .unwrap();
        assert_eq!((read.main.as_slice(), read.sub.as_slice()), (&b"multipart"[..], &b"Mixed"[..]));
        assert_eq!(read.boundary(), Some(&b"a b;\"c"[..]));
        assert_eq!(read.parameter("charset"), Some(&b"us-ascii"[..]));
        assert_eq!(read.parameter("empty"), Some(&b""[..]));
        assert_eq!(read.parameters.len(), 3);
        for value in ["", "text", "/plain", "text/", ";", "text;/plain"] {
            assert_eq!(ContentType::parse(value.as_bytes()), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(value in "[a-c/;=\"\\\\() ]{0,60}") {
            let _ = ContentType::parse(value.as_bytes());
        }
    }
}
