//! Feeds: who hears of what, and how much waits.

use super::{Fixture, add, deliver, mailbox_name, message, name};
use crate::*;

async fn person(fixture: &Fixture, who: &str) -> (AccountId, Store) {
    let id = fixture.store.ensure_account(&name(who)).await.unwrap();
    (id, fixture.store.on_behalf_of(id, &name(who)))
}

fn events(new: bool, expunged: bool, flags: bool) -> MessageEvents {
    MessageEvents { new, expunged, flags }
}

#[tokio::test]
async fn what_others_do_is_heard_and_what_one_does_is_not() {
    let fixture = Fixture::new().await;
    let (anna, store) = person(&fixture, "anna@example.org").await;
    let (feed, own) = store.feed(anna);
    let inbox = MailboxId::inbox(anna);
    assert_eq!(feed.take(), Happenings::default());
    deliver(&fixture.store, &[inbox], b"", b"x").await.unwrap();
    own.append(inbox, vec![message(b"y")]).await.unwrap();
    feed.arrived().await;
    let heard = feed.take();
    assert_eq!(heard.messages.into_iter().collect::<Vec<_>>(), [(inbox, events(true, false, false))]);
    store.store_flags(inbox, &[Uid(1)], &add(Flags::DELETED)).await.unwrap();
    store.expunge(inbox, None).await.unwrap();
    own.store_flags(inbox, &[Uid(2)], &add(Flags::SEEN)).await.unwrap();
    assert_eq!(feed.take().messages[&inbox], events(false, true, true));
    own.create_mailbox(anna, &mailbox_name("mine"), None).await.unwrap();
    store.create_mailbox(anna, &mailbox_name("a/b"), None).await.unwrap();
    store.rename_mailbox(anna, &mailbox_name("a"), &mailbox_name("c")).await.unwrap();
    store.delete_mailbox(anna, &mailbox_name("c/b")).await.unwrap();
    store.subscribe(anna, &mailbox_name("c")).await.unwrap();
    store.unsubscribe(anna, &mailbox_name("c")).await.unwrap();
    let named = |text: &str| Happened::Named { account: anna, name: mailbox_name(text) };
    let subscribed = Happened::Subscribed { account: anna, name: "c".to_owned() };
    let renamed = Happened::Renamed { account: anna, from: mailbox_name("a"), to: mailbox_name("c") };
    let heard = feed.take().others;
    assert_eq!(heard, [named("a"), named("a/b"), renamed, named("c/b"), subscribed.clone(), subscribed]);
    store.rename_mailbox(anna, &mailbox_name("INBOX"), &mailbox_name("old")).await.unwrap();
    let renamed = Happened::Renamed { account: anna, from: mailbox_name("INBOX"), to: mailbox_name("old") };
    assert_eq!(feed.take().others, [renamed]);
    drop(feed);
    assert_eq!(fixture.store.inner.feeds.len(), 0);
    own.append(inbox, vec![message(b"z")]).await.unwrap();
    fixture.close().await;
}

#[tokio::test]
async fn others_hear_what_is_theirs() {
    let fixture = Fixture::new().await;
    let (anna, store) = person(&fixture, "anna@example.org").await;
    let (ben, bens) = person(&fixture, "ben@example.org").await;
    let team = store.create_mailbox(anna, &mailbox_name("Team"), None).await.unwrap();
    let (mut feed, _) = bens.feed(ben);
    let identifier = |who: &str| Identifier::new(who).unwrap();
    let grant = |rights: &str| AclChange::Replace(Rights::parse(rights).unwrap());
    // Of rights they hear wherever they listen.
    store.set_acl(team, &identifier("ben@example.org"), grant("lr")).await.unwrap();
    store.set_acl(team, &identifier("ben@example.org"), grant("lrs")).await.unwrap();
    store.set_acl(team, &identifier("eve@example.org"), grant("lrs")).await.unwrap();
    store.set_acl(team, &identifier("anyone"), grant("l")).await.unwrap();
    let rights =
        |person, name: Option<&str>| Happened::Rights { mailbox: team, person, name: name.map(mailbox_name) };
    let heard = feed.take().others;
    assert_eq!(heard, [rights(Some(ben), Some("Team")), rights(Some(ben), None), rights(None, Some("Team"))]);
    // Of the rest where they do.
    let entry = |name: &str| vec![(AnnotationName::new(name).unwrap(), Some(vec![1]))];
    let of = Annotated::Mailbox(team);
    store.annotate(of, entry("/shared/x")).await.unwrap();
    deliver(&fixture.store, &[team], b"", b"x").await.unwrap();
    assert_eq!(feed.take(), Happenings::default());
    feed.listen_to([anna]);
    store.annotate(of, entry("/shared/x")).await.unwrap();
    store.annotate(of, entry("/private/x")).await.unwrap();
    bens.annotate(of, entry("/private/y")).await.unwrap();
    bens.annotate(Annotated::Server, entry("/private/z")).await.unwrap();
    deliver(&fixture.store, &[team], b"", b"x").await.unwrap();
    let annotated =
        |mailbox, person, name: &str| Happened::Annotated { mailbox, person, names: vec![name.to_owned()] };
    let heard = feed.take();
    assert_eq!(
        heard.others,
        [
            annotated(Some(team), None, "/shared/x"),
            annotated(Some(team), Some(ben), "/private/y"),
            annotated(None, Some(ben), "/private/z"),
        ]
    );
    assert_eq!(heard.messages.len(), 1);
    assert_eq!(bens.called(team).unwrap(), "user/anna@example.org/Team");
    assert_eq!(store.called(team).unwrap(), "Team");
    feed.listen_to([]);
    assert!(fixture.store.remove_account(&name("anna@example.org")).await.unwrap());
    assert!(feed.take().messages.is_empty());
    fixture.close().await;
}

#[tokio::test]
async fn who_does_not_take_is_told_that_something_is_missing() {
    let fixture = Fixture::new().await;
    let (anna, store) = person(&fixture, "anna@example.org").await;
    let (feed, _) = store.feed(anna);
    for _ in 0..FEED_WAITING_MAX {
        store.unsubscribe(anna, &mailbox_name("x")).await.unwrap();
    }
    deliver(&fixture.store, &[MailboxId::inbox(anna)], b"", b"x").await.unwrap();
    feed.arrived().await;
    assert_eq!(feed.take(), Happenings { overflowed: true, ..Happenings::default() });
    deliver(&fixture.store, &[MailboxId::inbox(anna)], b"", b"x").await.unwrap();
    let heard = feed.take();
    assert_eq!((heard.messages.len(), heard.overflowed), (1, false));
    fixture.close().await;
}
