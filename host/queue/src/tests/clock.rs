//! A machine's clock that is set to another time: by an operator, or at last by NTP.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_holds_up_neither_old_mail_nor_new() {
    let house = house(vec![deferred(Reach::Destination), delivered()], Options::default());
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![remote("a@x.example")])).await.unwrap();
    house.run(Duration::from_secs(10)).await;
    assert_eq!((house.script.asked.lock().len(), house.queue.len()), (1, 1), "it could not be reached");
    house.clock.set(Timestamp(house.clock.now().0 - 86_400_000));
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![remote("b@x.example")])).await.unwrap();
    house.run(Duration::from_secs(40)).await;
    assert_eq!(house.script.asked.lock().len(), 1, "its destination rests as long as it would have");
    house.run(Duration::from_secs(20)).await;
    assert_eq!((house.script.asked.lock().len(), house.queue.len()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_put_off_by_a_clock_of_next_year_is_tried_at_the_next_start() {
    let answers = vec![deferred(Reach::Recipient), delivered()];
    let mut house = house(answers, Options::default());
    let now = house.clock.now();
    house.clock.set(Timestamp(now.0 + 365 * 86_400_000));
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![remote("a@x.example")])).await.unwrap();
    house.run(Duration::from_secs(10)).await;
    house.clock.set(now);
    house.queue = open(&house.storage, &house.script, &house.local, &house.clock, Options::default());
    house.run(Duration::from_secs(10)).await;
    assert_eq!((house.script.asked.lock().len(), house.queue.len()), (2, 0));
}
