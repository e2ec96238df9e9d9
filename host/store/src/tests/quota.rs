//! Accounts with a limit.

use std::sync::Arc;

use storage::Batch;

use super::{Fixture, deliver, mailbox_name, message, name, open_with};
use crate::*;

/// A limit for user1@example.org alone.
struct OfOne(Quota);

impl Quotas for OfOne {
    fn of(&self, account: &mail_types::AccountName) -> Limits {
        if account.as_str() == "user1@example.org" { self.0.into() } else { Limits::default() }
    }
}

async fn fixture(octets: Option<u64>, messages: Option<u64>) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), Arc::new(OfOne(Quota { octets, messages }))).await;
    Fixture { dir, store }
}

/// Whether a delivery may come.
fn has_room(store: &Store, account: &str) -> bool {
    match store.take_room(&name(account), Usage::default(), Fit::Below) {
        Ok(_) => true,
        Err(StoreError::OverQuota(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn the_delivery_that_passes_the_limit_is_the_last_one() {
    let fixture = fixture(Some(10), None).await;
    let inbox = MailboxId::inbox(fixture.account().await);
    let has_room = || has_room(&fixture.store, "user1@example.org");
    deliver(&fixture.store, &[inbox], b"", b"12345678").await.unwrap();
    assert!(has_room());
    deliver(&fixture.store, &[inbox], b"", b"12345678").await.unwrap();
    assert!(!has_room());
    assert!(self::has_room(&fixture.store, "user2@example.org"));
    fixture.store.remove(inbox, &[Uid(1)]).await.unwrap();
    assert!(has_room());
    fixture.close().await;
}

#[tokio::test]
async fn a_limit_of_nothing_refuses_all_and_one_of_messages_counts_them() {
    let none = fixture(Some(0), None).await;
    assert!(!has_room(&none.store, "user1@example.org"), "before the account is made");
    none.close().await;
    let two = fixture(None, Some(2)).await;
    let inbox = MailboxId::inbox(two.account().await);
    two.store.append(inbox, vec![message(b"x"), message(b"y")]).await.unwrap();
    assert!(!has_room(&two.store, "user1@example.org"));
    let refused = two.store.append(inbox, vec![message(b"z")]).await;
    assert!(matches!(refused, Err(StoreError::OverQuota(Full::Account))), "{refused:?}");
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
    assert!(matches!(refused, Err(StoreError::OverQuota(Full::Account))), "{refused:?}");
    let refused = fixture.store.append(inbox, vec![message(b"123")]).await;
    assert!(matches!(refused, Err(StoreError::OverQuota(Full::Account))), "{refused:?}");
    fixture.store.append(inbox, vec![message(b"12")]).await.unwrap();
    assert_eq!(fixture.store.move_(inbox, &[Uid(1)], drafts).await.unwrap().uids.len(), 1);
    fixture.close().await;
}

#[tokio::test]
async fn a_mailbox_counts_until_it_is_deleted_and_not_while_its_messages_go() {
    let fixture = fixture(None, Some(2)).await;
    let (store, inbox) = (&fixture.store, MailboxId::inbox(fixture.account().await));
    let drafts = store.mailbox(inbox.account, &mailbox_name("Drafts")).unwrap().id;
    deliver(store, &[inbox, drafts], b"", b"12345678").await.unwrap();
    // Accounts beside it count for themselves.
    let other = store.ensure_account(&name("user2@example.org")).await.unwrap();
    deliver(store, &[MailboxId::inbox(other)], b"", b"x").await.unwrap();
    assert_eq!(store.usage(inbox.account).unwrap(), Usage { messages: 2, octets: 16 });
    assert!(!has_room(store, "user1@example.org"));
    // As a large mailbox stands for a while: deleted, its messages and counters still there.
    let mut batch = Batch::new();
    batch.put(keys::DOOMED, &keys::mailbox(drafts), *b"example.org");
    store.storage().commit(batch).await.unwrap();
    assert_eq!(store.usage(inbox.account).unwrap(), Usage { messages: 1, octets: 8 });
    assert!(has_room(store, "user1@example.org"));
    let mut batch = Batch::new();
    batch.delete(keys::DOOMED, &keys::mailbox(drafts));
    store.storage().commit(batch).await.unwrap();
    fixture.close().await;
}

/// Everybody at example.org and example.net has one limit together; example.org has another for itself.
struct OfTenant;

impl Quotas for OfTenant {
    fn of(&self, account: &mail_types::AccountName) -> Limits {
        let limit = |name: &str, messages, domains: &[&str]| {
            Arc::new(SharedQuota {
                name: name.to_owned(),
                quota: Quota { octets: None, messages: Some(messages) },
                domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
            })
        };
        let mut shared = vec![limit("tenant acme", 4, &["example.org", "example.net"])];
        if account.as_str().ends_with("@example.org") {
            shared.insert(0, limit("domain example.org", 3, &["example.org"]));
        }
        Limits { own: Quota::default(), shared }
    }
}

async fn tenant() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), Arc::new(OfTenant)).await;
    Fixture { dir, store }
}

/// What has no room for one more message of an account's owner.
fn full(store: &Store, account: &str) -> Option<Full> {
    match store.take_room(&name(account), Usage { messages: 1, octets: 1 }, Fit::Within) {
        Ok(_) => None,
        Err(StoreError::OverQuota(full)) => Some(full),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn accounts_of_a_domain_and_a_tenant_fill_one_limit_together() {
    let fixture = tenant().await;
    let store = &fixture.store;
    let mut inboxes = Vec::new();
    for account in ["user1@example.org", "user2@example.org", "user3@example.net"] {
        inboxes.push(MailboxId::inbox(store.ensure_account(&name(account)).await.unwrap()));
    }
    deliver(store, &inboxes[..2], b"", b"x").await.unwrap();
    store.append(inboxes[0], vec![message(b"y")]).await.unwrap();
    let domain = Some(Full::Shared("domain example.org".to_owned()));
    assert_eq!(full(store, "user2@example.org"), domain);
    assert_eq!(full(store, "user3@example.net"), None);
    deliver(store, &inboxes[2..], b"", b"x").await.unwrap();
    let refused = store.append(inboxes[2], vec![message(b"z")]).await.unwrap_err();
    assert_eq!(refused.to_string(), "tenant acme is over its quota");
    // What goes makes room: messages, a mailbox with all that is in it, an account.
    store.remove(inboxes[0], &[Uid(1)]).await.unwrap();
    assert_eq!(full(store, "user3@example.net"), None);
    let sent = store.mailbox(inboxes[1].account, &mailbox_name("Sent")).unwrap();
    store.move_(inboxes[1], &[Uid(1)], sent.id).await.unwrap();
    store.append(inboxes[1], vec![message(b"z")]).await.unwrap();
    assert_eq!(full(store, "user2@example.org"), domain);
    store.delete_mailbox(sent.id.account, &mailbox_name("Sent")).await.unwrap();
    assert_eq!(full(store, "user2@example.org"), None);
    assert_eq!(store.domain_usage("example.org").unwrap(), Usage { messages: 2, octets: 2 });
    assert!(store.remove_account(&name("user1@example.org")).await.unwrap());
    assert_eq!(store.domain_usage("example.org").unwrap(), Usage { messages: 1, octets: 1 });
    assert!(store.check(|_, _| Ok(()), &mut |_| {}).unwrap().is_empty());
    fixture.close().await;
}

#[tokio::test]
async fn of_many_that_come_at_one_moment_none_passes_the_limit() {
    let fixture = tenant().await;
    let mut rooms: Vec<Room> = Vec::new();
    let more = Usage { messages: 1, octets: 1 };
    for user in 0..3 {
        let account = name(&format!("user{user}@example.org"));
        rooms.push(fixture.store.take_room(&account, more, Fit::Below).unwrap());
    }
    assert!(!has_room(&fixture.store, "user9@example.org"), "what is on its way is counted");
    assert!(has_room(&fixture.store, "user9@example.net"));
    rooms.pop();
    assert!(has_room(&fixture.store, "user9@example.org"), "what did not come gives its room back");
    fixture.close().await;
}

/// Keeps nothing.
struct Nowhere;

impl Evidence for Nowhere {
    fn keep(&self, _: &str, _: &[u8]) -> Result<String, String> {
        Err("there is nothing to be kept".to_owned())
    }
}

#[tokio::test]
async fn a_store_from_before_is_counted_once_and_wrong_counts_are_found_and_mended() {
    let fixture = tenant().await;
    let inbox = MailboxId::inbox(fixture.account().await);
    deliver(&fixture.store, &[inbox], b"", b"12345").await.unwrap();
    let domain = |store: &Store| store.domain_usage("example.org").unwrap();
    let mut batch = storage::Batch::new();
    batch.delete(keys::DOMAINS, b"example.org");
    batch.add(keys::COUNTERS, keys::STORE_COUNTERS, &[(keys::DOMAINS_COUNTED, -1)]);
    fixture.store.storage().commit(batch).await.unwrap();
    let fixture = fixture.reopened().await;
    assert_eq!(domain(&fixture.store), Usage { messages: 1, octets: 5 });
    let mut batch = storage::Batch::new();
    batch.add(keys::DOMAINS, b"example.org", &[(keys::DOMAIN_COUNT, 3), (keys::DOMAIN_OCTETS, -2)]);
    batch.add(keys::DOMAINS, b"gone.test", &[(keys::DOMAIN_COUNT, 1)]);
    fixture.store.storage().commit(batch).await.unwrap();
    let check = || fixture.store.check(|_, _| Ok(()), &mut |_| {}).unwrap();
    assert_eq!(
        check().iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "[17] domain example.org counts 4 messages and 3 octets, but its accounts have 1 and 5",
            "[17] domain gone.test counts 1 messages and 0 octets, but its accounts have 0 and 0"
        ]
    );
    let remedies = fixture.store.repair(None, Some(&Nowhere), &|_, _| Ok(())).await;
    assert_eq!(remedies.unwrap().len(), 2);
    assert!(check().is_empty());
    fixture.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_owner_is_warned_once_until_there_was_room_or_time_has_passed() {
    let fixture = fixture(Some(10), None).await;
    let store = &fixture.store;
    let (owner, inbox) = (name("user1@example.org"), MailboxId::inbox(fixture.account().await));
    let week = std::time::Duration::from_secs(7 * 86_400);
    let warn = || store.warn(&owner, b"nearly full, and this does not fit".to_vec().into(), week);
    assert!(warn().await.unwrap());
    assert!(!warn().await.unwrap());
    assert_eq!(store.warned().unwrap(), std::slice::from_ref(&owner));
    tokio::time::advance(week).await;
    assert!(warn().await.unwrap());
    store.forget_warning(&owner).await.unwrap();
    assert!(store.warned().unwrap().is_empty());
    assert!(warn().await.unwrap());
    assert_eq!(store.view(inbox).unwrap().messages.len(), 3);
    assert!(!store.warn(&name("nobody@example.org"), b"x".to_vec().into(), week).await.unwrap());
    assert!(store.remove_account(&owner).await.unwrap());
    assert!(store.warned().unwrap().is_empty());
    fixture.close().await;
}
