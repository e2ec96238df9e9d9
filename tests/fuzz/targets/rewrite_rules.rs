//! Rule files, and what rules that were read do to addresses: bounded, whatever they say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mail_types::Address;
use routing::rewrite::rules::{RuleOptions, Rules};
use routing::rewrite::tags::ChannelTags;

fuzz_target!(|text: &str| {
    let tags = ChannelTags::builtin();
    let mut options = RuleOptions::new(&tags);
    options.source_routes = text.len() % 2 == 0;
    options.general = text.len() % 3 == 0;
    match Rules::parse(text, "fuzz.rules", &options) {
        Ok(rules) => {
            let _ = (rules.all().len(), rules.touch_headers(), Address::parse("a@b"));
        }
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
});
