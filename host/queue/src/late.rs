//! What waits behind a destination that cannot be reached: warned of and given up in time, without an attempt of
//! its own. One message probes such a destination at a time; all others would else wait for their turn to be late.

use std::time::Duration;

use mail_types::{EnhancedStatus, Reply, Timestamp};
use runtime::Shutdown;
use storage::StorageError;

use crate::options::Options;
use crate::ports::{Outcome, Reach};
use crate::queue::Inner;
use crate::records::{MESSAGES, Message, Record, StoredMessage};
use crate::schedule::Job;
use crate::work::{READ_MAX, Settled};

/// Messages that one round looks at.
const LATE_MAX: usize = 10_000;
/// When a message is looked at again that could not be read or written.
const AGAIN: Duration = Duration::from_secs(300);

/// When a message becomes late.
pub(crate) struct Deadlines {
    /// Its sender is told from here on.
    pub(crate) warn: Timestamp,
    /// It is given up from here on.
    pub(crate) expire: Timestamp,
}

impl Deadlines {
    pub(crate) fn of(message: &StoredMessage, options: &Options) -> Self {
        let Message { arrived, reverse_path, .. } = &message.message;
        let expire = if reverse_path.is_null() { options.expire_null } else { options.expire };
        Self { warn: arrived.plus(options.delay_warning), expire: arrived.plus(expire) }
    }

    /// Whether there is somebody to warn, and it is time.
    pub(crate) fn is_to_be_warned(&self, record: &Record, now: Timestamp) -> bool {
        now >= self.warn && !record.delay_reported && record.recipient.notify.on_delay()
    }

    /// When there is something to do for a recipient, if it is not tried before.
    fn next(&self, record: &Record) -> Timestamp {
        let warned = record.delay_reported || !record.recipient.notify.on_delay();
        if warned { self.expire } else { self.warn.min(self.expire) }
    }
}

impl Inner {
    /// One round.
    pub(crate) async fn settle_late(&self, shutdown: &Shutdown) {
        let (now, options) = (self.clock.now(), self.options());
        let jobs = self.schedule.lock().take_late(now, &options, LATE_MAX);
        for job in jobs {
            let looked =
                if shutdown.is_triggered() { Ok(Some(now)) } else { self.settle_if_late(&job).await };
            let look = looked.unwrap_or_else(|error| {
                let cause = format!("message {} over {}: {error}", job.id, job.route);
                self.events
                    .emit(&events::Event::InternalError { place: "looking at late mail", cause: &cause });
                Some(now.plus(AGAIN))
            });
            let is_left = look.is_some();
            self.schedule.lock().put_back(&job, look);
            if !is_left {
                // Others of its recipients may be due later.
                self.push_what_is_left(&job);
            }
        }
        self.wake.notify_one();
    }

    /// Warns of a message's due recipients, or gives them up, where it is time. Says when it is to be looked at
    /// again; never, where none of them is left.
    async fn settle_if_late(&self, job: &Job) -> Result<Option<Timestamp>, StorageError> {
        let (message, due) = {
            let view = self.storage.read()?;
            let Some(value) = view.get(MESSAGES, &job.id.to_key())? else { return Ok(None) };
            (StoredMessage::read(job.id, &value)?, self.due_recipients(&view, job, READ_MAX)?)
        };
        let (now, options) = (self.clock.now(), self.options());
        let deadlines = Deadlines::of(&message, &options);
        let (mut late, mut next) = (Vec::new(), None::<Timestamp>);
        for (index, mut record) in due {
            let is_late = now >= deadlines.expire || deadlines.is_to_be_warned(&record, now);
            if is_late {
                let outcome = still_waiting(&record);
                late.push(Settled { index, record: record.clone(), outcome, tried: false });
                record.delay_reported = true;
            }
            if now < deadlines.expire {
                let at = deadlines.next(&record);
                next = Some(next.map_or(at, |known| known.min(at)));
            }
        }
        if !late.is_empty() {
            self.settle(&message, &late).await?;
        }
        Ok(next)
    }
}

/// What there is to say of a recipient that was not tried this time: the last word about it, if there was any.
fn still_waiting(record: &Record) -> Outcome {
    let status = EnhancedStatus::transient(4, 1);
    let unreached = || Reply::new(451, status, "The next mail server cannot be reached");
    let (reply, remote) = match &record.last {
        Some(last) => (last.reply.clone(), last.remote.clone()),
        None => (unreached(), None),
    };
    let cause = "its destination rests".to_owned();
    Outcome::Deferred { reply, remote, cause, reach: Reach::Recipient }
}
