//! Configuration files: read, or refused with a reason for each fault.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use wasmta::config::Config;

fuzz_target!(|text: &str| {
    if let Err(problems) = Config::parse("fuzz.toml", text, Path::new("/nonexistent")) {
        assert!(!problems.to_string().is_empty());
    }
});
