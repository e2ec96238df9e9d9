//! One leased job: read it, route it again, try it, settle it.

use std::ops::ControlFlow;
use std::time::Duration;

use mail_types::{EnhancedStatus, Lookup, Persistence, QueueId, Reply, Route, Timestamp};
use storage::{LoadedContent, StorageError};

use crate::options::OTHER_WAITS_MAX;
use crate::ports::{Attempt, Origin, Outcome, Reach};
use crate::queue::Inner;
use crate::records::{self, MESSAGES, Message, RECIPIENTS, Record, StoredMessage, StoredState};
use crate::schedule::Job;
use crate::submission::{Accepted, Step, StepKind};
use crate::unreadable;

/// Recipients of one message that are read for one attempt, whatever the channel's limits say.
pub(crate) const READ_MAX: usize = 10_000;
/// Waits between tries to write an outcome while storage fails: first and longest.
const SETTLE_WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// When a job is tried again whose attempt panicked.
const PANICKED_WAIT: Duration = OTHER_WAITS_MAX;
/// When a job is looked at again whose message or recipients cannot be read.
const UNREADABLE_WAIT: Duration = Duration::from_secs(300);

/// A recipient with its place and what became of it.
pub(crate) struct Settled {
    pub(crate) index: u32,
    pub(crate) record: Record,
    pub(crate) outcome: Outcome,
    /// Whether a channel tried it; routing anew is no attempt, and a look at what waits neither.
    pub(crate) tried: bool,
}

/// A job's place in the schedule, given back whatever happens: a panic in a channel must not keep it for ever.
struct Place<'a> {
    inner: &'a Inner,
    job: Job,
    /// Where a channel was asked: whether, and why, the destination could not be reached.
    unreachable: Option<Option<String>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let (inner, job, now) = (self.inner, &self.job, self.inner.clock.now());
        let options = inner.options();
        let mut schedule = inner.schedule.lock();
        if std::thread::panicking() {
            schedule.push(job.id, &job.route, now.plus(PANICKED_WAIT));
        }
        let rest = schedule.finish(job, self.unreachable.as_ref().map(Option::is_some), now, &options);
        drop(schedule);
        if std::thread::panicking() {
            let cause = format!("the attempt of {} over {} panicked", job.id, job.route);
            inner.events.emit(&events::Event::InternalError { place: "queue", cause: &cause });
        }
        if let (Some(rest), Some(Some(cause))) = (rest, &self.unreachable) {
            let (destination, seconds) = (job.route.to_string(), rest.as_secs());
            inner.events.emit(&events::Event::DestinationResting {
                destination: &destination,
                cause,
                seconds,
            });
        }
        inner.wake.notify_one();
    }
}

/// How an attempt ended.
struct Done {
    /// As in [`Place`].
    unreachable: Option<Option<String>>,
    /// Whether storage knows what became of the recipients.
    written: bool,
}

/// What a job has to do, as it was read.
struct Due {
    message: StoredMessage,
    /// Why it cannot be read, where storage has lost it.
    content: Result<LoadedContent, String>,
    recipients: Vec<(u32, Record)>,
}

struct Leased {
    message: StoredMessage,
    attempt: Option<Attempt>,
    /// Recipients of the attempt, in its order.
    tried: Vec<(u32, Record)>,
    /// Recipients that routing settled already.
    settled: Vec<Settled>,
}

impl Inner {
    /// Does a job to its end, and gives its place back.
    pub(crate) async fn work(&self, job: Job) {
        let mut place = Place { inner: self, job, unreachable: None };
        let job = &place.job;
        match self.lease(job).await {
            Ok(leased) => {
                let Some(leased) = leased else { return self.push_what_is_left(job) };
                let Done { unreachable, written } = self.carry_out(leased).await;
                // What could not be written must not be tried again before the next start has read it.
                if written {
                    self.push_what_is_left(job);
                }
                place.unreachable = unreachable;
            }
            Err(error) => {
                let cause = format!("message {} over {}: {error}", job.id, job.route);
                self.events.emit(&events::Event::InternalError { place: "reading the queue", cause: &cause });
                self.schedule.lock().push(job.id, &job.route, self.clock.now().plus(UNREADABLE_WAIT));
            }
        }
    }

    /// Tries and settles.
    async fn carry_out(&self, leased: Leased) -> Done {
        let Leased { message, attempt, tried, mut settled } = leased;
        let mut unreachable = None;
        if let Some(attempt) = attempt {
            let mut outcomes = self.try_channel(&attempt).await;
            outcomes.resize_with(tried.len(), || deferred("the channel gave too few answers"));
            unreachable = Some(outcomes.iter().find_map(|outcome| match outcome {
                Outcome::Deferred { reach: Reach::Destination, cause, .. } => Some(cause.clone()),
                _ => None,
            }));
            for ((index, record), outcome) in tried.into_iter().zip(outcomes) {
                settled.push(Settled { index, record, outcome, tried: true });
            }
        }
        let (mut wait, mut uncertain) = (SETTLE_WAITS.0, None);
        // What happened has happened: it is written as soon as storage works again. A crash
        // before that repeats the attempt, the one window in which remote mail can double.
        while let Err(error) = self.settle_again(&message, &settled, &mut uncertain).await {
            match error {
                StorageError::Closed => return Done { unreachable, written: false },
                StorageError::Conflict(_) => {
                    // An account went away under a local copy: what was tried is written, the rest is routed
                    // again later.
                    self.push_again(&message, &settled);
                    settled.retain(|one| one.tried && !self.has_changed(&message, one));
                    if settled.is_empty() {
                        break;
                    }
                }
                error => {
                    let cause = format!("message {}: {error}", message.id);
                    let place = "writing what became of recipients";
                    self.events.emit(&events::Event::InternalError { place, cause: &cause });
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(SETTLE_WAITS.1);
        }
        Done { unreachable, written: true }
    }

    /// A job runs for the recipients that are due; others of the same route may be due later, and
    /// the schedule knows one time only for each job.
    pub(crate) fn push_what_is_left(&self, job: &Job) {
        let (mut earliest, prefix) = (None, records::route_prefix(&job.route));
        let scanned = self.storage.read().and_then(|view| {
            view.scan(RECIPIENTS, &job.id.to_key(), &records::after(job.id), &mut |_, value| {
                if value.starts_with(&prefix)
                    && let Ok(Record { state: StoredState::Waiting(due), .. }) = Record::read(value)
                {
                    earliest = Some(earliest.map_or(due, |known: Timestamp| known.min(due)));
                }
                ControlFlow::Continue(())
            })
        });
        if scanned.is_err() {
            earliest = Some(self.clock.now().plus(SETTLE_WAITS.1));
        }
        if let Some(due) = earliest {
            self.schedule.lock().push(job.id, &job.route, due);
        }
    }

    fn push_again(&self, message: &StoredMessage, settled: &[Settled]) {
        let later = self.clock.now().plus(SETTLE_WAITS.1);
        let mut schedule = self.schedule.lock();
        for one in settled.iter().filter(|one| !one.tried) {
            schedule.push(message.id, &one.record.route, later);
        }
    }

    async fn try_channel(&self, attempt: &Attempt) -> Vec<Outcome> {
        let channel = self.channels.read().get(&attempt.route.channel).cloned();
        match channel {
            Some(channel) => channel.attempt(attempt).await,
            None => {
                let why =
                    format!("there is no channel {:?} in the configuration", attempt.route.channel.as_str());
                attempt.recipients.iter().map(|_| deferred(&why)).collect()
            }
        }
    }

    /// Reads the job's message and those of its recipients that are due, and routes them again.
    async fn lease(&self, job: &Job) -> Result<Option<Leased>, StorageError> {
        let Some(Due { message, content, recipients }) = self.read_due(job)? else { return Ok(None) };
        let (mut tried, mut settled) = (Vec::new(), Vec::new());
        let content = match content {
            Ok(content) => content,
            Err(why) => {
                let settled = self.without_content(job, recipients, &why);
                return Ok(Some(Leased { message, attempt: None, tried, settled }));
            }
        };
        for (index, record) in recipients {
            match self.route_again(job.id, &record, &message.message).await {
                None => tried.push((index, record)),
                Some(outcome) => {
                    // A full mailbox was tried like any other way out: it has its next attempt.
                    let tried = matches!(outcome, Outcome::Deferred { .. });
                    settled.push(Settled { index, record, outcome, tried });
                }
            }
        }
        let attempt = if tried.is_empty() {
            None
        } else {
            Some(Attempt {
                id: job.id,
                reverse_path: message.message.reverse_path.clone(),
                transport: message.message.transport.clone(),
                recipients: tried.iter().map(|(_, record)| record.recipient.clone()).collect(),
                route: Route::clone(&job.route),
                prefix: message.message.prefix.clone().into(),
                content,
                arrived: message.message.arrived,
                source: message.message.source.channel.clone(),
                authenticated: message.message.source.authenticated.clone(),
            })
        };
        Ok(Some(Leased { message, attempt, tried, settled }))
    }

    /// Storage has lost a message's content, or its end. Somebody may yet bring it back; until then its recipients are
    /// deferred like any other, so that its sender hears of it when its time is over.
    fn without_content(&self, job: &Job, recipients: Vec<(u32, Record)>, why: &str) -> Vec<Settled> {
        let cause = format!("message {} has lost its content", job.id);
        let told = format!("{cause}: {why}");
        self.events.emit(&events::Event::InternalError { place: "reading the queue", cause: &told });
        let reply = Reply::new(451, EnhancedStatus::transient(3, 0), "The message cannot be read");
        let outcome = || Outcome::Deferred {
            reply: reply.clone(),
            remote: None,
            cause: cause.clone(),
            reach: Reach::Recipient,
        };
        let settled = |(index, record)| Settled { index, record, outcome: outcome(), tried: true };
        recipients.into_iter().map(settled).collect()
    }

    /// One view serves message, content and recipients; it is closed before anybody is asked for a route.
    fn read_due(&self, job: &Job) -> Result<Option<Due>, StorageError> {
        let view = self.storage.read()?;
        let Some(value) = view.get(MESSAGES, &job.id.to_key())? else { return Ok(None) };
        let message = StoredMessage::read(job.id, &value)?;
        let most = self.options().limits(job.route.channel.as_str()).recipients_per_attempt.min(READ_MAX);
        let recipients = self.due_recipients(&view, job, most)?;
        if recipients.is_empty() {
            return Ok(None);
        }
        let content = match view.content(message.content) {
            Ok(Some(content)) if content.len() == message.size => Ok(content),
            // A file that lost its end must not leave as if it were whole.
            Ok(Some(content)) => Err(format!("{} octets are left of {}", content.len(), message.size)),
            Ok(None) => Err("storage does not know it any more".to_owned()),
            // The file is gone, or what is packed cannot be unpacked.
            Err(StorageError::Corrupt(why)) => Err(why),
            Err(error) => return Err(error),
        };
        Ok(Some(Due { message, content, recipients }))
    }

    /// At most so many recipients of a job that are due. One that cannot be read stays, and is told of: it must not keep the
    /// others from leaving.
    pub(crate) fn due_recipients(
        &self,
        view: &storage::Snapshot,
        job: &Job,
        most: usize,
    ) -> Result<Vec<(u32, Record)>, StorageError> {
        let (now, options) = (self.clock.now(), self.options());
        let (mut due, prefix) = (Vec::new(), records::route_prefix(&job.route));
        view.scan(RECIPIENTS, &job.id.to_key(), &records::after(job.id), &mut |key, value| {
            if !value.starts_with(&prefix) {
                return ControlFlow::Continue(());
            }
            let Some((_, index)) = records::read_recipient_key(key) else { return ControlFlow::Continue(()) };
            match Record::read(value) {
                Ok(record) => {
                    if matches!(record.state, StoredState::Waiting(at) if options.is_due(at, now)) {
                        due.push((index, record));
                    }
                }
                Err(error) => unreadable::tell(&self.events, job.id, index, &error),
            }
            if due.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(due)
    }

    /// A copy that waits for an account goes with it, where that has another name now. What was routed anew since it came was
    /// decided at a time that nobody noted.
    fn now_called(&self, record: &Record, message: &Message) -> Option<Outcome> {
        let account = record.route.local_account().filter(|_| record.replaced == 0)?;
        let now = self.agents.local.now_called(account, message.arrived).ok().flatten()?;
        let text = format!("{account} is called {now} now");
        let steps = vec![Step { kind: StepKind::Route, text, origin: None }];
        let route = match record.route.filing() {
            Some(filing) => Route::filed(now, filing.clone()),
            None => Route::store(now),
        };
        let accepted = Accepted { steps, ..Accepted::new(record.recipient.clone(), route) };
        Some(Outcome::Replaced(vec![accepted]))
    }

    /// `None` where the route stays as it is.
    async fn route_again(&self, id: QueueId, record: &Record, message: &Message) -> Option<Outcome> {
        if record.later.rerouted {
            return None;
        }
        // Whoever has it tried again knows of a change.
        let is_first = record.attempts == 0 && record.route.local_account().is_none();
        if is_first && self.decided.is_fresh(id, self.clock.now()) {
            return None;
        }
        if record.route.local_account().is_none() {
            let origin = Origin { reverse_path: &message.reverse_path, source: &message.source };
            let now = self.agents.router.route(&record.recipient, &record.route, origin).await;
            match now.map(|route| self.options().as_gone(route)) {
                Lookup::Found(route) if route == record.route => return None,
                Lookup::Found(route) => {
                    let text = format!("route changed from {} to {route}", record.route);
                    let steps = vec![Step { kind: StepKind::Route, text, origin: None }];
                    let accepted = Accepted { steps, ..Accepted::new(record.recipient.clone(), route) };
                    return Some(Outcome::Replaced(vec![accepted]));
                }
                Lookup::NotFound => {
                    let status = EnhancedStatus::permanent(1, 1);
                    let reply = Reply::new(550, status, "The address does not exist any more");
                    let cause = "routing knows no way for it any more".to_owned();
                    return Some(Outcome::Failed { reply, remote: None, cause });
                }
                Lookup::Unavailable(_) => return None,
            }
        }
        if let Some(renamed) = self.now_called(record, message) {
            return Some(renamed);
        }
        if let Some(account) = record.route.local_account()
            && let Ok(Some(full)) = self.agents.local.find_full(account)
        {
            let reply = self.options().over_quota.reply(self.clock.now().since(message.arrived));
            let cause = format!("{full} is over its quota");
            if reply.persistence() == Persistence::Permanent {
                return Some(Outcome::Failed { reply, remote: None, cause });
            }
            return Some(Outcome::Deferred { reply, remote: None, cause, reach: Reach::Recipient });
        }
        // A local copy that could not be appended before: the queue appends it itself.
        let accepted = Accepted::new(record.recipient.clone(), record.route.clone());
        Some(Outcome::Replaced(vec![accepted]))
    }
}

/// A deferral for reasons of our own.
fn deferred(cause: &str) -> Outcome {
    let reply = Reply::new(451, EnhancedStatus::transient(3, 5), "Mail system not configured for this route");
    Outcome::Deferred { reply, remote: None, cause: cause.to_owned(), reach: Reach::Recipient }
}
