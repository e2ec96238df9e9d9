//! Accounts that go and come again.

use mail_types::Timestamp;

use super::{Fixture, mailbox_name, name, open_at};
use crate::*;

#[tokio::test]
async fn an_account_that_comes_again_has_other_uid_validities() {
    let fixture = Fixture::new().await;
    let inbox = MailboxId::inbox(fixture.account().await);
    let later = fixture.store.create_mailbox(inbox.account, &mailbox_name("later"), None).await.unwrap();
    let last = fixture.store.status(later).unwrap().uid_validity;
    assert!(fixture.store.remove_account(&name("user1@example.org")).await.unwrap());
    // At the same moment by the clock.
    let again = fixture.account().await;
    assert!(fixture.store.status(MailboxId::inbox(again)).unwrap().uid_validity > last);
    assert!(fixture.store.remove_account(&name("user1@example.org")).await.unwrap());
    // With the clock set back by years.
    let Fixture { dir, store } = fixture;
    store.storage().close().await;
    drop(store);
    let store = open_at(dir.path(), Timestamp(1_000_000_000_000)).await;
    let fixture = Fixture { dir, store };
    let once_more = MailboxId::inbox(fixture.account().await);
    let highest = UidValidity(last.0 + 6);
    assert!(fixture.store.status(once_more).unwrap().uid_validity > highest);
    fixture.close().await;
}
