//! The power goes between the commits of one deed: after the first, after the second, and so on, until there are enough for
//! all of it. What is there after each of them is what the documents say.

use mail_types::{
    AccountName, Address, ChannelName, NextHop, Recipient, ReversePath, Route, Timestamp, Transport,
};
use queue::{
    Accepted, Attempt, BoxFuture, Channel, LIST_SOURCE, Outcome, Outgoing, OutgoingContent, Source,
    Submission,
};
use storage::Content;
use store::{COMMIT_MESSAGES_MAX, MailboxId, MailboxName, NewMessage, Store, StoreError, Uid};

use crate::agents::{HERE, USERS};
use crate::house::House;
use crate::ledger::Entry;
use crate::world::{World, user};

/// More than any deed here takes.
const COMMITS_MAX: u64 = 40;
/// Messages of a mailbox, of which two commits move a part each.
const MANY: usize = COMMIT_MESSAGES_MAX + 1;
/// Long enough for whatever waits in the queue.
const PEACE: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// A list of all users: a posting of its own, then the first half of them, then the others.
pub(crate) struct Listed;

impl Channel for Listed {
    fn attempt<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(async move { attempt.recipients.iter().map(|_| send(attempt)).collect() })
    }
}

fn send(attempt: &Attempt) -> Outcome {
    let members = |from: u64, until: u64| (from..until).map(member);
    match &attempt.route.next_hop {
        NextHop::Named { name, .. } if name == "first" => {
            Outcome::Replaced(members(0, USERS / 2).chain([list(Some("rest"))]).collect())
        }
        NextHop::Named { .. } => Outcome::Replaced(members(USERS / 2, USERS).collect()),
        _ => Outcome::Sent(Box::new(Outgoing {
            source: LIST_SOURCE,
            reverse_path: attempt.reverse_path.clone(),
            transport: Transport::default(),
            recipients: vec![list(Some("first"))],
            prefix: Vec::new(),
            content: OutgoingContent::Same,
            message_id: None,
            once: None,
        })),
    }
}

fn member(number: u64) -> Accepted {
    let address = user(number);
    let account = AccountName::new(&address.to_key()).expect("an account");
    Accepted::new(Recipient::new(address), Route::store(account))
}

fn list(batch: Option<&str>) -> Accepted {
    let account = AccountName::new("list").expect("an account");
    let next_hop = match batch {
        Some(name) => NextHop::Named { account, name: name.to_owned() },
        None => NextHop::Account(account),
    };
    let address = Address::parse(&format!("list@{HERE}")).expect("an address");
    Accepted::new(Recipient::new(address), Route::new(ChannelName::LIST, next_hop))
}

/// The inbox of the first user, with so many messages, and a mailbox beside it.
async fn filled(store: &Store, messages: usize) -> Result<(MailboxId, MailboxId), StoreError> {
    let account = AccountName::new(&user(0).to_key()).expect("an account");
    let account = store.ensure_account(&account).await?;
    let inbox = MailboxId::inbox(account);
    let message = |number: usize| NewMessage {
        content: Content::from(format!("Subject: {number}\r\n\r\n").into_bytes()),
        flags: store::Flags::NONE,
        keywords: Vec::new(),
        internal_date: None,
    };
    store.append(inbox, (0..messages).map(message).collect()).await?;
    Ok((inbox, store.create_mailbox(account, &MailboxName::new("Beside")?, None).await?))
}

/// The messages of a mailbox, by their subjects.
fn subjects(store: &Store, mailbox: MailboxId) -> Vec<String> {
    let view = store.view(mailbox).expect("a mailbox");
    let read = |uid: Uid| {
        store
            .read(mailbox, uid)
            .expect("a message")
            .expect("it is listed")
            .to_bytes()
            .expect("it can be read")
    };
    view.messages.iter().map(|one| String::from_utf8_lossy(&read(one.uid)).trim().to_owned()).collect()
}

/// A deed in the store, cut off after so many commits, and what is in the two mailboxes then; and whether it was done.
async fn cut_off(commits: u64, messages: usize, copies: bool) -> (Vec<String>, Vec<String>, bool) {
    let world = World::new(commits);
    let house = House::start(&world).await.expect("it starts");
    let (inbox, beside) = filled(house.store(), messages).await.expect("a sound disk");
    let uids: Vec<Uid> =
        house.store().view(inbox).expect("it can be read").messages.iter().map(|one| one.uid).collect();
    world.disk.set_power(Some(commits));
    let store = house.store();
    let done =
        if copies { store.copy(inbox, &uids, beside).await } else { store.move_(inbox, &uids, beside).await };
    let is_done = done.is_ok();
    house.crash().await;
    world.disk.set_power(None);
    let house = House::start(&world).await.expect("it starts again");
    house.check_store().expect("it is whole");
    let found = (subjects(house.store(), inbox), subjects(house.store(), beside), is_done);
    house.crash().await;
    found
}

#[tokio::test(start_paused = true)]
async fn a_move_that_is_cut_off_leaves_each_message_in_one_of_the_two() {
    for (commits, moved) in [(0, 0), (1, COMMIT_MESSAGES_MAX), (2, MANY)] {
        let (inbox, beside, is_done) = cut_off(commits, MANY, false).await;
        assert_eq!((inbox.len(), beside.len(), is_done), (MANY - moved, moved, moved == MANY), "{commits}");
        let there: std::collections::BTreeSet<&String> = inbox.iter().chain(&beside).collect();
        assert_eq!(there.len(), MANY, "after {commits} commits a message is twice, or not at all");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_cut_off_is_there_as_a_whole_or_not_at_all() {
    for (commits, copied) in [(0, 0), (1, MANY)] {
        let (inbox, beside, is_done) = cut_off(commits, MANY, true).await;
        assert_eq!((inbox.len(), beside.len(), is_done), (MANY, copied, copied == MANY), "{commits}");
    }
}

/// Hands in a message, with power for so many commits, and sees it to its end: whether it was accepted, how many copies each user
/// has, and whether the power went.
async fn delivered(commits: u64, recipients: Vec<Accepted>) -> (bool, Vec<usize>, bool) {
    let world = World::new(commits);
    let house = House::start(&world).await.expect("it starts");
    let id = house.queue.next_id();
    let tag = format!("tag-{id}");
    let submission = Submission {
        id,
        reverse_path: ReversePath::Null,
        transport: Transport::default(),
        recipients,
        prefix: b"Received: from simulation by here\r\n".to_vec(),
        content: Content::from(format!("Subject: {tag} \r\n\r\nThe body of {tag} .\r\n").into_bytes()),
        source: Source { channel: "smtp".into(), ..Source::default() },
        message_id: Some(tag.clone()),
        decided: Timestamp::default(),
        session: None,
    };
    world.disk.set_power(Some(commits));
    let is_accepted = house.queue.submit(submission).await.is_ok();
    tokio::time::sleep(PEACE).await;
    let is_cut = world.disk.is_cut();
    house.crash().await;
    world.disk.set_power(None);
    let house = House::start(&world).await.expect("it starts again");
    house.check_store().expect("it is whole");
    tokio::time::sleep(PEACE).await;
    assert!(house.queue.is_empty(), "it comes to its end");
    let entry = Entry {
        tag: tag.clone(),
        id,
        reverse_path: ReversePath::Null,
        recipients: Vec::new(),
        acknowledged: is_accepted,
        deleted: false,
    };
    let places = house.whereabouts(&[entry], &world.remote).expect("it is whole");
    let copies = |number| places.get(&(tag.clone(), user(number))).map_or(0, |at| at.stored);
    let copies = (0..USERS).map(copies).collect();
    house.crash().await;
    (is_accepted, copies, is_cut)
}

/// Every moment at which the power can go; how many there were.
async fn at_every_moment(recipients: impl Fn() -> Vec<Accepted>) -> u64 {
    for commits in 0..COMMITS_MAX {
        let (is_accepted, copies, is_cut) = delivered(commits, recipients()).await;
        let each = |count| copies.iter().all(|copies| *copies == count);
        // Whoever hears no answer cannot know; the message is there as a whole or not at all.
        assert!(each(1) || (!is_accepted && each(0)), "after {commits} commits ({is_accepted}): {copies:?}");
        if !is_cut {
            assert!(is_accepted, "{copies:?}");
            return commits;
        }
    }
    panic!("more than {COMMITS_MAX} commits");
}

#[tokio::test(start_paused = true)]
async fn a_delivery_to_new_accounts_that_is_cut_off_is_whole_or_refused() {
    let moments = at_every_moment(|| (0..USERS).map(member).collect()).await;
    assert!(moments >= 2, "the accounts, then the message: {moments}");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_cut_off_between_its_batches_gives_each_member_one_copy() {
    let moments = at_every_moment(|| vec![list(None)]).await;
    assert!(moments >= 4, "the message, its posting and two batches: {moments}");
}
