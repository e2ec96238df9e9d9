//! Keeps the host busy: a hundred thousand questions to the DNS, each for another name. `lookup@` looks into a table as
//! often, `many@` asks for a hundred thousand keys at once. Failures do not stop it; in the end it answers innocently.

use crate::wasmta::policy::{dns, lookup};
use crate::{GOOD, Hostile};
use std::hint::black_box;

const CALLS: u32 = 100_000;

pub struct Behaviour;

impl Hostile for Behaviour {
    const NAME: &str = "slow";
    const SUMMARY: &str = "Hostile: asks the host without measure";

    fn act(word: &str) {
        match word {
            GOOD => {}
            "lookup" => {
                for call in 0..CALLS {
                    black_box(lookup::get("users", &format!("user{call}@example.org")).is_ok());
                }
            }
            "many" => {
                let keys: Vec<String> = (0..CALLS).map(|key| format!("user{key}@example.org")).collect();
                black_box(lookup::get_many("users", &keys).is_ok());
            }
            _ => {
                for call in 0..CALLS {
                    black_box(dns::query(&format!("n{call}.slow.example"), "TXT").is_ok());
                }
            }
        }
    }
}
