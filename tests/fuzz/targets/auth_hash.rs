//! Stored password values of any origin: refused or verified, within bounds of time and memory.
#![no_main]

use auth::{ClearPasswords, ScramKeys, Secret, verify};
use directory::PasswordHash;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (&str, &str)| {
    let (password, value) = data;
    let Some(secret) = Secret::new(password.to_owned()) else { return };
    let value = PasswordHash::new(value);
    let _ = (value.scheme(), value.clear_text().is_some(), ScramKeys::from_value(&value).is_some());
    let _ = verify(&secret, &value, ClearPasswords::Ignored);
});
