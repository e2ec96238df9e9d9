//! Content-Type and its parameters (RFC 2045 §5.1).

use std::collections::{BTreeMap, HashMap};

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
        let (main, sub) = (word[..slash].trim_ascii(), token(word[slash + 1..].trim_ascii()));
        let is_readable = !main.is_empty() && token(main) == main && !sub.is_empty();
        is_readable.then(|| Self { main: main.to_vec(), sub: sub.to_vec(), parameters })
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

    /// Whether it is a message whose header may be UTF-8: `message/global` (RFC 6532 §3.7).
    #[must_use]
    pub fn is_global(&self) -> bool {
        self.is_message() && self.sub.eq_ignore_ascii_case(b"global")
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
    (word, joined(&parameters))
}

/// The token at the beginning of a text: up to the first octet that none can have (RFC 2045 §5.1).
pub(crate) fn token(text: &[u8]) -> &[u8] {
    let ends = |octet: &u8| octet.is_ascii_control() || b" ()<>@,;:\\\"/[]?=".contains(octet);
    &text[..text.iter().position(ends).unwrap_or(text.len())]
}

/// A part of a value that is divided over several parameters: `name*0`, `name*1*`.
struct Piece<'a> {
    name: &'a [u8],
    number: usize,
    is_extended: bool,
}

impl<'a> Piece<'a> {
    fn of(parameter: &'a [u8]) -> Option<Self> {
        let plain = parameter.strip_suffix(b"*");
        let numbered = plain.unwrap_or(parameter);
        let star = numbered.iter().rposition(|octet| *octet == b'*').filter(|star| *star > 0)?;
        let digits = std::str::from_utf8(&numbered[star + 1..]).ok()?;
        // Neither a sign nor a leading zero (RFC 2231 §3).
        let number = digits.parse::<usize>().ok().filter(|number| number.to_string() == digits)?;
        Some(Self { name: &numbered[..star], number, is_extended: plain.is_some() })
    }
}

/// The pieces of one value by their numbers: whether each is extended, and its text.
type Pieces<'a> = BTreeMap<usize, (bool, &'a [u8])>;

/// Puts the pieces of values together, as servers should (RFC 2231 §3, §4.1, §6). What lies behind a gap stays as it is.
fn joined(parameters: &[(Vec<u8>, Vec<u8>)]) -> Parameters {
    let mut all: HashMap<Vec<u8>, Pieces<'_>> = HashMap::new();
    for (parameter, value) in parameters {
        if let Some(piece) = Piece::of(parameter) {
            let pieces = all.entry(piece.name.to_ascii_lowercase()).or_default();
            pieces.entry(piece.number).or_insert((piece.is_extended, value));
        }
    }
    let whole_values: HashMap<Vec<u8>, Vec<(bool, &[u8])>> = all
        .into_iter()
        .map(|(name, pieces)| {
            let from_zero = pieces.into_iter().enumerate().take_while(|(place, (number, _))| place == number);
            (name, from_zero.map(|(_, (_, piece))| piece).collect())
        })
        .collect();
    let mut joined = Vec::with_capacity(parameters.len());
    for (parameter, value) in parameters {
        let piece = Piece::of(parameter);
        let pieces = piece.as_ref().and_then(|piece| whole_values.get(&piece.name.to_ascii_lowercase()));
        match (piece, pieces) {
            (Some(piece), Some(pieces)) if piece.number == 0 => joined.push(whole(piece.name, pieces)),
            (Some(piece), Some(pieces)) if piece.number < pieces.len() => {}
            _ => joined.push((parameter.clone(), value.clone())),
        }
    }
    joined
}

/// One parameter of pieces; an extended one, with percent signs, where one of them is.
fn whole(name: &[u8], pieces: &[(bool, &[u8])]) -> (Vec<u8>, Vec<u8>) {
    let (mut name, mut value) = (name.to_vec(), Vec::new());
    let is_extended = pieces.iter().any(|(is_extended, _)| *is_extended);
    if is_extended {
        name.push(b'*');
        if !pieces[0].0 {
            // No character set and no language, but their places (RFC 2231 §4).
            value.extend_from_slice(b"''");
        }
    }
    for (is_encoded, text) in pieces {
        if *is_encoded || !is_extended {
            value.extend_from_slice(text);
        } else {
            push_encoded(&mut value, text);
        }
    }
    (name, value)
}

/// `attribute-char`s as they are, all else as `%XX` (RFC 2231 §7).
fn push_encoded(value: &mut Vec<u8>, text: &[u8]) {
    for octet in text {
        if octet.is_ascii_alphanumeric() || b"!#$&+-.^_`{|}~".contains(octet) {
            value.push(*octet);
        } else {
            value.extend_from_slice(format!("%{octet:02X}").as_bytes());
        }
    }
}

struct Cursor<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    /// Tokens and quoted strings up to a stop. Outside of quotes, comments and white space are one space between words:
    /// file names often lack the quotes that they need.
    fn text_until(&mut self, stops: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        let mut blank = false;
        while let Some(&octet) = self.octets.get(self.at) {
            match octet {
                octet if stops.contains(&octet) => break,
                b'(' => {
                    self.comment();
                    blank = !text.is_empty();
                }
                octet if octet.is_ascii_whitespace() => {
                    self.at += 1;
                    blank = !text.is_empty();
                }
                octet => {
                    if std::mem::take(&mut blank) {
                        text.push(b' ');
                    }
                    if octet == b'"' {
                        self.quoted(&mut text);
                    } else {
                        text.push(octet);
                        self.at += 1;
                    }
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

    #[test]
    fn what_is_no_token_ends_the_type() {
        for value in
            ["text/plain, charset=utf-8", "text / plain", "text/plain text/html", "text/plain (x); a=b"]
        {
            let read = ContentType::parse(value.as_bytes()).unwrap();
            assert_eq!((read.main.as_slice(), read.sub.as_slice()), (&b"text"[..], &b"plain"[..]), "{value}");
        }
        assert_eq!(ContentType::parse(b"plain text/html"), None);
    }

    #[test]
    fn values_without_quotes_keep_their_spaces_and_divided_ones_become_one() {
        let read = |value: &str| {
            let (_, parameters) = word_and_parameters(format!("attachment; {value}").as_bytes());
            let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
            parameters
                .into_iter()
                .map(|(n, v)| format!("{}={}", text(n), text(v)))
                .collect::<Vec<_>>()
                .join("; ")
        };
        for (value, expected) in [
            ("name= a  b c.txt ; x=y", "name=a b c.txt; x=y"),
            ("name*0=\"first \"; name*1=second", "name=first second"),
            ("name*1=b; x=y; NAME*0=a; name*3=d", "x=y; NAME=ab; name*3=d"),
            ("n*0*=utf-8''gr%C3%B6; n*1*=%C3%9Fe; n*2=\"% .txt\"", "n*=utf-8''gr%C3%B6%C3%9Fe%25%20.txt"),
            ("n*0=a; n*1*=%20b", "n*=''a%20b"),
            ("n*=utf-8''a; *0=b; n*01=c; n*+1=d", "n*=utf-8''a; *0=b; n*01=c; n*+1=d"),
        ] {
            assert_eq!(read(value), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(value in "[a-c/;=\"\\\\() ]{0,60}") {
            let _ = ContentType::parse(value.as_bytes());
        }
    }
}
