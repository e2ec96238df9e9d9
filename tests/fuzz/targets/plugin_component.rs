//! Components: whatever octets come, they are compiled or refused, and nothing panics.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use plugin_engine::{Allocation, Profile, Target, compile};

static ENGINE: OnceLock<Option<plugin_engine::CompilerEngine>> = OnceLock::new();

fuzz_target!(|octets: &[u8]| {
    let target = Target { profile: Profile::Serving, allocation: Allocation::OnDemand };
    if let Some(engine) = ENGINE.get_or_init(|| target.compiler().ok()) {
        let _ = compile(engine, octets);
    }
});
