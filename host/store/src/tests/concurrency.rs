//! Deliveries, sessions and operators at once, some of whom go away in the middle.

use storage::Batch;

use super::{Fixture, add, deliver, mailbox_name, message, name};
use crate::*;

const ROUNDS: usize = 40;

/// Delivers to an account that others remove and make meanwhile.
async fn deliverer(store: Store, account: &'static str) {
    for round in 0..ROUNDS {
        // A conflict asks for another try: the account may be a new one then.
        loop {
            let id = store.ensure_account(&name(account)).await.unwrap();
            match deliver(&store, &[MailboxId::inbox(id)], b"", &vec![b'x'; round * 10]).await {
                Ok(_) => break,
                Err(error) => assert!(error.is_conflict(), "{error}"),
            }
        }
    }
}

/// Flags, moves and expunges whatever there is; the mailbox may be gone at any step.
async fn session(store: Store, account: &'static str) {
    for round in 0..ROUNDS {
        let id = store.ensure_account(&name(account)).await.unwrap();
        let inbox = MailboxId::inbox(id);
        let Ok(view) = store.view(inbox) else { continue };
        let uids: Vec<Uid> = view.messages.iter().map(|listed| listed.uid).collect();
        let steps = async {
            store.store_flags(inbox, &uids, &add(Flags::SEEN)).await?;
            let trash = store.mailbox(id, &mailbox_name("Trash"))?.id;
            store.move_(inbox, &uids[uids.len() / 2..], trash).await?;
            store.store_flags(trash, &[Uid(1), Uid(2), Uid(3)], &add(Flags::DELETED)).await?;
            store.expunge(trash, None).await?;
            let made = store.create_mailbox(id, &mailbox_name(&format!("m{round}")), None).await?;
            store.append(made, vec![message(b"appended")]).await?;
            if round % 2 == 0 {
                store.delete_mailbox(id, &mailbox_name(&format!("m{round}"))).await?;
            }
            Ok::<(), StoreError>(())
        };
        match steps.await {
            Ok(()) | Err(StoreError::NotFound(_) | StoreError::Exists) => {}
            Err(error) => assert!(error.is_conflict(), "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_happens_at_once_the_store_stays_whole() {
    let fixture = Fixture::new().await;
    let mut tasks = Vec::new();
    for account in ["a@example.org", "b@example.org"] {
        for _ in 0..2 {
            tasks.push(tokio::spawn(deliverer(fixture.store.clone(), account)));
            tasks.push(tokio::spawn(session(fixture.store.clone(), account)));
        }
    }
    // Sessions whose connection breaks at any point.
    for round in 0..ROUNDS {
        let broken = tokio::spawn(session(fixture.store.clone(), "a@example.org"));
        for _ in 0..round % 7 {
            fixture.store.storage().commit(Batch::new()).await.unwrap();
        }
        broken.abort();
    }
    for _ in 0..3 {
        fixture.store.remove_account(&name("b@example.org")).await.unwrap();
    }
    for task in tasks {
        task.await.unwrap();
    }
    fixture.reopened().await.close().await;
}

#[tokio::test]
async fn an_interrupted_removal_goes_on_at_the_next_start() {
    let fixture = Fixture::new().await;
    let account = fixture.account().await;
    let id = fixture.store.create_mailbox(account, &mailbox_name("gone"), None).await.unwrap();
    fixture.store.append(id, (0..5).map(|_| message(b"x")).collect()).await.unwrap();
    // As a crash leaves it: the name is gone, the messages are not.
    let mut batch = Batch::new();
    batch.delete(keys::MAILBOXES, &keys::mailbox(id));
    batch.delete(keys::MAILBOX_NAMES, &keys::named(account, "gone"));
    batch.put(keys::DOOMED, &keys::mailbox(id), b"example.org");
    fixture.store.storage().commit(batch).await.unwrap();
    fixture.check();
    let fixture = fixture.reopened().await;
    let snapshot = fixture.store.storage().read().unwrap();
    let mut left = 0;
    snapshot.contents(&mut |_| left += 1).unwrap();
    drop(snapshot);
    assert_eq!(left, 0);
    fixture.close().await;
}
