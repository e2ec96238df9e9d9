//! Replies of other servers: bounded, the same whatever the pieces, and safe to read capabilities from.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtp_wire::{Capabilities, ReplyParser};

fuzz_target!(|data: (u8, &[u8])| {
    let (piece, input) = (usize::from(data.0 % 16) + 1, data.1);
    let whole = ReplyParser::new().parse(input);
    if let Ok(step) = &whole {
        assert!(step.consumed <= input.len());
        if let Some(reply) = &step.reply {
            let _ = (Capabilities::read(reply), reply.to_string(), reply.persistence());
        }
    }
    let (mut parser, mut from, mut until) = (ReplyParser::new(), 0, 0);
    while until < input.len() {
        until = (until + piece).min(input.len());
        let Ok(step) = parser.parse(&input[from..until]) else { return };
        from += step.consumed;
        if let Some(reply) = step.reply {
            assert_eq!(whole.map(|step| step.reply), Ok(Some(reply)));
            return;
        }
    }
});
