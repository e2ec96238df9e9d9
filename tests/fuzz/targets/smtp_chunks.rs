//! The content of BDAT: the same whatever the pieces; normalised, it holds no lone CR or LF.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtp_wire::{ChunkDecoder, LineEndings, LineFault, Then};

fn decode(input: &[u8], endings: LineEndings, piece: usize) -> (Vec<u8>, Option<LineFault>) {
    let (mut decoder, mut content) = (ChunkDecoder::new(endings), Vec::new());
    for mut part in input.chunks(piece) {
        loop {
            let step = decoder.decode(part);
            content.extend_from_slice(step.content);
            part = &part[step.consumed..];
            if step.then == Then::Starved {
                break;
            }
        }
    }
    content.extend_from_slice(decoder.finish());
    (content, decoder.fault())
}

fuzz_target!(|data: (u8, &[u8])| {
    let (piece, input) = (usize::from(data.0 % 16) + 1, data.1);
    for endings in [LineEndings::Refuse, LineEndings::Normalize] {
        let (content, fault) = decode(input, endings, input.len().max(1));
        assert_eq!((&content, fault), (&decode(input, endings, piece).0, decode(input, endings, piece).1));
        if fault.is_none() && endings == LineEndings::Refuse {
            assert_eq!(content, input);
        }
        if endings == LineEndings::Normalize {
            let lone = |at: usize| match content[at] {
                b'\r' => content.get(at + 1) != Some(&b'\n'),
                b'\n' => at == 0 || content[at - 1] != b'\r',
                _ => false,
            };
            assert!(!(0..content.len()).any(lone), "a lone CR or LF is left in {content:?}");
        }
    }
});
