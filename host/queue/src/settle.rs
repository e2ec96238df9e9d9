//! Outcomes: one batch removes, reschedules, replaces and reports, so that each recipient stays in
//! exactly one place (promise 2).

use std::collections::HashSet;
use std::ops::ControlFlow;

use events::Event;
use mail_types::{AccountName, ChannelName, EnhancedStatus, Reply, Route, Timestamp};
use message::Action;
use storage::{Batch, StorageError};

use crate::copies::Remembering;
use crate::late::Deadlines;
use crate::ports::{CopyOf, Duty, LocalCopy, Outcome, Room};
use crate::queue::Inner;
use crate::records::{
    self, DELIVERED_MAX, Last, MESSAGES, RECIPIENTS, Record, Spoken, StoredMessage, StoredState,
    recipient_key,
};
use crate::report::{About, Fate};
use crate::submission::Accepted;
use crate::submit::{Effects, new_record, put_recipient};
use crate::trail::{TrailLine, add_line};
use crate::work::Settled;

/// How often one recipient may be routed or resolved anew before it counts as a loop.
pub(crate) const REPLACED_MAX: u8 = 20;

/// What a batch is gathering.
pub(crate) struct Settlement<'a> {
    pub(crate) message: &'a StoredMessage,
    /// The copies that are there or come: nobody gets a second one.
    copies: HashSet<(String, Route)>,
    /// Accounts that had theirs before.
    delivered: Vec<AccountName>,
    /// Accounts that get theirs now.
    stored: Vec<AccountName>,
    /// What is remembered of a posting from now on.
    pub(crate) remembering: Remembering,
    pub(crate) now: Timestamp,
    pub(crate) batch: Batch,
    pub(crate) effects: Effects,
    fates: Vec<Fate>,
    lines: Vec<TrailLine>,
    next_index: u32,
    /// Which were given up for their age.
    expired: Vec<u32>,
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
        self.settle_again(message, settled, &mut None).await
    }

    /// As [`Inner::settle`], for who tries until it is written. A failing disk may have taken a commit all the same:
    /// what that would have done is kept in `uncertain`, and takes effect once its recipients turn out to have changed.
    pub(crate) async fn settle_again(
        &self,
        message: &StoredMessage,
        settled: &[Settled],
        uncertain: &mut Option<Effects>,
    ) -> Result<(), StorageError> {
        self.prepare(&settled.iter().flat_map(replacements).collect::<Vec<_>>()).await?;
        let _serial = self.stripe(message.first_posting()).lock().await;
        // Looked at where nobody else can write: another job may give the place of one that is gone to somebody else.
        if uncertain.is_some() && settled.iter().any(|one| self.has_changed(message, one)) {
            self.take_effect(uncertain.take().unwrap_or_default(), None);
            return Ok(());
        }
        let now = self.clock.now();
        let Present { recipients, next_index, delivered } = self.present(message)?;
        let mut settlement = Settlement {
            message,
            copies: delivered.iter().map(copy_of).collect(),
            delivered,
            stored: Vec::new(),
            remembering: Remembering::default(),
            now,
            batch: Batch::new(),
            effects: Effects::default(),
            fates: Vec::new(),
            lines: Vec::new(),
            next_index,
            expired: Vec::new(),
            remaining: recipients,
        };
        for one in settled {
            self.settle_one(&mut settlement, one)?;
        }
        self.add_report(&mut settlement)?;
        let Settlement {
            mut batch,
            mut effects,
            lines,
            remaining,
            expired,
            stored,
            remembering,
            delivered,
            ..
        } = settlement;
        for line in &lines {
            add_line(&mut batch, message.id, line);
        }
        if remaining == 0 {
            batch.delete(MESSAGES, &message.id.to_key());
            batch.release_content(message.content, 1);
            self.forget_copies(&mut batch, message, &remembering)?;
            effects.messages -= 1;
        } else if !stored.is_empty() && delivered.len() < DELIVERED_MAX {
            let accounts = delivered.into_iter().chain(stored).take(DELIVERED_MAX).collect();
            let message = StoredMessage { delivered: accounts, ..message.clone() };
            batch.put(MESSAGES, &message.id.to_key(), message.to_value());
        }
        let committed = match self.commit(batch).await {
            Ok(committed) => committed,
            Err(error) => {
                if !matches!(error, StorageError::Conflict(_)) {
                    *uncertain = Some(effects);
                }
                return Err(error);
            }
        };
        self.take_effect(effects, Some(&committed));
        for one in settled {
            self.tell(message, one, expired.contains(&one.index), now);
        }
        if remaining == 0 {
            self.events.emit(&Event::Completed { id: message.id });
        }
        Ok(())
    }

    /// Whether a recipient is no longer in the queue as it was read: it is gone, it waits for another time, or another one
    /// has its place. What cannot be read counts as there: the batch looks again.
    pub(crate) fn has_changed(&self, message: &StoredMessage, one: &Settled) -> bool {
        let key = recipient_key(message.id, one.index);
        let found = self.storage.read().and_then(|view| match view.get(RECIPIENTS, &key)? {
            Some(value) => Record::read(&value).map(Some),
            None => Ok(None),
        });
        match found {
            Ok(Some(there)) => there != one.record,
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// What is left of a message now, whatever it was when the attempt began.
    fn present(&self, message: &StoredMessage) -> Result<Present, StorageError> {
        let (mut present, mut next) = (0, 0);
        let view = self.storage.read()?;
        let stored = view.get(MESSAGES, &message.id.to_key())?;
        let delivered = match stored {
            Some(value) => StoredMessage::read(message.id, &value)?.delivered,
            None => Vec::new(),
        };
        let (from, until) = (message.id.to_key(), records::after(message.id));
        view.scan(RECIPIENTS, &from, &until, &mut |key, _| {
            if let Some((_, index)) = records::read_recipient_key(key) {
                present += 1;
                next = index.saturating_add(1);
            }
            ControlFlow::Continue(())
        })?;
        Ok(Present { recipients: present, next_index: next, delivered })
    }

    fn settle_one(&self, to: &mut Settlement<'_>, one: &Settled) -> Result<(), StorageError> {
        let key = recipient_key(to.message.id, one.index);
        // Nothing is done twice for a recipient, whatever was answered to an earlier commit.
        to.batch.assert_present(RECIPIENTS, &key);
        match &one.outcome {
            Outcome::Delivered { reply, remote, duty } => {
                let action = match duty {
                    Duty::PassedOn => None,
                    Duty::Relayed => Some(Action::Relayed),
                    Duty::Delivered => Some(Action::Delivered),
                };
                let recipient = &one.record.recipient;
                if let Some(action) = action.filter(|_| recipient.notify.on_success()) {
                    let spoken = Spoken::new(reply, remote.as_deref());
                    to.fates.push(Fate::new(recipient, action, reply, spoken.as_ref(), to.now));
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
                to.fail(&key, &one.record, reply, Spoken::new(reply, remote.as_deref()).as_ref());
                to.line(&one.record, "failed", format!("{reply} ({cause})"));
            }
            Outcome::Replaced(accepted) => self.replace(to, one, accepted)?,
            Outcome::Sent(outgoing) => {
                let sent = self.send(to, outgoing)?;
                // A list has got it, and answers for its members itself (RFC 3461 §5.2.7.1).
                if one.record.recipient.notify.on_success() {
                    to.fates.push(Fate::without_remote(&one.record.recipient, Action::Delivered, to.now));
                }
                let what = if sent { "sent" } else { "sent of late" };
                to.remove(&key);
                to.line(&one.record, outgoing.source, what.to_owned());
            }
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
        let deadlines = Deadlines::of(to.message, &options);
        let spoken = Spoken::new(reply, remote).or_else(|| one.record.later.spoken.clone());
        let attempts = one.record.attempts.saturating_add(u32::from(one.tried));
        if to.now >= deadlines.expire {
            let status = EnhancedStatus::permanent(4, 7);
            let text = format!("Given up after {attempts} attempts; the last answer was: {reply}");
            to.fail(&key, &one.record, &Reply::new(554, status, text.clone()), spoken.as_ref());
            to.line(&one.record, "expired", text);
            to.expired.push(one.index);
            return;
        }
        let mut record = one.record.clone();
        if deadlines.is_to_be_warned(&record, to.now) {
            let fate = Fate::new(&record.recipient, Action::Delayed, reply, spoken.as_ref(), to.now);
            to.fates.push(fate.retried_until(deadlines.expire));
            record.delay_reported = true;
        }
        if !one.tried {
            // It stays as it is, and its job is where it was.
            to.batch.put(RECIPIENTS, &key, record.to_value());
            return;
        }
        record.attempts = attempts;
        let due = to.now.plus(self.with_jitter(options.retry.wait(attempts), options.retry.jitter));
        // The last attempt is made when the time is over, not hours later.
        record.state = StoredState::Waiting(due.min(deadlines.expire));
        let (reply, remote, cause) = (reply.clone(), remote.map(str::to_owned), cause.to_owned());
        to.line(&record, "deferred", format!("{reply} ({cause})"));
        record.last = Some(Last { at: to.now, reply, remote, cause });
        record.later.spoken = spoken;
        put_recipient(&mut to.batch, &mut to.effects, to.message.id, one.index, record);
    }

    fn replace(&self, to: &mut Settlement<'_>, one: &Settled, by: &[Accepted]) -> Result<(), StorageError> {
        let key = recipient_key(to.message.id, one.index);
        // The expansion of a list goes on in steps: that is no going around.
        let is_step = one.record.route.channel.as_str() == ChannelName::LIST;
        let replaced = one.record.replaced.saturating_add(u8::from(!is_step));
        if replaced > REPLACED_MAX {
            let reply = Reply::new(554, EnhancedStatus::permanent(4, 6), "Routing loop detected");
            to.fail(&key, &one.record, &reply, None);
            to.line(&one.record, "failed", format!("resolved anew more than {REPLACED_MAX} times"));
            return Ok(());
        }
        to.remove(&key);
        let options = self.options();
        let remembered = match self.remembered(to.message)? {
            Some(remembered) if remembered.are_all(by)? => None,
            remembered => remembered,
        };
        // Its own copy was on its way until now: that is no reason against the one that takes its place.
        let own = one.record.route.copy_key(&one.record.recipient.address);
        if let Some(remembered) = &remembered {
            remembered.forget(&mut to.batch, &own);
        }
        to.fates.extend(crate::report::expansions(by, to.now));
        for accepted in by {
            let accepted = &Accepted { route: options.as_gone(accepted.route.clone()), ..accepted.clone() };
            let origin = accepted.steps.last().map_or("resolved anew", |step| step.text.as_str());
            to.line(
                &one.record,
                "replaced",
                format!("{} by {} ({origin})", accepted.recipient.address, accepted.route),
            );
            if let Some(reply) = &accepted.refused {
                if accepted.recipient.notify.on_failure() {
                    to.fates.push(Fate::new(&accepted.recipient, Action::Failed, reply, None, to.now));
                }
                continue;
            }
            let known = match &remembered {
                Some(remembered) => remembered.has(&mut to.batch, &mut to.remembering, accepted, &own)?,
                None => false,
            };
            if known || !to.copies.insert(accepted.route.copy_key(&accepted.recipient.address)) {
                to.has_its_copy(accepted);
            } else if self.has_room(to, accepted)? {
                self.append_local(to, accepted)?;
            } else if accepted.route.channel.as_str() != ChannelName::BITBUCKET {
                let mut record = new_record(accepted.clone(), to.now);
                record.replaced = replaced;
                if accepted.recipient.address == one.record.recipient.address {
                    record.attempts = one.record.attempts;
                    record.delay_reported = one.record.delay_reported;
                    record.later.spoken.clone_from(&one.record.later.spoken);
                }
                let index = to.next_index;
                to.next_index += 1;
                to.remaining += 1;
                put_recipient(&mut to.batch, &mut to.effects, to.message.id, index, record);
            }
        }
        Ok(())
    }

    /// Whether a recipient's copy goes to its mailbox now: not where that is full. Its room is held then.
    fn has_room(&self, to: &mut Settlement<'_>, accepted: &Accepted) -> Result<bool, StorageError> {
        let Some(account) = accepted.route.local_account() else { return Ok(false) };
        match self.agents.local.take_room(account, to.message.size)? {
            Room::Free(held) => {
                to.effects.rooms.extend(held);
                Ok(true)
            }
            Room::Full(_) => Ok(false),
        }
    }

    fn append_local(&self, to: &mut Settlement<'_>, accepted: &Accepted) -> Result<(), StorageError> {
        let Some(account) = accepted.route.local_account() else { return Ok(()) };
        let message = &to.message.message;
        let copy = LocalCopy {
            account,
            filing: accepted.route.filing(),
            recipient: &accepted.recipient,
            reverse_path: &message.reverse_path,
            prefix: &message.prefix,
            content: CopyOf::Stored(to.message.content),
            size: to.message.size,
            arrived: message.arrived,
        };
        let appended = self.agents.local.append(&mut to.batch, &copy)?;
        to.effects.appended(&mut to.batch, (to.message.id, to.now), &copy, appended);
        if is_plain_copy(&accepted.route) {
            to.stored.push(account.clone());
        }
        if accepted.recipient.notify.on_success() {
            to.fates.push(Fate::without_remote(&accepted.recipient, Action::Delivered, to.now));
        }
        Ok(())
    }

    fn add_report(&self, to: &mut Settlement<'_>) -> Result<(), StorageError> {
        if to.fates.is_empty() {
            return Ok(());
        }
        let content = match self.storage.read()?.content(to.message.content) {
            Err(StorageError::Corrupt(_)) => None,
            content => content?,
        };
        let message = &to.message.message;
        let about = About {
            id: to.message.id,
            arrived: message.arrived,
            reverse_path: &message.reverse_path,
            transport: &message.transport,
            prefix: &message.prefix,
            content: content.as_ref(),
            size: to.message.size,
        };
        if let Some(report) = self.compose_report(&about, &to.fates, to.now)? {
            Self::queue_report(&mut to.batch, &mut to.effects, report, to.now);
        }
        Ok(())
    }

    fn with_jitter(&self, wait: std::time::Duration, share: f64) -> std::time::Duration {
        #[allow(clippy::cast_precision_loss, reason = "a share of chance needs no exact bits")]
        let chance = self.random.below(1 << 20) as f64 / f64::from(1 << 20);
        wait.mul_f64((1.0 + share * (2.0 * chance - 1.0)).max(0.0))
    }

    fn tell(&self, message: &StoredMessage, one: &Settled, expired: bool, now: Timestamp) {
        let (outcome, reply, remote, cause) = match &one.outcome {
            Outcome::Delivered { reply, remote, .. } => (events::Outcome::Delivered, reply, remote, None),
            // A look at what waits is no attempt; the report about it is an event of its own.
            Outcome::Deferred { .. } if !one.tried && !expired => return,
            Outcome::Deferred { reply, remote, cause, .. } => {
                let outcome = if expired { events::Outcome::Failed } else { events::Outcome::Deferred };
                (outcome, reply, remote, Some(cause))
            }
            Outcome::Failed { reply, remote, cause } => (events::Outcome::Failed, reply, remote, Some(cause)),
            Outcome::Discarded { rule } => {
                let recipient = &one.record.recipient.address;
                self.events.emit(&Event::Discarded { id: message.id, recipient, rule });
                return;
            }
            Outcome::Sent(outgoing) => {
                let change = format!("{} was carried out: {}", one.record.route, outgoing.source);
                self.events.emit(&Event::QueueChanged { id: message.id, change: &change, by: "routing" });
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

/// What a message has in the queue.
struct Present {
    recipients: usize,
    /// The first free index.
    next_index: u32,
    /// Accounts that have their copy.
    delivered: Vec<AccountName>,
}

/// Whether a copy is one that a message remembers by its account alone: a copy in another mailbox of the account must not
/// be taken for it.
pub(crate) fn is_plain_copy(route: &Route) -> bool {
    route.local_account().is_some_and(|account| *route == Route::store(account.clone()))
}

fn copy_of(account: &AccountName) -> (String, Route) {
    (account.as_str().to_owned(), Route::store(account.clone()))
}

impl Settlement<'_> {
    /// Another way led to a copy that is there, or comes: who asked for a report of it gets that, once it is there.
    fn has_its_copy(&mut self, accepted: &Accepted) {
        let recipient = &accepted.recipient;
        let has = |account: &AccountName| self.stored.contains(account) || self.delivered.contains(account);
        if accepted.route.local_account().is_some_and(has) && recipient.notify.on_success() {
            self.fates.push(Fate::without_remote(recipient, Action::Delivered, self.now));
        }
        let (at, recipient) = (self.now, Some(recipient.address.clone()));
        let text = format!("{} has its copy already", accepted.route);
        self.lines.push(TrailLine { at, recipient, what: "duplicate".to_owned(), text });
    }

    fn remove(&mut self, key: &[u8]) {
        self.batch.delete(RECIPIENTS, key);
        self.remaining = self.remaining.saturating_sub(1);
    }

    fn fail(&mut self, key: &[u8], record: &Record, reply: &Reply, spoken: Option<&Spoken>) {
        if record.recipient.notify.on_failure() {
            self.fates.push(Fate::new(&record.recipient, Action::Failed, reply, spoken, self.now));
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
