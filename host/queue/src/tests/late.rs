//! What does not get through in time: warnings, giving up, and what reports say of it.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_never_gets_through_is_told_late_once_and_given_up_at_the_end() {
    let house = house(vec![deferred(Reach::Destination)], Options::default());
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![remote("a@x.example")])).await.unwrap();
    house.run(Duration::from_secs(24 * 3600)).await;
    assert_eq!(house.boxes("x@y.example"), 1, "the sender was told once that it is late");
    house.run(Duration::from_secs(6 * 24 * 3600)).await;
    assert_eq!((house.boxes("x@y.example"), house.queue.len()), (2, 0), "and once that it was given up");
}

#[tokio::test(start_paused = true)]
async fn a_backlog_behind_a_resting_destination_is_warned_of_and_given_up_in_time() {
    const BACKLOG: usize = 150;
    let house = house(vec![deferred(Reach::Destination)], Options::default());
    for number in 0..BACKLOG {
        let mut to = remote(&format!("u{number}@x.example"));
        if number == 0 {
            to.recipient.notify = Notify::Never;
        }
        let _ = house.queue.submit(house.submission("<x@y.example>", vec![to])).await.unwrap();
    }
    let hour = 3600;
    house.run(Duration::from_secs(3 * hour)).await;
    assert_eq!(house.boxes("x@y.example"), 0);
    house.run(Duration::from_secs(2 * hour)).await;
    assert_eq!(house.boxes("x@y.example"), BACKLOG - 1, "each sender was told in time that it is late");
    let attempts = house.script.asked.lock().len();
    assert!(attempts < BACKLOG / 2, "without {attempts} attempts");
    house.run(Duration::from_secs(114 * hour)).await;
    assert_eq!((house.boxes("x@y.example"), house.queue.len()), (BACKLOG - 1, BACKLOG), "and only once");
    house.run(Duration::from_secs(2 * hour)).await;
    let reports = 2 * (BACKLOG - 1);
    assert_eq!((house.boxes("x@y.example"), house.queue.len()), (reports, 0), "and given up in time");
    assert_eq!(house.contents(), reports);
}

/// The report of this kind that was stored for `x@y.example`, as text.
fn report(house: &House, subject: &str) -> String {
    let (view, mut found) = (house.storage.read().unwrap(), Vec::new());
    let mut ids = Vec::new();
    view.contents(&mut |id| ids.push(id)).unwrap();
    for id in ids {
        let octets = view.content(id).unwrap().unwrap().to_bytes().unwrap();
        let text = String::from_utf8_lossy(&octets).into_owned();
        found.extend(text.contains(subject).then_some(text));
    }
    assert_eq!(found.len(), 1, "{subject}: {found:?}");
    found.remove(0)
}

#[tokio::test(start_paused = true)]
async fn the_diagnostic_of_a_report_is_the_last_word_of_a_peer_and_never_ours() {
    let ours = |text: &str| {
        let reply = Reply::new(451, EnhancedStatus::transient(4, 1), text);
        Outcome::Deferred { reply, remote: None, cause: "timed out".into(), reach: Reach::Destination }
    };
    let house = house(vec![deferred(Reach::Recipient), ours("unreachable")], Options::default());
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![remote("a@x.example")])).await.unwrap();
    house.run(Duration::from_secs(6 * 24 * 3600)).await;
    for (subject, status) in
        [("Subject: Your message is delayed", "4.4.1"), ("could not be delivered", "5.4.7")]
    {
        let text = report(&house, subject);
        let fields = format!(
            "Status: {status}\r\nRemote-MTA: dns; mx.example\r\nDiagnostic-Code: smtp; 451 4.4.1 later\r\n"
        );
        assert!(text.contains(&fields), "{text}");
    }
    assert!(
        report(&house, "could not be delivered").contains("unreachable"),
        "people read why it was given up"
    );
    // Where no peer ever spoke there is neither of the two.
    let house = self::house(vec![ours("unreachable")], Options::default());
    let _ = house.queue.submit(house.submission("<x@y.example>", vec![remote("a@x.example")])).await.unwrap();
    house.run(Duration::from_secs(6 * 24 * 3600)).await;
    let text = report(&house, "could not be delivered");
    assert!(!text.contains("Remote-MTA") && !text.contains("Diagnostic-Code"), "{text}");
}
