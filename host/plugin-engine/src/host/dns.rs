//! `dns`: bounded questions.

use mail_types::Lookup;

use super::{permanent, temporary};
use crate::bindings::wasmta::policy::dns::Host;
use crate::bindings::wasmta::policy::types::Failure;
use crate::call::{Call, NOT_IN_TIME};

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
        let answer = match self.wait_for(world.dns(&name, &kind)).await {
            Some(Lookup::Found(mut records)) => {
                records.truncate(RECORDS_MAX);
                Ok(records)
            }
            Some(Lookup::NotFound) => Ok(Vec::new()),
            Some(Lookup::Unavailable(why)) => Err(temporary(why)),
            None => Err(temporary(NOT_IN_TIME)),
        };
        Ok(self.kept(ask, answer))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use hooks::{Attributes, BoxFuture, Ownership, World};
    use mail_types::{ChannelName, Domain, Timestamp};

    use super::*;
    use crate::call::Surroundings;
    use crate::kv::{Kv, SPACES};
    use crate::plugin::Manner;
    use crate::settings::{BreakerOptions, Settings};
    use crate::tape::Tape;
    use crate::tenant::Tenants;

    /// A world whose DNS does not answer.
    struct Silent;

    impl World for Silent {
        fn ownership(&self, _: &Domain, _: &Domain) -> Lookup<Ownership> {
            Lookup::NotFound
        }
        fn has_channel(&self, _: &ChannelName) -> bool {
            false
        }
        fn generation(&self) -> u64 {
            0
        }
        fn table_row(&self, _: Option<&Domain>, _: &str, _: &str) -> Lookup<Arc<Attributes>> {
            Lookup::NotFound
        }
        fn dns<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Lookup<Vec<String>>> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_dns_that_does_not_answer_is_a_failure_that_a_plugin_can_go_on_from() {
        let folder = tempfile::tempdir().unwrap();
        let options = storage::Options { size_max: 16 << 20, synced: false, ..Default::default() };
        let kv = Kv::new(storage::Storage::open(folder.path(), SPACES, &options).unwrap());
        let surroundings = Surroundings { world: Arc::new(Silent), kv };
        let settings = Settings::new("patient".parse().unwrap());
        let wall = settings.limits.wall;
        let share = Tenants::new(settings.limits.clone(), BreakerOptions::default()).of(None);
        let now = Instant::now();
        let mut call = Call::new(Arc::new(settings), Arc::default(), Some(surroundings), None, share, now);
        let manner = Manner {
            tape: Tape::recording(),
            now: Timestamp(0),
            seed: 0,
            fresh: true,
            explains: false,
            content: None,
        };
        call.begin(manner, now, tokio::time::Instant::now() + wall);
        let asked = call.query("slow.example".to_owned(), "A".to_owned());
        let failure = tokio::time::timeout(wall - Duration::from_millis(20), asked).await;
        let failure = failure.expect("before the call's time is up").unwrap().unwrap_err();
        assert!(!failure.permanent && failure.message.contains("limits.wall"), "{failure:?}");
        let kept = std::mem::take(&mut call.tape).into_kept().unwrap();
        assert_eq!(kept.answers.len(), 1, "played again, it fails alike");
    }
}
