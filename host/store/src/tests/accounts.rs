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

#[tokio::test]
async fn many_accounts_are_made_together_and_those_that_are_there_stay() {
    let fixture = Fixture::new().await;
    let first = fixture.account().await;
    let names: Vec<_> = (1..=450).map(|number| name(&format!("user{number}@example.org"))).collect();
    // Twice the same, and one that is there.
    let asked: Vec<_> = names.iter().chain(&names[..3]).collect();
    fixture.store.ensure_accounts(&asked).await.unwrap();
    let ids = names.iter().map(|name| fixture.store.find_account(name).unwrap().unwrap());
    let ids: std::collections::BTreeSet<_> = ids.collect();
    assert_eq!((ids.len(), ids.first()), (450, Some(&first)));
    let totals = fixture.store.totals().unwrap();
    assert_eq!((totals.accounts, totals.mailboxes), (450, 450 * 6));
    // The counter is where it belongs.
    let next = fixture.store.ensure_account(&name("next@example.org")).await.unwrap();
    assert!(ids.iter().all(|id| *id < next));
    fixture.close().await;
}
