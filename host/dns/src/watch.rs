//! A list of domains whose MX records are watched, each for as long as its TTL says (R25).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mail_types::{Domain, Timestamp};
use parking_lot::Mutex;
use runtime::Clock;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::client::{Client, DnsError, Servers, Watched};
use crate::resolver::BoxFuture;
use crate::table_source::{Asked, Content, FetchError, Fetched, Known, MxSet, TableSource};

/// Most domains that one list watches.
pub const WATCHED_MAX: usize = 10_000;
/// Questions of a round at a time: when one is answered, the next one is put.
const QUESTIONS_MAX: usize = 64;
/// How long one question may take, whatever servers there are.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a round puts questions. What is left of it is asked in the next one, when the answers that came are in force.
const ROUND_TIME_MAX: Duration = Duration::from_secs(20);
/// How soon a round follows at most on another one.
const ROUNDS_APART: Duration = Duration::from_secs(1);
/// Failures that are told of.
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
    /// Numbers the questions.
    questions: AtomicU64,
    /// What came of the last question about a domain; it is not here where none was put yet.
    last: Mutex<BTreeMap<Domain, Last>>,
}

/// What came of a question.
struct Last {
    /// Its number: what comes late of an earlier one says nothing.
    question: u64,
    /// When to ask again.
    due: Timestamp,
    /// Why nobody answered it.
    failure: Option<String>,
}

/// What a domain has, and when to ask again.
struct Answered {
    records: MxSet,
    again: Duration,
}

impl Watch {
    /// Reads the machine's settings where told to. Call inside the tokio runtime.
    ///
    /// # Errors
    /// The machine's settings cannot be used.
    pub fn new(options: WatchOptions, clock: Clock) -> Result<Self, DnsError> {
        // What is remembered here is remembered by the list alone.
        let client = Client::without_memory(&options.servers)?;
        Ok(Self { options, client, clock, questions: AtomicU64::new(0), last: Mutex::default() })
    }

    /// One round. Few domains that nobody answers for hold up nobody else's answers.
    async fn ask(&self, asked: Asked) -> Result<Fetched, FetchError> {
        let mut due = self.due_now(asked).into_iter();
        let ends = Instant::now() + ROUND_TIME_MAX;
        let (mut asking, mut came, mut failed) = (JoinSet::new(), BTreeMap::new(), false);
        loop {
            while asking.len() < QUESTIONS_MAX && Instant::now() < ends {
                let Some(domain) = due.next() else { break };
                asking.spawn(self.question(domain));
            }
            let Some(done) = asking.join_next().await else { break };
            // A question that broke off stays due.
            let Ok((domain, question, answer)) = done else { continue };
            match self.heard(&domain, question, answer) {
                Ok(records) => drop(came.insert(domain, (question, records))),
                Err(_) => failed = true,
            }
        }
        if came.is_empty() && failed {
            return Err(FetchError(self.failures().join("; ")));
        }
        let last = self.last.lock();
        let is_last =
            |domain: &Domain, question| last.get(domain).is_none_or(|last| last.question == question);
        let newest = came.into_iter().filter(|(domain, (question, _))| is_last(domain, *question));
        let changed: BTreeMap<Domain, MxSet> =
            newest.map(|(domain, (_, records))| (domain, records)).collect();
        drop(last);
        Ok(self.fetched(if changed.is_empty() { Content::Same } else { Content::Changed(changed) }))
    }

    /// Asks about one domain, due or not.
    async fn ask_one(&self, domain: &Domain) -> Result<Fetched, FetchError> {
        let (_, question, answer) = self.question(domain.clone()).await;
        let records = self.heard(domain, question, answer).map_err(FetchError)?;
        let is_last = self.last.lock().get(domain).is_some_and(|last| last.question == question);
        let content = Content::Changed(BTreeMap::from([(domain.clone(), records)]));
        Ok(self.fetched(if is_last { content } else { Content::Same }))
    }

    /// The domains to ask about, those first that wait longest.
    fn due_now(&self, asked: Asked) -> Vec<Domain> {
        let (now, last) = (self.clock.now(), self.last.lock());
        let since = |domain: &Domain| last.get(domain).map_or(Timestamp(0), |last| last.due);
        let is_due = |domain: &&Domain| asked == Asked::Everything || since(domain).0 <= now.0;
        let mut due: Vec<Domain> = self.options.domains.iter().filter(is_due).cloned().collect();
        due.sort_by_key(|domain| since(domain).0);
        due
    }

    /// Puts a question, in bounded time.
    fn question(&self, domain: Domain) -> impl Future<Output = (Domain, u64, Watched)> + use<> {
        let client = self.client.clone();
        let question = self.questions.fetch_add(1, Ordering::Relaxed);
        async move {
            let answer = timeout(QUESTION_TIME_MAX, client.watched(&domain)).await.unwrap_or_else(|_| {
                let seconds = QUESTION_TIME_MAX.as_secs();
                Watched::Unavailable(format!("MX of {domain}: no answer within {seconds} s"))
            });
            (domain, question, answer)
        }
    }

    /// Notes what an answer means, unless a later question was answered already.
    fn heard(&self, domain: &Domain, question: u64, answer: Watched) -> Result<MxSet, String> {
        let meaning = self.meaning(answer);
        let (again, failure) = match &meaning {
            Ok(answered) => (answered.again, None),
            Err(why) => (self.options.again_min, Some(why.clone())),
        };
        let milliseconds = u64::try_from(again.as_millis()).unwrap_or(u64::MAX);
        let due = Timestamp(self.clock.now().0.saturating_add(milliseconds));
        let mut last = self.last.lock();
        if last.get(domain).is_none_or(|last| last.question <= question) {
            last.insert(domain.clone(), Last { question, due, failure });
        }
        meaning.map(|answered| answered.records)
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

    /// What could not be found out, also in earlier rounds: it is not known until somebody answers.
    fn failures(&self) -> Vec<String> {
        let last = self.last.lock();
        let mut all = last.values().filter_map(|last| last.failure.clone());
        let mut failures: Vec<String> = all.by_ref().take(FAILURES_MAX).collect();
        let more = all.count();
        failures.extend((more > 0).then(|| format!("and {more} more")));
        failures
    }

    fn fetched(&self, content: Content) -> Fetched {
        let (failures, now) = (self.failures(), self.clock.now());
        let last = self.last.lock();
        let wait = |domain| last.get(domain).map_or(Duration::ZERO, |last: &Last| last.due.since(now));
        let again = self.options.domains.iter().map(wait).min().unwrap_or(self.options.again_max);
        let again = again.clamp(ROUNDS_APART, self.options.again_max.max(ROUNDS_APART));
        let retry = self.options.again_min;
        Fetched { serial: None, content, again, retry, expire: None, left_out: 0, failures }
    }
}

impl TableSource for Watch {
    fn fetch<'a>(&'a self, _: Known<'a>, asked: Asked) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(self.ask(asked))
    }

    fn fetch_one<'a>(
        &'a self,
        _: Known<'a>,
        domain: &'a Domain,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(self.ask_one(domain))
    }

    fn asks_each(&self) -> bool {
        true
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
