//! Postings to lists, and to lists below them: one copy for each member, and nothing remembered once they are done.

use super::*;
use crate::{LIST_SOURCE, Outgoing, OutgoingContent};

/// `outer` sends to `a`, to `inner`, to `f`, who is elsewhere, and in a second batch to `b`, `d` and `e`; `inner` to `a`, `b`, `c`
/// and `f`, and to `outer` again, which has sent the message before; `plain` to `a`, then to `b`; `above` to `a` and `plain`.
pub(super) struct Lists;

impl Channel for Lists {
    fn attempt<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(async move { attempt.recipients.iter().map(|_| send(attempt)).collect() })
    }
}

fn send(attempt: &Attempt) -> Outcome {
    let here = |name: &str| local(&Recipient::new(Address::parse(&format!("{name}@example.org")).unwrap()));
    let (list, batch) = match &attempt.route.next_hop {
        NextHop::Account(list) => (list.as_str(), None),
        NextHop::Named { account, name } => (account.as_str(), Some(name.as_str())),
        other => panic!("{other:?}"),
    };
    match (list, batch) {
        ("outer", None) if attempt.source == LIST_SOURCE => {
            Outcome::Discarded { rule: "a circle".to_owned() }
        }
        (list, None) => Outcome::Sent(Box::new(Outgoing {
            source: LIST_SOURCE,
            reverse_path: attempt.reverse_path.clone(),
            transport: Transport::default(),
            recipients: vec![posted(list, Some("1"))],
            prefix: Vec::new(),
            content: OutgoingContent::Same,
            message_id: None,
            once: None,
        })),
        ("outer", Some("1")) => Outcome::Replaced(vec![
            here("a"),
            posted("inner", None),
            remote("f@x.example"),
            posted("outer", Some("2")),
        ]),
        ("plain", Some("1")) => Outcome::Replaced(vec![here("a"), posted("plain", Some("2"))]),
        ("plain", _) => Outcome::Replaced(vec![here("b")]),
        ("above", _) => Outcome::Replaced(vec![here("a"), posted("plain", None)]),
        ("outer", _) => Outcome::Replaced(vec![here("b"), here("d"), here("e")]),
        _ => Outcome::Replaced(vec![
            here("a"),
            here("b"),
            here("c"),
            remote("f@x.example"),
            posted("outer", None),
        ]),
    }
}

fn posted(list: &str, batch: Option<&str>) -> Accepted {
    let account = AccountName::new(list).unwrap();
    let next_hop = match batch {
        Some(name) => NextHop::Named { account, name: name.to_owned() },
        None => NextHop::Account(account),
    };
    let recipient = Recipient::new(Address::parse(&format!("{list}@example.org")).unwrap());
    Accepted::new(recipient, Route::new(ChannelName::LIST, next_hop))
}

fn remembered(house: &House) -> usize {
    let mut count = 0;
    let mut counted = |_: &[u8], _: &[u8]| {
        count += 1;
        std::ops::ControlFlow::Continue(())
    };
    house.storage.read().unwrap().scan(crate::records::COPIES, &[], &[0xff; 25], &mut counted).unwrap();
    count
}

#[tokio::test(start_paused = true)]
async fn members_of_two_lists_below_each_other_get_one_copy() {
    let house = house(vec![delivered()], Options::default());
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![posted("outer", None)])).await.unwrap();
    house.run(Duration::from_secs(3600)).await;
    assert_eq!(house.queue.len(), 0);
    let copies = ["a", "b", "c", "d", "e"].map(|name| house.boxes(&format!("{name}@example.org")));
    assert_eq!(copies, [1; 5]);
    assert_eq!(house.script.asked.lock().iter().map(|(_, names)| names.len()).sum::<usize>(), 1);
    assert_eq!(remembered(&house), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_posting_below_has_sent_is_remembered_until_the_last_is_done() {
    // The copy that leaves waits in the first posting that meets it: then both are there for a while.
    let house = house(vec![deferred(Reach::Recipient), delivered()], Options::default());
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![posted("outer", None)])).await.unwrap();
    house.run(Duration::from_secs(60)).await;
    assert_eq!(house.queue.len(), 1);
    assert!(remembered(&house) >= 6, "{}", remembered(&house));
    house.run(Duration::from_secs(3600)).await;
    assert_eq!((house.queue.len(), remembered(&house)), (0, 0));
    // Another message is another matter.
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![posted("outer", None)])).await.unwrap();
    house.run(Duration::from_secs(3600)).await;
    assert_eq!(house.boxes("a@example.org"), 2);
    assert_eq!(remembered(&house), 0);
}

#[tokio::test(start_paused = true)]
async fn a_last_batch_that_is_stored_at_once_leaves_nothing_behind() {
    let house = house(vec![delivered()], Options::default());
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![posted("plain", None)])).await.unwrap();
    house.run(Duration::from_secs(3600)).await;
    assert_eq!((house.boxes("a@example.org"), house.boxes("b@example.org"), remembered(&house)), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_posting_that_ends_with_the_one_below_it_is_remembered() {
    let house = house(vec![delivered()], Options::default());
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![posted("above", None)])).await.unwrap();
    house.run(Duration::from_secs(3600)).await;
    assert_eq!((house.boxes("a@example.org"), house.boxes("b@example.org"), remembered(&house)), (1, 1, 0));
}
