//! What another IMAP server says (RFC 3501 §7), as far as taking mail over needs it. Pure: whoever reads the connection gives
//! whole responses, with every literal but that of a message put in their place as a quoted string.

use store::Flags;

/// Most levels of lists within each other.
const DEPTH_MAX: usize = 8;

/// A value of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// `NIL`
    Nil,
    /// An atom or a number, as it stands.
    Atom(String),
    /// A string.
    Text(Vec<u8>),
    /// A list in parentheses.
    List(Vec<Self>),
}

impl Value {
    /// An atom or string as text.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Atom(text) => Some(text.clone()),
            Self::Text(octets) => Some(String::from_utf8_lossy(octets).into_owned()),
            Self::Nil | Self::List(_) => None,
        }
    }

    /// The octets of an atom or string.
    pub(crate) fn octets(&self) -> Option<&[u8]> {
        match self {
            Self::Atom(text) => Some(text.as_bytes()),
            Self::Text(octets) => Some(octets),
            Self::Nil | Self::List(_) => None,
        }
    }

    fn is(&self, word: &str) -> bool {
        matches!(self, Self::Atom(text) if text.eq_ignore_ascii_case(word))
    }
}

/// How a command ended, or what a server says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Ok,
    No,
    Bad,
    Bye,
    PreAuth,
}

/// One response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Response {
    /// `+`: go on.
    Continue,
    /// With our tag, or without one; the words behind, with their code.
    Status { tag: Option<String>, condition: Condition, words: String },
    /// Data: `LIST …`, `12 EXISTS`, `12 FETCH (…)`.
    Data(Vec<Value>),
}

impl Response {
    /// Reads a response without its CRLF; `None` where it is none.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        if line.first() == Some(&b'+') {
            return Some(Self::Continue);
        }
        let space = memchr::memchr(b' ', line)?;
        let (head, rest) = (String::from_utf8_lossy(&line[..space]).into_owned(), &line[space + 1..]);
        let tag = if head == "*" { None } else { Some(head) };
        let word = rest.split(|octet| *octet == b' ').next().unwrap_or_default();
        let condition = match word.to_ascii_uppercase().as_slice() {
            b"OK" => Some(Condition::Ok),
            b"NO" => Some(Condition::No),
            b"BAD" => Some(Condition::Bad),
            b"BYE" => Some(Condition::Bye),
            b"PREAUTH" => Some(Condition::PreAuth),
            _ => None,
        };
        if let Some(condition) = condition {
            let words = String::from_utf8_lossy(rest.get(word.len() + 1..).unwrap_or_default()).into_owned();
            return Some(Self::Status { tag, condition, words });
        }
        // Only conditions have tags.
        if tag.is_some() { None } else { values(rest).map(Self::Data) }
    }

    /// The number of a code: `[UIDVALIDITY 3857529045]`.
    pub(crate) fn code_number(&self, code: &str) -> Option<u32> {
        let Self::Status { words, .. } = self else { return None };
        let inner = words.strip_prefix('[')?.split(']').next()?;
        let (name, number) = inner.split_once(' ')?;
        if name.eq_ignore_ascii_case(code) { number.trim().parse().ok() } else { None }
    }

    /// The words of a capability list, in upper case: as data, or as a code.
    pub(crate) fn capabilities(&self) -> Option<Vec<String>> {
        match self {
            Self::Data(values) if values.first()?.is("CAPABILITY") => Some(
                values[1..].iter().filter_map(Value::text).map(|word| word.to_ascii_uppercase()).collect(),
            ),
            Self::Status { words, .. } => {
                let inner = words.strip_prefix('[')?.split(']').next()?;
                let mut found = inner.split(' ');
                let is_list = found.next()?.eq_ignore_ascii_case("CAPABILITY");
                is_list.then(|| found.map(str::to_ascii_uppercase).collect())
            }
            _ => None,
        }
    }

    /// The values behind a word: `LIST`, `LSUB`, `NAMESPACE`.
    pub(crate) fn data(&self, word: &str) -> Option<&[Value]> {
        match self {
            Self::Data(values) if values.first()?.is(word) => Some(&values[1..]),
            _ => None,
        }
    }

    /// What a FETCH response says.
    pub(crate) fn fetched(&self) -> Option<Fetched> {
        let Self::Data(values) = self else { return None };
        let [_, word, Value::List(items)] = values.as_slice() else { return None };
        if !word.is("FETCH") {
            return None;
        }
        let mut fetched = Fetched::default();
        for pair in items.chunks_exact(2) {
            let (name, value) = (&pair[0], &pair[1]);
            if name.is("UID") {
                fetched.uid = value.text().and_then(|text| text.parse().ok());
            } else if name.is("INTERNALDATE") {
                fetched.date = value.text();
            } else if name.is("BODY[]") {
                fetched.body = value.octets().map(<[u8]>::to_vec);
            } else if name.is("FLAGS")
                && let Value::List(flags) = value
            {
                fetched.take_flags(flags);
            }
        }
        Some(fetched)
    }
}

/// What is known of a message of the other server.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub(crate) uid: Option<u32>,
    pub(crate) date: Option<String>,
    pub(crate) flags: Flags,
    pub(crate) keywords: Vec<String>,
    /// The message, where it was no literal; empty where it was one.
    pub(crate) body: Option<Vec<u8>>,
}

impl Fetched {
    fn take_flags(&mut self, flags: &[Value]) {
        for flag in flags.iter().filter_map(Value::text) {
            if let Some(system) = store::flag_of(&flag) {
                self.flags = self.flags.with(system);
            } else if !flag.starts_with('\\') {
                // `\Recent` is the other server's session's.
                self.keywords.push(flag);
            }
        }
    }
}

/// Whether the text of a response so far announces the literal of a whole message.
pub(crate) fn announces_message(text: &[u8]) -> bool {
    let ending = b"BODY[] ";
    text.len() >= ending.len() && text[text.len() - ending.len()..].eq_ignore_ascii_case(ending)
}

/// The length of the literal that a line (without CRLF) announces at its end, and where its `{` is (RFC 3501 §4.3).
pub(crate) fn literal_at_end(line: &[u8]) -> Option<(usize, u64)> {
    let head = line.strip_suffix(b"}")?;
    let open = memchr::memrchr(b'{', head)?;
    let digits = std::str::from_utf8(&head[open + 1..]).ok()?;
    let is_number = !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
    if is_number { digits.parse().ok().map(|octets| (open, octets)) } else { None }
}

/// Appends a string in quotes.
pub(crate) fn quote(out: &mut Vec<u8>, octets: &[u8]) {
    out.push(b'"');
    for octet in octets {
        if matches!(octet, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*octet);
    }
    out.push(b'"');
}

fn values(text: &[u8]) -> Option<Vec<Value>> {
    let mut rest = text;
    let found = list(&mut rest, 0)?;
    rest.is_empty().then_some(found)
}

/// Values up to a closing parenthesis, which is left, or the end.
fn list(rest: &mut &[u8], depth: usize) -> Option<Vec<Value>> {
    let mut found = Vec::new();
    loop {
        match rest.first() {
            None | Some(b')') => return Some(found),
            Some(b' ') => *rest = &rest[1..],
            Some(b'(') => {
                if depth == DEPTH_MAX {
                    return None;
                }
                *rest = &rest[1..];
                found.push(Value::List(list(rest, depth + 1)?));
                *rest = rest.strip_prefix(b")")?;
            }
            Some(b'"') => found.push(quoted(rest)?),
            Some(_) => found.push(atom(rest)),
        }
    }
}

fn quoted(rest: &mut &[u8]) -> Option<Value> {
    let mut octets = Vec::new();
    let mut at = 1;
    loop {
        match rest.get(at)? {
            b'"' => break,
            b'\\' => {
                octets.push(*rest.get(at + 1)?);
                at += 2;
            }
            octet => {
                octets.push(*octet);
                at += 1;
            }
        }
    }
    *rest = &rest[at + 1..];
    Some(Value::Text(octets))
}

/// An atom; a section between brackets belongs to it, whatever is in it.
fn atom(rest: &mut &[u8]) -> Value {
    let mut within = false;
    let end = rest.iter().position(|octet| {
        match octet {
            b'[' => within = true,
            b']' => within = false,
            _ => {}
        }
        !within && matches!(octet, b' ' | b'(' | b')')
    });
    let end = end.unwrap_or(rest.len());
    let text = String::from_utf8_lossy(&rest[..end]).into_owned();
    *rest = &rest[end..];
    if text.eq_ignore_ascii_case("NIL") { Value::Nil } else { Value::Atom(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> Response {
        Response::parse(line.as_bytes()).unwrap()
    }

    #[test]
    fn conditions_and_codes_are_read() {
        let status = parse("* OK [UIDVALIDITY 3857529045] UIDs valid");
        assert_eq!(status.code_number("uidvalidity"), Some(3_857_529_045));
        assert_eq!(status.code_number("UIDNEXT"), None);
        assert!(matches!(
            parse("a1 NO [AUTHENTICATIONFAILED] no"),
            Response::Status { tag: Some(tag), condition: Condition::No, .. } if tag == "a1"
        ));
        let words = ["IMAP4REV1", "STARTTLS"].map(str::to_owned).to_vec();
        assert_eq!(parse("* OK [CAPABILITY IMAP4rev1 StartTLS] hello").capabilities(), Some(words.clone()));
        assert_eq!(parse("* CAPABILITY IMAP4rev1 STARTTLS").capabilities(), Some(words));
        assert_eq!(parse("+ "), Response::Continue);
    }

    #[test]
    fn lists_and_messages_are_read() {
        let list = parse("* LIST (\\HasNoChildren \\Sent) \".\" \"Sent \\\"x\\\"\"");
        let values = list.data("LIST").unwrap();
        assert!(matches!(&values[0], Value::List(attributes) if attributes.len() == 2));
        assert_eq!((values[1].text(), values[2].text()), (Some(".".into()), Some("Sent \"x\"".into())));
        let fetched = parse(
            "* 12 FETCH (FLAGS (\\Seen \\Recent $Junk) UID 42 INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" BODY[] \"\")",
        );
        let fetched = fetched.fetched().unwrap();
        assert_eq!((fetched.uid, fetched.flags), (Some(42), Flags::SEEN));
        assert_eq!((fetched.keywords, fetched.body), (vec!["$Junk".to_owned()], Some(Vec::new())));
        assert_eq!(parse("* 12 EXISTS").fetched(), None);
        assert_eq!(Response::parse(b"* LIST (("), None);
    }

    #[test]
    fn literals_are_seen() {
        assert_eq!(literal_at_end(b"* 1 FETCH (BODY[] {310}"), Some((18, 310)));
        assert_eq!(literal_at_end(b"* 1 FETCH {x}"), None);
        assert!(announces_message(b"* 1 FETCH (UID 4 body[] ") && !announces_message(b"* LIST () \".\" "));
    }

    proptest! {
        #[test]
        fn nothing_panics(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Response::parse(&line);
            let _ = Response::parse(&[b"* 1 FETCH (", &line[..]].concat()).map(|found| found.fetched());
        }
    }
}
