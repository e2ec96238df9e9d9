//! A domain that mail has come for and no table knows is asked about once, at once (R20): a table may lag.
//!
//! Bounded on every side: so many questions at a time, each within a time; equal questions share one answer; what came out
//! is remembered for a moment. So a storm of mail to nobody costs the name servers no more than that.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dns::{Asked, Known};
use mail_types::{Domain, Lookup, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::DomainTables;
use super::table::TableOptions;
use crate::mirror::guard::Trust;

/// Questions to one list at a time. A zone is asked for its news, whatever the domain: there one at a time is enough.
const LOOK_UPS_MAX: usize = 16;
/// How long mail waits for an answer. The question goes on, and whoever asks again has its answer.
const LOOK_UP_TIME_MAX: Duration = Duration::from_secs(10);
/// For how long after a question its answer is believed.
const REMEMBERED: Duration = Duration::from_secs(2);
/// A failure is remembered for so many times as long as it took, if that is longer: a zone that is fetched in vain is not
/// fetched all the time.
const FAILURE_REST: u32 = 4;
/// But no longer than this.
const FAILURE_REST_MAX: Duration = Duration::from_secs(60);
/// Most answers that are remembered.
const REMEMBERED_MAX: usize = 10_000;

/// What is asked: a table, of a list about one domain.
type Question = (usize, Option<Domain>);

/// What came of a question: the table is as new as that, or why it is not.
#[derive(Clone)]
struct Outcome {
    began: Instant,
    ended: Instant,
    done: Result<(), String>,
}

impl Outcome {
    /// Whether somebody may go by it who asks at that time.
    fn holds(&self, asked_at: Instant) -> bool {
        let rest = (FAILURE_REST * (self.ended - self.began)).clamp(REMEMBERED, FAILURE_REST_MAX);
        let until = if self.done.is_ok() { self.began + REMEMBERED } else { self.ended + rest };
        asked_at < until
    }
}

/// What is asked now, and what came of it lately.
pub(super) struct LookUps {
    permits: Vec<Arc<Semaphore>>,
    asked: Mutex<HashMap<Question, Arc<OnceCell<Outcome>>>>,
    remembered: Mutex<HashMap<Question, Outcome>>,
}

impl LookUps {
    pub(super) fn new(options: &[TableOptions]) -> Self {
        let at_a_time = |one: &TableOptions| if one.source.asks_each() { LOOK_UPS_MAX } else { 1 };
        let permits = options.iter().map(|one| Arc::new(Semaphore::new(at_a_time(one)))).collect();
        Self { permits, asked: Mutex::default(), remembered: Mutex::default() }
    }

    fn remembered(&self, question: &Question, asked_at: Instant) -> Option<Outcome> {
        self.remembered.lock().get(question).filter(|outcome| outcome.holds(asked_at)).cloned()
    }

    fn remember(&self, question: Question, outcome: Outcome) {
        let mut remembered = self.remembered.lock();
        // What came of a question that began later is newer.
        if remembered.get(&question).is_some_and(|known| known.began > outcome.began) {
            return;
        }
        if remembered.len() >= REMEMBERED_MAX {
            let now = Instant::now();
            remembered.retain(|_, outcome| outcome.holds(now));
        }
        // Full of what is still fresh: this one is asked again.
        if remembered.len() < REMEMBERED_MAX {
            remembered.insert(question, outcome);
        }
    }
}

impl DomainTables {
    /// Asks about a domain that is not known, where a table may have it. `Found`: the DNS leads it here, and the directory
    /// has it. `NotFound`: it does not. `Unavailable`: that cannot be said.
    pub async fn look_up(&self, domain: &Domain) -> Lookup<()> {
        let (mut failure, mut is_decided) = (None, false);
        for (at, options) in self.0.options.iter().enumerate() {
            if !(options.covers)(domain) {
                continue;
            }
            if let Err(why) = self.ask_about(at, domain).await {
                failure.get_or_insert(format!("the DNS table {}: {why}", options.name));
            }
            // The first that has it decides.
            is_decided = !self.0.tables.lock()[at].of(domain).0.is_empty();
            if is_decided {
                break;
            }
        }
        match (self.0.directory.dns_domain(domain), failure) {
            (Lookup::NotFound, Some(why)) => Lookup::Unavailable(why),
            (Lookup::NotFound, None) if is_decided => Lookup::NotFound,
            (Lookup::NotFound, None) => self.knows_of(domain),
            (found, _) => found.map(drop),
        }
    }

    async fn ask_about(&self, at: usize, domain: &Domain) -> Result<(), String> {
        let asked_at = Instant::now();
        let question = (at, self.0.options[at].source.asks_each().then(|| domain.clone()));
        loop {
            if let Some(outcome) = self.0.look_ups.remembered(&question, asked_at) {
                return outcome.done;
            }
            let shared = Arc::clone(self.0.look_ups.asked.lock().entry(question.clone()).or_default());
            let outcome = shared.get_or_init(|| self.ask_in_time(&question, asked_at)).await.clone();
            {
                let mut asked = self.0.look_ups.asked.lock();
                if asked.get(&question).is_some_and(|other| Arc::ptr_eq(other, &shared)) {
                    asked.remove(&question);
                }
            }
            // One that somebody asked long before may have missed what is new: the next one began later.
            if outcome.holds(asked_at) {
                return outcome.done;
            }
        }
    }

    async fn ask_in_time(&self, question: &Question, asked_at: Instant) -> Outcome {
        let began = Instant::now();
        let until = began + LOOK_UP_TIME_MAX;
        let failed = |why: String| Outcome { began, ended: Instant::now(), done: Err(why) };
        let late = || failed(format!("no answer within {} s", LOOK_UP_TIME_MAX.as_secs()));
        let permits = Arc::clone(&self.0.look_ups.permits[question.0]);
        let Ok(Ok(permit)) = timeout_at(until, permits.acquire_owned()).await else { return late() };
        // The one before may have been the same, though nobody waited for it any more.
        if let Some(outcome) = self.0.look_ups.remembered(question, asked_at) {
            return outcome;
        }
        let (this, question, late_question) = (self.clone(), question.clone(), question.clone());
        let asking = tokio::spawn(async move {
            // As long as the question lasts, also when nobody waits for it any more.
            let _permit = permit;
            let began = Instant::now();
            let done = match &question {
                (at, Some(domain)) => this.read_one(*at, domain).await,
                (at, None) => this.read(*at, Asked::News, Trust::Guarded).await.map(drop),
            };
            let outcome = Outcome { began, ended: Instant::now(), done };
            this.0.look_ups.remember(question, outcome.clone());
            outcome
        });
        match timeout_at(until, asking).await {
            // Who comes next does not wait as long for the same, while the question goes on.
            Err(_) => {
                let outcome = late();
                self.0.look_ups.remember(late_question, outcome.clone());
                outcome
            }
            Ok(outcome) => outcome.unwrap_or_else(|broken| failed(broken.to_string())),
        }
    }

    /// Asks a list about one domain, beside its rounds, and puts in force what that changes.
    async fn read_one(&self, at: usize, domain: &Domain) -> Result<(), String> {
        let options = &self.0.options[at];
        let table = self.0.tables.lock()[at].clone();
        let of = |domain: &Domain| table.of(domain);
        let known = Known { serial: table.stored.serial, records: &of };
        let fetched = options.source.fetch_one(known, domain).await.map_err(|why| why.to_string())?;
        let read = self.take(at, &fetched, (Asked::News, Trust::Guarded)).await?;
        let tables = self.0.tables.lock();
        if read.changed > 0 {
            self.tell_read(options, &tables[at], &fetched, &read);
        }
        // It may have to be asked about again before all that the next round waits for.
        let again = u64::try_from(fetched.again.as_millis()).unwrap_or(u64::MAX);
        let again = Timestamp(self.0.clock.now().0.saturating_add(again));
        if tables[at].next.is_some_and(|next| again.0 < next.0) {
            options.changed.notify_one();
        }
        Ok(())
    }
}
