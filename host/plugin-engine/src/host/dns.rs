//! `dns`: bounded questions.

use std::time::Instant;

use mail_types::Lookup;

use super::{permanent, temporary};
use crate::bindings::wasmta::policy::dns::Host;
use crate::bindings::wasmta::policy::types::Failure;
use crate::call::Call;

/// The kinds that may be asked for, and the most records of one answer.
const KINDS: [&str; 5] = ["A", "AAAA", "MX", "TXT", "PTR"];
const RECORDS_MAX: usize = 100;
/// Longest name, in octets (RFC 1035 §2.3.4).
const NAME_MAX: usize = 253;

impl Host for Call {
    async fn query(&mut self, name: String, kind: String) -> wasmtime::Result<Result<Vec<String>, Failure>> {
        let world = self.charge(name.len() + kind.len())?.world.clone();
        self.charge_dns()?;
        if !KINDS.contains(&kind.as_str()) {
            return Ok(Err(permanent(format!("{kind:?} is not one of {}", KINDS.join(", ")))));
        }
        if name.len() > NAME_MAX {
            return Ok(Err(permanent(format!("a name has at most {NAME_MAX} octets"))));
        }
        let ask = self.asks("dns.query", &(&name, &kind));
        if let Some(answer) = self.played(&ask)? {
            return Ok(answer);
        }
        let began = Instant::now();
        let answer = world.dns(&name, &kind).await;
        self.waited(began);
        let answer = match answer {
            Lookup::Found(mut records) => {
                records.truncate(RECORDS_MAX);
                Ok(records)
            }
            Lookup::NotFound => Ok(Vec::new()),
            Lookup::Unavailable(why) => Err(temporary(why)),
        };
        Ok(self.kept(ask, answer))
    }
}
