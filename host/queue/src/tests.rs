//! The queue over a real storage, with a scripted channel, router and store; time is paused.

mod boxes;
mod clock;
mod late;
mod lists;
mod trouble;
mod unreadable;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use events::Events;
use mail_types::{
    AccountName, Address, ChannelName, Domain, EnhancedStatus, Filing, Lookup, NextHop, Notify, Recipient,
    Reply, ReversePath, Route, Timestamp, Transport,
};
use parking_lot::Mutex;
use runtime::{Clock, Random, Shutdown};
use storage::{Batch, Content, Storage, StorageError};

use crate::{
    Accepted, Agents, Attempt, BoxFuture, Change, Channel, Duty, Filter, OperateError, Options, Origin,
    Outcome, Queue, Reach, Router, Source, Submission,
};
use boxes::{BOXES, Boxes};

/// Answers what it is told to, and remembers what it was asked.
#[derive(Default)]
struct Script {
    answers: Mutex<Vec<Outcome>>,
    asked: Mutex<Vec<(Timestamp, Vec<String>)>>,
    clock: Option<Clock>,
    /// How long an attempt takes.
    takes: Mutex<Duration>,
}

impl Channel for Script {
    fn attempt<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(async move {
            let names = attempt.recipients.iter().map(|one| one.address.to_string()).collect();
            let now = self.clock.as_ref().map(Clock::now).unwrap_or_default();
            self.asked.lock().push((now, names));
            let takes = *self.takes.lock();
            tokio::time::sleep(takes).await;
            let mut answers = self.answers.lock();
            let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
            attempt.recipients.iter().map(|_| answer.clone()).collect()
        })
    }
}

/// Knows one way to a domain, and leaves every other route as it is.
struct Same;

impl Router for Same {
    fn route<'a>(
        &'a self,
        recipient: &'a Recipient,
        current: &'a Route,
        _: Origin<'a>,
    ) -> BoxFuture<'a, Lookup<Route>> {
        let domain = || NextHop::Domain(recipient.address.domain.clone());
        let smtp = current.channel.as_str() == ChannelName::SMTP;
        let route = if smtp { Route::new("smtp", domain()) } else { current.clone() };
        Box::pin(async { Lookup::Found(route) })
    }
}

/// How long it takes to resolve anew.
const RESOLVING_TAKES: Duration = Duration::from_millis(200);

struct Reprocess;

impl Channel for Reprocess {
    fn attempt<'a>(&'a self, attempt: &'a Attempt) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(async move {
            tokio::time::sleep(RESOLVING_TAKES).await;
            attempt.recipients.iter().map(|one| Outcome::Replaced(expand(one))).collect()
        })
    }
}

/// `group-a-b` is everybody that it names, `round` goes on for ever, others are themselves.
fn expand(recipient: &Recipient) -> Vec<Accepted> {
    if recipient.address.local.as_str() == "round" {
        return vec![reprocessed(&recipient.address.to_string())];
    }
    let Some(names) = recipient.address.local.as_str().strip_prefix("group-") else {
        return vec![local(recipient)];
    };
    let member = |name: &str| local(&Recipient::new(Address::parse(&format!("{name}@example.org")).unwrap()));
    names.split('-').map(member).collect()
}

fn reprocessed(address: &str) -> Accepted {
    Accepted { route: Route::new("reprocess", NextHop::Nobody), ..remote(address) }
}

fn local(recipient: &Recipient) -> Accepted {
    let account = AccountName::new(&recipient.address.to_key()).unwrap();
    Accepted::new(recipient.clone(), Route::store(account))
}

fn remote(address: &str) -> Accepted {
    let recipient = Recipient::new(Address::parse(address).unwrap());
    let next_hop = NextHop::Domain(recipient.address.domain.clone());
    Accepted::new(recipient, Route::new("smtp", next_hop))
}

struct House {
    queue: Queue,
    storage: Storage,
    script: Arc<Script>,
    local: Arc<Boxes>,
    clock: Clock,
    _dir: tempfile::TempDir,
}

fn house(answers: Vec<Outcome>, options: Options) -> House {
    let dir = tempfile::tempdir().unwrap();
    let spaces = [crate::SPACES, &[BOXES]].concat();
    // The writer is a task here, not a thread: paused time would run on while a thread commits.
    let engine = storage::LmdbEngine::open(dir.path(), &spaces, 1 << 30, true).unwrap();
    house_over(Arc::new(engine), dir, answers, options)
}

fn house_over(
    engine: Arc<dyn storage::Engine>,
    dir: tempfile::TempDir,
    answers: Vec<Outcome>,
    options: Options,
) -> House {
    let (storage, writer) = Storage::over(engine);
    tokio::spawn(writer.run());
    let clock = Clock::simulated(Timestamp(1_795_500_000_000));
    let script =
        Arc::new(Script { answers: Mutex::new(answers), clock: Some(clock.clone()), ..Script::default() });
    let local = Arc::new(Boxes::default());
    let queue = open(&storage, &script, &local, &clock, options);
    House { queue, storage, script, local, clock, _dir: dir }
}

fn open(
    storage: &Storage,
    script: &Arc<Script>,
    local: &Arc<Boxes>,
    clock: &Clock,
    options: Options,
) -> Queue {
    let mut channels: HashMap<ChannelName, Arc<dyn Channel>> = HashMap::new();
    channels.insert(ChannelName::new("smtp"), Arc::clone(script) as Arc<dyn Channel>);
    channels.insert(ChannelName::new("reprocess"), Arc::new(Reprocess));
    channels.insert(ChannelName::new("list"), Arc::new(lists::Lists));
    let agents = Agents {
        router: Arc::new(Same),
        local: Arc::clone(local) as Arc<dyn crate::LocalDelivery>,
        channels,
    };
    let events = Events::counting(clock.clone());
    Queue::open(storage.clone(), agents, options, clock.clone(), Random::seeded(1), events).unwrap()
}

impl House {
    fn submission(&self, from: &str, recipients: Vec<Accepted>) -> Submission {
        Submission {
            id: self.queue.next_id(),
            reverse_path: ReversePath::parse(from).unwrap(),
            transport: Transport::default(),
            recipients,
            prefix: b"Received: here\r\n".to_vec(),
            content: Content::from(b"Subject: x\r\n\r\nbody\r\n".to_vec()),
            source: Source::default(),
            message_id: None,
            decided: Timestamp::default(),
            session: None,
        }
    }

    /// Runs until the queue is empty, or for so long.
    async fn run(&self, most: Duration) {
        let shutdown = Shutdown::new();
        let (queue, stop) = (self.queue.clone(), shutdown.clone());
        let running = tokio::spawn(async move { queue.run(stop).await });
        let end = self.clock.now().plus(most);
        let step = (most / 1000).max(Duration::from_secs(1));
        while !self.queue.is_empty() && self.clock.now() < end {
            tokio::time::sleep(step).await;
        }
        shutdown.trigger();
        running.await.unwrap();
    }

    fn boxes(&self, account: &str) -> usize {
        let mut count = 0;
        let view = self.storage.read().unwrap();
        let until = [account.as_bytes(), &[0xff; 9]].concat();
        let counted = &mut |_: &[u8], _: &[u8]| {
            count += 1;
            std::ops::ControlFlow::Continue(())
        };
        view.scan(BOXES, account.as_bytes(), &until, counted).unwrap();
        count
    }

    fn contents(&self) -> usize {
        let mut count = 0;
        self.storage.read().unwrap().contents(&mut |_| count += 1).unwrap();
        count
    }
}

fn delivered() -> Outcome {
    let reply = Reply::new(250, EnhancedStatus::success(0, 0), "ok");
    Outcome::Delivered { reply, remote: Some("mx.example".into()), duty: Duty::Relayed }
}

fn deferred(reach: Reach) -> Outcome {
    let reply = Reply::new(451, EnhancedStatus::transient(4, 1), "later");
    Outcome::Deferred { reply, remote: Some("mx.example".into()), cause: "later".into(), reach }
}

fn failed() -> Outcome {
    let reply = Reply::new(550, EnhancedStatus::permanent(1, 1), "nobody here");
    Outcome::Failed { reply, remote: Some("mx.example".into()), cause: "nobody".into() }
}

#[tokio::test(start_paused = true)]
async fn local_recipients_are_stored_in_the_accepting_batch_and_nothing_is_queued() {
    let house = house(vec![delivered()], Options::default());
    let user = Recipient::new(Address::parse("a@example.org").unwrap());
    let twice = vec![local(&user), local(&user)];
    let receipt = house.queue.submit(house.submission("<x@y.example>", twice)).await.unwrap();
    assert_eq!((house.boxes("a@example.org"), house.queue.len(), house.contents()), (1, 0, 1));
    let trail = house.queue.listing().trail(receipt.id()).unwrap();
    assert_eq!(trail.head.unwrap().recipients.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_delivered_message_leaves_nothing_but_its_trail() {
    let house = house(vec![delivered()], Options::default());
    let both = vec![remote("a@x.example"), remote("b@x.example"), remote("c@y.example")];
    let receipt = house.queue.submit(house.submission("<x@y.example>", both)).await.unwrap();
    assert_eq!(house.queue.len(), 1);
    house.run(Duration::from_secs(60)).await;
    assert_eq!((house.queue.len(), house.contents()), (0, 0));
    let mut asked: Vec<Vec<String>> =
        house.script.asked.lock().iter().map(|(_, names)| names.clone()).collect();
    asked.sort();
    assert_eq!(asked, [vec!["a@x.example", "b@x.example"], vec!["c@y.example"]]);
    assert_eq!(house.queue.listing().trail(receipt.id()).unwrap().lines.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_account_gets_one_copy_however_late_and_by_how_many_ways_it_is_reached() {
    let house = house(vec![delivered()], Options::default());
    let near = local(&Recipient::new(Address::parse("a@example.org").unwrap()));
    let groups = vec![near, reprocessed("group-a-b@example.org"), reprocessed("group-b-c-c@example.org")];
    let _ = house.queue.submit(house.submission("<x@y.example>", groups)).await.unwrap();
    house.run(Duration::from_secs(60)).await;
    assert_eq!(["a", "b", "c"].map(|name| house.boxes(&format!("{name}@example.org"))), [1, 1, 1]);
    // Recipients that are resolved one after the other remember too.
    let limits = crate::ChannelLimits { recipients_per_attempt: 1, ..Default::default() };
    let channels = [("reprocess".to_owned(), limits)].into();
    house.queue.set_options(Options { channels, ..Options::default() });
    let groups = vec![reprocessed("group-d-e@example.org"), reprocessed("group-e-f@example.org")];
    let _ = house.queue.submit(house.submission("<x@y.example>", groups)).await.unwrap();
    house.run(Duration::from_secs(60)).await;
    assert_eq!(["d", "e", "f"].map(|name| house.boxes(&format!("{name}@example.org"))), [1, 1, 1]);
    assert_eq!(house.queue.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn copies_for_several_mailboxes_of_one_account_all_come_when_there_is_room_again() {
    let house = house(vec![delivered()], Options::default());
    house.local.set_full("a@example.org", true);
    let inbox = local(&Recipient::new(Address::parse("a@example.org").unwrap()));
    let filed = |mailbox: &str| {
        let filing = Filing { mailbox: mailbox.to_owned(), ..Filing::default() };
        Accepted { route: Route::filed(AccountName::new("a@example.org").unwrap(), filing), ..inbox.clone() }
    };
    let all = vec![filed("Archive"), inbox.clone(), filed("Work")];
    let _ = house.queue.submit(house.submission("<x@y.example>", all)).await.unwrap();
    house.run(Duration::from_secs(60)).await;
    assert_eq!((house.boxes("a@example.org"), house.queue.len()), (0, 1));
    house.local.set_full("a@example.org", false);
    house.run(Duration::from_secs(3600)).await;
    assert_eq!((house.boxes("a@example.org"), house.queue.len()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_deferred_recipient_is_tried_on_schedule_and_survives_reopening() {
    let answers = vec![deferred(Reach::Recipient), deferred(Reach::Recipient), delivered()];
    let options = Options { retry: crate::Retry { jitter: 0.0, ..Default::default() }, ..Options::default() };
    let mut house = house(answers, options.clone());
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![remote("a@x.example")])).await.unwrap();
    house.run(Duration::from_secs(100)).await;
    assert_eq!(house.script.asked.lock().len(), 1);
    house.queue = open(&house.storage, &house.script, &house.local, &house.clock, options);
    assert_eq!(house.queue.len(), 1);
    house.run(Duration::from_secs(3600)).await;
    let asked: Vec<Timestamp> = house.script.asked.lock().iter().map(|(at, _)| *at).collect();
    assert_eq!(asked.len(), 3);
    assert_eq!((asked[1].since(asked[0]).as_secs(), asked[2].since(asked[1]).as_secs()), (300, 600));
    assert_eq!((house.queue.len(), house.contents()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_reported_to_the_sender_and_never_to_nobody() {
    let house = house(vec![failed()], Options::default());
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![remote("a@x.example")])).await.unwrap();
    let _ = house.queue.submit(house.submission("<>", vec![remote("b@x.example")])).await.unwrap();
    let mut quiet = remote("c@x.example");
    quiet.recipient.notify = Notify::Never;
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![quiet])).await.unwrap();
    house.run(Duration::from_secs(60)).await;
    assert_eq!((house.boxes("x@y.example"), house.contents(), house.queue.len()), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn success_is_reported_when_asked_for_locally_and_when_relayed() {
    let house = house(vec![delivered()], Options::default());
    let mut near = local(&Recipient::new(Address::parse("a@example.org").unwrap()));
    let mut far = remote("c@x.example");
    for accepted in [&mut near, &mut far] {
        accepted.recipient.notify = Notify::On { success: true, failure: false, delay: false };
    }
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![near, far])).await.unwrap();
    house.run(Duration::from_secs(60)).await;
    assert_eq!(house.boxes("x@y.example"), 2);
}

#[tokio::test(start_paused = true)]
async fn the_operator_holds_releases_reroutes_bounces_and_deletes() {
    let house = house(vec![delivered()], Options::default());
    let mut ids = Vec::new();
    for name in ["a@x.example", "b@x.example", "c@x.example"] {
        let submission = house.submission("<x@y.example>", vec![remote(name)]);
        ids.push(house.queue.submit(submission).await.unwrap().id());
        house.queue.change(*ids.last().unwrap(), &Change::Hold, "test").await.unwrap();
    }
    house.run(Duration::from_secs(60)).await;
    assert_eq!(house.queue.len(), 3, "held messages stay");
    let held = Filter { held: Some(true), ..Filter::default() };
    assert_eq!(house.queue.listing().list(&held, 10).unwrap().messages.len(), 3);
    house.queue.change(ids[0], &Change::Release, "test").await.unwrap();
    house.queue.change(ids[1], &Change::Bounce, "test").await.unwrap();
    house.queue.change(ids[2], &Change::Delete, "test").await.unwrap();
    assert!(house.queue.change(ids[2], &Change::Retry, "test").await.is_err());
    house.run(Duration::from_secs(60)).await;
    assert_eq!((house.queue.len(), house.boxes("x@y.example"), house.script.asked.lock().len()), (0, 1, 1));
    let submission = house.submission("<x@y.example>", vec![remote("d@x.example")]);
    let id = house.queue.submit(submission).await.unwrap().id();
    let other =
        Route::new("smtp", NextHop::Host { host: Domain::parse("relay.example").unwrap(), port: Some(25) });
    house.queue.change(id, &Change::Reroute(other.clone()), "test").await.unwrap();
    assert_eq!(house.queue.summary().unwrap()[0].route, other);
    house.script.answers.lock().insert(0, deferred(Reach::Recipient));
    house.run(Duration::from_secs(60)).await;
    let sums = house.queue.summary().unwrap();
    assert_eq!(
        (&sums[0].route, sums[0].last.is_some()),
        (&other, true),
        "tried there, not where routing leads"
    );
    let parked = Route::new("hold", NextHop::Nobody);
    house.queue.change(id, &Change::Reroute(parked), "test").await.unwrap();
    let sums = house.queue.summary().unwrap();
    assert_eq!(
        (sums[0].route.to_string().as_str(), sums[0].held),
        ("hold:-", 1),
        "parked, not tried for ever"
    );
}

#[tokio::test(start_paused = true)]
async fn a_channel_with_one_next_hop_is_one_destination() {
    let host = Domain::parse("relay.example").unwrap();
    let next_hop = NextHop::Host { host, port: Some(587) };
    let limits = crate::ChannelLimits { next_hop: Some(next_hop), ..Default::default() };
    let options = Options { channels: [("smtp".to_owned(), limits)].into(), ..Options::default() };
    let house = house(vec![deferred(Reach::Destination), delivered()], options);
    let several = vec![remote("a@x.example"), remote("b@y.example")];
    let _ = house.queue.submit(house.submission("<x@y.example>", several)).await.unwrap();
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![remote("c@z.example")])).await.unwrap();
    let routes: Vec<String> =
        house.queue.summary().unwrap().iter().map(|sum| sum.route.to_string()).collect();
    assert_eq!(routes, ["smtp:[relay.example]:587"]);
    house.run(Duration::from_secs(30)).await;
    let asked: Vec<_> = house.script.asked.lock().iter().map(|(_, names)| names.clone()).collect();
    assert_eq!(asked[0], ["a@x.example", "b@y.example"], "one attempt for both domains");
    assert_eq!(house.queue.summary().unwrap()[0].waiting, if asked.len() == 1 { 3 } else { 2 });
    house.run(Duration::from_secs(3600)).await;
    assert!(house.queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn attempts_may_end_within_the_grace_of_a_stop_and_no_longer() {
    for (drain, left) in [(30, 0), (15, 1)] {
        let options = Options { drain: Duration::from_secs(drain), ..Options::default() };
        let house = house(vec![delivered()], options);
        *house.script.takes.lock() = Duration::from_secs(20);
        let submission = house.submission("<x@y.example>", vec![remote("a@x.example")]);
        let _ = house.queue.submit(submission).await.unwrap();
        house.run(Duration::from_secs(1)).await;
        assert_eq!((house.script.asked.lock().len(), house.queue.len()), (1, left), "{drain} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_message_is_not_changed_and_says_so() {
    let house = house(vec![delivered()], Options::default());
    let submission = house.submission("<x@y.example>", vec![remote("a@x.example")]);
    let id = house.queue.submit(submission).await.unwrap().id();
    assert!(house.queue.inner.schedule.lock().hold_back(id));
    let busy = house.queue.change(id, &Change::Hold, "test").await;
    assert!(matches!(busy, Err(OperateError::Active(_))));
    assert!(!house.queue.inner.schedule.lock().hold_back(id), "the refusal let go of another's hold");
    house.queue.inner.schedule.lock().let_go(id);
    house.queue.change(id, &Change::Hold, "test").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_for_now() {
    let house = house(vec![deferred(Reach::Recipient)], Options { messages_max: 1, ..Options::default() });
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![remote("a@x.example")])).await.unwrap();
    let refused = house.queue.submit(house.submission("<x@y.example>", vec![remote("a@x.example")])).await;
    assert_eq!(refused.unwrap_err().reply().code, 452);
    let user = Recipient::new(Address::parse("a@example.org").unwrap());
    let stored = house.queue.submit(house.submission("<x@y.example>", vec![local(&user)])).await;
    assert!(stored.is_ok(), "what is stored at once takes no place in the queue");
    let both = vec![local(&user), remote("a@x.example")];
    let refused = house.queue.submit(house.submission("<x@y.example>", both)).await;
    assert_eq!((refused.unwrap_err().reply().code, house.boxes("a@example.org")), (452, 1));
}

#[tokio::test(start_paused = true)]
async fn trails_are_pruned_to_their_maximum() {
    let house = house(vec![delivered()], Options { trails_max: 3, ..Options::default() });
    let mut ids = Vec::new();
    for _ in 0..10 {
        let user = Recipient::new(Address::parse("a@example.org").unwrap());
        let submission = house.submission("<x@y.example>", vec![local(&user)]);
        ids.push(house.queue.submit(submission).await.unwrap().id());
    }
    house.queue.inner.prune_trails().await.unwrap();
    let kept = ids.iter().filter(|id| house.queue.listing().trail(**id).unwrap().head.is_some()).count();
    assert_eq!(kept, 3);
}

#[tokio::test(start_paused = true)]
async fn one_round_of_pruning_leaves_no_surplus_however_large() {
    let house = house(vec![delivered()], Options { trails_max: 3, ..Options::default() });
    let (mut batch, now) = (Batch::new(), house.clock.now());
    for _ in 0..2503 {
        let submission = house.submission("<x@y.example>", vec![remote("a@x.example")]);
        crate::trail::add_head(&mut batch, &submission, None, now);
    }
    house.storage.commit(batch).await.unwrap();
    house.queue.inner.prune_trails().await.unwrap();
    let left = house.storage.read().unwrap().counter(crate::records::COUNTERS, crate::trail::TRAILS, 0);
    assert_eq!(left.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn recipients_of_one_route_that_are_due_at_different_times_are_all_tried_in_time() {
    let limits = crate::ChannelLimits { recipients_per_attempt: 1, ..Default::default() };
    let options = Options { channels: [("smtp".to_owned(), limits)].into(), ..Options::default() };
    let house = house(vec![deferred(Reach::Recipient), delivered()], options);
    let both = vec![remote("a@x.example"), remote("b@x.example")];
    let _ = house.queue.submit(house.submission("<x@y.example>", both)).await.unwrap();
    house.run(Duration::from_secs(1000)).await;
    let asked = house.script.asked.lock().clone();
    assert_eq!(
        asked.iter().map(|(_, names)| names[0].as_str()).collect::<Vec<_>>(),
        ["a@x.example", "b@x.example", "a@x.example"]
    );
    assert!(asked[1].0.since(asked[0].0).as_secs() < 10, "the second waits for nobody");
    assert!(asked[2].0.since(asked[0].0).as_secs() >= 200, "the first waits for its time");
}

#[tokio::test(start_paused = true)]
async fn the_recipients_of_a_route_are_told_by_how_their_records_begin() {
    let (one, longer) = (remote("a@x.example"), remote("a@x.example.org"));
    let record = |accepted: &Accepted| {
        crate::records::to_value(&crate::submit::new_record(accepted.clone(), Timestamp(1)))
    };
    for (route, of, holds) in [(&one, &one, true), (&one, &longer, false), (&longer, &one, false)] {
        assert_eq!(record(of).starts_with(&crate::records::route_prefix(&route.route)), holds);
    }
}
