//! The smallest parts of the grammar: what every command is made of.

use crate::limits::Limits;

/// Why octets are no command. The text is what the client may see after `BAD`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The grammar asks for something else here.
    #[error("expected {expected} at octet {at}")]
    Expected {
        /// What the grammar asks for.
        expected: &'static str,
        /// Where, counted in octets of the command, literals included.
        at: usize,
    },
    /// No such command.
    #[error("unknown command")]
    UnknownCommand,
    /// A maximum of [`Limits`] is passed.
    #[error("too many {0} in one command")]
    TooMany(&'static str),
    /// Nested deeper than [`Limits::depth`].
    #[error("nested too deep")]
    TooDeep,
    /// The line is longer than [`Limits::line_octets`].
    #[error("command line too long")]
    LineTooLong,
    /// A mailbox name outside modified UTF-7 (RFC 3501 §5.1.3).
    #[error("mailbox name is not valid modified UTF-7")]
    MailboxName,
}

/// A place in one whole command.
pub(crate) struct Cursor<'a> {
    input: &'a [u8],
    at: usize,
    pub(crate) limits: &'a Limits,
    /// Search keys that the command may still have.
    pub(crate) search_keys_left: usize,
}

/// `CTL`, RFC 5234 appendix B.1.
fn is_ctl(octet: u8) -> bool {
    octet < 0x20 || octet == 0x7f
}

/// ```text
/// ATOM-CHAR       = <any CHAR except atom-specials>
/// atom-specials   = "(" / ")" / "{" / SP / CTL / list-wildcards / quoted-specials / resp-specials
/// ```
pub(crate) fn is_atom_char(octet: u8) -> bool {
    octet < 0x80 && !is_ctl(octet) && !b"(){ %*\"\\]".contains(&octet)
}

/// `ASTRING-CHAR = ATOM-CHAR / resp-specials`
pub(crate) fn is_astring_char(octet: u8) -> bool {
    is_atom_char(octet) || octet == b']'
}

/// `list-char = ATOM-CHAR / list-wildcards / resp-specials`
pub(crate) fn is_list_char(octet: u8) -> bool {
    is_astring_char(octet) || octet == b'%' || octet == b'*'
}

/// `tag = 1*<any ASTRING-CHAR except "+">`
pub(crate) fn is_tag_char(octet: u8) -> bool {
    is_astring_char(octet) && octet != b'+'
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(input: &'a [u8], limits: &'a Limits) -> Self {
        Self { input, at: 0, limits, search_keys_left: limits.search_keys }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.input[self.at..]
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.input.len()
    }

    pub(crate) fn expected<T>(&self, expected: &'static str) -> Result<T, ParseError> {
        Err(ParseError::Expected { expected, at: self.at })
    }

    /// The end of the command (its CRLF is already taken off).
    pub(crate) fn end(&self) -> Result<(), ParseError> {
        if self.is_at_end() { Ok(()) } else { self.expected("the end of the command") }
    }

    /// Takes one octet if it is the next.
    pub(crate) fn take(&mut self, octet: u8) -> bool {
        let found = self.peek() == Some(octet);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn must(&mut self, octet: u8, expected: &'static str) -> Result<(), ParseError> {
        if self.take(octet) { Ok(()) } else { self.expected(expected) }
    }

    pub(crate) fn space(&mut self) -> Result<(), ParseError> {
        self.must(b' ', "a space")
    }

    /// Takes a word in any case (RFC 3501 §9 note 1) if it is next. The word may end anywhere:
    /// the caller's grammar says what follows.
    pub(crate) fn take_word(&mut self, word: &str) -> bool {
        let found =
            self.rest().get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()));
        self.at += if found { word.len() } else { 0 };
        found
    }

    /// As many octets as the class has here.
    pub(crate) fn take_while(&mut self, class: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let len = rest.iter().position(|octet| !class(*octet)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn some_while(
        &mut self,
        class: impl Fn(u8) -> bool,
        expected: &'static str,
    ) -> Result<&'a str, ParseError> {
        let start = self.at;
        let found = self.take_while(class);
        match std::str::from_utf8(found) {
            Ok(text) if !text.is_empty() => Ok(text),
            _ => Err(ParseError::Expected { expected, at: start }),
        }
    }

    /// `atom = 1*ATOM-CHAR`
    pub(crate) fn atom(&mut self, expected: &'static str) -> Result<&'a str, ParseError> {
        self.some_while(is_atom_char, expected)
    }

    /// `tag = 1*<any ASTRING-CHAR except "+">`
    pub(crate) fn tag(&mut self) -> Result<&'a str, ParseError> {
        self.some_while(is_tag_char, "a tag")
    }

    /// A keyword of the protocol: letters, digits, `.` and `-`, taken as written.
    pub(crate) fn word(&mut self, expected: &'static str) -> Result<&'a str, ParseError> {
        self.some_while(|octet| octet.is_ascii_alphanumeric() || octet == b'.' || octet == b'-', expected)
    }

    /// `number = 1*DIGIT ; Unsigned 32-bit integer`
    pub(crate) fn number(&mut self) -> Result<u32, ParseError> {
        let start = self.at;
        let digits = self.take_while(|octet| octet.is_ascii_digit());
        decimal(digits)
            .and_then(|number| u32::try_from(number).ok())
            .ok_or(ParseError::Expected { expected: "a 32-bit number", at: start })
    }

    /// `number64` of RFC 9051 §9, for sizes: 63 bits.
    pub(crate) fn number64(&mut self) -> Result<u64, ParseError> {
        let start = self.at;
        let digits = self.take_while(|octet| octet.is_ascii_digit());
        decimal(digits)
            .filter(|number| i64::try_from(*number).is_ok())
            .ok_or(ParseError::Expected { expected: "a 63-bit number", at: start })
    }

    /// `mod-sequence-value`, and `mod-sequence-valzer`: 63 bits (RFC 7162 §7).
    pub(crate) fn modseq(&mut self) -> Result<u64, ParseError> {
        self.number64()
    }

    /// `charset = atom / quoted`
    pub(crate) fn charset(&mut self) -> Result<String, ParseError> {
        let wrong = self.expected("a charset");
        String::from_utf8(self.astring("a charset")?).or(wrong)
    }

    /// `nz-number = digit-nz *DIGIT`
    pub(crate) fn nz_number(&mut self) -> Result<u32, ParseError> {
        let start = self.at;
        let leading_zero = self.peek() == Some(b'0');
        match self.number() {
            Ok(number) if number != 0 && !leading_zero => Ok(number),
            _ => Err(ParseError::Expected { expected: "a number above 0", at: start }),
        }
    }

    /// `astring = 1*ASTRING-CHAR / string`
    pub(crate) fn astring(&mut self, expected: &'static str) -> Result<Vec<u8>, ParseError> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(expected),
            Some(octet) if is_astring_char(octet) => Ok(self.take_while(is_astring_char).to_vec()),
            _ => self.expected(expected),
        }
    }

    /// `string = quoted / literal`
    pub(crate) fn string(&mut self, expected: &'static str) -> Result<Vec<u8>, ParseError> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            _ => self.expected(expected),
        }
    }

    /// `nstring = string / nil`
    pub(crate) fn nstring(&mut self, expected: &'static str) -> Result<Option<Vec<u8>>, ParseError> {
        if self.take_word("NIL") { Ok(None) } else { self.string(expected).map(Some) }
    }

    /// ```text
    /// quoted          = DQUOTE *QUOTED-CHAR DQUOTE
    /// QUOTED-CHAR     = <any TEXT-CHAR except quoted-specials> / "\" quoted-specials
    /// ```
    /// Octets above 0x7f are taken too: RFC 9051 §9 has UTF-8 in quoted strings, and clients send
    /// them to older servers.
    fn quoted(&mut self) -> Result<Vec<u8>, ParseError> {
        let start = self.at;
        self.must(b'"', "a quoted string")?;
        let mut value = Vec::new();
        loop {
            value.extend_from_slice(
                self.take_while(|octet| !matches!(octet, b'"' | b'\\' | b'\r' | b'\n' | 0)),
            );
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(value);
                }
                Some(b'\\') => match self.input.get(self.at + 1) {
                    Some(octet @ (b'"' | b'\\')) => {
                        value.push(*octet);
                        self.at += 2;
                    }
                    _ => return self.expected("a quote or backslash after the backslash"),
                },
                _ => {
                    return Err(ParseError::Expected { expected: "the end of the quoted string", at: start });
                }
            }
        }
    }

    /// `literal = "{" number ["+"] "}" CRLF *CHAR8 ; RFC 7888 §8`; no NUL (RFC 3501 §9 note 3).
    fn literal(&mut self) -> Result<Vec<u8>, ParseError> {
        let start = self.at;
        let octets = self.literal_octets()?;
        if octets.contains(&0) {
            return Err(ParseError::Expected { expected: "a literal without NUL", at: start });
        }
        Ok(octets.to_vec())
    }

    fn literal_octets(&mut self) -> Result<&'a [u8], ParseError> {
        let start = self.at;
        let wrong = ParseError::Expected { expected: "a literal", at: start };
        let line = memchr::memchr(b'\n', self.rest()).ok_or_else(|| wrong.clone())?;
        let head = self.rest()[..line].strip_suffix(b"\r").ok_or_else(|| wrong.clone())?;
        let (at_in_head, announced) = crate::reader::literal_at_end(head).ok_or_else(|| wrong.clone())?;
        if at_in_head != 0 {
            return Err(wrong);
        }
        let len = usize::try_from(announced.octets).map_err(|_| wrong.clone())?;
        let octets = self.rest().get(line + 1..).and_then(|rest| rest.get(..len)).ok_or(wrong)?;
        self.at += line + 1 + len;
        Ok(octets)
    }

    /// `literal8 = "~{" number "}" CRLF *OCTET ; RFC 3516 §7`: any octets.
    pub(crate) fn literal8(&mut self) -> Result<Vec<u8>, ParseError> {
        self.must(b'~', "a literal")?;
        self.literal_octets().map(<[u8]>::to_vec)
    }

    /// Members between parentheses with single spaces, at least `least` of them.
    pub(crate) fn list<T>(
        &mut self,
        least: usize,
        expected: &'static str,
        member: impl FnMut(&mut Self) -> Result<T, ParseError>,
    ) -> Result<Vec<T>, ParseError> {
        self.must(b'(', expected)?;
        if least == 0 && self.take(b')') {
            return Ok(Vec::new());
        }
        self.list_rest(member)
    }

    /// The same behind the parenthesis, one member at least.
    pub(crate) fn list_rest<T>(
        &mut self,
        mut member: impl FnMut(&mut Self) -> Result<T, ParseError>,
    ) -> Result<Vec<T>, ParseError> {
        let mut members = Vec::new();
        loop {
            if members.len() == self.limits.list_items {
                return Err(ParseError::TooMany("list members"));
            }
            members.push(member(self)?);
            if self.take(b')') {
                return Ok(members);
            }
            self.space()?;
        }
    }
}

/// Digits as a number; what does not fit is no number.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        number.checked_mul(10).and_then(|number| number.checked_add(u64::from(digit - b'0')))
    })
}
