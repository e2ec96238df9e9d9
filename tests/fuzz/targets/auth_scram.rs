//! The two messages of a SCRAM client, a line each: read within bounds, and never believed without the proof.
#![no_main]

use std::sync::OnceLock;

use auth::scram::{ClientFirst, Exchange, MESSAGE_MAX};
use auth::{ScramKeys, Secret};
use libfuzzer_sys::fuzz_target;

/// Few iterations: what they cost is not what is looked at.
static KEYS: OnceLock<ScramKeys> = OnceLock::new();

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(2, |octet| *octet == b'\n');
    let (first, last) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let Ok(first) = ClientFirst::parse(first) else { return };
    assert!(!first.login.is_empty() && first.login.len() <= MESSAGE_MAX && !first.login.contains('\0'));
    let keys = KEYS.get_or_init(|| {
        let secret = Secret::new("a password that no input holds the proof of".to_owned()).expect("a password");
        ScramKeys::derive(&secret, b"salt", 1)
    });
    let exchange = Exchange::new(first, "server", keys.clone());
    assert!(exchange.server_first().starts_with("r="));
    for channel in [&b""[..], b"channel"] {
        assert!(exchange.finish(last, channel).is_err(), "let in without the password");
    }
});
