//! Annotations: their maxima, and what is left of them when mailboxes and people go.

use super::{Fixture, mailbox_name, name};
use crate::*;

fn entry(text: &str) -> AnnotationName {
    AnnotationName::new(text).unwrap()
}

async fn set(store: &Store, of: Annotated, name: &str, octets: usize) -> Result<(), StoreError> {
    store.annotate(of, vec![(entry(name), Some(vec![b'x'; octets]))]).await
}

fn count(store: &Store, space: storage::Space) -> usize {
    let mut count = 0;
    let snapshot = store.storage().read().unwrap();
    snapshot
        .scan(space, &[], &keys::END, &mut |_, _| {
            count += 1;
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    count
}

#[tokio::test]
async fn there_are_maxima_and_nothing_is_set_by_halves() {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    let store = fixture.store.on_behalf_of(account, &name("user1@example.org"));
    let of = Annotated::Mailbox(MailboxId::inbox(account));
    let too_many = |result: Result<(), StoreError>, expected: usize| {
        assert!(matches!(result, Err(StoreError::TooMany { max, .. }) if max == expected), "{result:?}");
    };
    too_many(set(&store, of, "/private/a", ANNOTATION_VALUE_MAX + 1).await, ANNOTATION_VALUE_MAX);
    set(&store, of, "/private/a", ANNOTATION_VALUE_MAX).await.unwrap();
    let both = vec![
        (entry("/private/b"), Some(vec![1])),
        (entry("/shared/c"), Some(vec![0; ANNOTATION_VALUE_MAX + 1])),
    ];
    too_many(store.annotate(of, both).await, ANNOTATION_VALUE_MAX);
    assert_eq!(store.annotations(of).unwrap().entries().count(), 1);
    for n in 0..3 {
        set(&store, of, &format!("/private/large{n}"), ANNOTATION_VALUE_MAX - 100).await.unwrap();
    }
    too_many(set(&store, of, "/private/more", 1000).await, ANNOTATION_OCTETS_MAX);
    // Shared ones are apart.
    for n in 0..ANNOTATIONS_MAX {
        set(&store, of, &format!("/shared/{n}"), 0).await.unwrap();
    }
    too_many(set(&store, of, "/shared/more", 0).await, ANNOTATIONS_MAX);
    set(&store, of, "/shared/0", 1).await.unwrap();
    store
        .annotate(of, vec![(entry("/shared/1"), None), (entry("/shared/more"), Some(vec![]))])
        .await
        .unwrap();
    fixture.close().await;
}

#[tokio::test]
async fn nobody_fills_the_store_with_them() {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    let store = fixture.store.on_behalf_of(account, &name("user1@example.org"));
    let mut refused = false;
    for at in 0..ANNOTATED_OCTETS_MAX / ANNOTATION_OCTETS_MAX + 2 {
        let mailbox = store.create_mailbox(account, &mailbox_name(&format!("m{at}")), None).await.unwrap();
        let value = vec![b'x'; ANNOTATION_VALUE_MAX - 100];
        let all = (0..4).map(|n| (entry(&format!("/shared/{n}")), Some(value.clone()))).collect();
        match store.annotate(Annotated::Mailbox(mailbox), all).await {
            Ok(()) => assert!(!refused),
            Err(StoreError::TooMany { max: ANNOTATED_OCTETS_MAX, .. }) => refused = true,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused);
    // Nor by renaming the INBOX, which keeps its own.
    let inbox = Annotated::Mailbox(MailboxId::inbox(account));
    while set(&store, inbox, "/private/x", ANNOTATION_VALUE_MAX).await.is_err() {
        store.delete_mailbox(account, &mailbox_name("m1")).await.unwrap();
    }
    let mut renamed = 0;
    let too_many = loop {
        let to = mailbox_name(&format!("old{renamed}"));
        match store.rename_mailbox(account, &mailbox_name("INBOX"), &to).await {
            Ok(()) => renamed += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(too_many, StoreError::TooMany { max: ANNOTATED_OCTETS_MAX, .. }), "{too_many}");
    assert!(renamed < 5, "{renamed}");
    // What is given back may be taken again.
    store.delete_mailbox(account, &mailbox_name("m0")).await.unwrap();
    set(&store, Annotated::Server, "/private/x", 1000).await.unwrap();
    fixture.close().await;
}

#[tokio::test]
async fn they_go_with_mailboxes_and_people() {
    let fixture = Fixture::new().await;
    let anna = fixture.store.ensure_account(&name("anna@example.org")).await.unwrap();
    let ben_id = fixture.store.ensure_account(&name("ben@example.org")).await.unwrap();
    let store = fixture.store.on_behalf_of(anna, &name("anna@example.org"));
    let ben = fixture.store.on_behalf_of(ben_id, &name("ben@example.org"));
    let team = store.create_mailbox(anna, &mailbox_name("Team"), None).await.unwrap();
    let change = AclChange::Replace(Rights::parse("lr").unwrap());
    store.set_acl(team, &Identifier::new("ben@example.org").unwrap(), change).await.unwrap();
    let of = Annotated::Mailbox(team);
    for store in [&store, &ben] {
        set(store, of, "/private/comment", 5).await.unwrap();
        set(store, Annotated::Server, "/private/vendor/x/y", 5).await.unwrap();
    }
    set(&store, of, "/shared/comment", 5).await.unwrap();
    assert!(matches!(set(&ben, of, "/shared/comment", 5).await, Err(StoreError::NotPermitted('w'))));
    assert!(set(&store, Annotated::Server, "/shared/comment", 5).await.is_err());
    assert!(set(&fixture.store, of, "/private/comment", 5).await.is_err());
    store.rename_mailbox(anna, &mailbox_name("Team"), &mailbox_name("Group")).await.unwrap();
    assert_eq!(ben.annotations(of).unwrap().entries().count(), 2);
    fixture.check();
    let both = [keys::ANNOTATIONS, keys::ANNOTATION_PAYERS];
    assert_eq!(both.map(|space| count(&store, space)), [5; 2]);
    assert!(fixture.store.remove_account(&name("ben@example.org")).await.unwrap());
    assert_eq!(both.map(|space| count(&store, space)), [3; 2]);
    store.delete_mailbox(anna, &mailbox_name("Group")).await.unwrap();
    assert_eq!(both.map(|space| count(&store, space)), [1; 2]);
    assert!(set(&ben, Annotated::Server, "/private/vendor/x/y", 5).await.is_err());
    fixture.check();
    // The check sees what is paid for nothing.
    let mut batch = storage::Batch::new();
    batch.put(keys::ANNOTATION_PAYERS, &keys::annotation_payer(anna, team, anna), [0, 0, 0, 9]);
    store.storage().commit(batch).await.unwrap();
    let violations = fixture.store.check(|_, _| Ok(()), &mut |_| {}).unwrap();
    assert_eq!(violations.iter().map(|violation| violation.invariant).collect::<Vec<_>>(), [18]);
    store.storage().close().await;
}
