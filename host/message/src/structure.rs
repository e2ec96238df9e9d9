//! The MIME structure of a message, as places in its octets (RFC 2045, RFC 2046): a message is text,
//! its parts divided by boundary lines (R85). Any octets are taken, well-formed or not (R75).
//!
//! One pass, without recursion: lines that begin with `--` are held against the boundaries open at
//! that place. Nesting and number of parts have maximums; what lies deeper or later stays, unparsed,
//! in the body of the part that holds it.

use std::ops::Range;

use memchr::memchr;

use crate::content_type::{ContentType, Parameters, token, word_and_parameters};
use crate::envelope::Envelope;
use crate::header::{Field, Fields, unfold};

/// Deepest nesting of parts that is taken apart.
pub const NESTING_MAX: usize = 100;
/// Most parts of a message that are taken apart.
pub const PARTS_MAX: usize = 10_000;
/// Longest boundary that is looked for, in octets. RFC 2046 §5.1.1 says 70; senders exceed it.
const BOUNDARY_MAX: usize = 256;

/// What a part holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// Content of its own.
    Leaf,
    /// Other parts (RFC 2046 §5.1).
    Multipart,
    /// A message (RFC 2046 §5.2.1, RFC 6532 §3.7). Its only child is that message.
    Message,
}

#[derive(Debug, Clone)]
struct Node {
    kind: PartKind,
    header: Range<usize>,
    body: Range<usize>,
    children: Vec<u32>,
    /// Whether a part without Content-Type is a message: so inside multipart/digest (RFC 2046 §5.1.5).
    in_digest: bool,
}

/// The parts of a message.
#[derive(Debug, Clone)]
pub struct Structure<'a> {
    octets: &'a [u8],
    nodes: Vec<Node>,
}

/// One part: the message itself, or one within it.
#[derive(Debug, Clone, Copy)]
pub struct Part<'s> {
    structure: &'s Structure<'s>,
    node: &'s Node,
}

impl<'a> Structure<'a> {
    /// Takes a message apart.
    #[must_use]
    pub fn parse(octets: &'a [u8]) -> Self {
        let mut parser = Parser { octets, nodes: Vec::with_capacity(4), open: Vec::new(), at: 0 };
        parser.run();
        Self { octets, nodes: parser.nodes }
    }

    /// The octets of the message.
    #[must_use]
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// The message as a part.
    #[must_use]
    pub fn root(&'a self) -> Part<'a> {
        Part { structure: self, node: &self.nodes[0] }
    }

    /// How many parts there are, the message included.
    #[must_use]
    pub fn part_count(&self) -> usize {
        self.nodes.len()
    }

    /// All parts in the order of their headers.
    pub fn parts(&'a self) -> impl Iterator<Item = Part<'a>> {
        self.nodes.iter().map(|node| Part { structure: self, node })
    }
}

impl<'s> Part<'s> {
    /// What it holds.
    #[must_use]
    pub fn kind(&self) -> PartKind {
        self.node.kind
    }

    /// Where its header stands in the message, the empty line included.
    #[must_use]
    pub fn header_range(&self) -> Range<usize> {
        self.node.header.clone()
    }

    /// Where its body stands in the message.
    #[must_use]
    pub fn body_range(&self) -> Range<usize> {
        self.node.body.clone()
    }

    /// Its header, the empty line included.
    #[must_use]
    pub fn header(&self) -> &'s [u8] {
        &self.structure.octets[self.header_range()]
    }

    /// Its body, still in its transfer encoding.
    #[must_use]
    pub fn body(&self) -> &'s [u8] {
        &self.structure.octets[self.body_range()]
    }

    /// How many lines its body has.
    #[must_use]
    pub fn body_lines(&self) -> usize {
        memchr::memchr_iter(b'\n', self.body()).count()
    }

    /// The parts of a multipart; the one message of a message part.
    pub fn children(&self) -> impl ExactSizeIterator<Item = Part<'s>> + use<'s> {
        let structure = self.structure;
        self.node.children.iter().map(move |at| Part { structure, node: &structure.nodes[*at as usize] })
    }

    /// The child of a number, from 0.
    #[must_use]
    pub fn child(&self, number: usize) -> Option<Part<'s>> {
        let at = *self.node.children.get(number)?;
        Some(Part { structure: self.structure, node: &self.structure.nodes[at as usize] })
    }

    /// Its media type with parameters. Where the field is missing or unreadable: text/plain in
    /// US-ASCII (RFC 2045 §5.2), or message/rfc822 in a digest.
    #[must_use]
    pub fn content_type(&self) -> ContentType {
        content_type(self.header(), self.node.in_digest, self.node.kind)
    }

    /// The first field of a name, unfolded.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Vec<u8>> {
        Fields::of(self.header()).first(name).map(|field| unfold(field.value).into_owned())
    }

    /// The value of Content-Transfer-Encoding; `7bit` where it is missing (RFC 2045 §6.1).
    #[must_use]
    pub fn encoding(&self) -> Vec<u8> {
        let value = self.field("Content-Transfer-Encoding").map(|value| first_word(&value));
        value.filter(|value| !value.is_empty()).unwrap_or_else(|| b"7bit".to_vec())
    }

    /// Content-Disposition (RFC 2183): its word, and its parameters.
    #[must_use]
    pub fn disposition(&self) -> Option<(Vec<u8>, Parameters)> {
        let value = self.field("Content-Disposition")?;
        let (word, parameters) = word_and_parameters(&value);
        let word = token(&word);
        (!word.is_empty()).then(|| (word.to_vec(), parameters))
    }

    /// The tags of Content-Language (RFC 3282).
    #[must_use]
    pub fn languages(&self) -> Vec<Vec<u8>> {
        const LANGUAGES_MAX: usize = 100;
        let value = self.field("Content-Language").unwrap_or_default();
        let tags = value.split(|byte| *byte == b',').map(|tag| word_and_parameters(tag).0);
        tags.filter(|tag| !tag.is_empty()).take(LANGUAGES_MAX).collect()
    }

    /// The envelope, for a part that is a message.
    #[must_use]
    pub fn envelope(&self) -> Envelope {
        Envelope::parse(self.header())
    }
}

fn first_word(value: &[u8]) -> Vec<u8> {
    token(&word_and_parameters(value).0).to_vec()
}

fn content_type(header: &[u8], in_digest: bool, kind: PartKind) -> ContentType {
    let field: Option<Field<'_>> = Fields::of(header).first("Content-Type");
    let parsed = field.and_then(|field| ContentType::parse(&field.unfolded()));
    match parsed {
        // It says that it holds parts, but has no boundary, or lies too deep: it is not taken apart,
        // and must not look as if it were.
        Some(found) if found.is_multipart() && kind == PartKind::Leaf => ContentType::text_plain(),
        Some(found) if found.is_message() && kind == PartKind::Leaf => ContentType::octet_stream(),
        Some(found) => found,
        None if in_digest => ContentType::message(),
        None => ContentType::text_plain(),
    }
}

/// A part whose end has not been met.
struct Open {
    node: usize,
    /// Where its boundary stands, without dashes. Empty for a message, and after the closing line.
    boundary: Vec<u8>,
    is_digest: bool,
}

struct Parser<'a> {
    octets: &'a [u8],
    nodes: Vec<Node>,
    open: Vec<Open>,
    at: usize,
}

/// A line that begins or closes a part.
struct Delimiter {
    /// Whose boundary it is, in the stack of open parts.
    level: usize,
    /// Where the line begins, and where the next one does.
    line: Range<usize>,
    is_close: bool,
}

impl Parser<'_> {
    fn run(&mut self) {
        let mut in_digest = false;
        loop {
            let node = self.begin_part(in_digest);
            in_digest = false;
            // Of a message, the header is next; all else ends at a delimiter of a part still open.
            if self.nodes[node].kind == PartKind::Message {
                continue;
            }
            let Some(next) = self.next_part() else { break };
            in_digest = next;
        }
        self.close_down_to(0, self.octets.len());
    }

    /// Reads the header of a part at the current place. A delimiter ends it, too.
    fn begin_part(&mut self, in_digest: bool) -> usize {
        let start = self.at;
        let end = self.header_end();
        self.at = end;
        let node = self.nodes.len();
        self.nodes.push(Node {
            kind: PartKind::Leaf,
            header: start..end,
            body: end..end,
            children: Vec::new(),
            in_digest,
        });
        if let Some(parent) = self.open.last() {
            let number = u32::try_from(node).expect("PARTS_MAX fits in u32");
            self.nodes[parent.node].children.push(number);
        }
        let content_type = content_type(&self.octets[start..end], in_digest, PartKind::Multipart);
        let boundary = content_type.boundary().filter(|boundary| boundary.len() <= BOUNDARY_MAX);
        let may_hold = self.open.len() < NESTING_MAX && self.nodes.len() < PARTS_MAX;
        let (kind, boundary) = match boundary {
            _ if !may_hold => (PartKind::Leaf, Vec::new()),
            Some(boundary) => (PartKind::Multipart, boundary.to_vec()),
            None if content_type.is_message() => (PartKind::Message, Vec::new()),
            None => (PartKind::Leaf, Vec::new()),
        };
        self.nodes[node].kind = kind;
        self.open.push(Open { node, boundary, is_digest: content_type.is_digest() });
        node
    }

    /// Where the header at the current place ends: after its empty line, or before a delimiter.
    fn header_end(&self) -> usize {
        let mut at = self.at;
        while at < self.octets.len() {
            let rest = &self.octets[at..];
            if rest.starts_with(b"\n") || rest.starts_with(b"\r\n") {
                return at + 1 + usize::from(rest[0] == b'\r');
            }
            let next = memchr(b'\n', rest).map_or(self.octets.len(), |length| at + length + 1);
            if rest.starts_with(b"--") && self.match_boundary(&self.octets[at + 2..next]).is_some() {
                return at;
            }
            at = next;
        }
        at
    }

    /// Goes to the next part. `None` at the end, else whether that part is in a digest.
    fn next_part(&mut self) -> Option<bool> {
        loop {
            let delimiter = self.find_delimiter()?;
            self.close_down_to(delimiter.level + 1, delimiter.line.start);
            self.at = delimiter.line.end;
            let parent = &mut self.open[delimiter.level];
            if delimiter.is_close {
                // What follows is the epilogue, where only outer boundaries count.
                parent.boundary.clear();
                continue;
            }
            if self.nodes.len() < PARTS_MAX {
                return Some(parent.is_digest);
            }
            // No more parts are told apart: the rest belongs to this multipart.
            parent.boundary.clear();
        }
    }

    /// Ends the parts above a level, at the line end before a delimiter (RFC 2046 §5.1.1).
    fn close_down_to(&mut self, level: usize, delimiter: usize) {
        let mut end = delimiter;
        if end < self.octets.len() || level > 0 {
            end -= usize::from(end > 0 && self.octets[end - 1] == b'\n');
            end -= usize::from(end > 0 && end < delimiter && self.octets[end - 1] == b'\r');
        }
        // From the inside out: a header that the delimiter cut short reaches to it, and so do those around it.
        for open in self.open.drain(level..).rev() {
            let body = &mut self.nodes[open.node].body;
            end = end.max(body.start);
            body.end = end;
        }
    }

    /// The next delimiter line of an open part.
    fn find_delimiter(&self) -> Option<Delimiter> {
        if self.open.iter().all(|open| open.boundary.is_empty()) {
            return None;
        }
        let mut at = self.at;
        while at < self.octets.len() {
            let rest = &self.octets[at..];
            let next = memchr(b'\n', rest).map_or(self.octets.len(), |length| at + length + 1);
            if rest.starts_with(b"--")
                && let Some((level, is_close)) = self.match_boundary(&self.octets[at + 2..next])
            {
                return Some(Delimiter { level, line: at..next, is_close });
            }
            at = next;
        }
        None
    }

    /// Whose boundary a line (after its dashes) begins with: the longest, and of equals the innermost.
    /// The beginning counts, not the whole line (RFC 2046 §5.1.1).
    fn match_boundary(&self, line: &[u8]) -> Option<(usize, bool)> {
        let matches = |open: &&Open| !open.boundary.is_empty() && line.starts_with(&open.boundary);
        let longest = self.open.iter().filter(matches).map(|open| open.boundary.len()).max()?;
        let level = self.open.iter().rposition(|open| open.boundary.len() == longest && matches(&open))?;
        Some((level, line[longest..].starts_with(b"--")))
    }
}

#[cfg(test)]
mod tests;
