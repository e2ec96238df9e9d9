//! Rights of others, and what each of them has seen.

use super::{Fixture, add, deliver, mailbox_name, message, name};
use crate::*;

/// Anna's store with a mailbox, and Ben, on whose behalf it is looked at.
struct Shared {
    fixture: Fixture,
    mailbox: MailboxId,
    ben: Store,
    ben_id: AccountId,
}

async fn shared(rights: &str) -> Shared {
    let fixture = Fixture::new().await;
    let anna = fixture.store.ensure_account(&name("anna@example.org")).await.unwrap();
    let ben_id = fixture.store.ensure_account(&name("ben@example.org")).await.unwrap();
    let mailbox = fixture.store.create_mailbox(anna, &mailbox_name("Team"), None).await.unwrap();
    let ben = fixture.store.on_behalf_of(ben_id, &name("ben@example.org"));
    let shared = Shared { fixture, mailbox, ben, ben_id };
    shared.grant("ben@example.org", rights).await;
    shared
}

impl Shared {
    async fn grant(&self, who: &str, rights: &str) {
        let change = AclChange::Replace(Rights::parse(rights).unwrap());
        self.fixture.store.set_acl(self.mailbox, &Identifier::new(who).unwrap(), change).await.unwrap();
    }

    fn flags(&self, store: &Store) -> Vec<(Uid, Flags)> {
        let view = store.view(self.mailbox).unwrap();
        view.messages.iter().map(|listed| (listed.uid, listed.flags)).collect()
    }

    async fn deliver(&self, count: usize) {
        for _ in 0..count {
            deliver(&self.fixture.store, &[self.mailbox], b"", b"x").await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_may_not_be_known_is_not_there_and_the_rest_is_refused() {
    let shared = shared("").await;
    let Shared { ben, mailbox, .. } = &shared;
    assert!(matches!(ben.view(*mailbox), Err(StoreError::NotFound(_))));
    assert!(ben.granted().unwrap().is_empty());
    shared.grant("ben@example.org", "l").await;
    assert!(matches!(ben.view(*mailbox), Err(StoreError::NotPermitted('r'))));
    assert_eq!(ben.granted().unwrap()[0].info.name, mailbox_name("Team"));
    shared.grant("anyone", "r").await;
    assert_eq!(ben.rights(*mailbox).unwrap().to_string(), "lr");
    assert!(ben.view(*mailbox).is_ok());
    for (error, right) in [
        (ben.append(*mailbox, vec![message(b"x")]).await.map(drop), 'i'),
        (ben.expunge(*mailbox, None).await.map(drop), 'e'),
        (ben.delete_mailbox(mailbox.account, &mailbox_name("Team")).await, 'x'),
        (ben.create_mailbox(mailbox.account, &mailbox_name("Team/New"), None).await.map(drop), 'k'),
        (ben.acl(*mailbox).map(drop), 'a'),
        (ben.move_(*mailbox, &[], MailboxId::inbox(shared.ben_id)).await.map(drop), 't'),
    ] {
        assert!(
            matches!(error, Err(StoreError::NotPermitted(missing)) if missing == right),
            "{right} {error:?}"
        );
    }
    // In the first level of somebody else's nobody has a right, and nothing is told.
    let first = ben.create_mailbox(mailbox.account, &mailbox_name("New"), None).await;
    assert!(matches!(first, Err(StoreError::NotFound(_))));
    shared.fixture.close().await;
}

#[tokio::test]
async fn a_list_belongs_to_its_mailbox() {
    let shared = shared("lrk").await;
    let (store, anna) = (&shared.fixture.store, shared.mailbox.account);
    // Below it is inherited, by whoever makes the mailbox.
    let below = shared.ben.create_mailbox(anna, &mailbox_name("Team/a/b"), None).await.unwrap();
    assert_eq!(shared.ben.rights(below).unwrap().to_string(), "lrkc");
    assert_eq!(shared.ben.granted().unwrap().len(), 3);
    store.rename_mailbox(anna, &mailbox_name("Team"), &mailbox_name("Group")).await.unwrap();
    assert_eq!(store.acl(shared.mailbox).unwrap().entries().count(), 1);
    store.delete_mailbox(anna, &mailbox_name("Group/a/b")).await.unwrap();
    assert_eq!(shared.ben.granted().unwrap().len(), 2);
    let ben = Identifier::new("ben@example.org").unwrap();
    store.set_acl(shared.mailbox, &ben, AclChange::Delete).await.unwrap();
    assert!(matches!(shared.ben.rights(shared.mailbox), Err(StoreError::NotFound(_))));
    let anna = Identifier::new("-anna@example.org").unwrap();
    let refused = store.set_acl(shared.mailbox, &anna, AclChange::Add(Rights::ALL)).await;
    assert!(matches!(refused, Err(StoreError::NotAllowed(_))));
    shared.fixture.close().await;
}

#[tokio::test]
async fn each_has_seen_for_themselves_and_flags_are_shared() {
    let shared = shared("lrswit").await;
    let (anna, ben) = (&shared.fixture.store, &shared.ben);
    shared.deliver(3).await;
    let before = ben.view(shared.mailbox).unwrap().highest_modseq;
    let stored = ben
        .store_flags(shared.mailbox, &[Uid(1), Uid(3)], &add(Flags::SEEN.with(Flags::FLAGGED)))
        .await
        .unwrap();
    assert!(
        stored.messages.iter().all(|listed| listed.modseq > before && listed.flags.contains(Flags::SEEN))
    );
    let both = Flags::SEEN.with(Flags::FLAGGED);
    assert_eq!(shared.flags(ben), [(Uid(1), both), (Uid(2), Flags::NONE), (Uid(3), both)]);
    assert_eq!(
        shared.flags(anna),
        [(Uid(1), Flags::FLAGGED), (Uid(2), Flags::NONE), (Uid(3), Flags::FLAGGED)]
    );
    assert_eq!(
        (ben.status(shared.mailbox).unwrap().unseen, anna.status(shared.mailbox).unwrap().unseen),
        (1, 3)
    );
    // The owner's reading is the owner's, too.
    anna.store_flags(shared.mailbox, &[Uid(2)], &add(Flags::SEEN)).await.unwrap();
    assert_eq!(shared.flags(ben)[1], (Uid(2), Flags::NONE));
    // What is put in as seen, the one who does so has seen.
    let seen = NewMessage { flags: Flags::SEEN, ..message(b"y") };
    ben.append(shared.mailbox, vec![seen, message(b"z")]).await.unwrap();
    assert_eq!(
        (ben.status(shared.mailbox).unwrap().unseen, anna.status(shared.mailbox).unwrap().unseen),
        (2, 4)
    );
    // And a copy is taken along as its reader sees it.
    let inbox = MailboxId::inbox(shared.ben_id);
    ben.copy(shared.mailbox, &[Uid(2), Uid(3)], inbox).await.unwrap();
    let copies: Vec<Flags> = ben.view(inbox).unwrap().messages.iter().map(|listed| listed.flags).collect();
    assert_eq!(copies, [Flags::NONE, both]);
    shared.fixture.close().await;
}

#[tokio::test]
async fn what_is_put_in_as_seen_is_so_by_the_same_commit() {
    let shared = shared("lrswite").await;
    let Shared { fixture, mailbox, ben, ben_id } = &shared;
    let highest = || ben.view(*mailbox).unwrap().highest_modseq.0;
    let seen = || NewMessage { flags: Flags::SEEN, ..message(b"y") };
    let mut expected: Vec<bool> = Vec::new();
    // Runs that touch what was seen before, gaps, and more runs than a change keeps by themselves.
    let runs: Vec<bool> = (0..250).map(|number| number % 2 == 0).collect();
    for pattern in [&[true][..], &[true, true], &[false, true, true, false], &[true], &runs, &[true]] {
        let messages = pattern.iter().map(|is| if *is { seen() } else { message(b"z") }).collect();
        let before = highest();
        ben.append(*mailbox, messages).await.unwrap();
        assert_eq!(highest(), before + 1, "one commit");
        let delta = ben.changes_since(*mailbox, ModSeq(before)).unwrap();
        let told: Vec<Uid> = delta.changed.iter().map(|listed| listed.uid).collect();
        let first = u32::try_from(expected.len()).unwrap() + 1;
        let last = first + u32::try_from(pattern.len()).unwrap();
        assert_eq!(told, (first..last).map(Uid).collect::<Vec<_>>());
        expected.extend(pattern);
        let is: Vec<bool> = shared.flags(ben).iter().map(|(_, flags)| flags.contains(Flags::SEEN)).collect();
        assert_eq!(is, expected);
    }
    // Deliveries draw UIDs between.
    let mailbox_uids = expected.len();
    let (deliveries, appends) = (shared.deliver(20), async {
        for _ in 0..20 {
            ben.append(*mailbox, vec![seen(), message(b"z"), seen()]).await.unwrap();
        }
    });
    tokio::join!(deliveries, appends);
    let all = shared.flags(ben);
    let new = all[mailbox_uids..].iter().filter(|(_, flags)| flags.contains(Flags::SEEN)).count();
    assert_eq!((all.len() - mailbox_uids, new), (80, 40));
    // Copies and moves, within the mailbox and into it.
    let inbox = MailboxId::inbox(*ben_id);
    let (_, own) = ben.append(inbox, vec![seen(), message(b"z"), seen()]).await.unwrap();
    let before = highest();
    let copied = ben.copy(inbox, &own, *mailbox).await.unwrap();
    assert_eq!(highest(), before + 1, "one commit");
    let moved = ben.move_(inbox, &own, *mailbox).await.unwrap();
    let replaced = ben.replace((*mailbox, moved.uids[0].1), *mailbox, seen()).await.unwrap();
    let view = ben.view(*mailbox).unwrap();
    let is_seen =
        |uid: Uid| view.messages.iter().find(|listed| listed.uid == uid).unwrap().flags.contains(Flags::SEEN);
    assert_eq!(copied.uids.iter().map(|(_, uid)| is_seen(*uid)).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(moved.uids[1..].iter().map(|(_, uid)| is_seen(*uid)).collect::<Vec<_>>(), [false, true]);
    assert!(is_seen(replaced.1));
    assert!(shared.flags(&fixture.store).iter().all(|(_, flags)| !flags.contains(Flags::SEEN)));
    shared.fixture.close().await;
}

#[tokio::test]
async fn flags_that_may_not_be_set_are_left_out() {
    let shared = shared("lris").await;
    shared.deliver(1).await;
    let all = Flags::ALL;
    shared.ben.store_flags(shared.mailbox, &[Uid(1)], &add(all)).await.unwrap();
    assert_eq!(shared.flags(&shared.ben), [(Uid(1), Flags::SEEN)]);
    let refused = shared.ben.store_flags(shared.mailbox, &[Uid(1)], &add(Flags::DELETED)).await;
    assert!(matches!(refused, Err(StoreError::NotPermitted('t'))));
    let inbox = MailboxId::inbox(shared.ben_id);
    let own = NewMessage { flags: all, keywords: vec!["k".to_owned()], ..message(b"z") };
    let (_, uids) = shared.ben.append(inbox, vec![own]).await.unwrap();
    let copied = shared.ben.copy(inbox, &uids, shared.mailbox).await.unwrap();
    assert_eq!(copied.uids[0].1, Uid(2));
    assert_eq!(shared.flags(&shared.ben)[1], (Uid(2), Flags::SEEN));
    assert_eq!(shared.flags(&shared.fixture.store)[1], (Uid(2), Flags::NONE));
    shared.fixture.close().await;
}

#[tokio::test]
async fn a_readers_changes_are_told_and_never_fall() {
    let shared = shared("lrs").await;
    shared.deliver(300).await;
    let mut modseqs = vec![ModSeq(0); 301];
    let mut since = shared.ben.view(shared.mailbox).unwrap().highest_modseq;
    for uid in (1..=300).step_by(2) {
        shared.ben.store_flags(shared.mailbox, &[Uid(uid)], &add(Flags::SEEN)).await.unwrap();
        let delta = shared.ben.changes_since(shared.mailbox, since).unwrap();
        assert_eq!(delta.changed.iter().map(|listed| listed.uid).collect::<Vec<_>>(), [Uid(uid)]);
        since = delta.highest_modseq;
        for listed in shared.ben.view(shared.mailbox).unwrap().messages.iter() {
            let last = &mut modseqs[listed.uid.0 as usize];
            assert!(listed.modseq >= *last && listed.modseq <= since);
            *last = listed.modseq;
        }
    }
    // A reader who asks from long ago is told of every change, though not each is remembered.
    let delta = shared.ben.changes_since(shared.mailbox, ModSeq(1)).unwrap();
    let told = delta.changed.iter().filter(|listed| listed.flags.contains(Flags::SEEN)).count();
    assert_eq!((told, shared.ben.status(shared.mailbox).unwrap().unseen), (150, 150));
    shared.fixture.close().await;
}

#[tokio::test]
async fn gaps_do_not_make_the_record_grow() {
    let shared = shared("lrs").await;
    shared.deliver(260).await;
    let odd: Vec<Uid> = (1..=260).step_by(2).map(Uid).collect();
    let even: Vec<Uid> = (2..=260).step_by(2).map(Uid).collect();
    shared.fixture.store.remove(shared.mailbox, &even).await.unwrap();
    for uid in odd {
        shared.ben.store_flags(shared.mailbox, &[uid], &add(Flags::SEEN)).await.unwrap();
    }
    {
        let snapshot = shared.fixture.store.storage().read().unwrap();
        let record = snapshot.get(keys::SEEN, &keys::seen(shared.mailbox, shared.ben_id)).unwrap().unwrap();
        assert!(keys::u32_at(&record, 4).unwrap() <= 64);
    }
    assert_eq!(shared.ben.status(shared.mailbox).unwrap().unseen, 0);
    shared.fixture.close().await;
}

#[tokio::test]
async fn who_goes_leaves_nothing_behind() {
    let shared = shared("lrs").await;
    shared.deliver(1).await;
    shared.grant("-ben@example.org", "w").await;
    shared.ben.store_flags(shared.mailbox, &[Uid(1)], &add(Flags::SEEN)).await.unwrap();
    let store = &shared.fixture.store;
    assert!(store.remove_account(&name("ben@example.org")).await.unwrap());
    assert_eq!(store.acl(shared.mailbox).unwrap().entries().count(), 0);
    let left = |space| {
        let mut left = 0;
        let snapshot = store.storage().read().unwrap();
        snapshot
            .scan(space, &[], &keys::END, &mut |_, _| {
                left += 1;
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        left
    };
    assert_eq!([keys::SEEN, keys::READERS, keys::GRANTED, keys::DOOMED].map(left), [0; 4]);
    // A session that is still open can note nothing more.
    let late = shared.ben.store_flags(shared.mailbox, &[Uid(1)], &add(Flags::SEEN)).await;
    assert!(matches!(late, Err(StoreError::NotFound(_))));
    shared.fixture.close().await;
}

#[tokio::test]
async fn who_may_not_write_leaves_no_keywords_behind() {
    let shared = shared("lri").await;
    let own = MailboxId::inbox(shared.ben_id);
    let with_keyword = NewMessage { keywords: vec!["$Guestword".to_owned()], ..message(b"x") };
    let (_, uids) = shared.ben.append(own, vec![with_keyword]).await.unwrap();
    shared.ben.copy(own, &uids, shared.mailbox).await.unwrap();
    let reader = shared.fixture.store.reader(shared.mailbox).unwrap();
    assert_eq!(reader.keywords().unwrap().all().collect::<Vec<_>>(), [""; 0]);
    drop(reader);
    shared.fixture.close().await;
}

#[tokio::test]
async fn names_of_others_begin_with_whose_they_are() {
    let shared = shared("lr").await;
    let store = &shared.fixture.store;
    let common = store.ensure_account(&name(SHARED_ACCOUNT)).await.unwrap();
    assert_eq!(store.mailboxes(common).unwrap().len(), 1);
    let place = |text: &str| {
        shared.ben.place(shared.ben_id, text).map(|place| (place.account, place.name.to_string()))
    };
    assert_eq!(place("Team").unwrap(), (shared.ben_id, "Team".to_owned()));
    assert_eq!(place("user/anna@example.org/Team").unwrap(), (shared.mailbox.account, "Team".to_owned()));
    assert_eq!(place("shared/a/b").unwrap(), (common, "a/b".to_owned()));
    assert!(matches!(place("user/nobody@example.org/x"), Err(StoreError::NotFound(_))));
    assert!(matches!(place("user/anna@example.org"), Err(StoreError::NotFound(_))));
    // Nor is a name that nothing can have told from one that nothing has: it would tell that there is an Anna.
    for wrong in ["user/anna@example.org/a//b", "user/anna@example.org/", "user/nobody@example.org/a//b"] {
        assert!(matches!(place(wrong), Err(StoreError::NotFound(_))), "{wrong}: {:?}", place(wrong));
    }
    let dot = shared.ben.create_mailbox(shared.mailbox.account, &mailbox_name("./x"), None).await;
    assert!(matches!(dot, Err(StoreError::NotFound(_))), "{dot:?}");
    let found = shared.ben.find_shared(shared.ben_id, "user/anna@example.org/Team").unwrap();
    assert_eq!(found.id, shared.mailbox);
    let inbox = shared.ben.find_shared(shared.ben_id, "user/anna@example.org/INBOX");
    assert!(matches!(inbox, Err(StoreError::NotFound(_))));
    assert_eq!(shared_name("anna@example.org", &mailbox_name("a")), "user/anna@example.org/a");
    assert_eq!(shared_name(SHARED_ACCOUNT, &mailbox_name("a")), "shared/a");
    // A mailbox of that name from earlier times stays one's own.
    store.create_mailbox(shared.ben_id, &mailbox_name("shared/old"), None).await.unwrap();
    assert_eq!(place("shared/old").unwrap().0, shared.ben_id);
    shared.fixture.close().await;
}
