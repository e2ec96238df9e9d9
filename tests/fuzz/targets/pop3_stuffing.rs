//! Multi-line responses: the end stands only at the end, whatever the message and its pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pop3_server::wire::stuffing::{Stuffer, Top};

fuzz_target!(|data: (u8, u64, &[u8])| {
    let (piece, lines, input) = (usize::from(data.0 % 16) + 1, data.1, data.2);
    let (mut stuffer, mut wire) = (Stuffer::default(), Vec::new());
    for part in input.chunks(piece) {
        stuffer.push(part, &mut wire);
    }
    stuffer.finish(&mut wire);
    let ends = wire.split_inclusive(|octet| *octet == b'\n').filter(|line| *line == b".\r\n" || *line == b".\n");
    assert_eq!(ends.count(), 1);
    assert!(wire.ends_with(b".\r\n"));
    let whole = Top::new(lines).cut(input);
    let (mut top, mut kept) = (Top::new(lines), 0);
    for part in input.chunks(piece) {
        let cut = top.cut(part);
        kept += cut;
        if cut < part.len() {
            break;
        }
    }
    assert_eq!(kept, whole);
});
