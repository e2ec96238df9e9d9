//! Local delivery: copies appended to mailboxes in the queue's own batch, in the one store that its
//! owner reads (R63).

use mail_types::{AccountName, Filing, Timestamp};
use queue::{Appended, BoxFuture, CopyOf, LocalCopy, LocalDelivery, Publish};
use storage::{Batch, StorageError};
use store::{
    AppendRequest, AppendedContent, Fit, Flags, Full, MailboxId, MailboxName, Store, StoreError, Usage,
    flag_of,
};

/// Delivers into the INBOX of accounts of the store.
#[derive(Clone)]
pub struct StoreDelivery {
    store: Store,
}

impl StoreDelivery {
    /// Into this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store }
    }
}

impl LocalDelivery for StoreDelivery {
    fn prepare<'a>(
        &'a self,
        account: &'a AccountName,
        filing: Option<&'a Filing>,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(async move {
            let account = self.store.ensure_account(account).await.map_err(in_storage)?;
            let Some(filing) = filing else { return Ok(()) };
            let keywords: Vec<&str> = keywords(filing).collect();
            // A place that cannot be made is no reason to lose or hold mail: it goes to the INBOX then.
            let Ok(name) = place(filing) else { return Ok(()) };
            match self.store.ensure_place(account, &name, &keywords).await {
                Err(StoreError::Storage(error)) => Err(error),
                _ => Ok(()),
            }
        })
    }

    fn prepare_accounts<'a>(
        &'a self,
        accounts: &'a [&'a AccountName],
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(async move { self.store.ensure_accounts(accounts).await.map_err(in_storage) })
    }

    fn renamed_since(&self, account: &AccountName, since: Timestamp) -> bool {
        self.store.renamed_since(account, since)
    }

    fn now_called(&self, account: &AccountName, at: Timestamp) -> Result<Option<AccountName>, StorageError> {
        self.store.now_called(account, at).map_err(in_storage)
    }

    fn number(&self, account: &AccountName) -> Result<Option<u64>, StorageError> {
        let number = self.store.find_account(account).map_err(in_storage)?;
        Ok(number.map(|number| u64::from(number.0)))
    }

    fn find_full(&self, account: &AccountName) -> Result<Option<String>, StorageError> {
        match self.store.take_room(account, Usage::default(), Fit::Below) {
            Ok(_) => Ok(None),
            Err(StoreError::OverQuota(full)) => Ok(Some(named(&full, account))),
            Err(error) => Err(in_storage(error)),
        }
    }

    fn take_room(&self, account: &AccountName, size: u64) -> Result<queue::Room, StorageError> {
        match self.store.take_room(account, Usage { messages: 1, octets: size }, Fit::Below) {
            Ok(room) => Ok(queue::Room::Free(room.is_held().then(|| Box::new(room) as Box<_>))),
            Err(StoreError::OverQuota(full)) => Ok(queue::Room::Full(named(&full, account))),
            Err(error) => Err(in_storage(error)),
        }
    }

    fn append(&self, batch: &mut Batch, copy: &LocalCopy<'_>) -> Result<Appended, StorageError> {
        let found = self.store.find_account(copy.account).map_err(in_storage)?;
        let Some(account) = found else {
            return Err(StorageError::unavailable("delivering", format!("no account {}", copy.account)));
        };
        // RFC 5321 §4.4: final delivery puts the reverse path on top.
        let mut prefix = message::return_path_field(copy.reverse_path);
        prefix.extend_from_slice(copy.prefix);
        let (mut mailbox, mut flags, mut labels) = (MailboxId::inbox(account), Flags::NONE, Vec::new());
        let (mut called, mut instead_of) = (store::INBOX.to_owned(), None);
        if let Some(filing) = copy.filing {
            for (name, value) in &filing.fields {
                prefix.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
            let found = match place(filing) {
                Ok(name) => {
                    let found = self.store.find_place(account, &name).map_err(in_storage)?;
                    found.map(|found| (found, name.to_string()))
                }
                Err(_) => None,
            };
            match found {
                Some(found) => (mailbox, called) = found,
                None => instead_of = Some(filing.mailbox.clone()),
            }
            labels = keywords(filing).collect();
            let set = filing.labels.iter().filter_map(|label| flag_of(label));
            flags = Flags::from_bits(set.fold(0, |bits, flag| bits | flag.bits()));
        }
        let request = AppendRequest {
            mailbox,
            content: match copy.content {
                CopyOf::Drawn(drawn) => AppendedContent::Drawn(drawn),
                CopyOf::Stored(id) => AppendedContent::Stored(id),
            },
            content_len: copy.size,
            prefix: &prefix,
            internal_date: copy.arrived,
            flags,
        };
        let appended = self.store.append_labelled_to_batch(batch, &request, &labels).map_err(in_storage)?;
        let store = self.store.clone();
        let publish: Publish = Box::new(move |committed| {
            store.publish_appended(appended, committed);
        });
        Ok(Appended { mailbox: called, instead_of, publish })
    }
}

/// What is full, for people.
fn named(full: &Full, account: &AccountName) -> String {
    match full {
        Full::Account => account.to_string(),
        Full::Shared(name) => name.clone(),
    }
}

/// The mailbox that a copy is filed in.
fn place(filing: &Filing) -> Result<MailboxName, StoreError> {
    if filing.mailbox.is_empty() { Ok(MailboxName::inbox()) } else { MailboxName::new(&filing.mailbox) }
}

/// The labels that are keywords.
fn keywords(filing: &Filing) -> impl Iterator<Item = &str> {
    filing.labels.iter().map(String::as_str).filter(|label| flag_of(label).is_none())
}

/// The queue speaks of storage; whatever else the store may say is passing.
fn in_storage(error: StoreError) -> StorageError {
    match error {
        StoreError::Storage(error) => error,
        other => StorageError::unavailable("delivering", other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use events::Events;
    use mail_types::{Address, Recipient, ReversePath, Timestamp};
    use runtime::Clock;
    use storage::{Drawn, Storage};
    use store::{SPACES, Uid};

    async fn open(folder: &std::path::Path) -> Store {
        let options = storage::Options { size_max: 1 << 30, inline_max: 200, synced: false };
        let storage = Storage::open(folder, SPACES, &options).unwrap();
        let clock = Clock::simulated(Timestamp(1_700_000_000_000));
        Store::open(storage, clock.clone(), Events::counting(clock)).await.unwrap()
    }

    fn append(
        store: &Store,
        batch: &mut Batch,
        content: Drawn,
        (name, filing): (&str, Option<&Filing>),
    ) -> Result<Appended, StorageError> {
        let account = AccountName::new(name).unwrap();
        let recipient = Recipient::new(Address::parse(name).unwrap());
        let reverse_path = ReversePath::parse("<me@there.test>").unwrap();
        let copy = LocalCopy {
            account: &account,
            filing,
            recipient: &recipient,
            reverse_path: &reverse_path,
            prefix: b"Received: here\r\n",
            content: CopyOf::Drawn(content),
            size: 8,
            arrived: Timestamp(5_000),
        };
        StoreDelivery::new(store.clone()).append(batch, &copy)
    }

    #[tokio::test]
    async fn copies_are_appended_in_the_batch_and_readers_told_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        let names = ["a@us.test", "b@us.test"];
        let mut inboxes = Vec::new();
        for name in names {
            let account = AccountName::new(name).unwrap();
            StoreDelivery::new(store.clone()).prepare(&account, None).await.unwrap();
            inboxes.push(MailboxId::inbox(store.find_account(&account).unwrap().unwrap()));
        }
        let watch = store.watch(inboxes[0]);
        let mut batch = Batch::new();
        let content = batch.store_content(b"a: b\r\n\r\n".to_vec().into(), 2);
        let publish: Vec<Publish> =
            names.map(|name| append(&store, &mut batch, content, (name, None)).unwrap().publish).into();
        let committed = store.storage().commit(batch).await.unwrap();
        assert!(!watch.has_changed());
        publish.into_iter().for_each(|publish| publish(&committed));
        assert!(watch.has_changed());
        for inbox in inboxes {
            let octets = store.read(inbox, Uid(1)).unwrap().unwrap().to_bytes().unwrap();
            let expected = b"Return-Path: <me@there.test>\r\nReceived: here\r\na: b\r\n\r\n";
            assert_eq!(octets, expected.as_slice());
        }
        assert!(store.check(|_, _| Ok(()), &mut |_| {}).unwrap().is_empty());
        store.storage().close().await;
    }

    #[tokio::test]
    async fn an_account_that_was_never_prepared_is_a_passing_failure() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        let mut batch = Batch::new();
        let content = batch.store_content(b"a: b\r\n\r\n".to_vec().into(), 1);
        let result = append(&store, &mut batch, content, ("nobody@us.test", None));
        assert!(matches!(result, Err(StorageError::Unavailable { .. })));
        store.storage().close().await;
    }

    #[tokio::test]
    async fn where_a_copy_really_is_is_told_where_it_cannot_be_filed_as_meant() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        let account = AccountName::new("anna@us.test").unwrap();
        let delivery = StoreDelivery::new(store.clone());
        let deep = "x/".repeat(mail_types::MAILBOX_DEPTH_MAX) + "x";
        for (meant, expected) in [
            ("", ("INBOX", None)),
            ("inbox", ("INBOX", None)),
            ("Lists/Rust", ("Lists/Rust", None)),
            (&deep, ("INBOX", Some(&*deep))),
        ] {
            let filing = Filing { mailbox: meant.to_owned(), ..Filing::default() };
            delivery.prepare(&account, Some(&filing)).await.unwrap();
            let mut batch = Batch::new();
            let content = batch.store_content(b"a: b\r\n\r\n".to_vec().into(), 1);
            let appended = append(&store, &mut batch, content, ("anna@us.test", Some(&filing))).unwrap();
            assert_eq!((&*appended.mailbox, appended.instead_of.as_deref()), expected);
        }
        store.storage().close().await;
    }
}
