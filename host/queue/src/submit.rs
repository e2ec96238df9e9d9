//! Submission: one batch from the wire to the mailboxes and the queue.

use std::any::Any;
use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::atomic::Ordering;

use events::{Event, Events};
use mail_types::{AccountName, Address, ChannelName, NextHop, QueueId, Route, Timestamp};
use message::Action;
use storage::{Batch, Drawn, Patch, PatchInto, StorageError};

use crate::outgoing::Sent;
use crate::ports::{Appended, CopyOf, LocalCopy, Publish, Room};
use crate::queue::{Inner, Queue};
use crate::records::{
    self, CONTENT_AT, DELIVERED_MAX, Later, MESSAGES, Message, RECIPIENTS, Record, StoredState,
};
use crate::report::{Fate, Report};
use crate::settle::is_plain_copy;
use crate::submission::{Accepted, RECIPIENTS_MAX, Receipt, Step, StepKind, Submission, SubmitError};
use crate::trail::{self, TrailLine};

/// What a batch will have done, once it is committed.
#[derive(Default)]
pub(crate) struct Effects {
    pub(crate) publish: Vec<Publish>,
    /// Room that copies need in the local store, held until they are there.
    pub(crate) rooms: Vec<Box<dyn Any + Send>>,
    /// Copies in mailboxes.
    pub(crate) stored: Vec<Stored>,
    /// Jobs that become due, and when.
    pub(crate) jobs: Vec<(QueueId, Route, Timestamp)>,
    /// Messages that enter the queue, less those that leave it.
    pub(crate) messages: isize,
    /// Reports that were queued: id, about, action, to.
    pub(crate) reports: Vec<Report>,
    /// Messages of ours that were queued.
    pub(crate) sent: Vec<Sent>,
}

/// A copy in a mailbox, as the log tells it.
pub(crate) struct Stored {
    id: QueueId,
    recipient: Address,
    account: AccountName,
    mailbox: String,
}

impl Effects {
    /// A copy was appended. That it is not where it was decided to be is part of its trail.
    pub(crate) fn appended(
        &mut self,
        batch: &mut Batch,
        (id, now): (QueueId, Timestamp),
        copy: &LocalCopy<'_>,
        appended: Appended,
    ) {
        let Appended { mailbox, instead_of, publish } = appended;
        let (recipient, account) = (copy.recipient.address.clone(), copy.account.clone());
        if let Some(meant) = instead_of {
            let text = format!("in {mailbox}: {account} cannot have the mailbox {meant:?}");
            let recipient = Some(recipient.clone());
            trail::add_line(batch, id, &TrailLine { at: now, recipient, what: "filed".to_owned(), text });
        }
        self.publish.push(publish);
        self.stored.push(Stored { id, recipient, account, mailbox });
    }
}

impl Stored {
    fn emit(&self, events: &Events) {
        let (recipient, account) = (&self.recipient, &self.account);
        events.emit(&Event::Delivered { id: self.id, recipient, account, mailbox: &self.mailbox });
    }
}

impl Queue {
    /// Keeps a message: recipients of the local store are appended to their mailboxes, all others
    /// queued, in one batch. The receipt is the proof that it is on stable storage. Whoever is refused tells so, with its client.
    pub async fn submit(&self, submission: Submission) -> Result<Receipt, SubmitError> {
        self.inner.submit(submission).await
    }
}

impl Inner {
    /// Makes sure that the places of local copies are there: all accounts first, together.
    pub(crate) async fn prepare(&self, recipients: &[&Accepted]) -> Result<(), StorageError> {
        let accounts: Vec<_> =
            recipients.iter().filter_map(|accepted| accepted.route.local_account()).collect();
        if accounts.len() > 1 {
            self.agents.local.prepare_accounts(&accounts).await?;
        }
        for accepted in recipients {
            if let Some(account) = accepted.route.local_account() {
                self.agents.local.prepare(account, accepted.route.filing()).await?;
            }
        }
        Ok(())
    }

    async fn submit(&self, mut submission: Submission) -> Result<Receipt, SubmitError> {
        let count = submission.recipients.len();
        if count == 0 || count > RECIPIENTS_MAX {
            return Err(SubmitError::Recipients(count));
        }
        let options = self.options();
        for accepted in &mut submission.recipients {
            accepted.route = options.as_gone(accepted.route.clone());
            if let Some(reply) = &accepted.refused {
                let text = format!("refused: {reply}; its sender hears of it by a report");
                accepted.steps.push(Step { kind: StepKind::Status, text, origin: None });
            }
        }
        let local = &self.agents.local;
        let mut accounts = submission.recipients.iter().filter_map(|accepted| accepted.route.local_account());
        // Before anything is made by that name.
        if let Some(account) = accounts.find(|account| local.renamed_since(account, submission.decided)) {
            return Err(SubmitError::Renamed(account.clone()));
        }
        self.prepare(&submission.recipients.iter().collect::<Vec<_>>()).await?;
        let (mut full, mut rooms, mut asked) = (Full::default(), Vec::new(), HashSet::new());
        for accepted in &submission.recipients {
            if let Some(account) = accepted.route.local_account() {
                // Several ways to one account want room once: the second must not find the first in its way.
                if !asked.insert(account.clone()) {
                    continue;
                }
                match self.agents.local.take_room(account, submission.content.len())? {
                    Room::Free(held) => rooms.extend(held),
                    Room::Full(_) => drop(full.0.insert(account.clone())),
                }
            }
        }
        let dropped = drop_duplicates(&mut submission.recipients, &full);
        // What is stored or discarded at once takes no place in the queue.
        let most = options.messages_max;
        let is_queued = submission.recipients.iter().any(|accepted| full.queues(accepted));
        if is_queued && self.messages.load(Ordering::Relaxed) >= most {
            return Err(SubmitError::Full(most));
        }
        let now = self.clock.now();
        if is_queued {
            self.decided.note(submission.id, submission.decided, now);
        }
        let (batch, mut effects, told) = self.plan(submission, &dropped, &full, now)?;
        effects.rooms = rooms;
        let committed = self.commit(batch).await?;
        told.emit(self);
        self.take_effect(effects, Some(&committed));
        Ok(Receipt { id: told.id, accepted: now })
    }

    /// The batch of a submission. Everything about it is decided here, before it is written.
    fn plan(
        &self,
        submission: Submission,
        dropped: &[Accepted],
        full: &Full,
        now: Timestamp,
    ) -> Result<(Batch, Effects, Told), SubmitError> {
        let (mut batch, mut effects, decided) = (Batch::new(), Effects::default(), submission.decided);
        trail::add_head(&mut batch, &submission, None, now);
        let reports = self.first_reports(&submission, dropped, full, now)?;
        let told = Told::of(&submission, full);
        let Submission {
            id, reverse_path, transport, recipients, prefix, content, source, message_id, ..
        } = submission;
        let local = recipients.iter().filter_map(|accepted| full.stored(accepted)).count();
        let queued = told.queued;
        let references = u32::try_from(local).unwrap_or(u32::MAX) + u32::from(queued > 0);
        let size = content.len();
        let drawn = batch.store_content(content, references);
        for accepted in &recipients {
            let Some(account) = full.stored(accepted) else { continue };
            let copy = LocalCopy {
                account,
                filing: accepted.route.filing(),
                recipient: &accepted.recipient,
                reverse_path: &reverse_path,
                prefix: &prefix,
                content: CopyOf::Drawn(drawn),
                size,
                arrived: now,
            };
            let appended = self.agents.local.append(&mut batch, &copy)?;
            // Afterwards: a rename is told of before it is made, so that this was the account that was meant.
            if self.agents.local.renamed_since(account, decided) {
                return Err(SubmitError::Renamed(account.clone()));
            }
            effects.appended(&mut batch, (id, now), &copy, appended);
        }
        if queued > 0 {
            let first_posting = None;
            let message =
                Message { arrived: now, reverse_path, transport, source, message_id, prefix, first_posting };
            put_message(&mut batch, id, &message, &remembered(&recipients, full), size, drawn);
            effects.messages += 1;
            let remote = recipients.into_iter().filter(|accepted| full.queues(accepted));
            for (index, accepted) in (0_u32..).zip(remote) {
                put_recipient(&mut batch, &mut effects, id, index, new_record(accepted, now));
            }
        }
        for report in reports {
            Self::queue_report(&mut batch, &mut effects, report, now);
        }
        Ok((batch, effects, told))
    }

    /// Reports that are due at once: of success for local recipients whose sender asked (RFC 3461 §5.2.6), of
    /// expansion, and of failure for those that a policy refuses.
    fn first_reports(
        &self,
        submission: &Submission,
        dropped: &[Accepted],
        full: &Full,
        now: Timestamp,
    ) -> Result<Vec<Report>, SubmitError> {
        let fate = |accepted: &Accepted| match &accepted.refused {
            Some(reply) if accepted.recipient.notify.on_failure() => {
                Some(Fate::new(&accepted.recipient, Action::Failed, reply, None, now))
            }
            Some(_) => None,
            None => {
                let wanted = accepted.recipient.notify.on_success() && full.stored(accepted).is_some();
                let told = wanted && !submission.reverse_path.is_null();
                told.then(|| Fate::without_remote(&accepted.recipient, Action::Delivered, now))
            }
        };
        let all = || submission.recipients.iter().chain(dropped);
        let mut fates: Vec<Fate> = all().filter_map(fate).collect();
        if !submission.reverse_path.is_null() {
            fates.extend(crate::report::expansions(all(), now));
        }
        if fates.is_empty() {
            return Ok(Vec::new());
        }
        let content = submission.content.loaded()?;
        let about = crate::report::About {
            id: submission.id,
            arrived: now,
            reverse_path: &submission.reverse_path,
            transport: &submission.transport,
            prefix: &submission.prefix,
            content: Some(&content),
            size: content.len(),
        };
        Ok(self.compose_report(&about, &fates, now)?.into_iter().collect())
    }

    /// Publishes, schedules and tells what a committed batch did.
    /// Without the numbers that it drew, readers of mailboxes hear with the next message.
    pub(crate) fn take_effect(&self, effects: Effects, committed: Option<&storage::Committed>) {
        for publish in effects.publish {
            if let Some(committed) = committed {
                publish(committed);
            }
        }
        if effects.messages >= 0 {
            self.messages.fetch_add(effects.messages.unsigned_abs(), Ordering::Relaxed);
        } else {
            self.messages.fetch_sub(effects.messages.unsigned_abs(), Ordering::Relaxed);
        }
        if !effects.jobs.is_empty() {
            let mut schedule = self.schedule.lock();
            for (id, route, due) in &effects.jobs {
                schedule.push(*id, route, *due);
            }
            drop(schedule);
            self.wake.notify_one();
        }
        for stored in &effects.stored {
            stored.emit(&self.events);
        }
        for report in &effects.reports {
            report.emit(&self.events);
        }
        for sent in &effects.sent {
            sent.emit(&self.events);
        }
    }
}

/// What the log says about an accepted message.
struct Told {
    id: QueueId,
    source: String,
    peer: Option<std::net::IpAddr>,
    account: Option<AccountName>,
    session: Option<u64>,
    reverse_path: mail_types::ReversePath,
    recipients: usize,
    stored: usize,
    queued: usize,
    size: u64,
    message_id: Option<String>,
    discarded: Vec<mail_types::Address>,
}

impl Told {
    fn of(submission: &Submission, full: &Full) -> Self {
        let recipients = &submission.recipients;
        let discarded: Vec<_> = recipients
            .iter()
            .filter(|accepted| is_discarded(accepted))
            .map(|accepted| accepted.recipient.address.clone())
            .collect();
        let stored = recipients.iter().filter_map(|accepted| full.stored(accepted)).count();
        Self {
            id: submission.id,
            source: submission.source.channel.clone(),
            peer: submission.source.peer,
            account: submission.source.authenticated.clone(),
            session: submission.session,
            reverse_path: submission.reverse_path.clone(),
            recipients: recipients.len(),
            stored,
            queued: recipients.iter().filter(|accepted| full.queues(accepted)).count(),
            size: submission.content.len(),
            message_id: submission.message_id.clone(),
            discarded,
        }
    }

    fn emit(&self, inner: &Inner) {
        inner.events.emit(&Event::Accepted {
            id: self.id,
            source: &self.source,
            peer: self.peer,
            account: self.account.as_ref(),
            session: self.session,
            reverse_path: &self.reverse_path,
            recipients: self.recipients,
            stored: self.stored,
            queued: self.queued,
            size: self.size,
            message_id: self.message_id.as_deref(),
        });
        for recipient in &self.discarded {
            inner.events.emit(&Event::Discarded { id: self.id, recipient, rule: "channel bitbucket" });
        }
    }
}

fn is_discarded(accepted: &Accepted) -> bool {
    accepted.route.channel.as_str() == ChannelName::BITBUCKET
}

/// Accounts whose mailboxes are full: their copies wait in the queue.
#[derive(Default)]
struct Full(HashSet<AccountName>);

impl Full {
    /// The account whose mailbox a copy goes to at once.
    fn stored<'a>(&self, accepted: &'a Accepted) -> Option<&'a AccountName> {
        let taken = accepted.refused.is_none();
        accepted.route.local_account().filter(|account| taken && !self.0.contains(*account))
    }

    fn queues(&self, accepted: &Accepted) -> bool {
        accepted.refused.is_none() && self.stored(accepted).is_none() && !is_discarded(accepted)
    }
}

/// One copy for each final recipient and route, however many ways led there. Gives back those that get none, for their
/// senders may have asked for reports: of what is stored, each has its own; what is queued asks for all of them. A way that
/// is refused is none: it takes the copy from no other, and is told of by itself.
fn drop_duplicates(recipients: &mut Vec<Accepted>, full: &Full) -> Vec<Accepted> {
    if recipients.len() < 2 {
        return Vec::new();
    }
    let mut first = HashMap::with_capacity(recipients.len());
    let (mut kept, mut dropped) = (Vec::with_capacity(recipients.len()), Vec::new());
    for accepted in recipients.drain(..) {
        let key = accepted.route.copy_key(&accepted.recipient.address);
        match first.entry((key, accepted.refused.is_some())) {
            Entry::Vacant(place) => {
                place.insert(kept.len());
                kept.push(accepted);
            }
            Entry::Occupied(place) => {
                let kept: &mut Accepted = &mut kept[*place.get()];
                if full.queues(kept) {
                    kept.recipient.notify = kept.recipient.notify.or(accepted.recipient.notify);
                }
                if kept.recipient.original != accepted.recipient.original {
                    dropped.push(accepted);
                }
            }
        }
    }
    *recipients = kept;
    dropped
}

/// Accounts that have their copy now, where other recipients are resolved later and may lead to them again.
fn remembered(recipients: &[Accepted], full: &Full) -> Vec<AccountName> {
    let is_late = |accepted: &Accepted| {
        let stays = accepted.route.local_account().is_some() || is_discarded(accepted);
        !stays && accepted.route.next_hop == NextHop::Nobody
    };
    if !recipients.iter().any(is_late) {
        return Vec::new();
    }
    let stored = recipients.iter().filter(|accepted| is_plain_copy(&accepted.route));
    let accounts = stored.filter_map(|accepted| full.stored(accepted));
    accounts.take(DELIVERED_MAX).cloned().collect()
}

/// Puts the record of a message whose content is drawn in the same batch.
pub(crate) fn put_message(
    batch: &mut Batch,
    id: QueueId,
    message: &Message,
    delivered: &[AccountName],
    size: u64,
    content: Drawn,
) {
    let patch = Patch { into: PatchInto::Value, at: CONTENT_AT, width: 8, drawn: content };
    batch.put_drawn(MESSAGES, &id.to_key(), message.to_value(size, delivered), &[patch]);
}

/// The first record of a recipient.
pub(crate) fn new_record(accepted: Accepted, now: Timestamp) -> Record {
    let state = if accepted.route.channel.as_str() == ChannelName::HOLD {
        let rule = accepted.steps.last().map_or("a rule", |step| step.text.as_str());
        StoredState::Held(rule.to_owned())
    } else {
        StoredState::Waiting(now)
    };
    Record {
        recipient: accepted.recipient,
        route: accepted.route,
        state,
        attempts: 0,
        replaced: 0,
        delay_reported: false,
        last: None,
        later: Later::default(),
    }
}

/// Puts a recipient's record and notes the job that it makes due.
pub(crate) fn put_recipient(
    batch: &mut Batch,
    effects: &mut Effects,
    id: QueueId,
    index: u32,
    record: Record,
) {
    batch.put(RECIPIENTS, &records::recipient_key(id, index), record.to_value());
    if let StoredState::Waiting(due) = record.state {
        // Recipients of one route stand together as a rule; the schedule itself drops what is left.
        let repeats =
            effects.jobs.last().is_some_and(|last| last.0 == id && last.1 == record.route && last.2 == due);
        if !repeats {
            effects.jobs.push((id, record.route, due));
        }
    }
}
