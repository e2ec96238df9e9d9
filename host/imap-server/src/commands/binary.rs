//! Parts without their transfer encoding (RFC 3516): gone through once for their length, and decoded again, piece by piece, when
//! they are sent. Of a part of any size, one piece is in memory.

use std::ops::Range;

use imap_wire::Partial;
use message::{Decoder, TransferEncoding};

use super::extract::{COPY_OCTETS_MAX, Slice};

/// Octets of a part that are decoded at a time.
pub(super) const ENCODED_PIECE_OCTETS: usize = 64 * 1024;

/// What is sent of a part: decoded from its octets, which are read again for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decoded {
    /// Where in the message that stands which is still to be decoded.
    pub(super) encoded: Range<u64>,
    /// What was decoded before is behind it.
    decoder: Decoder,
    window: Window,
}

impl Decoded {
    /// How many octets it comes to.
    pub(super) fn len(&self) -> u64 {
        self.window.left
    }

    /// Octets that it holds in memory.
    pub(super) fn octets_held(&self) -> usize {
        self.decoder.octets_held()
    }

    /// The same of a message in which the part begins elsewhere.
    pub(super) fn moved(self, start: u64) -> Self {
        let end = start + (self.encoded.end - self.encoded.start);
        Self { encoded: start..end, ..self }
    }

    /// To be given the pieces.
    pub(super) fn decoding(&self) -> Decoding {
        Decoding { decoder: self.decoder.clone(), window: self.window, plain: Vec::new() }
    }
}

/// Octets on their way from a part to what is wanted of it.
pub(super) struct Decoding {
    decoder: Decoder,
    window: Window,
    plain: Vec<u8>,
}

impl Decoding {
    fn new(encoding: TransferEncoding, partial: Option<Partial>) -> Self {
        let window = match partial {
            Some(partial) => Window { skipped: partial.offset, left: partial.length },
            None => Window { skipped: 0, left: u64::MAX },
        };
        Self { decoder: Decoder::new(encoding), window, plain: Vec::new() }
    }

    /// What is wanted of what the next piece comes to.
    pub(super) fn push(&mut self, piece: &[u8]) -> &[u8] {
        self.plain.clear();
        self.decoder.push(piece, &mut self.plain);
        self.window.cut(&self.plain)
    }

    /// What is wanted of the rest.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.plain.clear();
        self.decoder.finish(&mut self.plain);
        self.window.cut(&self.plain).to_vec()
    }

    /// Whether nothing more is wanted.
    fn is_done(&self) -> bool {
        self.window.left == 0
    }
}

/// What is wanted of octets that come in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    /// So many are passed over first.
    skipped: u64,
    left: u64,
}

impl Window {
    fn cut<'a>(&mut self, plain: &'a [u8]) -> &'a [u8] {
        let up_to = |want: u64, octets: &[u8]| usize::try_from(want).unwrap_or(usize::MAX).min(octets.len());
        let skipped = up_to(self.skipped, plain);
        let rest = &plain[skipped..];
        let taken = up_to(self.left, rest);
        self.skipped -= skipped as u64;
        self.left -= taken as u64;
        &rest[..taken]
    }
}

/// How many octets a part has without its encoding.
pub(super) fn size(encoding: TransferEncoding, body: &[u8]) -> u64 {
    if encoding == TransferEncoding::Identity {
        return body.len() as u64;
    }
    let mut decoding = Decoding::new(encoding, None);
    let mut size = 0;
    for piece in body.chunks(ENCODED_PIECE_OCTETS) {
        size += decoding.push(piece).len() as u64;
    }
    size + decoding.finish().len() as u64
}

/// What is wanted of a part that stands there in its message, and whether it has NUL. Little of it is held; of more, how to make
/// it.
pub(super) fn decoded(
    encoding: TransferEncoding,
    (body, place): (&[u8], u64),
    partial: Option<Partial>,
) -> (Slice, bool) {
    let mut decoding = Decoding::new(encoding, partial);
    let mut from = (0, decoding.decoder.clone(), decoding.window.skipped);
    let mut chosen = Chosen::default();
    let mut at = 0;
    for piece in body.chunks(ENCODED_PIECE_OCTETS) {
        if decoding.is_done() {
            break;
        }
        chosen.take(decoding.push(piece));
        at += piece.len();
        if chosen.len == 0 {
            // What comes before a partial is not decoded again for it.
            from = (at, decoding.decoder.clone(), decoding.window.skipped);
        }
    }
    chosen.take(&decoding.finish());
    if chosen.len <= COPY_OCTETS_MAX as u64 {
        return (Slice::Made(chosen.first), chosen.has_nul);
    }
    let (start, decoder, skipped) = from;
    let encoded = place + start as u64..place + at as u64;
    let window = Window { skipped, left: chosen.len };
    (Slice::Decoded(Decoded { encoded, decoder, window }), chosen.has_nul)
}

/// What was seen of the octets that are wanted.
#[derive(Default)]
struct Chosen {
    len: u64,
    has_nul: bool,
    /// The first of them.
    first: Vec<u8>,
}

impl Chosen {
    fn take(&mut self, octets: &[u8]) {
        self.len += octets.len() as u64;
        self.has_nul |= octets.contains(&0);
        let room = COPY_OCTETS_MAX - self.first.len();
        self.first.extend_from_slice(&octets[..octets.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(octets: &[u8], slice: Slice) -> Vec<u8> {
        let decoded = match slice {
            Slice::Decoded(decoded) => decoded,
            Slice::Made(made) => return made,
            Slice::Stored(_) => panic!("it has an encoding"),
        };
        let mut decoding = decoded.decoding();
        let range = decoded.encoded.start as usize..decoded.encoded.end as usize;
        let mut all = Vec::new();
        for piece in octets[range].chunks(1000) {
            all.extend_from_slice(decoding.push(piece));
        }
        all.extend(decoding.finish());
        assert_eq!(all.len() as u64, decoded.len());
        all
    }

    #[test]
    fn any_piece_of_a_part_is_that_of_the_whole() {
        let quoted: String = (0..40_000).map(|line| format!("{line} =3D=\r\n=C3=BC \r\n")).collect();
        let base64 = "R3LDvMOfZSBhdXMK\r\n".repeat(40_000) + "QQ==";
        for (encoding, body) in
            [(TransferEncoding::QuotedPrintable, quoted), (TransferEncoding::Base64, base64)]
        {
            let octets = format!("head{body}");
            let whole = encoding.decode(body.as_bytes());
            let all = whole.len() as u64;
            assert_eq!(size(encoding, body.as_bytes()), all);
            let partials = [
                (0, all),
                (0, 1),
                (0, COPY_OCTETS_MAX as u64 + 1),
                (1, all),
                (70_000, 100_000),
                (all - 20_000, 20_000),
                (all - 1, 9),
                (all, 9),
                (all + 1, 9),
                (u64::MAX, u64::MAX),
                (9, 0),
            ];
            let partials = partials.map(|(offset, length)| Some(Partial { offset, length }));
            for partial in partials.into_iter().chain([None]) {
                let (slice, has_nul) = decoded(encoding, (body.as_bytes(), 4), partial);
                let wanted = match partial {
                    Some(Partial { offset, length }) => message::partial(&whole, offset, length),
                    None => &whole,
                };
                assert!(!has_nul && sent(octets.as_bytes(), slice) == wanted, "{encoding:?} {partial:?}");
            }
        }
    }

    #[test]
    fn what_comes_before_a_partial_is_not_decoded_again() {
        let body = "QUJD".repeat(1_000_000);
        let partial = Some(Partial { offset: 2_900_000, length: 50_000 });
        let (Slice::Decoded(decoded), false) =
            decoded(TransferEncoding::Base64, (body.as_bytes(), 7), partial)
        else {
            panic!("it is no small one, and has no NUL")
        };
        let read = decoded.encoded.end - decoded.encoded.start;
        assert!(read <= 3 * ENCODED_PIECE_OCTETS as u64 && decoded.octets_held() < 4, "{decoded:?}");
    }

    #[test]
    fn nul_counts_where_it_is_wanted() {
        let body = base64_of(&[&[1; 60_000][..], &[0], &[1; 60_000]].concat());
        let has_nul = |offset, length| {
            decoded(TransferEncoding::Base64, (&body, 0), Some(Partial { offset, length })).1
        };
        assert!(has_nul(0, u64::MAX) && has_nul(60_000, 1) && has_nul(50_000, 40_000));
        assert!(!has_nul(0, 60_000) && !has_nul(60_001, u64::MAX));
    }

    fn base64_of(octets: &[u8]) -> Vec<u8> {
        message::base64_body(octets).into()
    }
}
