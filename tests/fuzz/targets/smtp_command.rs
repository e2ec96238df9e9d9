//! SMTP command lines: whatever parses is written back as a line that parses to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mail_types::AddressError;
use smtp_wire::{COMMAND_LINE_MAX, Command, CommandError, Line, decode_sasl_line, next_line};

/// A command as a line, and the line as a command.
fn written(command: &Command) -> Vec<u8> {
    let mut wire = Vec::new();
    command.encode(&mut wire);
    wire
}

fn line(wire: &[u8]) -> &[u8] {
    match next_line(wire, usize::MAX) {
        Line::Complete(line, taken) if taken == wire.len() => line,
        _ => panic!("not one line: {}", wire.escape_ascii()),
    }
}

fuzz_target!(|input: &[u8]| {
    if let Ok(command) = Command::parse(input) {
        // The first writing may bring a domain from U-labels to A-labels; then nothing changes any more.
        let once = written(&command);
        let again = match Command::parse(line(&once)) {
            Ok(again) => again,
            // A-labels are longer: a path may pass its limit by them.
            Err(CommandError::ForwardPath(AddressError::TooLong { .. })) => return,
            Err(CommandError::ReversePath(AddressError::TooLong { .. })) => return,
            Err(error) => panic!("{}: {error}", once.escape_ascii()),
        };
        let twice = written(&again);
        assert_eq!(once.escape_ascii().to_string(), twice.escape_ascii().to_string());
        assert_eq!(Command::parse(line(&twice)).as_ref(), Ok(&again));
    }
    let _ = next_line(input, COMMAND_LINE_MAX);
    let _ = decode_sasl_line(input);
});
