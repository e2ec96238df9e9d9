//! Answers of plugins: whatever one says, nothing panics, and what passes has no line end that it could smuggle.
#![no_main]

use hooks::NoWorld;
use libfuzzer_sys::fuzz_target;
use mail_types::{ChannelName, Domain};
use plugin_engine::{Answer, Question, Settings, checked};

fuzz_target!(|octets: &[u8]| {
    let Ok((question, answer)) = serde_json::from_slice::<(Question, Answer)>(octets) else { return };
    let Ok(name) = "fuzzed".parse() else { return };
    let mut settings = Settings::new(name);
    settings.channels.insert(ChannelName::new("smtp"));
    let tenant = Domain::parse("example.org").ok();
    settings.tenants.extend(tenant.clone());
    for tenant in [None, tenant.as_ref()] {
        if let Ok(lines) = checked(&settings, tenant, &NoWorld, &question, answer.clone()) {
            for line in lines {
                assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
            }
        }
    }
});
