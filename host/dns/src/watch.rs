//! A list of domains whose MX records are watched, each for as long as its TTL says (R25).

use std::collections::BTreeMap;
use std::time::Duration;

use mail_types::{Domain, Timestamp};
use parking_lot::Mutex;
use runtime::Clock;
use tokio::task::JoinSet;

use crate::client::{Client, DnsError, Servers, Watched};
use crate::resolver::BoxFuture;
use crate::table_source::{Asked, Content, FetchError, Fetched, Known, MxSet, TableSource};

/// Most domains that one list watches.
pub const WATCHED_MAX: usize = 10_000;
/// Questions at a time.
const QUESTIONS_MAX: usize = 16;
/// Failures that are told of one round.
const FAILURES_MAX: usize = 20;

/// What is watched.
#[derive(Debug, Clone)]
pub struct WatchOptions {
    /// The domains; at most [`WATCHED_MAX`].
    pub domains: Vec<Domain>,
    /// Whom to ask.
    pub servers: Servers,
    /// No sooner than this a domain is asked about again, whatever its TTL says; also after a failure.
    pub again_min: Duration,
    /// No later than this a domain is asked about again, whatever its TTL says.
    pub again_max: Duration,
}

/// The list.
pub struct Watch {
    options: WatchOptions,
    client: Client,
    clock: Clock,
    /// When to ask about a domain again; it is not here where nobody has answered yet.
    due: Mutex<BTreeMap<Domain, Timestamp>>,
}

impl Watch {
    /// Reads the machine's settings where told to. Call inside the tokio runtime.
    ///
    /// # Errors
    /// The machine's settings cannot be used.
    pub fn new(options: WatchOptions, clock: Clock) -> Result<Self, DnsError> {
        // What is remembered here is remembered by the list alone.
        let client = Client::without_memory(&options.servers)?;
        Ok(Self { options, client, clock, due: Mutex::default() })
    }

    async fn ask(&self, asked: Asked) -> Result<Fetched, FetchError> {
        let due = self.due_now(asked);
        let mut changed = BTreeMap::new();
        let mut failures = Vec::new();
        let mut failed = 0;
        for some in due.chunks(QUESTIONS_MAX) {
            for (domain, answer) in self.answers(some).await {
                let Answered { records, again } = match self.meaning(answer) {
                    Ok(answer) => answer,
                    Err(why) => {
                        failed += 1;
                        if failures.len() < FAILURES_MAX {
                            failures.push(why);
                        }
                        self.note(domain, self.options.again_min);
                        continue;
                    }
                };
                self.note(domain.clone(), again);
                changed.insert(domain, records);
            }
        }
        if failed > failures.len() {
            failures.push(format!("and {} more", failed - failures.len()));
        }
        if failed == due.len() && failed > 0 {
            return Err(FetchError(failures.join("; ")));
        }
        let content = if due.is_empty() { Content::Same } else { Content::Changed(changed) };
        Ok(self.fetched(content, failures))
    }

    /// The domains to ask about.
    fn due_now(&self, asked: Asked) -> Vec<Domain> {
        let (now, due) = (self.clock.now(), self.due.lock());
        let is_due =
            |domain: &&Domain| asked == Asked::Everything || due.get(domain).is_none_or(|at| at.0 <= now.0);
        self.options.domains.iter().filter(is_due).cloned().collect()
    }

    async fn answers(&self, domains: &[Domain]) -> Vec<(Domain, Watched)> {
        let mut asking = JoinSet::new();
        for domain in domains {
            let (client, domain) = (self.client.clone(), domain.clone());
            asking.spawn(async move {
                let answer = client.watched(&domain).await;
                (domain, answer)
            });
        }
        asking.join_all().await
    }

    fn meaning(&self, answer: Watched) -> Result<Answered, String> {
        let WatchOptions { again_min, again_max, .. } = self.options;
        match answer {
            Watched::Records(records, ttl) => {
                Ok(Answered { records: MxSet(records), again: ttl.clamp(again_min, again_max) })
            }
            Watched::Nothing(ttl) => {
                Ok(Answered { records: MxSet::default(), again: ttl.clamp(again_min, again_max) })
            }
            Watched::Unavailable(why) => Err(why),
        }
    }

    fn note(&self, domain: Domain, again: Duration) {
        let milliseconds = u64::try_from(again.as_millis()).unwrap_or(u64::MAX);
        let at = Timestamp(self.clock.now().0.saturating_add(milliseconds));
        self.due.lock().insert(domain, at);
    }

    fn fetched(&self, content: Content, failures: Vec<String>) -> Fetched {
        let now = self.clock.now();
        let next = self.due.lock().values().map(|at| at.since(now)).min();
        let again = next.unwrap_or(self.options.again_max);
        let again = again.clamp(Duration::from_secs(1), self.options.again_max);
        let retry = self.options.again_min;
        Fetched { serial: None, content, again, retry, expire: None, left_out: 0, failures }
    }
}

/// What a domain has, and when to ask again.
struct Answered {
    records: MxSet,
    again: Duration,
}

impl TableSource for Watch {
    fn fetch<'a>(&'a self, _: Known<'a>, asked: Asked) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(self.ask(asked))
    }

    fn place(&self) -> String {
        match &self.options.servers {
            Servers::These(servers) => {
                let names: Vec<String> = servers.iter().map(ToString::to_string).collect();
                format!("asked of {}", names.join(", "))
            }
            Servers::System => "asked of the system's name servers".to_owned(),
            Servers::Nobody => "asked of nobody".to_owned(),
        }
    }

    fn identity(&self) -> String {
        "list".to_owned()
    }
}

#[cfg(test)]
mod tests;
