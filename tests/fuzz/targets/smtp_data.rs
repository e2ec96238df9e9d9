//! The content of DATA: the same whatever the pieces it comes in, and only CRLF.CRLF ends it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtp_wire::{DataDecoder, DotStuffer, LineEndings, LineFault, Then};

/// Content, first fault, and how much of the input was used; `None` where the end has not come.
fn decode(input: &[u8], endings: LineEndings, piece: usize) -> (Vec<u8>, Option<LineFault>, Option<usize>) {
    let (mut decoder, mut content) = (DataDecoder::new(endings), Vec::new());
    let (mut from, mut until) = (0, 0);
    loop {
        let step = decoder.decode(&input[from..until]);
        content.extend_from_slice(step.content);
        from += step.consumed;
        match step.then {
            Then::Again => {}
            Then::End => return (content, decoder.fault(), Some(from)),
            Then::Starved if until == input.len() => return (content, decoder.fault(), None),
            Then::Starved => until = (until + piece).min(input.len()),
        }
    }
}

fuzz_target!(|data: (u8, &[u8])| {
    let (piece, input) = (usize::from(data.0 % 16) + 1, data.1);
    for endings in [LineEndings::Refuse, LineEndings::Normalize] {
        let whole = decode(input, endings, input.len().max(1));
        let pieces = decode(input, endings, piece);
        // Before the end, the octets whose meaning is open may differ, never those that were given out.
        assert_eq!(whole, pieces);
        if let (content, None, Some(used)) = &whole {
            assert!(input[..*used] == *b".\r\n" || input[..*used].ends_with(b"\r\n.\r\n"));
            let (mut wire, mut stuffer) = (Vec::new(), DotStuffer::new());
            if stuffer.stuff(content, &mut wire).is_ok() && stuffer.finish(&mut wire).is_ok() {
                assert_eq!(decode(&wire, endings, piece), (content.clone(), None, Some(wire.len())));
            }
        }
    }
});
