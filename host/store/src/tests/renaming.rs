//! Accounts whose owners have another address now.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Fixture, deliver, mailbox_name, message, name};
use crate::*;

fn new_name(from: &str, to: &str) -> NewName {
    NewName { from: name(from), to: name(to) }
}

/// Each order has another one.
fn next_mark() -> [u8; 8] {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes()
}

async fn rename(fixture: &Fixture, names: &[(&str, &str)]) -> Vec<String> {
    let names: Vec<NewName> = names.iter().map(|(from, to)| new_name(from, to)).collect();
    let blocked = fixture.store.rename_accounts(&names, &next_mark()).await.unwrap().unwrap();
    blocked.into_iter().map(|blocked| blocked.from.to_string()).collect()
}

fn account(fixture: &Fixture, of: &str) -> Option<AccountId> {
    fixture.store.find_account(&name(of)).unwrap()
}

async fn with_mail(fixture: &Fixture, of: &str, messages: usize) -> AccountId {
    let id = fixture.store.ensure_account(&name(of)).await.unwrap();
    for _ in 0..messages {
        deliver(&fixture.store, &[MailboxId::inbox(id)], b"", b"mail").await.unwrap();
    }
    id
}

#[tokio::test]
async fn mailboxes_messages_and_uids_stay_with_their_owner() {
    let fixture = Fixture::new().await;
    let anna = with_mail(&fixture, "anna.berg@example.org", 3).await;
    let inbox = MailboxId::inbox(anna);
    let before = fixture.store.view(inbox).unwrap();
    assert!(rename(&fixture, &[("anna.berg@example.org", "anna.stein@example.org")]).await.is_empty());
    let found = (account(&fixture, "anna.berg@example.org"), account(&fixture, "anna.stein@example.org"));
    assert_eq!(found, (None, Some(anna)));
    let after = fixture.store.view(inbox).unwrap();
    assert_eq!((after.messages.len(), after.uid_validity), (3, before.uid_validity));
    assert_eq!(fixture.store.owner(inbox).unwrap(), Some(name("anna.stein@example.org")));
    // Again, as after a crash before it was noted: nothing is left to do.
    assert!(rename(&fixture, &[("anna.berg@example.org", "anna.stein@example.org")]).await.is_empty());
    // Who comes by the old name is somebody else.
    let other = fixture.store.ensure_account(&name("anna.berg@example.org")).await.unwrap();
    assert_ne!(other, anna);
    let fixture = fixture.reopened().await;
    assert_eq!(account(&fixture, "anna.stein@example.org"), Some(anna));
    fixture.close().await;
}

#[tokio::test]
async fn messages_count_for_the_domain_of_the_new_name() {
    let fixture = Fixture::new().await;
    let anna = with_mail(&fixture, "anna@old.example", 2).await;
    with_mail(&fixture, "ben@old.example", 1).await;
    let of = |domain: &str| fixture.store.domain_usage(domain).unwrap().messages;
    rename(&fixture, &[("anna@old.example", "anna@new.example")]).await;
    assert_eq!((of("old.example"), of("new.example")), (1, 2));
    deliver(&fixture.store, &[MailboxId::inbox(anna)], b"", b"mail").await.unwrap();
    fixture.store.delete_mailbox(anna, &mailbox_name("Junk")).await.unwrap();
    assert_eq!((of("old.example"), of("new.example")), (1, 3));
    rename(&fixture, &[("anna@new.example", "anna@old.example")]).await;
    deliver(&fixture.store, &[MailboxId::inbox(anna)], b"", b"mail").await.unwrap();
    assert_eq!((of("old.example"), of("new.example")), (5, 0));
    fixture.close().await;
}

#[tokio::test]
async fn two_take_each_others_names() {
    let fixture = Fixture::new().await;
    let (one, two) =
        (with_mail(&fixture, "one@example.org", 1).await, with_mail(&fixture, "two@a.example", 2).await);
    let names = [("one@example.org", "two@a.example"), ("two@a.example", "one@example.org")];
    assert!(rename(&fixture, &names).await.is_empty());
    let found = (account(&fixture, "one@example.org"), account(&fixture, "two@a.example"));
    assert_eq!(found, (Some(two), Some(one)));
    fixture.close().await;
}

#[tokio::test]
async fn an_order_that_is_given_twice_is_carried_out_once() {
    let fixture = Fixture::new().await;
    let one = with_mail(&fixture, "one@example.org", 1).await;
    let names =
        [new_name("one@example.org", "two@example.org"), new_name("two@example.org", "one@example.org")];
    assert_eq!(fixture.store.rename_accounts(&names, b"7").await.unwrap(), Some(Vec::new()));
    let fixture = fixture.reopened().await;
    assert_eq!(fixture.store.rename_accounts(&names, b"7").await.unwrap(), None);
    assert_eq!(account(&fixture, "two@example.org"), Some(one));
    assert_eq!(fixture.store.rename_accounts(&names, b"8").await.unwrap(), Some(Vec::new()));
    assert_eq!(account(&fixture, "one@example.org"), Some(one));
    fixture.close().await;
}

#[tokio::test]
async fn who_has_no_account_is_not_held_up_by_whose_name_it_was() {
    let fixture = Fixture::new().await;
    let one = with_mail(&fixture, "one@example.org", 1).await;
    // The second has none; the first has that name when it is done.
    let names = [("one@example.org", "two@example.org"), ("two@example.org", "three@example.org")];
    assert!(rename(&fixture, &names).await.is_empty());
    assert_eq!(account(&fixture, "two@example.org"), Some(one));
    fixture.close().await;
}

#[tokio::test]
async fn an_account_in_use_is_nobody_elses_and_an_unused_one_gives_way() {
    let fixture = Fixture::new().await;
    let anna = with_mail(&fixture, "anna@example.org", 1).await;
    with_mail(&fixture, "taken@example.org", 1).await;
    with_mail(&fixture, "third@example.org", 1).await;
    let names = [("anna@example.org", "taken@example.org"), ("third@example.org", "anna@example.org")];
    // Whoever wants the name of one that stays, stays too.
    assert_eq!(rename(&fixture, &names).await, ["anna@example.org", "third@example.org"]);
    assert_eq!(account(&fixture, "anna@example.org"), Some(anna));
    // One that a log-in has just made.
    let made = with_mail(&fixture, "new@example.org", 0).await;
    assert!(rename(&fixture, &[("anna@example.org", "new@example.org")]).await.is_empty());
    assert_eq!(account(&fixture, "new@example.org"), Some(anna));
    assert!(fixture.store.view(MailboxId::inbox(made)).is_err());
    // A mailbox of one's own is use, too, and so is a message that was there.
    let other = with_mail(&fixture, "own@example.org", 0).await;
    fixture.store.create_mailbox(other, &mailbox_name("Projects"), None).await.unwrap();
    assert_eq!(rename(&fixture, &[("new@example.org", "own@example.org")]).await, ["new@example.org"]);
    let was = with_mail(&fixture, "was@example.org", 1).await;
    fixture.store.remove(MailboxId::inbox(was), &[Uid(1)]).await.unwrap();
    assert_eq!(rename(&fixture, &[("new@example.org", "was@example.org")]).await, ["new@example.org"]);
    fixture.close().await;
}

#[tokio::test]
async fn rights_and_subscriptions_follow() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let anna = with_mail(&fixture, "anna@example.org", 0).await;
    let ben = with_mail(&fixture, "ben@example.org", 0).await;
    let team = store.create_mailbox(anna, &mailbox_name("Team"), None).await.unwrap();
    for (who, rights) in [("ben@example.org", "lr"), ("-ben@example.org", "w"), ("bo@example.org", "s")] {
        let change = AclChange::Replace(Rights::parse(rights).unwrap());
        store.set_acl(team, &Identifier::new(who).unwrap(), change).await.unwrap();
    }
    let of_ben = store.on_behalf_of(ben, &name("ben@example.org"));
    of_ben.subscribe(ben, &mailbox_name("user/anna@example.org/Team")).await.unwrap();
    let names = [("ben@example.org", "bo@example.org"), ("anna@example.org", "anne@example.org")];
    assert!(rename(&fixture, &names).await.is_empty());
    let acl = store.acl(team).unwrap();
    let entries: Vec<String> = acl.entries().map(|(who, rights)| format!("{who} {rights}")).collect();
    assert_eq!(entries, ["-bo@example.org w", "bo@example.org lrs"]);
    assert_eq!(store.on_behalf_of(ben, &name("ben@example.org")).granted().unwrap(), Vec::new());
    let of_bo = store.on_behalf_of(ben, &name("bo@example.org"));
    assert_eq!(of_bo.granted().unwrap()[0].owner, "anne@example.org");
    let subscribed = of_bo.subscriptions(ben).unwrap();
    assert!(subscribed.contains(&"user/anne@example.org/Team".to_owned()), "{subscribed:?}");
    assert!(!subscribed.iter().any(|name| name.contains("anna@")), "{subscribed:?}");
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_meanwhile_is_kept_and_counted_once() {
    let fixture = Fixture::new().await;
    let anna = with_mail(&fixture, "anna@a.example", 1).await;
    let store = fixture.store.clone();
    let delivering = tokio::spawn(async move {
        let mut kept = 1;
        for _ in 0..400 {
            match deliver(&store, &[MailboxId::inbox(anna)], b"", b"mail").await {
                Ok(_) => kept += 1,
                Err(error) => assert!(error.is_conflict(), "{error}"),
            }
            if kept % 7 == 0 {
                match store.append(MailboxId::inbox(anna), vec![message(b"x")]).await {
                    Ok(_) => kept += 1,
                    Err(error) => assert!(error.is_conflict(), "{error}"),
                }
            }
        }
        kept
    });
    let (mut here, mut there) = ("anna@a.example", "anna@b.example");
    while !delivering.is_finished() {
        match fixture.store.rename_accounts(&[new_name(here, there)], &next_mark()).await {
            Ok(blocked) => assert_eq!(blocked, Some(Vec::new())),
            Err(error) if error.is_conflict() => continue,
            Err(error) => panic!("{error}"),
        }
        std::mem::swap(&mut here, &mut there);
    }
    let kept = delivering.await.unwrap();
    assert_eq!(fixture.store.view(MailboxId::inbox(anna)).unwrap().messages.len(), kept);
    assert_eq!(
        fixture
            .store
            .domain_usage("a.example")
            .unwrap()
            .plus(fixture.store.domain_usage("b.example").unwrap())
            .messages,
        kept as u64
    );
    fixture.close().await;
}

/// Knows of a person who has another address now.
struct Knows(Store);

impl Doorkeeper for Knows {
    fn make_ready(&self) -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        Box::pin(async {
            let names = [new_name("anna@example.org", "anne@example.org")];
            self.0.rename_accounts(&names, b"married").await.map(drop).map_err(|error| error.to_string())
        })
    }
}

#[tokio::test]
async fn who_takes_over_an_address_does_not_find_whose_it_was() {
    let fixture = Fixture::new().await;
    let anna = with_mail(&fixture, "anna@example.org", 1).await;
    let keeper: std::sync::Arc<dyn Doorkeeper> = std::sync::Arc::new(Knows(fixture.store.clone()));
    fixture.store.with_doorkeeper(std::sync::Arc::downgrade(&keeper));
    let other = fixture.store.enter_account(&name("anna@example.org")).await.unwrap();
    assert_ne!(other, anna);
    assert_eq!(fixture.store.enter_account(&name("anne@example.org")).await.unwrap(), anna);
    drop(keeper);
    assert_eq!(fixture.store.enter_account(&name("anna@example.org")).await.unwrap(), other);
    fixture.close().await;
}
