//! Header fields, addresses in them, dates.
#![no_main]

use libfuzzer_sys::fuzz_target;
use message::{
    Envelope, Facts, Fields, header_addresses, header_len, parse_addresses, parse_date, parse_internal_date,
    parse_search_day,
};

fuzz_target!(|input: &[u8]| {
    let facts = Facts::scan(input, "mail.example.org");
    let _ = facts.message_id_text();
    assert!(header_len(input) <= input.len());
    let mut until = 0;
    for field in Fields::of(input) {
        let range = field.range();
        assert!(range.start >= until && range.end <= input.len());
        until = range.end;
        let _ = (field.unfolded(), parse_addresses(field.value), parse_date(field.value));
    }
    let _ = (header_addresses(input).count(), Envelope::parse(input), parse_addresses(input), parse_date(input));
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = (parse_internal_date(text), parse_search_day(text));
    }
});
