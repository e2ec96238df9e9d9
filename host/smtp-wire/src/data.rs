//! The content of DATA: taking the dots out, and finding the one true end (RFC 5321 §4.5.2, §4.1.1.4).
//!
//! Smuggling lives on disagreement about where content ends. Here content ends with CRLF.CRLF and with
//! nothing else; a bare CR, a bare LF or a NUL, on which other servers may disagree, is a [`LineFault`].

use memchr::memchr3;

/// What becomes of a CR or LF that stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineEndings {
    /// It is a fault: the content is to be refused.
    #[default]
    Refuse,
    /// It becomes CRLF. It still never ends the content.
    Normalize,
}

/// What makes content unfit: octets that another server might take for a line's end, or drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// A CR without its LF.
    #[error("a bare CR")]
    BareCr,
    /// An LF without its CR.
    #[error("a bare LF")]
    BareLf,
    /// A NUL, which some servers drop, and so make `CRLF NUL . CRLF` an end.
    #[error("a NUL octet")]
    Nul,
}

/// One step of decoding: octets of content, and how far the input was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// Content, in order. May be empty.
    pub content: &'a [u8],
    /// Octets of the input that are done with.
    pub consumed: usize,
    /// What to do next.
    pub then: Then,
}

/// What to do after a [`Step`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Call again with the rest of the input.
    Again,
    /// Call again when there is more input; what was not consumed stands at its head.
    Starved,
    /// The content is complete.
    End,
}

/// Where the next octet stands in its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Within,
    /// After CRLF, or at the content's beginning: a dot is a dot of the protocol.
    Start,
    /// After an ending that was normalised: a doubled dot is halved, a single one is content.
    NormalizedStart,
    /// A lone CR or LF was met: CRLF is to be given out for it.
    Ending,
}

/// Decodes the content of DATA, in pieces of any size.
///
/// It keeps no octets back: a tail whose meaning is still open (`CR`, `.`, `.CR`) is simply not consumed.
/// The pieces handed out are as large as the input allows; they end only at a stuffed dot.
#[derive(Debug, Clone)]
pub struct DataDecoder {
    endings: LineEndings,
    place: Place,
    fault: Option<LineFault>,
}

impl DataDecoder {
    /// At the beginning of content: directly after the 354 reply.
    #[must_use]
    pub fn new(endings: LineEndings) -> Self {
        Self { endings, place: Place::Start, fault: None }
    }

    /// The first fault met so far. Decoding goes on to the true end, so that the dialogue stays in step.
    #[must_use]
    pub fn fault(&self) -> Option<LineFault> {
        self.fault
    }

    /// Takes the next piece of content from the head of `input`.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        let from = match self.place {
            Place::Within => 0,
            Place::Start => match input {
                [] | [b'.'] | [b'.', b'\r'] => return starved(&[], 0),
                [b'.', b'\r', b'\n', ..] => return Step { content: &[], consumed: 3, then: Then::End },
                [b'.', ..] => 1,
                _ => 0,
            },
            Place::NormalizedStart => match input {
                [] | [b'.'] => return starved(&[], 0),
                [b'.', b'.', ..] => 1,
                _ => 0,
            },
            Place::Ending if input.is_empty() => return starved(&[], 0),
            Place::Ending => {
                self.place = Place::NormalizedStart;
                return Step { content: b"\r\n", consumed: 1, then: Then::Again };
            }
        };
        self.lines(input, from)
    }

    /// Whole lines, from `from` to the next stuffed dot, lone ending, or the input's end.
    fn lines<'a>(&mut self, input: &'a [u8], from: usize) -> Step<'a> {
        let mut at = from;
        loop {
            let Some(found) = memchr3(b'\r', b'\n', 0, &input[at..]) else {
                if at < input.len() {
                    self.place = Place::Within;
                }
                return starved(&input[from..], input.len());
            };
            let here = at + found;
            if here > at {
                self.place = Place::Within;
            }
            match input[here..] {
                [b'\r', b'\n', b'.', ..] => {
                    self.place = Place::Start;
                    return Step { content: &input[from..here + 2], consumed: here + 2, then: Then::Again };
                }
                [b'\r', b'\n', ..] => {
                    self.place = Place::Start;
                    at = here + 2;
                }
                // Not consumed, so that the next call sees it with what follows.
                [b'\r'] => return starved(&input[from..here], here),
                [octet, ..] => {
                    if let Some(step) = self.odd_octet(octet, input, from, here) {
                        return step;
                    }
                    at = here + 1;
                }
                [] => return starved(&input[from..], input.len()),
            }
        }
    }

    /// A lone CR, a lone LF or a NUL at `here`.
    fn odd_octet<'a>(&mut self, octet: u8, input: &'a [u8], from: usize, here: usize) -> Option<Step<'a>> {
        let fault = match octet {
            b'\r' => LineFault::BareCr,
            b'\n' => LineFault::BareLf,
            _ => LineFault::Nul,
        };
        if fault == LineFault::Nul || self.endings == LineEndings::Refuse {
            self.fault.get_or_insert(fault);
            self.place = Place::Within;
            return None;
        }
        self.place = Place::Ending;
        Some(Step { content: &input[from..here], consumed: here, then: Then::Again })
    }
}

fn starved(content: &[u8], consumed: usize) -> Step<'_> {
    Step { content, consumed, then: Then::Starved }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DotStuffer;
    use proptest::prelude::*;

    /// Decodes input that arrives in chunks of the given sizes: content, fault, and the rest after the end.
    fn decode(
        input: &[u8],
        sizes: &[usize],
        endings: LineEndings,
    ) -> (Vec<u8>, Option<LineFault>, Option<Vec<u8>>) {
        let mut decoder = DataDecoder::new(endings);
        let (mut content, mut buffer, mut rest, mut turn) = (Vec::new(), Vec::new(), input, 0);
        loop {
            let step = decoder.decode(&buffer);
            content.extend_from_slice(step.content);
            let consumed = step.consumed;
            let then = step.then;
            buffer.drain(..consumed);
            match then {
                Then::Again => {}
                Then::End => {
                    buffer.extend_from_slice(rest);
                    return (content, decoder.fault(), Some(buffer));
                }
                Then::Starved if rest.is_empty() => return (content, decoder.fault(), None),
                Then::Starved => {
                    let size =
                        sizes.get(turn % sizes.len().max(1)).copied().unwrap_or(1).clamp(1, rest.len());
                    turn += 1;
                    buffer.extend_from_slice(&rest[..size]);
                    rest = &rest[size..];
                }
            }
        }
    }

    #[test]
    fn dots_are_taken_out_and_the_end_is_found() {
        for (input, content) in [
            (&b".\r\nNEXT"[..], &b""[..]),
            (b"a\r\n.\r\nNEXT", b"a\r\n"),
            (b"a\r\n..\r\n.\r\nNEXT", b"a\r\n.\r\n"),
            (b"..a\r\n.b\r\n...c\r\n.\r\nNEXT", b".a\r\nb\r\n..c\r\n"),
            (b"\r\n\r\n.\r\nNEXT", b"\r\n\r\n"),
        ] {
            for size in 1..=input.len() {
                let (got, fault, rest) = decode(input, &[size], LineEndings::Refuse);
                assert_eq!((got.as_slice(), fault), (content, None), "{input:?} by {size}");
                assert_eq!(rest.as_deref(), Some(&b"NEXT"[..]), "{input:?} by {size}");
            }
        }
    }

    /// Every ending that some server took for the end of content (`field.md`'s list).
    const VECTORS: [&[u8]; 12] = [
        b"\n.\n",
        b"\r.\r",
        b"\r.\n",
        b"\n.\r",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
        b"\r\n.\r\r\n",
        b"\r\r\n.\r\r\n",
    ];

    #[test]
    fn no_smuggled_end_ends_the_content() {
        for vector in VECTORS {
            let mut input = b"Subject: outer\r\n\r\nbody".to_vec();
            input.extend_from_slice(vector);
            input.extend_from_slice(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\ninner\r\n.\r\n");
            for endings in [LineEndings::Refuse, LineEndings::Normalize] {
                for size in 1..8 {
                    let (_, fault, rest) = decode(&input, &[size], endings);
                    assert_eq!(rest.as_deref(), Some(&b""[..]), "{vector:?} ended the content");
                    if endings == LineEndings::Refuse || vector.contains(&0) {
                        assert!(fault.is_some(), "{vector:?} passed");
                    }
                }
            }
        }
    }

    #[test]
    fn lone_endings_become_crlf_where_that_is_chosen() {
        for (input, content) in [
            (&b"a\nb\rc\r\n.\r\n"[..], &b"a\r\nb\r\nc\r\n"[..]),
            (b"a\n.\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n"),
            (b"a\n..b\r\n.\r\n", b"a\r\n.b\r\n"),
            (b"a\n.\r\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n"),
        ] {
            for size in 1..=input.len() {
                let (got, fault, rest) = decode(input, &[size], LineEndings::Normalize);
                assert_eq!((got.as_slice(), fault), (content, None), "{input:?} by {size}");
                assert_eq!(rest.as_deref(), Some(&b""[..]));
            }
        }
    }

    #[test]
    fn normalised_content_has_no_lone_ending() {
        for vector in VECTORS.iter().filter(|vector| !vector.contains(&0)) {
            let input = [b"x", *vector, b"y\r\n.\r\n"].concat();
            let (content, _, _) = decode(&input, &[3], LineEndings::Normalize);
            let text = String::from_utf8(content).unwrap().replace("\r\n", "");
            assert!(!text.contains(['\r', '\n']), "{vector:?}");
        }
    }

    fn odd_octets() -> impl Strategy<Value = Vec<u8>> {
        let octet = prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(0_u8), Just(b'a'), any::<u8>()];
        proptest::collection::vec(octet, 0..60)
    }

    proptest! {
        #[test]
        fn splitting_changes_nothing(input in odd_octets(), sizes in proptest::collection::vec(1_usize..9, 1..9)) {
            for endings in [LineEndings::Refuse, LineEndings::Normalize] {
                let whole = decode(&input, &[input.len().max(1)], endings);
                let split = decode(&input, &sizes, endings);
                prop_assert_eq!(whole, split);
            }
        }

        #[test]
        fn stuffing_and_decoding_are_inverse(
            lines in proptest::collection::vec("[.a]{0,4}", 0..12),
            sizes in proptest::collection::vec(1_usize..9, 1..9),
        ) {
            let content: Vec<u8> = lines.iter().flat_map(|line| format!("{line}\r\n").into_bytes()).collect();
            let mut wire = Vec::new();
            let mut stuffer = DotStuffer::new();
            let mut from = 0;
            for size in sizes.iter().cycle() {
                let until = (from + size).min(content.len());
                stuffer.stuff(&content[from..until], &mut wire).unwrap();
                from = until;
                if from == content.len() { break; }
            }
            stuffer.finish(&mut wire).unwrap();
            let (got, fault, rest) = decode(&wire, &sizes, LineEndings::Refuse);
            prop_assert_eq!(got, content);
            prop_assert_eq!((fault, rest), (None, Some(Vec::new())));
        }
    }
}
