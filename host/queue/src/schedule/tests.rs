use mail_types::{Domain, NextHop};

use super::*;
use crate::options::ChannelLimits;

fn route(domain: &str) -> Route {
    Route::new("smtp", NextHop::Domain(Domain::parse(domain).unwrap()))
}

fn options(concurrency: usize, per_destination: usize) -> Options {
    let limits = ChannelLimits { concurrency, per_destination, ..ChannelLimits::default() };
    Options { channels: [("smtp".to_owned(), limits)].into(), ..Options::default() }
}

fn lease(schedule: &mut Schedule, now: u64, options: &Options) -> Option<Job> {
    match schedule.next(Timestamp(now), options) {
        Next::Lease(job) => Some(job),
        _ => None,
    }
}

#[test]
fn one_slow_domain_never_holds_up_another() {
    let (mut schedule, options) = (Schedule::default(), options(4, 2));
    for number in 0..100 {
        schedule.push(QueueId::from_u64(number), &route("slow.example"), Timestamp(0));
    }
    schedule.push(QueueId::from_u64(1000), &route("quick.example"), Timestamp(0));
    let leased: Vec<Job> = std::iter::from_fn(|| lease(&mut schedule, 1, &options)).collect();
    let of = |name: &str| leased.iter().filter(|job| *job.route == route(name)).count();
    assert_eq!((of("slow.example"), of("quick.example")), (2, 1));
}

#[test]
fn the_channel_has_a_limit_and_finishing_frees_a_place() {
    let (mut schedule, options) = (Schedule::default(), options(3, 3));
    for number in 0..10 {
        schedule.push(QueueId::from_u64(number), &route(&format!("d{}.example", number % 5)), Timestamp(0));
    }
    let leased: Vec<Job> = std::iter::from_fn(|| lease(&mut schedule, 1, &options)).collect();
    assert_eq!(leased.len(), 3);
    schedule.finish(&leased[0], Some(false), Timestamp(1), &options);
    assert!(lease(&mut schedule, 1, &options).is_some());
    assert!(lease(&mut schedule, 1, &options).is_none());
}

#[test]
fn jobs_wait_for_their_time() {
    let (mut schedule, options) = (Schedule::default(), options(3, 3));
    schedule.push(QueueId::from_u64(1), &route("a.example"), Timestamp(50));
    assert_eq!(schedule.next(Timestamp(49), &options), Next::Wait(Timestamp(50)));
    assert!(lease(&mut schedule, 50, &options).is_some());
    assert_eq!(schedule.next(Timestamp(51), &options), Next::Idle);
}

#[test]
fn a_destination_that_cannot_be_reached_rests_longer_each_time_and_is_probed_by_one() {
    let (mut schedule, options) = (Schedule::default(), options(9, 9));
    for number in 0..9 {
        schedule.push(QueueId::from_u64(number), &route("dead.example"), Timestamp(0));
    }
    let first = lease(&mut schedule, 0, &options).unwrap();
    let rest = schedule.finish(&first, Some(true), Timestamp(0), &options);
    assert_eq!(rest, Some(Duration::from_secs(60)));
    assert_eq!(schedule.next(Timestamp(1), &options), Next::Wait(Timestamp(60_000)));
    let probe = lease(&mut schedule, 60_000, &options).unwrap();
    assert!(lease(&mut schedule, 60_000, &options).is_none(), "only one probe at a time");
    let rest = schedule.finish(&probe, Some(true), Timestamp(60_000), &options);
    assert_eq!(rest, Some(Duration::from_secs(120)));
    schedule.end_rest(&route("dead.example"));
    let probe = lease(&mut schedule, 60_001, &options).unwrap();
    schedule.finish(&probe, Some(false), Timestamp(60_001), &options);
    assert_eq!(std::iter::from_fn(|| lease(&mut schedule, 60_002, &options)).count(), 6);
}

#[test]
fn rests_have_a_longest_one_and_an_operator_ends_them() {
    let (mut schedule, mut options) = (Schedule::default(), options(9, 9));
    options.destination_rest_longest = Duration::from_secs(200);
    for number in 0..9 {
        schedule.push(QueueId::from_u64(number), &route("dead.example"), Timestamp(0));
    }
    let (mut now, mut rests) = (Timestamp(0), Vec::new());
    for _ in 0..4 {
        let job = lease(&mut schedule, now.0, &options).unwrap();
        let rest = schedule.finish(&job, Some(true), now, &options).unwrap();
        rests.push(rest.as_secs());
        now = now.plus(rest);
    }
    assert_eq!(rests, [60, 120, 200, 200]);
    let now = now.0 - 100_000;
    assert_eq!(lease(&mut schedule, now, &options), None, "it rests");
    schedule.end_rest(&route("dead.example"));
    let probe = lease(&mut schedule, now, &options).unwrap();
    assert!(lease(&mut schedule, now, &options).is_none(), "only one probe at a time");
    let rest = schedule.finish(&probe, Some(true), Timestamp(now), &options);
    assert_eq!(rest, Some(Duration::from_secs(120)), "not the longest at once");
}

#[test]
fn failures_side_by_side_count_once_and_a_late_success_ends_the_rest() {
    let (mut schedule, options) = (Schedule::default(), options(20, 20));
    for number in 0..30 {
        schedule.push(QueueId::from_u64(number), &route("dead.example"), Timestamp(0));
    }
    let leased: Vec<Job> = std::iter::from_fn(|| lease(&mut schedule, 0, &options)).collect();
    assert_eq!(leased.len(), 20);
    let mut rests = Vec::new();
    for (job, at) in leased[..19].iter().zip(1..) {
        rests.extend(schedule.finish(job, Some(true), Timestamp(at), &options));
    }
    assert_eq!(rests, [Duration::from_secs(60)], "twenty attempts found out one thing");
    assert_eq!(schedule.rests_until(&route("dead.example"), Timestamp(20)), Some(Timestamp(60_001)));
    schedule.finish(&leased[19], Some(false), Timestamp(21), &options);
    assert_eq!(schedule.rests_until(&route("dead.example"), Timestamp(21)), None);
    assert_eq!(std::iter::from_fn(|| lease(&mut schedule, 22, &options)).count(), 10);
}

#[test]
fn a_rate_is_no_rest() {
    let limits = ChannelLimits { rate_per_destination: Some(0.01), ..ChannelLimits::default() };
    let options = Options { channels: [("smtp".to_owned(), limits)].into(), ..Options::default() };
    let mut schedule = Schedule::default();
    schedule.push(QueueId::from_u64(1), &route("dead.example"), Timestamp(0));
    schedule.push(QueueId::from_u64(2), &route("dead.example"), Timestamp(0));
    let job = lease(&mut schedule, 0, &options).unwrap();
    assert!(schedule.finish(&job, Some(true), Timestamp(1), &options).is_some(), "the failure counts");
    let job = lease(&mut schedule, 100_000, &options).unwrap();
    schedule.finish(&job, Some(false), Timestamp(100_001), &options);
    schedule.push(QueueId::from_u64(3), &route("dead.example"), Timestamp(0));
    assert_eq!(lease(&mut schedule, 100_002, &options), None, "a success does not lift the rate");
}

#[test]
fn a_rate_spreads_attempts() {
    let limits = ChannelLimits { rate_per_destination: Some(2.0), ..ChannelLimits::default() };
    let options = Options { channels: [("smtp".to_owned(), limits)].into(), ..Options::default() };
    let mut schedule = Schedule::default();
    for number in 0..3 {
        schedule.push(QueueId::from_u64(number), &route("a.example"), Timestamp(0));
    }
    assert!(lease(&mut schedule, 0, &options).is_some());
    assert_eq!(schedule.next(Timestamp(0), &options), Next::Wait(Timestamp(500)));
    assert!(lease(&mut schedule, 500, &options).is_some());
}

#[test]
fn a_job_pushed_twice_runs_once_at_the_earlier_time_and_idle_destinations_are_forgotten() {
    let (mut schedule, options) = (Schedule::default(), options(3, 3));
    schedule.push(QueueId::from_u64(1), &route("a.example"), Timestamp(50));
    schedule.push(QueueId::from_u64(1), &route("a.example"), Timestamp(20));
    schedule.push(QueueId::from_u64(1), &route("a.example"), Timestamp(90));
    let job = lease(&mut schedule, 20, &options).unwrap();
    assert!(schedule.is_active(QueueId::from_u64(1)));
    schedule.finish(&job, Some(false), Timestamp(20), &options);
    drop(job);
    assert_eq!(schedule.next(Timestamp(1000), &options), Next::Idle);
}

#[test]
fn a_message_that_is_held_back_waits_and_comes_when_it_is_let_go() {
    let (mut schedule, options) = (Schedule::default(), options(10, 10));
    let (id, other) = (QueueId::from_u64(1), QueueId::from_u64(2));
    schedule.push(id, &route("a.test"), Timestamp(0));
    assert!(schedule.hold_back(id));
    assert!(!schedule.hold_back(id), "one change at a time");
    assert_eq!(lease(&mut schedule, 1, &options), None);
    schedule.push(other, &route("a.test"), Timestamp(0));
    assert_eq!(lease(&mut schedule, 2, &options).map(|job| job.id), Some(other));
    schedule.let_go(id);
    let job = lease(&mut schedule, 3, &options).unwrap();
    assert_eq!(job.id, id);
    assert!(!schedule.hold_back(id), "its attempt is under way");
    schedule.finish(&job, None, Timestamp(4), &options);
    assert!(schedule.hold_back(id));
}

#[test]
fn late_messages_are_taken_from_failed_destinations_and_come_again_when_they_are_late_again() {
    let (mut schedule, mut options) = (Schedule::default(), options(2, 2));
    options.delay_warning = Duration::from_millis(100);
    let of = |milliseconds: u64| QueueId::first_of_millisecond(milliseconds);
    for number in 0..4 {
        schedule.push(of(number), &route("dead.example"), Timestamp(number));
        schedule.push(of(number), &route("well.example"), Timestamp(number));
    }
    let probe = loop {
        let job = lease(&mut schedule, 4, &options).unwrap();
        if *job.route == route("dead.example") {
            break job;
        }
    };
    schedule.finish(&probe, Some(true), Timestamp(5), &options);
    assert!(schedule.hold_back(of(1)));
    assert_eq!(schedule.take_late(Timestamp(99), &options, 9), []);
    let late = schedule.take_late(Timestamp(102), &options, 9);
    assert_eq!(
        late.iter().map(|job| job.id).collect::<Vec<_>>(),
        [of(2)],
        "neither the held one nor the young"
    );
    assert!(!schedule.hold_back(of(2)), "it is being looked at");
    schedule.put_back(&late[0], Some(Timestamp(200)));
    assert_eq!(schedule.take_late(Timestamp(103), &options, 9).len(), 1);
    schedule.let_go(of(1));
    assert_eq!(schedule.take_late(Timestamp(200), &options, 1).len(), 1, "so many at once");
    schedule.forget_looks();
    assert_eq!(schedule.take_late(Timestamp(200), &options, 9).len(), 1);
}

#[test]
fn a_clock_that_is_set_back_or_forward_neither_ends_a_rest_nor_prolongs_it() {
    for moved in [-86_400_000_i64, 86_400_000] {
        let (mut schedule, options) = (Schedule::default(), options(9, 9));
        let start = 100_000_000_000_u64;
        let at = |seconds: u64| Timestamp(start + seconds * 1000);
        schedule.look_at_clock(at(0), Duration::from_secs(50));
        schedule.push(QueueId::from_u64(1), &route("dead.example"), at(0));
        schedule.push(QueueId::from_u64(2), &route("dead.example"), at(0));
        let job = lease(&mut schedule, at(0).0, &options).unwrap();
        schedule.finish(&job, Some(true), at(0), &options);
        assert_eq!(lease(&mut schedule, at(1).0, &options), None, "it rests");
        let then = |seconds: u64| Timestamp(at(seconds).0.saturating_add_signed(moved));
        schedule.look_at_clock(then(10), Duration::from_secs(60));
        schedule.push(QueueId::from_u64(3), &route("dead.example"), then(10));
        assert_eq!(schedule.rests_until(&route("dead.example"), then(10)), Some(then(60)));
        assert_eq!(lease(&mut schedule, then(59).0, &options), None);
        // A clock that is only put right moves nothing.
        schedule.look_at_clock(Timestamp(then(59).0 + 900), Duration::from_secs(109));
        assert_eq!(schedule.rests_until(&route("dead.example"), then(10)), Some(then(60)));
        assert!(lease(&mut schedule, then(60).0, &options).is_some());
    }
}

#[test]
fn a_time_further_away_than_any_that_is_set_is_due() {
    let (mut schedule, options) = (Schedule::default(), options(9, 9));
    let now = Timestamp(100_000_000_000);
    let latest = options.latest_due(now);
    assert_eq!(latest.since(now), Duration::from_secs(4 * 3600 * 12 / 10));
    schedule.push(QueueId::from_u64(1), &route("a.example"), latest);
    schedule.push(QueueId::from_u64(2), &route("a.example"), Timestamp(latest.0 + 1));
    assert_eq!(lease(&mut schedule, now.0, &options).map(|job| job.id), Some(QueueId::from_u64(2)));
    assert_eq!(schedule.next(now, &options), Next::Wait(latest));
}
