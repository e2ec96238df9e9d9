//! Delivery into mailboxes that others share (R68): one message for everybody who reads there, each of whom sees it
//! with a state of their own (R78).
//!
//! The route names a mailbox, and on whose behalf: that account, or group, must have the right to post there (RFC 4314
//! §2.1, `p`) or own it. At least once: a crash between delivery and its record repeats it.

use events::{Event, Events};
use mail_types::{AccountName, ChannelName, EnhancedStatus, Recipient, Reply};
use queue::{Attempt, BoxFuture, Channel, Outcome, Reach};
use store::{Posting, Store, StoreError};

use crate::final_copy::FinalCopy;
use crate::named::Named;
use crate::outcome::{deferred, failed};

/// Appends to mailboxes of others.
pub struct SharedChannel {
    store: Store,
    events: Events,
}

impl SharedChannel {
    /// Into this store.
    #[must_use]
    pub fn new(store: Store, events: Events) -> Self {
        Self { store, events }
    }

    async fn deliver(&self, attempt: &Attempt, recipient: &Recipient) -> Outcome {
        let Some(named) = Named::of(&attempt.route, recipient) else {
            return deferred((3, 5), "The route names no shared mailbox", "no name", Reach::Recipient);
        };
        let copy = FinalCopy::of(attempt, recipient);
        let posted = match AccountName::new(&named.account) {
            Some(poster) => {
                let posting = Posting {
                    mailbox: &named.name,
                    poster: &poster,
                    content: attempt.content_id,
                    content_len: attempt.content.len(),
                    prefix: copy.head(),
                    arrived: attempt.arrived,
                };
                self.store.post(&posting).await.map(drop)
            }
            None => Err(StoreError::NotPermitted('p')),
        };
        match posted {
            Ok(()) => {
                let reply = Reply::new(250, EnhancedStatus::success(0, 0), "Delivered to the shared mailbox");
                Outcome::Delivered { reply, remote: None, reports_passed_on: false }
            }
            Err(error) => self.refused(attempt, &named, &error),
        }
    }

    /// What is not there, and what is not allowed, never comes right by itself; storage does.
    fn refused(&self, attempt: &Attempt, named: &Named, error: &StoreError) -> Outcome {
        let cause = format!("mailbox {:?} for {}: {error}", named.name, named.account);
        match error {
            StoreError::NotFound(_) | StoreError::Name(_) | StoreError::NotSelectable => {
                self.tell(attempt, named, error);
                failed(550, (1, 1), "There is no shared mailbox of that name", cause)
            }
            StoreError::NotPermitted(_) => {
                self.tell(attempt, named, error);
                failed(550, (7, 1), "Posting to the shared mailbox is not allowed", cause)
            }
            StoreError::OverQuota => deferred((2, 2), "The shared mailbox is full", cause, Reach::Recipient),
            _ => deferred((3, 0), "The shared mailbox cannot be written now", cause, Reach::Recipient),
        }
    }

    fn tell(&self, attempt: &Attempt, named: &Named, error: &StoreError) {
        let (id, Named { account, name }) = (attempt.id, named);
        let cause = &error.to_string();
        self.events.emit(&Event::TargetRefused {
            id,
            account,
            channel: ChannelName::SHARED,
            target: name,
            cause,
        });
    }
}

impl Channel for SharedChannel {
    fn attempt<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(attempt.recipients.len());
            for recipient in &attempt.recipients {
                outcomes.push(self.deliver(attempt, recipient).await);
            }
            outcomes
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mail_types::{Address, NextHop, QueueId, ReversePath, Route, Timestamp, Transport};
    use runtime::Clock;
    use storage::{Batch, LoadedContent, Storage};
    use store::{AclChange, Identifier, MailboxName, Rights, SHARED_ACCOUNT, SPACES};

    const TEXT: &[u8] = b"a: b\r\n\r\n";

    async fn said(channel: &SharedChannel, name: &str, content_id: storage::ContentId) -> String {
        let account = AccountName::new("anna@us.test").unwrap();
        let attempt = Attempt {
            id: QueueId::from_u64(1),
            reverse_path: ReversePath::Null,
            transport: Transport::default(),
            recipients: vec![Recipient::new(Address::parse("anna@us.test").unwrap())],
            route: Route::new(ChannelName::SHARED, NextHop::Named { account, name: name.to_owned() }),
            prefix: Bytes::new(),
            content_id,
            content: LoadedContent::Memory(TEXT.into()),
            source: String::new(),
            arrived: Timestamp(5_000),
        };
        match &channel.attempt(&attempt).await[0] {
            Outcome::Delivered { reply, .. }
            | Outcome::Deferred { reply, .. }
            | Outcome::Failed { reply, .. } => reply.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_is_not_there_or_not_allowed_fails_and_storage_that_rests_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let options = storage::Options { size_max: 1 << 30, inline_max: 200, synced: false };
        let storage = Storage::open(folder.path(), SPACES, &options).unwrap();
        let clock = Clock::simulated(Timestamp(1_700_000_000_000));
        let events = Events::counting(clock.clone());
        let store = Store::open(storage, clock, events.clone()).await.unwrap();
        let shared = store.ensure_account(&AccountName::new(SHARED_ACCOUNT).unwrap()).await.unwrap();
        let mailbox = store.create_mailbox(shared, &MailboxName::new("team").unwrap(), None).await.unwrap();
        let mut batch = Batch::new();
        let drawn = batch.store_content(TEXT.to_vec().into(), 1);
        let content = storage::ContentId(store.storage().commit(batch).await.unwrap().value(drawn));
        let channel = SharedChannel::new(store.clone(), events);
        assert!(said(&channel, "none", content).await.starts_with("550 5.1.1 "));
        assert!(said(&channel, "user/x@us.test/y", content).await.starts_with("550 5.1.1 "));
        assert!(said(&channel, "team", content).await.starts_with("550 5.7.1 "));
        let anna = Identifier::new("anna@us.test").unwrap();
        store.set_acl(mailbox, &anna, AclChange::Add(Rights::POST)).await.unwrap();
        for name in ["team", "shared/team"] {
            assert!(said(&channel, name, content).await.starts_with("250 "));
        }
        assert_eq!(store.status(mailbox).unwrap().messages, 2);
        // Two copies and the queue: one content.
        let snapshot = store.storage().read().unwrap();
        assert_eq!(snapshot.content_references(content).unwrap(), Some(3));
        drop(snapshot);
        store.storage().close().await;
        assert!(said(&channel, "team", content).await.starts_with("451 4.3.0 "));
    }
}
