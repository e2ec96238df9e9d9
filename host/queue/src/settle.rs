//! Outcomes: one batch removes, reschedules, replaces and reports, so that each recipient stays in
//! exactly one place (promise 2).

use std::ops::ControlFlow;

use events::Event;
use mail_types::{ChannelName, EnhancedStatus, Reply, Timestamp};
use message::Action;
use storage::{Batch, StorageError};

use crate::ports::{CopyOf, LocalCopy, Outcome};
use crate::queue::Inner;
use crate::records::{self, Last, MESSAGES, RECIPIENTS, Record, StoredMessage, StoredState, recipient_key};
use crate::report::{About, Fate};
use crate::submission::Accepted;
use crate::submit::{Effects, new_record, put_recipient};
use crate::trail::{TrailLine, add_line};
use crate::work::Settled;

/// How often one recipient may be routed or resolved anew before it counts as a loop.
const REPLACED_MAX: u8 = 20;

/// What a batch is gathering.
struct Settlement<'a> {
    message: &'a StoredMessage,
    now: Timestamp,
    batch: Batch,
    effects: Effects,
    fates: Vec<Fate>,
    lines: Vec<TrailLine>,
    next_index: u32,
    /// Recipients that stay or come, less those that go.
    remaining: usize,
}

impl Inner {
    /// Writes what became of recipients.
    pub(crate) async fn settle(
        &self,
        message: &StoredMessage,
        settled: &[Settled],
    ) -> Result<(), StorageError> {
        for accepted in settled.iter().flat_map(replacements) {
            if let Some(account) = accepted.route.local_account() {
                self.agents.local.prepare(account).await?;
            }
        }
        let _serial = self.stripe(message.id).lock().await;
        let now = self.clock.now();
        let (present, next_index) = self.present(message)?;
        let mut settlement = Settlement {
            message,
            now,
            batch: Batch::new(),
            effects: Effects::default(),
            fates: Vec::new(),
            lines: Vec::new(),
            next_index,
            remaining: present,
        };
        for one in settled {
            self.settle_one(&mut settlement, one)?;
        }
        self.add_report(&mut settlement)?;
        let Settlement { mut batch, mut effects, lines, remaining, .. } = settlement;
        for line in &lines {
            add_line(&mut batch, message.id, line);
        }
        if remaining == 0 {
            batch.delete(MESSAGES, &message.id.to_key());
            batch.release_content(message.content, 1);
            effects.messages -= 1;
        }
        let committed = self.commit(batch).await?;
        self.take_effect(effects, &committed);
        for one in settled {
            self.tell(message, one, now);
        }
        if remaining == 0 {
            self.events.emit(&Event::Completed { id: message.id });
        }
        Ok(())
    }

    /// How many recipients a message has, and the first free index.
    fn present(&self, message: &StoredMessage) -> Result<(usize, u32), StorageError> {
        let (mut present, mut next) = (0, 0);
        let view = self.storage.read()?;
        let (from, until) = (message.id.to_key(), records::after(message.id));
        view.scan(RECIPIENTS, &from, &until, &mut |key, _| {
            if let Some((_, index)) = records::read_recipient_key(key) {
                present += 1;
                next = index.saturating_add(1);
            }
            ControlFlow::Continue(())
        })?;
        Ok((present, next))
    }

    fn settle_one(&self, to: &mut Settlement<'_>, one: &Settled) -> Result<(), StorageError> {
        let key = recipient_key(to.message.id, one.index);
        match &one.outcome {
            Outcome::Delivered { reply, remote, reports_passed_on } => {
                if one.record.recipient.notify.on_success() && !reports_passed_on {
                    let fate =
                        Fate::new(&one.record.recipient, Action::Relayed, reply, remote.as_deref(), to.now);
                    to.fates.push(fate);
                }
                to.remove(&key);
                to.line(
                    &one.record,
                    "delivered",
                    format!("{}: {reply}", remote.as_deref().unwrap_or("here")),
                );
            }
            Outcome::Deferred { reply, remote, cause, .. } => {
                self.defer(to, one, reply, remote.as_deref(), cause);
            }
            Outcome::Failed { reply, remote, cause } => {
                to.fail(&key, &one.record, reply, remote.as_deref());
                to.line(&one.record, "failed", format!("{reply} ({cause})"));
            }
            Outcome::Replaced(accepted) => self.replace(to, one, accepted)?,
            Outcome::Discarded { rule } => {
                to.remove(&key);
                to.line(&one.record, "discarded", rule.clone());
            }
        }
        Ok(())
    }

    fn defer(
        &self,
        to: &mut Settlement<'_>,
        one: &Settled,
        reply: &Reply,
        remote: Option<&str>,
        cause: &str,
    ) {
        let options = self.options();
        let key = recipient_key(to.message.id, one.index);
        let age = to.now.since(to.message.message.arrived);
        let null = to.message.message.reverse_path.is_null();
        let expire = if null { options.expire_null } else { options.expire };
        if age >= expire {
            let status = EnhancedStatus::permanent(4, 7);
            let text =
                format!("Given up after {} attempts; the last answer was: {reply}", one.record.attempts + 1);
            to.fail(&key, &one.record, &Reply::new(554, status, text.clone()), remote);
            to.line(&one.record, "expired", text);
            return;
        }
        let mut record = one.record.clone();
        record.attempts = record.attempts.saturating_add(1);
        let due = to.now.plus(self.with_jitter(options.retry.wait(record.attempts), options.retry.jitter));
        record.state = StoredState::Waiting(due);
        if age >= options.delay_warning && !record.delay_reported && record.recipient.notify.on_delay() {
            let fate = Fate::new(&record.recipient, Action::Delayed, reply, remote, to.now);
            to.fates.push(fate.retried_until(to.message.message.arrived.plus(expire)));
            record.delay_reported = true;
        }
        let (reply, remote, cause) = (reply.clone(), remote.map(str::to_owned), cause.to_owned());
        to.line(&record, "deferred", format!("{reply} ({cause})"));
        record.last = Some(Last { at: to.now, reply, remote, cause });
        put_recipient(&mut to.batch, &mut to.effects, to.message.id, one.index, record);
    }

    fn replace(&self, to: &mut Settlement<'_>, one: &Settled, by: &[Accepted]) -> Result<(), StorageError> {
        let key = recipient_key(to.message.id, one.index);
        let replaced = one.record.replaced.saturating_add(1);
        if replaced > REPLACED_MAX {
            let reply = Reply::new(554, EnhancedStatus::permanent(4, 6), "Routing loop detected");
            to.fail(&key, &one.record, &reply, None);
            to.line(&one.record, "failed", format!("resolved anew more than {REPLACED_MAX} times"));
            return Ok(());
        }
        to.remove(&key);
        for accepted in by {
            let origin = accepted.steps.last().map_or("resolved anew", |step| step.text.as_str());
            to.line(
                &one.record,
                "replaced",
                format!("{} by {} ({origin})", accepted.recipient.address, accepted.route),
            );
            if self.is_stored(accepted)? {
                self.append_local(to, accepted)?;
            } else if accepted.route.channel.as_str() != ChannelName::BITBUCKET {
                let mut record = new_record(accepted.clone(), to.now);
                record.replaced = replaced;
                if accepted.recipient.address == one.record.recipient.address {
                    record.attempts = one.record.attempts;
                    record.delay_reported = one.record.delay_reported;
                }
                let index = to.next_index;
                to.next_index += 1;
                to.remaining += 1;
                put_recipient(&mut to.batch, &mut to.effects, to.message.id, index, record);
            }
        }
        Ok(())
    }

    /// Whether a recipient's copy goes to its mailbox now: not where that is full.
    fn is_stored(&self, accepted: &Accepted) -> Result<bool, StorageError> {
        match accepted.route.local_account() {
            Some(account) => self.agents.local.has_room(account),
            None => Ok(false),
        }
    }

    fn append_local(&self, to: &mut Settlement<'_>, accepted: &Accepted) -> Result<(), StorageError> {
        let Some(account) = accepted.route.local_account() else { return Ok(()) };
        let message = &to.message.message;
        let copy = LocalCopy {
            account,
            recipient: &accepted.recipient,
            reverse_path: &message.reverse_path,
            prefix: &message.prefix,
            content: CopyOf::Stored(to.message.content),
            size: to.message.size,
            arrived: message.arrived,
        };
        to.effects.publish.push(self.agents.local.append(&mut to.batch, &copy)?);
        if accepted.recipient.notify.on_success() {
            to.fates.push(Fate::without_remote(&accepted.recipient, Action::Delivered, to.now));
        }
        Ok(())
    }

    fn add_report(&self, to: &mut Settlement<'_>) -> Result<(), StorageError> {
        if to.fates.is_empty() {
            return Ok(());
        }
        let missing = || StorageError::Corrupt(format!("message {} has lost its content", to.message.id));
        let content = self.storage.read()?.content(to.message.content)?.ok_or_else(missing)?;
        let message = &to.message.message;
        let about = About {
            id: to.message.id,
            arrived: message.arrived,
            reverse_path: &message.reverse_path,
            transport: &message.transport,
            prefix: &message.prefix,
            content: &content,
        };
        if let Some(report) = self.compose_report(&about, &to.fates, to.now)? {
            self.queue_report(&mut to.batch, &mut to.effects, report, to.now);
        }
        Ok(())
    }

    fn with_jitter(&self, wait: std::time::Duration, share: f64) -> std::time::Duration {
        #[allow(clippy::cast_precision_loss, reason = "a share of chance needs no exact bits")]
        let chance = self.random.below(1 << 20) as f64 / f64::from(1 << 20);
        wait.mul_f64((1.0 + share * (2.0 * chance - 1.0)).max(0.0))
    }

    fn tell(&self, message: &StoredMessage, one: &Settled, now: Timestamp) {
        let (outcome, reply, remote, cause) = match &one.outcome {
            Outcome::Delivered { reply, remote, .. } => (events::Outcome::Delivered, reply, remote, None),
            Outcome::Deferred { reply, remote, cause, .. } => {
                (events::Outcome::Deferred, reply, remote, Some(cause))
            }
            Outcome::Failed { reply, remote, cause } => (events::Outcome::Failed, reply, remote, Some(cause)),
            Outcome::Discarded { rule } => {
                let recipient = &one.record.recipient.address;
                self.events.emit(&Event::Discarded { id: message.id, recipient, rule });
                return;
            }
            Outcome::Replaced(by) => {
                let routes: Vec<String> =
                    by.iter().take(10).map(|accepted| accepted.route.to_string()).collect();
                let change = format!("{} goes by {}", one.record.recipient.address, routes.join(", "));
                self.events.emit(&Event::QueueChanged { id: message.id, change: &change, by: "routing" });
                return;
            }
        };
        self.events.emit(&Event::Attempted {
            id: message.id,
            recipient: &one.record.recipient.address,
            route: &one.record.route,
            outcome,
            remote: remote.as_deref(),
            reply,
            cause: cause.map(String::as_str),
            attempts: one.record.attempts + u32::from(one.tried),
            delay_seconds: now.since(message.message.arrived).as_secs(),
        });
    }
}

impl Settlement<'_> {
    fn remove(&mut self, key: &[u8]) {
        self.batch.delete(RECIPIENTS, key);
        self.remaining = self.remaining.saturating_sub(1);
    }

    fn fail(&mut self, key: &[u8], record: &Record, reply: &Reply, remote: Option<&str>) {
        if record.recipient.notify.on_failure() {
            self.fates.push(Fate::new(&record.recipient, Action::Failed, reply, remote, self.now));
        }
        self.remove(key);
    }

    fn line(&mut self, record: &Record, what: &str, text: String) {
        let recipient = Some(record.recipient.address.clone());
        self.lines.push(TrailLine { at: self.now, recipient, what: what.to_owned(), text });
    }
}

fn replacements(settled: &Settled) -> &[Accepted] {
    match &settled.outcome {
        Outcome::Replaced(accepted) => accepted,
        _ => &[],
    }
}
