//! The content of BDAT (RFC 3030 §2): no dots, no end mark, but the same line endings.
//!
//! A bare LF that comes in a chunk would leave by DATA, and be somebody else's end of content.
//! BODY=BINARYMIME content is exempt: it may only leave by BDAT (RFC 3030 §3).

use memchr::memchr3;

use crate::data::{LineEndings, LineFault, Step, Then};

/// Checks, or normalises, the line endings of chunked content. A CRLF may be split between two chunks.
#[derive(Debug, Clone)]
pub struct ChunkDecoder {
    endings: LineEndings,
    /// A CR is held back: what it is will be seen by the next octet, maybe that of another chunk.
    pending_cr: bool,
    fault: Option<LineFault>,
}

impl ChunkDecoder {
    /// At the beginning of content: before the first chunk.
    #[must_use]
    pub fn new(endings: LineEndings) -> Self {
        Self { endings, pending_cr: false, fault: None }
    }

    /// The first fault met so far.
    #[must_use]
    pub fn fault(&self) -> Option<LineFault> {
        self.fault
    }

    /// Takes the next piece from the head of `input`, which holds octets of chunks only. All input is
    /// consumed before it is [`Then::Starved`]; it never says [`Then::End`], the BDAT command does.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        if self.pending_cr && !input.is_empty() {
            self.pending_cr = false;
            if input[0] == b'\n' {
                return Step { content: b"\r\n", consumed: 1, then: Then::Again };
            }
            return Step { content: self.lone(LineFault::BareCr, b"\r"), consumed: 0, then: Then::Again };
        }
        let mut at = 0;
        while let Some(found) = memchr3(b'\r', b'\n', 0, &input[at..]) {
            let here = at + found;
            match input[here..] {
                [b'\r', b'\n', ..] => at = here + 2,
                [0, ..] => {
                    self.fault.get_or_insert(LineFault::Nul);
                    at = here + 1;
                }
                [b'\n', ..] if here == 0 => {
                    return Step {
                        content: self.lone(LineFault::BareLf, b"\n"),
                        consumed: 1,
                        then: Then::Again,
                    };
                }
                [b'\r', ..] => {
                    self.pending_cr = true;
                    let then = if here + 1 == input.len() { Then::Starved } else { Then::Again };
                    return Step { content: &input[..here], consumed: here + 1, then };
                }
                _ => return Step { content: &input[..here], consumed: here, then: Then::Again },
            }
        }
        Step { content: input, consumed: input.len(), then: Then::Starved }
    }

    /// After the last chunk: what is still to be given out.
    pub fn finish(&mut self) -> &'static [u8] {
        if std::mem::take(&mut self.pending_cr) { self.lone(LineFault::BareCr, b"\r") } else { b"" }
    }

    fn lone(&mut self, fault: LineFault, as_it_is: &'static [u8]) -> &'static [u8] {
        if self.endings == LineEndings::Normalize {
            return b"\r\n";
        }
        self.fault.get_or_insert(fault);
        as_it_is
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(input: &[u8], size: usize, endings: LineEndings) -> (Vec<u8>, Option<LineFault>) {
        let mut decoder = ChunkDecoder::new(endings);
        let mut content = Vec::new();
        for chunk in input.chunks(size) {
            let mut rest = chunk;
            loop {
                let step = decoder.decode(rest);
                content.extend_from_slice(step.content);
                rest = &rest[step.consumed..];
                if step.then == Then::Starved {
                    assert!(rest.is_empty(), "a chunk is always used up");
                    break;
                }
            }
        }
        content.extend_from_slice(decoder.finish());
        (content, decoder.fault())
    }

    #[test]
    fn lone_endings_are_faults_or_mended() {
        for (input, fault, mended) in [
            (&b"a\r\nb"[..], None, &b"a\r\nb"[..]),
            (b"a\nb", Some(LineFault::BareLf), b"a\r\nb"),
            (b"\n.\r\n", Some(LineFault::BareLf), b"\r\n.\r\n"),
            (b"a\rb", Some(LineFault::BareCr), b"a\r\nb"),
            (b"a\r", Some(LineFault::BareCr), b"a\r\n"),
            (b"\r\r\n", Some(LineFault::BareCr), b"\r\n\r\n"),
        ] {
            for size in 1..=input.len() {
                assert_eq!(decode(input, size, LineEndings::Refuse), (input.to_vec(), fault), "{input:?}");
                assert_eq!(decode(input, size, LineEndings::Normalize), (mended.to_vec(), None), "{input:?}");
            }
        }
        assert_eq!(decode(b"a\0b", 9, LineEndings::Normalize).1, Some(LineFault::Nul));
    }

    proptest! {
        #[test]
        fn splitting_changes_nothing(input in "[\r\n.a]{0,30}", size in 1_usize..9) {
            for endings in [LineEndings::Refuse, LineEndings::Normalize] {
                prop_assert_eq!(decode(input.as_bytes(), size, endings), decode(input.as_bytes(), 99, endings));
            }
        }
    }
}
