//! MIME structure, sections by random path, text search.
#![no_main]

use libfuzzer_sys::fuzz_target;
use message::{
    NESTING_MAX, Needle, PARTS_MAX, SearchTexts, SectionText, Structure, find_part, header_contains,
    message_section, part_section,
};

fuzz_target!(|data: (Vec<u8>, String, &[u8])| {
    let (path, word, input) = data;
    let structure = Structure::parse(input);
    assert!(structure.part_count() <= PARTS_MAX);
    for part in structure.parts() {
        assert!(part.header_range().end <= input.len() && part.body_range().end <= input.len());
        let _ = (part.kind(), part.body_lines(), part.children().len(), part.content_type(), part.encoding());
        let _ = (part.disposition(), part.languages(), part.field("content-id"), part.envelope());
    }
    let names = [word.clone(), "subject".to_owned()];
    let path: Vec<u32> = path.iter().take(NESTING_MAX + 2).map(|number| u32::from(*number)).collect();
    let _ = find_part(&structure, &path);
    for text in [
        SectionText::Whole,
        SectionText::Header,
        SectionText::HeaderFields(&names),
        SectionText::HeaderFieldsNot(&names),
        SectionText::Text,
        SectionText::Mime,
    ] {
        let _ = (message_section(input, text), part_section(&structure, &path, text));
    }
    let needle = Needle::new(&word);
    let _ = (header_contains(input, &word, &needle), SearchTexts::of(&structure).body_contains(&needle));
    let _ = SearchTexts::of(&structure).text_contains(&needle);
});
