//! Accounts with a limit.

use std::sync::Arc;

use super::{Fixture, deliver, mailbox_name, message, name, open_with};
use crate::*;

/// A limit for user1@example.org alone.
struct OfOne(Quota);

impl Quotas for OfOne {
    fn of(&self, account: &mail_types::AccountName) -> Quota {
        if account.as_str() == "user1@example.org" { self.0 } else { Quota::default() }
    }
}

async fn fixture(octets: Option<u64>, messages: Option<u64>) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), Arc::new(OfOne(Quota { octets, messages }))).await;
    Fixture { dir, store }
}

#[tokio::test]
async fn the_delivery_that_passes_the_limit_is_the_last_one() {
    let fixture = fixture(Some(10), None).await;
    let inbox = MailboxId::inbox(fixture.account().await);
    let has_room = || fixture.store.has_room(&name("user1@example.org")).unwrap();
    deliver(&fixture.store, &[inbox], b"", b"12345678").await.unwrap();
    assert!(has_room());
    deliver(&fixture.store, &[inbox], b"", b"12345678").await.unwrap();
    assert!(!has_room());
    assert!(fixture.store.has_room(&name("user2@example.org")).unwrap());
    fixture.store.remove(inbox, &[Uid(1)]).await.unwrap();
    assert!(has_room());
    fixture.close().await;
}

#[tokio::test]
async fn a_limit_of_nothing_refuses_all_and_one_of_messages_counts_them() {
    let none = fixture(Some(0), None).await;
    assert!(!none.store.has_room(&name("user1@example.org")).unwrap(), "before the account is made");
    none.close().await;
    let two = fixture(None, Some(2)).await;
    let inbox = MailboxId::inbox(two.account().await);
    two.store.append(inbox, vec![message(b"x"), message(b"y")]).await.unwrap();
    assert!(!two.store.has_room(&name("user1@example.org")).unwrap());
    let refused = two.store.append(inbox, vec![message(b"z")]).await;
    assert!(matches!(refused, Err(StoreError::OverQuota)), "{refused:?}");
    two.close().await;
}

#[tokio::test]
async fn the_owner_copies_up_to_the_limit_and_moves_beyond_it() {
    let fixture = fixture(Some(10), None).await;
    let account = fixture.account().await;
    let inbox = MailboxId::inbox(account);
    fixture.store.append(inbox, vec![message(b"12345678")]).await.unwrap();
    let drafts = fixture.store.mailbox(account, &mailbox_name("Drafts")).unwrap().id;
    let refused = fixture.store.copy(inbox, &[Uid(1)], drafts).await;
    assert!(matches!(refused, Err(StoreError::OverQuota)), "{refused:?}");
    let refused = fixture.store.append(inbox, vec![message(b"123")]).await;
    assert!(matches!(refused, Err(StoreError::OverQuota)), "{refused:?}");
    fixture.store.append(inbox, vec![message(b"12")]).await.unwrap();
    assert_eq!(fixture.store.move_(inbox, &[Uid(1)], drafts).await.unwrap().uids.len(), 1);
    fixture.close().await;
}
