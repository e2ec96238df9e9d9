//! Delivery into mailboxes that others share (R68): one message for everybody who reads there, each of whom sees it
//! with a state of their own (R78).
//!
//! The route names a mailbox, and on whose behalf: that account, or group, must have the right to post there (RFC 4314
//! §2.1, `p`) or own it.

use events::{Event, Events};
use mail_types::{AccountName, ChannelName, Filing, Recipient, Route};
use queue::{Accepted, Attempt, BoxFuture, Channel, Outcome, Reach, Step, StepKind};
use store::{Store, StoreError};

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

    /// A copy of the local store takes the recipient's place: the queue puts it in as it writes that it did, so that no
    /// crash comes between.
    fn deliver(&self, attempt: &Attempt, recipient: &Recipient) -> Outcome {
        let Some(named) = Named::of(&attempt.route, recipient) else {
            return deferred((3, 5), "The route names no shared mailbox", "no name", Reach::Recipient);
        };
        let poster = AccountName::new(&named.account).ok_or(StoreError::NotPermitted('p'));
        let placed = poster.and_then(|poster| self.store.posting_place(&named.name, &poster));
        let (owner, mailbox) = match placed {
            Ok(placed) => placed,
            Err(error) => return self.refused(attempt, &named, &error),
        };
        let filing = Filing {
            mailbox: mailbox.to_string(),
            labels: Vec::new(),
            // By which a reader knows who of several it was sent to.
            fields: vec![("Delivered-To".to_owned(), recipient.address.to_string())],
        };
        let text = format!("posted to {:?} on behalf of {}", named.name, named.account);
        let steps = vec![Step { kind: StepKind::Route, text, origin: None }];
        let posted = Accepted::new(recipient.clone(), Route::filed(owner, filing));
        Outcome::Replaced(vec![Accepted { steps, ..posted }])
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
            attempt.recipients.iter().map(|recipient| self.deliver(attempt, recipient)).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mail_types::{Address, NextHop, QueueId, ReversePath, Timestamp, Transport};
    use runtime::Clock;
    use storage::{LoadedContent, Storage};
    use store::{AclChange, Identifier, MailboxName, Rights, SHARED_ACCOUNT, SPACES};

    const TEXT: &[u8] = b"a: b\r\n\r\n";

    async fn said(channel: &SharedChannel, name: &str) -> String {
        let account = AccountName::new("anna@us.test").unwrap();
        let attempt = Attempt {
            id: QueueId::from_u64(1),
            reverse_path: ReversePath::Null,
            transport: Transport::default(),
            recipients: vec![Recipient::new(Address::parse("anna@us.test").unwrap())],
            route: Route::new(ChannelName::SHARED, NextHop::Named { account, name: name.to_owned() }),
            prefix: Bytes::new(),
            content: LoadedContent::Memory(TEXT.into()),
            source: String::new(),
            authenticated: None,
            arrived: Timestamp(5_000),
        };
        match &channel.attempt(&attempt).await[0] {
            Outcome::Deferred { reply, .. } | Outcome::Failed { reply, .. } => reply.to_string(),
            Outcome::Replaced(by) => {
                let filing = by[0].route.filing().unwrap();
                assert_eq!(filing.fields, [("Delivered-To".to_owned(), "anna@us.test".to_owned())]);
                format!("{} {}", by[0].route.local_account().unwrap(), filing.mailbox)
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_is_not_there_or_not_allowed_fails_and_the_rest_is_a_copy_of_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let options = storage::Options { size_max: 1 << 30, inline_max: 200, synced: false };
        let storage = Storage::open(folder.path(), SPACES, &options).unwrap();
        let clock = Clock::simulated(Timestamp(1_700_000_000_000));
        let events = Events::counting(clock.clone());
        let store = Store::open(storage, clock, events.clone()).await.unwrap();
        let shared = store.ensure_account(&AccountName::new(SHARED_ACCOUNT).unwrap()).await.unwrap();
        let mailbox = store.create_mailbox(shared, &MailboxName::new("team").unwrap(), None).await.unwrap();
        let channel = SharedChannel::new(store.clone(), events);
        assert!(said(&channel, "none").await.starts_with("550 5.1.1 "));
        assert!(said(&channel, "user/x@us.test/y").await.starts_with("550 5.1.1 "));
        assert!(said(&channel, "team").await.starts_with("550 5.7.1 "));
        let anna = Identifier::new("anna@us.test").unwrap();
        store.set_acl(mailbox, &anna, AclChange::Add(Rights::POST)).await.unwrap();
        for name in ["team", "shared/team"] {
            assert_eq!(said(&channel, name).await, format!("{SHARED_ACCOUNT} team"));
        }
        store.storage().close().await;
    }
}
