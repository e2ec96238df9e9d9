//! POP3 commands and SASL lines: whatever parses is written back as a line that parses to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pop3_server::wire::command::Command;
use pop3_server::wire::line::{COMMAND_OCTETS_MAX, Line, next_line};
use pop3_server::wire::response::{Response, decode_initial, decode_sasl_line};

fuzz_target!(|input: &[u8]| {
    if let Ok(command) = Command::parse(input)
        && command != Command::Apop
    {
        let line = command.encode();
        assert_eq!(Command::parse(line.trim_end_matches("\r\n").as_bytes()), Ok(command));
    }
    if let Line::Whole { text, consumed } = next_line(input, COMMAND_OCTETS_MAX) {
        assert!(consumed <= COMMAND_OCTETS_MAX && text.len() < consumed);
    }
    let _ = decode_sasl_line(input);
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = decode_initial(text);
        let mut wire = Vec::new();
        Response::refused(text).encode(&mut wire);
        assert!(wire.len() <= 512 && wire.iter().filter(|octet| **octet == b'\n').count() == 1);
    }
});
