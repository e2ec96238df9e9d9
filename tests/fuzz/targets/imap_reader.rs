//! The stream of an IMAP client: the same commands whatever the pieces, and never more memory than the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use imap_wire::{CommandReader, Limits, MessageUrl, Received, next_line, parse_append_rest};

/// What comes out; ends where the stream is out of step, or a message would follow.
fn read(input: &[u8], piece: usize) -> Vec<Received> {
    let (mut reader, limits, mut found) = (CommandReader::new(), Limits::default(), Vec::new());
    for mut part in input.chunks(piece) {
        while !part.is_empty() {
            let (used, received) = reader.feed(part, &limits);
            part = &part[used..];
            match received {
                Received::NeedMore | Received::WantsContinuation => {}
                last @ (Received::Append(..) | Received::TooBig { .. } | Received::LineTooLong { .. }) => {
                    found.push(last);
                    return found;
                }
                other => found.push(other),
            }
        }
    }
    found
}

fuzz_target!(|data: (u8, &[u8])| {
    let (piece, input) = (usize::from(data.0 % 16) + 1, data.1);
    assert_eq!(read(input, input.len().max(1)), read(input, piece));
    let _ = next_line(input, 64);
    let _ = parse_append_rest(input, data.0 > 127, &Limits::default());
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = MessageUrl::parse(text, &Limits::default());
    }
});
