//! PROXY headers, versions 1 and 2.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smtp_wire::{PROXY_V2_MAX, ProxyParsed, parse_proxy_header};

fuzz_target!(|input: &[u8]| {
    if let Ok(ProxyParsed::Complete(_, consumed)) = parse_proxy_header(input) {
        assert!(consumed <= input.len() && consumed <= PROXY_V2_MAX);
    }
});
