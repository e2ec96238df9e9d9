//! Addresses, paths and xtext: whatever parses is written back as something that parses to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mail_types::{Address, Domain, ForwardPath, ReversePath, decode_xtext, encode_xtext};

fuzz_target!(|text: &str| {
    if let Ok(address) = Address::parse(text) {
        assert_eq!(Address::parse(&address.to_string()).as_ref(), Ok(&address));
        let _ = (address.needs_utf8(), address.to_key());
    }
    if let Ok(domain) = Domain::parse(text) {
        assert_eq!(Domain::parse(domain.as_str()).as_ref(), Ok(&domain));
        let _ = (domain.to_unicode(), domain.as_ip());
    }
    if let Ok(path) = ReversePath::parse(text) {
        assert_eq!(ReversePath::parse(&path.to_string()), Ok(path));
    }
    if let Ok(path) = ForwardPath::parse(text) {
        assert_eq!(ForwardPath::parse(&path.to_string()), Ok(path));
    }
    let _ = decode_xtext(text);
    if !text.chars().any(char::is_control) {
        assert_eq!(decode_xtext(&encode_xtext(text)).as_deref(), Some(text));
    }
});
