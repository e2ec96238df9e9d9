//! SMTP command lines: whatever parses is written back as a line that parses to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtp_wire::{COMMAND_LINE_MAX, Command, Line, decode_sasl_line, next_line};

fuzz_target!(|input: &[u8]| {
    if let Ok(command) = Command::parse(input) {
        let mut wire = Vec::new();
        command.encode(&mut wire);
        let Line::Complete(line, taken) = next_line(&wire, usize::MAX) else { panic!("{wire:?} is no line") };
        assert_eq!(taken, wire.len(), "more than one line: {wire:?}");
        assert_eq!(Command::parse(line).as_ref(), Ok(&command));
    }
    let _ = next_line(input, COMMAND_LINE_MAX);
    let _ = decode_sasl_line(input);
});
