//! Modified UTF-7: each name has one form on the wire.
#![no_main]

use libfuzzer_sys::fuzz_target;
use imap_wire::{MailboxName, decode_utf7, encode_utf7};

fuzz_target!(|text: &str| {
    let encoded = encode_utf7(text);
    assert!(encoded.is_ascii());
    assert_eq!(decode_utf7(&encoded).as_deref(), Ok(text));
    if let Ok(decoded) = decode_utf7(text) {
        assert_eq!(encode_utf7(&decoded), text);
    }
    let _ = MailboxName::new(text).is_inbox();
});
