//! What the operator may do with queued messages.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use events::Event;
use mail_types::{ChannelName, EnhancedStatus, QueueId, Reply, Route};
use storage::{Batch, StorageError};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::listing::Filter;
use crate::ports::Outcome;
use crate::queue::{Inner, Queue};
use crate::records::{self, MESSAGES, RECIPIENTS, Record, StoredMessage, StoredState, recipient_key};
use crate::submit::{Effects, put_recipient};
use crate::trail::{TrailLine, add_line};
use crate::work::Settled;

/// A message and all its recipients.
type Whole = (StoredMessage, Vec<(u32, Record)>);

/// A change of a queued message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Park it.
    Hold,
    /// Let it go on: as it would have without what has parked it. Anything else may park it again.
    Release,
    /// Try it now.
    Retry,
    /// Give it up, and tell its sender.
    Bounce,
    /// Drop it, and tell nobody but the log.
    Delete,
    /// Send it another way, whatever the router says. The channel `reprocess` gives the decision back
    /// to the router.
    Reroute(Route),
}

impl Change {
    fn word(&self) -> &'static str {
        match self {
            Self::Hold => "held",
            Self::Release => "released",
            Self::Retry => "retried",
            Self::Bounce => "bounced",
            Self::Delete => "deleted",
            Self::Reroute(_) => "rerouted",
        }
    }

    /// Whether it changes anything about a recipient.
    fn concerns(&self, record: &Record) -> bool {
        let held = matches!(record.state, StoredState::Held(_));
        match self {
            Self::Hold | Self::Retry => !held,
            Self::Release => held,
            Self::Bounce | Self::Delete | Self::Reroute(_) => true,
        }
    }
}

/// Why a change was not made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OperateError {
    /// No such message is queued.
    #[error("there is no message {0} in the queue; `wasmta message trace {0}` tells what became of it")]
    NotFound(QueueId),
    /// An attempt is under way: its outcome comes first.
    #[error("message {0} is being delivered right now; try again in a moment")]
    Active(QueueId),
    /// The change broke off, by a fault of ours.
    #[error(
        "message {0} may not be changed: that broke off, the log says how; look at it with `wasmta queue show {0}`"
    )]
    Broken(QueueId),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Messages that are changed at a time, and so at most written by one commit.
const CHANGES_AT_ONCE_MAX: usize = 256;
/// How long between two looks at a message that is being delivered.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(50);

impl Queue {
    /// Makes a change to many messages side by side, as [`Queue::change_some`] does to one: what is written at one moment is
    /// one commit, with one sync of the disk. What is being delivered just now is waited for, all in all for so long. Gives the
    /// outcome of each, in the order of their ids.
    pub async fn change_all(
        &self,
        ids: Vec<QueueId>,
        whom: Filter,
        change: Change,
        by: &str,
        patience: Duration,
    ) -> Vec<(QueueId, Result<usize, OperateError>)> {
        let until = Instant::now() + patience;
        let order: Arc<(Filter, Change, String)> = Arc::new((whom, change, by.to_owned()));
        let (mut waiting, mut running) = (ids.iter().copied(), JoinSet::new());
        let mut outcomes = BTreeMap::new();
        loop {
            while running.len() < CHANGES_AT_ONCE_MAX
                && let Some(id) = waiting.next()
            {
                let (queue, order) = (self.clone(), Arc::clone(&order));
                running.spawn(async move { (id, queue.change_when_free(id, &order, until).await) });
            }
            match running.join_next().await {
                Some(Ok((id, outcome))) => drop(outcomes.insert(id, outcome)),
                Some(Err(_)) => {}
                None => break,
            }
        }
        // A task that panicked has no outcome of its own.
        ids.into_iter()
            .map(|id| (id, outcomes.remove(&id).unwrap_or(Err(OperateError::Broken(id)))))
            .collect()
    }

    async fn change_when_free(
        &self,
        id: QueueId,
        order: &(Filter, Change, String),
        until: Instant,
    ) -> Result<usize, OperateError> {
        let (whom, change, by) = order;
        loop {
            match self.change_some(id, whom, change, by).await {
                Err(OperateError::Active(_)) if Instant::now() < until => {
                    tokio::time::sleep(ATTEMPT_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Makes a change to a whole message, in the name of whoever `by` says.
    pub async fn change(&self, id: QueueId, change: &Change, by: &str) -> Result<(), OperateError> {
        self.change_some(id, &Filter::default(), change, by).await.map(drop)
    }

    /// Makes a change to those recipients of a message that the filter means, and that it changes at
    /// all: only the parked are released. Gives how many.
    pub async fn change_some(
        &self,
        id: QueueId,
        whom: &Filter,
        change: &Change,
        by: &str,
    ) -> Result<usize, OperateError> {
        let inner = &self.inner;
        // From the look to the commit no attempt may begin: its outcome would undo the change, or
        // come on top of it.
        let _alone = Alone::with(inner, id).ok_or(OperateError::Active(id))?;
        let (message, mut records) = inner.read_all(id)?.ok_or(OperateError::NotFound(id))?;
        records.retain(|(_, record)| change.concerns(record) && whom.means_record(record));
        let count = records.len();
        if count == 0 {
            return Ok(0);
        }
        match change {
            Change::Bounce | Change::Delete => inner.end(&message, records, change).await?,
            _ => inner.alter(&message, records, change, by).await?,
        }
        inner.events.emit(&Event::QueueChanged { id, change: change.word(), by });
        Ok(count)
    }
}

/// A message that no attempt begins for, until this is dropped.
pub(crate) struct Alone<'q> {
    inner: &'q Inner,
    id: QueueId,
}

impl<'q> Alone<'q> {
    /// `None` where an attempt is under way, or another change.
    pub(crate) fn with(inner: &'q Inner, id: QueueId) -> Option<Self> {
        let alone = inner.schedule.lock().hold_back(id);
        // Not `then_some`: that would make the value, and drop it, where the message is busy.
        if alone { Some(Self { inner, id }) } else { None }
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.inner.schedule.lock().let_go(self.id);
        self.inner.wake.notify_one();
    }
}

impl Inner {
    /// A message, and those of its recipients that can be read: others are in nobody's way.
    fn read_all(&self, id: QueueId) -> Result<Option<Whole>, StorageError> {
        let view = self.storage.read()?;
        let Some(value) = view.get(MESSAGES, &id.to_key())? else { return Ok(None) };
        let message = StoredMessage::read(id, &value)?;
        let mut found = Vec::new();
        view.scan(RECIPIENTS, &id.to_key(), &records::after(id), &mut |key, value| {
            if let (Some((_, index)), Ok(record)) = (records::read_recipient_key(key), Record::read(value)) {
                found.push((index, record));
            }
            ControlFlow::Continue(())
        })?;
        Ok(Some((message, found)))
    }

    async fn alter(
        &self,
        message: &StoredMessage,
        records: Vec<(u32, Record)>,
        change: &Change,
        by: &str,
    ) -> Result<(), StorageError> {
        let _serial = self.stripe(message.first_posting()).lock().await;
        let now = self.clock.now();
        let (mut batch, mut effects) = (Batch::new(), Effects::default());
        batch.assert_present(MESSAGES, &message.id.to_key());
        for (index, mut record) in records {
            batch.assert_present(RECIPIENTS, &recipient_key(message.id, index));
            match change {
                Change::Hold => record.state = StoredState::Held(by.to_owned()),
                Change::Release => {
                    if record.route.channel.as_str() == ChannelName::HOLD {
                        // Rules and directory decide anew, all but what has parked it.
                        if let StoredState::Held(ground) = &record.state {
                            record.recipient.release(ground.clone());
                        }
                        let nobody = mail_types::NextHop::Nobody;
                        record.route = Route::new(ChannelName::REPROCESS, nobody);
                        record.later.rerouted = false;
                    }
                    record.state = StoredState::Waiting(now);
                }
                Change::Reroute(route) => {
                    // A host that is named is meant: just where the channel's own is down.
                    let is_named = matches!(route.next_hop, mail_types::NextHop::Host { .. });
                    record.route =
                        if is_named { route.clone() } else { self.options().as_gone(route.clone()) };
                    record.later.rerouted = route.channel.as_str() != ChannelName::REPROCESS;
                    let held = route.channel.as_str() == ChannelName::HOLD;
                    record.state =
                        if held { StoredState::Held(by.to_owned()) } else { StoredState::Waiting(now) };
                }
                _ => record.state = StoredState::Waiting(now),
            }
            if matches!(change, Change::Retry | Change::Reroute(_)) {
                // Also of where it goes by today's configuration: a smart host may have come in between.
                let gone = self.options().as_gone(record.route.clone());
                let mut schedule = self.schedule.lock();
                schedule.end_rest(&record.route);
                if gone != record.route && !record.later.rerouted {
                    schedule.end_rest(&gone);
                }
            }
            let (recipient, what) = (Some(record.recipient.address.clone()), change.word().to_owned());
            let line = TrailLine { at: now, recipient, what, text: format!("by {by}, to {}", record.route) };
            add_line(&mut batch, message.id, &line);
            put_recipient(&mut batch, &mut effects, message.id, index, record);
        }
        let committed = self.commit(batch).await?;
        self.take_effect(effects, Some(&committed));
        Ok(())
    }

    async fn end(
        &self,
        message: &StoredMessage,
        records: Vec<(u32, Record)>,
        change: &Change,
    ) -> Result<(), StorageError> {
        let outcome = match change {
            Change::Bounce => Outcome::Failed {
                reply: Reply::new(
                    554,
                    EnhancedStatus::permanent(7, 0),
                    "Returned by the mail system's operator",
                ),
                remote: None,
                cause: "returned by the operator".to_owned(),
            },
            _ => Outcome::Discarded { rule: "deleted by the operator".to_owned() },
        };
        let settle = |(index, record)| Settled { index, record, outcome: outcome.clone(), tried: false };
        let settled: Vec<Settled> = records.into_iter().map(settle).collect();
        self.settle(message, &settled).await
    }
}
