//! A whole message for clients that read ASCII headers alone (RFC 6858): the headers of all its parts are replaced, all else
//! stays where it is.

use std::ops::Range;

use crate::structure::Structure;
use crate::surrogate::{needs_surrogate, surrogate_header};

/// Whether a header of the message, or of a part, is one that such a client gets a surrogate of.
#[must_use]
pub fn has_utf8_headers(structure: &Structure<'_>) -> bool {
    !structure.octets().is_ascii() && structure.parts().any(|part| needs_surrogate(part.header()))
}

/// A message in which headers are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surrogate {
    octets: Vec<u8>,
    /// What is kept: where it stands now, rising, and where it began before.
    kept: Vec<(Range<usize>, usize)>,
}

/// A piece of a surrogate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SurrogatePiece {
    /// It stands in the message, there.
    Kept(Range<usize>),
    /// It was made, and stands in the surrogate, there.
    Made(Range<usize>),
}

impl Surrogate {
    /// Of a message; `None` where it may be had as it is.
    #[must_use]
    pub fn of(structure: &Structure<'_>) -> Option<Self> {
        if !has_utf8_headers(structure) {
            return None;
        }
        let message = structure.octets();
        let mut surrogate = Self { octets: Vec::with_capacity(message.len()), kept: Vec::new() };
        let mut at = 0;
        for part in structure.parts() {
            if let Some(header) = surrogate_header(part.header()) {
                let range = part.header_range();
                surrogate.keep(message, at..range.start);
                surrogate.octets.extend_from_slice(&header);
                at = range.end;
            }
        }
        surrogate.keep(message, at..message.len());
        Some(surrogate)
    }

    fn keep(&mut self, message: &[u8], range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let start = self.octets.len();
        self.octets.extend_from_slice(&message[range.clone()]);
        self.kept.push((start..self.octets.len(), range.start));
    }

    /// The octets.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Where an octet that was kept stands in the message; of one that was made, where what is kept goes on before it.
    #[must_use]
    pub fn place_before(&self, at: usize) -> usize {
        let next = self.kept.partition_point(|(kept, _)| kept.start <= at);
        match self.kept[..next].last() {
            Some((kept, before)) => before + (at - kept.start).min(kept.len()),
            None => 0,
        }
    }

    /// Of which pieces a range of it consists.
    #[must_use]
    pub fn pieces(&self, range: Range<usize>) -> Vec<SurrogatePiece> {
        let (mut pieces, mut at) = (Vec::new(), range.start);
        let first = self.kept.partition_point(|(kept, _)| kept.end <= at);
        for (kept, before) in &self.kept[first..] {
            if at >= range.end {
                break;
            }
            if at < kept.start {
                let end = kept.start.min(range.end);
                pieces.push(SurrogatePiece::Made(at..end));
                at = end;
            }
            let end = kept.end.min(range.end);
            if at < end {
                let place = before + (at - kept.start);
                pieces.push(SurrogatePiece::Kept(place..place + (end - at)));
                at = end;
            }
        }
        if at < range.end {
            pieces.push(SurrogatePiece::Made(at..range.end));
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MESSAGE: &str = "From: a@b.test\r\nSubject: gr\u{fc}n\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Description: \u{e9}\r\n\r\n\u{e9}\r\n\
        --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: \u{e9}\r\nX-Note: \u{e9}\r\n\r\nin\r\n--b--\r\n";

    #[test]
    fn headers_of_parts_are_replaced_and_bodies_stay() {
        let surrogate = Surrogate::of(&Structure::parse(MESSAGE.as_bytes())).unwrap();
        assert_eq!(
            std::str::from_utf8(surrogate.octets()).unwrap(),
            "From: a@b.test\r\nSubject: =?utf-8?B?Z3LDvG4=?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
             --b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\u{e9}\r\n\
             --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: =?utf-8?B?w6k=?=\r\n\r\nin\r\n--b--\r\n"
        );
        let body = "Subject: a\r\n\r\n\u{e9}";
        assert_eq!(Surrogate::of(&Structure::parse(body.as_bytes())), None);
        // What is no UTF-8 is not made right by any mode (RFC 6855 §8 speaks of UTF-8 alone).
        assert_eq!(Surrogate::of(&Structure::parse(b"Subject: \xe9\r\n\r\n")), None);
    }

    proptest! {
        #[test]
        fn pieces_make_up_any_range(a in 0..400_usize, b in 0..400_usize) {
            let surrogate = Surrogate::of(&Structure::parse(MESSAGE.as_bytes())).unwrap();
            let all = surrogate.octets();
            let (a, b) = (a.min(all.len()), b.min(all.len()));
            let range = a.min(b)..a.max(b);
            let mut octets = Vec::new();
            for piece in surrogate.pieces(range.clone()) {
                if let SurrogatePiece::Kept(kept) = &piece {
                    prop_assert_eq!(surrogate.place_before(range.start + octets.len()), kept.start);
                }
                octets.extend_from_slice(match piece {
                    SurrogatePiece::Kept(range) => &MESSAGE.as_bytes()[range],
                    SurrogatePiece::Made(range) => &all[range],
                });
            }
            prop_assert_eq!(&octets, &all[range]);
        }
    }
}
