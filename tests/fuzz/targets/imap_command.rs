//! IMAP commands: whatever parses is written back as something that parses to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use imap_wire::{Limits, encode_command, parse};

fuzz_target!(|input: &[u8]| {
    let limits = Limits::default();
    if let Ok(tagged) = parse(input, &limits) {
        let wire = encode_command(&tagged.tag, &tagged.command);
        let text = wire.strip_suffix(b"\r\n").unwrap_or(&wire);
        assert_eq!(parse(text, &limits).as_ref(), Ok(&tagged), "{}", wire.escape_ascii());
    }
});
