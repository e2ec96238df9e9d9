//! Finding commands in a stream: lines, literals, and what is too much.

use crate::append::{Append, parse_append};
use crate::command::{Tag, Tagged, parse, read_tag};
use crate::cursor::ParseError;
use crate::limits::Limits;

/// Whether the client waits for our leave before it sends a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiteralMode {
    /// `{n}`: it waits for a continuation (RFC 3501 §4.3).
    Synchronizing,
    /// `{n+}`: it does not wait (RFC 7888 §3).
    NonSynchronizing,
}

/// A literal that a line announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) octets: u64,
    pub(crate) mode: LiteralMode,
}

/// What the reader has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Nothing whole yet: give more octets.
    NeedMore,
    /// The client waits for leave to send a literal: send a continuation, then give more octets.
    WantsContinuation,
    /// A whole command.
    Command(Box<Tagged>),
    /// An APPEND up to octets of a message: where its last step is a literal, the next octets of the stream are
    /// these, after a continuation where its mode asks for it, then the rest of the line
    /// ([`next_line`], [`crate::parse_append_rest`]). The reader is ready for the next command after that.
    Append(Tag, Box<Append>),
    /// No command; the stream is in step.
    Bad {
        /// The tag, where the line had one.
        tag: Option<Tag>,
        /// Why.
        error: ParseError,
    },
    /// A literal over the maximum was announced; nothing of it was read. `TOOBIG` (RFC 7888 §5).
    TooBig {
        /// The tag, where the line had one.
        tag: Option<Tag>,
        /// How the literal was announced. After a non-synchronizing one the stream is out of step:
        /// say so, say BYE, close (RFC 7888 §4).
        mode: LiteralMode,
    },
    /// The line is over the maximum; the stream is out of step: say so, say BYE, close.
    LineTooLong {
        /// The tag, where the line had one.
        tag: Option<Tag>,
    },
}

/// Collects one command from a stream. Holds no memory between commands.
#[derive(Debug, Default)]
pub struct CommandReader {
    /// The command so far: lines with CRLF, literals in their place.
    text: Vec<u8>,
    /// Where the line that is being read began.
    line_start: usize,
    /// Octets of the announced literal still to come.
    literal_left: usize,
    /// Octets of all literals so far.
    literal_octets: u64,
}

impl CommandReader {
    /// For one connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a command has begun and not ended.
    #[must_use]
    pub fn is_in_command(&self) -> bool {
        !self.text.is_empty()
    }

    /// Takes octets of the stream: how many it has used, and what it has found. Call again with
    /// the rest until it needs more. A line may end with a bare LF, as typed by hand.
    pub fn feed(&mut self, input: &[u8], limits: &Limits) -> (usize, Received) {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            if self.literal_left > 0 {
                let take = rest.len().min(self.literal_left);
                self.text.extend_from_slice(&rest[..take]);
                self.literal_left -= take;
                used += take;
                if self.literal_left > 0 {
                    return (used, Received::NeedMore);
                }
                self.line_start = self.text.len();
                continue;
            }
            let lines_so_far = self.text.len() - usize::try_from(self.literal_octets).unwrap_or(usize::MAX);
            let end = memchr::memchr(b'\n', rest);
            let take = end.map_or(rest.len(), |at| at + 1);
            if lines_so_far + take > limits.line_octets {
                // A literal's own CRLF may have gone past the maximum already.
                let room = limits.line_octets.saturating_sub(lines_so_far);
                self.text.extend_from_slice(&rest[..take.min(room)]);
                let tag = read_tag(&self.text);
                self.reset();
                return (used + take, Received::LineTooLong { tag });
            }
            self.text.extend_from_slice(&rest[..take]);
            used += take;
            if end.is_none() {
                return (used, Received::NeedMore);
            }
            if let Some(received) = self.line_end(limits) {
                return (used, received);
            }
        }
    }

    /// A line is whole: what now? `None`: go on with what follows.
    fn line_end(&mut self, limits: &Limits) -> Option<Received> {
        self.text.pop();
        if self.text.last() == Some(&b'\r') && self.text.len() > self.line_start {
            self.text.pop();
        }
        let announced = literal_at_end(&self.text[self.line_start..]);
        let Some((at_in_line, announced)) = announced else {
            let received = match parse_append(&self.text, None, limits) {
                Some(Ok((tag, append))) => Received::Append(tag, Box::new(append)),
                Some(Err((tag, error))) => Received::Bad { tag: Some(tag), error },
                None => match parse(&self.text, limits) {
                    Ok(tagged) => Received::Command(Box::new(tagged)),
                    Err(unparsed) => Received::Bad { tag: unparsed.tag, error: unparsed.error },
                },
            };
            self.reset();
            return Some(received);
        };
        let literal_at = self.line_start + at_in_line;
        if let Some(found) = parse_append(&self.text[..literal_at], Some(announced), limits) {
            return self.append_found(found, announced, limits);
        }
        let allowed = (limits.literal_octets - self.literal_octets.min(limits.literal_octets)).min(
            match announced.mode {
                LiteralMode::Synchronizing => u64::MAX,
                LiteralMode::NonSynchronizing => limits.non_synchronizing_octets,
            },
        );
        if announced.octets > allowed {
            return Some(self.too_big(announced.mode));
        }
        self.text.extend_from_slice(b"\r\n");
        self.literal_octets += announced.octets;
        // It fits: it is at most `literal_octets`, which is an amount of memory.
        self.literal_left = usize::try_from(announced.octets).unwrap_or(usize::MAX);
        self.line_start = self.text.len();
        match announced.mode {
            LiteralMode::Synchronizing => Some(Received::WantsContinuation),
            LiteralMode::NonSynchronizing => None,
        }
    }

    /// The announced literal is the message of an APPEND, or its head is wrong.
    fn append_found(
        &mut self,
        found: Result<(Tag, Append), (Tag, ParseError)>,
        announced: Announced,
        limits: &Limits,
    ) -> Option<Received> {
        let over = announced.octets > limits.append_octets
            || (announced.mode == LiteralMode::NonSynchronizing
                && announced.octets > limits.non_synchronizing_octets);
        let received = match found {
            _ if over => return Some(self.too_big(announced.mode)),
            Ok((tag, append)) => Received::Append(tag, Box::new(append)),
            Err((tag, error)) if announced.mode == LiteralMode::Synchronizing => {
                Received::Bad { tag: Some(tag), error }
            }
            // The message comes whether we want it or not: RFC 7888 §4.
            Err((tag, _)) => Received::TooBig { tag: Some(tag), mode: announced.mode },
        };
        self.reset();
        Some(received)
    }

    fn too_big(&mut self, mode: LiteralMode) -> Received {
        let tag = read_tag(&self.text);
        self.reset();
        Received::TooBig { tag, mode }
    }

    /// Forgets the command and frees its memory: an idle connection holds nothing.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// The literal that a line (without CRLF) announces at its end, and where its `{` is
/// (RFC 7888 §3). A length that fits no u64 is the largest one: too big for any limit.
pub(crate) fn literal_at_end(line: &[u8]) -> Option<(usize, Announced)> {
    let head = line.strip_suffix(b"}")?;
    let (head, mode) = match head.strip_suffix(b"+") {
        Some(head) => (head, LiteralMode::NonSynchronizing),
        None => (head, LiteralMode::Synchronizing),
    };
    let digits = head.iter().rev().take_while(|octet| octet.is_ascii_digit()).count();
    let open = head.len().checked_sub(digits + 1)?;
    if digits == 0 || head[open] != b'{' {
        return None;
    }
    let octets = head[open + 1..]
        .iter()
        .fold(0_u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    Some((open, Announced { octets, mode }))
}

/// A line outside commands: `DONE` of IDLE, the answers of AUTHENTICATE, the end of an APPEND.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// No end of line yet.
    NeedMore,
    /// The line without its end, and how many octets it takes from the stream.
    Whole(&'a [u8], usize),
    /// Longer than the maximum.
    TooLong,
}

/// The next line of the stream, at most `max` octets with its end.
#[must_use]
pub fn next_line(buffered: &[u8], max: usize) -> Line<'_> {
    match memchr::memchr(b'\n', buffered) {
        Some(end) if end < max => {
            let line = &buffered[..end];
            Line::Whole(line.strip_suffix(b"\r").unwrap_or(line), end + 1)
        }
        None if buffered.len() < max => Line::NeedMore,
        _ => Line::TooLong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AppendStep, Command};

    fn feed_all(reader: &mut CommandReader, input: &[u8], limits: &Limits) -> Vec<Received> {
        let (mut all, mut at) = (Vec::new(), 0);
        loop {
            let (used, received) = reader.feed(&input[at..], limits);
            at += used;
            if received == Received::NeedMore {
                assert_eq!(at, input.len());
                return all;
            }
            all.push(received);
        }
    }

    fn tag(text: &str) -> Option<Tag> {
        Some(Tag::new(text).unwrap())
    }

    #[test]
    fn rfc_7888_example_of_non_synchronizing_literals() {
        let input = b"A001 LOGIN {11+}\r\nFRED FOOBAR {7+}\r\nfat man\r\nA2 NOOP\r\n";
        let all = feed_all(&mut CommandReader::new(), input, &Limits::default());
        let Received::Command(login) = &all[0] else { panic!("{all:?}") };
        let Command::Login { user, password } = &login.command else { panic!("{login:?}") };
        assert_eq!((&user[..], password.as_bytes()), (&b"FRED FOOBAR"[..], &b"fat man"[..]));
        assert!(matches!(&all[1], Received::Command(noop) if noop.command == Command::Noop));
    }

    #[test]
    fn synchronizing_literals_ask_for_leave() {
        let mut reader = CommandReader::new();
        let limits = Limits::default();
        assert_eq!(reader.feed(b"A001 LOGIN {4}\r\n", &limits), (16, Received::WantsContinuation));
        assert_eq!(reader.feed(b"FRED {3}\r\n", &limits).1, Received::WantsContinuation);
        assert!(matches!(reader.feed(b"fat\r\n", &limits).1, Received::Command(_)));
        assert!(!reader.is_in_command());
    }

    #[test]
    fn a_literal_of_nine_exabytes_costs_nothing() {
        let limits = Limits::default();
        for (line, mode) in [
            ("a1 LOGIN {9000000000000000000}\r\n", LiteralMode::Synchronizing),
            ("a1 LOGIN {99999999999999999999999999999999999+}\r\n", LiteralMode::NonSynchronizing),
            ("a1 APPEND INBOX {9000000000000000000}\r\n", LiteralMode::Synchronizing),
            ("a1 APPEND INBOX {9000000000000000000+}\r\n", LiteralMode::NonSynchronizing),
        ] {
            let mut reader = CommandReader::new();
            let (_, received) = reader.feed(line.as_bytes(), &limits);
            assert_eq!(received, Received::TooBig { tag: tag("a1"), mode }, "{line}");
            assert_eq!(reader.text.capacity(), 0);
        }
    }

    #[test]
    fn literal_minus_refuses_more_than_4096_octets_unasked() {
        let limits = Limits { non_synchronizing_octets: Limits::LITERAL_MINUS_OCTETS, ..Limits::default() };
        let first = |line: &str| CommandReader::new().feed(line.as_bytes(), &limits).1;
        assert!(matches!(first("a APPEND INBOX {4096+}\r\n"), Received::Append(..)));
        assert!(matches!(first("a APPEND INBOX {4097+}\r\n"), Received::TooBig { .. }));
        assert!(matches!(first("a APPEND INBOX {4097}\r\n"), Received::Append(..)));
        assert!(matches!(first("a LOGIN {4097+}\r\n"), Received::TooBig { .. }));
    }

    #[test]
    fn a_line_over_the_maximum_is_fatal_and_bounded() {
        let limits = Limits { line_octets: 20, ..Limits::default() };
        let all =
            feed_all(&mut CommandReader::new(), b"a1 LOGIN 123456789012345678901234567890\r\n", &limits);
        assert_eq!(all, [Received::LineTooLong { tag: tag("a1") }]);
        let mut reader = CommandReader::new();
        assert_eq!(reader.feed(&[b'x'; 21], &limits).1, Received::LineTooLong { tag: None });
    }

    #[test]
    fn append_stops_before_its_message() {
        let limits = Limits::default();
        let mut reader = CommandReader::new();
        let (used, received) = reader.feed(b"A3 append saved-messages (\\Seen) {310}\r\nDate:", &limits);
        assert_eq!(used, 40);
        let Received::Append(_, append) = received else { panic!("{received:?}") };
        let [_, AppendStep::Literal(literal)] = &append.steps[..] else { panic!("{append:?}") };
        assert_eq!((literal.octets, literal.mode), (310, LiteralMode::Synchronizing));
        // The mailbox itself may be a literal.
        let all = feed_all(&mut reader, b"A4 APPEND {5+}\r\ninbox {3}\r\n", &limits);
        assert!(
            matches!(&all[0], Received::Append(_, append) if append.mailbox.as_str() == "INBOX"),
            "{all:?}"
        );
        let all = feed_all(&mut reader, b"A5 APPEND x (\\Seen {3}\r\n", &limits);
        assert!(matches!(&all[0], Received::Bad { .. }), "{all:?}");
    }

    #[test]
    fn lines_outside_commands() {
        assert_eq!(next_line(b"DONE\r\nx", 10), Line::Whole(b"DONE", 6));
        assert_eq!(next_line(b"DONE\n", 10), Line::Whole(b"DONE", 5));
        assert_eq!(next_line(b"DON", 10), Line::NeedMore);
        assert_eq!(next_line(b"DONE56789\nx", 9), Line::TooLong);
    }
}
