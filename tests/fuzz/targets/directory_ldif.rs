//! LDIF and distinguished names: whatever is read is written back as something that reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use directory::{Dn, Kind, LdifReader, Schema, Typed, write_ldif};

fuzz_target!(|input: &[u8]| {
    let schema = Schema::product();
    for entry in LdifReader::new(input).flatten().map(|record| record.entry) {
        let text = write_ldif(&entry);
        let again: Vec<_> = LdifReader::new(text.as_bytes()).collect();
        assert_eq!(again.len(), 1, "{text}");
        for record in again {
            assert_eq!(record.expect("what we wrote").entry, entry, "{text}");
        }
        let _ = (Kind::of(&entry, &schema), Typed::read(entry, &schema));
    }
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(dn) = Dn::parse(text)
    {
        assert_eq!(Dn::parse(&dn.to_string()).as_ref(), Ok(&dn));
        let _ = (dn.to_domain(), dn.parent(), dn.leaf(), dn.depth());
    }
});
