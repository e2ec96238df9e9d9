//! A message in another's place.

use std::sync::Arc;

use mail_types::AccountName;

use super::{Fixture, mailbox_name, message, name, open_with};
use crate::*;

fn uids(store: &Store, mailbox: MailboxId) -> Vec<Uid> {
    store.view(mailbox).unwrap().messages.iter().map(|listed| listed.uid).collect()
}

#[tokio::test]
async fn both_happen_at_one_moment_or_neither() {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    let (store, inbox) = (&fixture.store, MailboxId::inbox(account));
    let sent = store.mailbox(account, &mailbox_name("Sent")).unwrap().id;
    store.append(inbox, vec![message(b"one"), message(b"two")]).await.unwrap();
    let before = store.view(inbox).unwrap().highest_modseq;
    let (_, uid) = store.replace((inbox, Uid(1)), inbox, message(b"new")).await.unwrap();
    assert_eq!((uid, uids(store, inbox)), (Uid(3), vec![Uid(2), Uid(3)]));
    // Who follows hears of both, and of nothing between.
    let delta = store.changes_since(inbox, before).unwrap();
    assert_eq!((delta.changed.len(), delta.expunged), (1, vec![Uid(1)]));
    let (_, uid) = store.replace((inbox, Uid(2)), sent, message(b"sent")).await.unwrap();
    assert_eq!((uid, uids(store, inbox), uids(store, sent)), (Uid(1), vec![Uid(3)], vec![Uid(1)]));
    let gone = store.replace((inbox, Uid(2)), sent, message(b"again")).await;
    assert!(matches!(gone, Err(StoreError::NotFound("message"))), "{gone:?}");
    assert_eq!(uids(store, sent).len(), 1);
    fixture.close().await;
}

#[tokio::test]
async fn rights_to_both_mailboxes_are_asked_for() {
    let fixture = Fixture::new().await;
    let (anna, ben) = (name("anna@example.org"), name("ben@example.org"));
    let (anna_id, ben_id) = (
        fixture.store.ensure_account(&anna).await.unwrap(),
        fixture.store.ensure_account(&ben).await.unwrap(),
    );
    let (annas, bens) = (MailboxId::inbox(anna_id), MailboxId::inbox(ben_id));
    let store = fixture.store.on_behalf_of(ben_id, &ben);
    fixture.store.append(annas, vec![message(b"one")]).await.unwrap();
    fixture.store.append(bens, vec![message(b"one")]).await.unwrap();
    for (rights, missing) in [("lrst", 'e'), ("lrse", 't')] {
        let change = AclChange::Replace(Rights::parse(rights).unwrap());
        fixture.store.set_acl(annas, &Identifier::of(&ben), change).await.unwrap();
        let refused = store.replace((annas, Uid(1)), bens, message(b"x")).await;
        assert!(matches!(refused, Err(StoreError::NotPermitted(right)) if right == missing), "{refused:?}");
    }
    let refused = store.replace((bens, Uid(1)), annas, message(b"x")).await;
    assert!(matches!(refused, Err(StoreError::NotPermitted('i'))), "{refused:?}");
    let change = AclChange::Replace(Rights::parse("lrsite").unwrap());
    fixture.store.set_acl(annas, &Identifier::of(&ben), change).await.unwrap();
    // What one puts in as seen, one has seen.
    let seen = NewMessage { flags: Flags::SEEN, ..message(b"x") };
    store.replace((bens, Uid(1)), annas, seen).await.unwrap();
    assert_eq!((store.status(annas).unwrap().unseen, uids(&store, bens)), (1, vec![]));
    store.replace((annas, Uid(1)), bens, message(b"y")).await.unwrap();
    assert_eq!((uids(&store, annas), uids(&store, bens)), (vec![Uid(2)], vec![Uid(2)]));
    fixture.close().await;
}

/// So many messages, and octets.
struct Limit(u64, u64);

impl Quotas for Limit {
    fn of(&self, _: &AccountName) -> Limits {
        Quota { messages: Some(self.0), octets: Some(self.1) }.into()
    }
}

#[tokio::test]
async fn of_the_quota_only_the_difference_counts() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_with(dir.path(), Arc::new(Limit(1, 10))).await;
    let account = store.ensure_account(&name("user1@example.org")).await.unwrap();
    let inbox = MailboxId::inbox(account);
    store.append(inbox, vec![message(b"12345678")]).await.unwrap();
    assert!(matches!(store.append(inbox, vec![message(b"1")]).await, Err(StoreError::OverQuota(_))));
    assert_eq!(
        store.more_by_replacing((inbox, Uid(1)), inbox, 10).unwrap(),
        Usage { messages: 0, octets: 2 }
    );
    let over = store.replace((inbox, Uid(1)), inbox, message(b"12345678901")).await;
    assert!(matches!(over, Err(StoreError::OverQuota(_))), "{over:?}");
    store.replace((inbox, Uid(1)), inbox, message(b"1234567890")).await.unwrap();
    assert_eq!(uids(&store, inbox), [Uid(2)]);
    // Beyond the limit already: what makes it less is welcome (RFC 8508 §3.4).
    store.remove(inbox, &[Uid(2)]).await.unwrap();
    super::deliver(&store, &[inbox], b"", b"a delivery beyond it").await.unwrap();
    store.replace((inbox, Uid(3)), inbox, message(b"still beyond it")).await.unwrap();
    assert_eq!(uids(&store, inbox), [Uid(4)]);
    store.storage().close().await;
}
