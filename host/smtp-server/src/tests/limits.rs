//! Maxima and times.

use std::time::Duration;

use super::*;
use crate::{Kind, Limits, Options};

#[tokio::test]
async fn refused_content_that_never_ends_is_answered_after_a_short_time() {
    let house = house(Kind::Smtp, |options| {
        options.limits.refused_content_timeout = Duration::from_millis(50);
    })
    .await;
    house
        .play(&format!(
            "{HELLO}
            C: MAIL FROM:<a@b.example>
            S: 250 2.1.0 *
            C: RCPT TO:<user1@example.org>
            S: 250 2.1.5 *
            C: DATA
            S: 354 *
            C= only line feeds\\n.\\n
            S: 550 5.5.2 *
            CLOSED"
        ))
        .await;
}

#[tokio::test]
async fn size_is_refused_when_announced_and_when_it_comes() {
    let house = house(Kind::Smtp, |options| options.limits.message_size_max = 20).await;
    let transaction = "
            C: MAIL FROM:<a@b.example>
            S: 250 2.1.0 *
            C: RCPT TO:<user1@example.org>
            S: 250 2.1.5 *";
    house
        .play(&format!(
            "{HELLO}
            C: MAIL FROM:<a@b.example> SIZE=21
            S: 552 5.3.4 *
            C: MAIL FROM:<a@b.example> SIZE=99999999999999999999
            S: 552 5.3.4 *
            {transaction}
            C: DATA
            S: 354 *
            C= A: b\\r\\n\\r\\n0123456789012345678\\r\\n.\\r\\n
            S: 552 5.3.4 *
            {transaction}
            C= BDAT 21 LAST\\r\\n012345678901234567890
            S: 552 5.3.4 *
            {transaction}
            C: BDAT 9223372036854775807 LAST
            S: 552 5.3.4 *
            CLOSED"
        ))
        .await;
    assert_eq!(house.contents().len(), 0);
}

#[tokio::test]
async fn limits_are_kept_with_a_last_word() {
    let change = |options: &mut Options| {
        options.limits = Limits {
            errors_max: 2,
            commands_without_mail_max: 5,
            recipients_max: 1,
            refused_recipients_max: 1,
            ..Limits::default()
        };
    };
    let house = house(Kind::Smtp, change).await;
    house.play("S: 220 *\nC: WHAT\nS: 500 5.5.1 *\nC: MAIL\nS: 503 *\nC: x\nS: 421 4.7.0 *\nCLOSED").await;
    house.play(&format!("{HELLO}{}\nC: NOOP\nS: 421 4.7.0 *\nCLOSED", "\nC: NOOP\nS: 250 *".repeat(4))).await;
    let long = "x".repeat(5000);
    house.play(&format!("{HELLO}\nC: NOOP {long}\nS: 500 5.5.6 *\nC: NOOP\nS: 250 *")).await;
    house
        .play(&format!(
            "{HELLO}
            C: MAIL FROM:<a@b.example>
            S: 250 2.1.0 *
            C: RCPT TO:<user1@example.org>
            S: 250 2.1.5 *
            C: RCPT TO:<user2@example.org>
            S: 452 4.5.3 *
            C: RCPT TO:<user2@example.org>
            S: 452 4.5.3 *
            C: RSET
            S: 250 2.0.0 *
            C: MAIL FROM:<a@b.example>
            S: 250 2.1.0 *
            C: RCPT TO:<onleave@example.org>
            S: 450 *
            C: RCPT TO:<nobody@example.org>
            S: 550 5.1.1 *
            C: RCPT TO:<nobody@example.org>
            S: 421 4.7.0 *
            CLOSED"
        ))
        .await;
    house.play(&format!("{HELLO}\nC= NOOP\\n\nS: 500 5.5.2 *\nC= NO\\0P\\r\\n\nS: 500 5.5.2 *")).await;
}

#[tokio::test]
async fn a_looping_message_is_refused() {
    let house = house(Kind::Smtp, |options| options.limits.received_max = 3).await;
    for (field, status) in [("from a by b", "554 5.4.6 *"), ("by mail.example.org", "554 5.4.6 *")] {
        let fields = format!("C: Received: {field}; x\n").repeat(if field.starts_with("by") { 6 } else { 4 });
        house
            .play(&format!(
                "{HELLO}
                C: MAIL FROM:<a@b.example>
                S: 250 2.1.0 *
                C: RCPT TO:<user1@example.org>
                S: 250 2.1.5 *
                C: DATA
                S: 354 *
                {fields}
                C= \\r\\nx\\r\\n.\\r\\n
                S: {status}"
            ))
            .await;
    }
}

#[tokio::test]
async fn idle_sessions_end_with_the_server() {
    let house = smtp().await;
    let mut client = house.play(HELLO).await;
    house.shutdown.trigger();
    client.play("S: 421 4.3.2 *\nCLOSED").await;
    assert_eq!(house.shutdown.drained(Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn slow_clients_are_let_go() {
    let change = |options: &mut Options| {
        options.limits.command_timeout = Duration::from_millis(60);
        options.limits.content_idle_timeout = Duration::from_millis(60);
    };
    let house = house(Kind::Smtp, change).await;
    house.play("S: 220 *\nS: 421 4.4.2 *\nCLOSED").await;
    house
        .play(&format!(
            "{HELLO}
            C: MAIL FROM:<a@b.example>
            S: 250 *
            C: RCPT TO:<user1@example.org>
            S: 250 *
            C: DATA
            S: 354 *
            C: half
            S: 421 4.4.2 *
            CLOSED"
        ))
        .await;
    assert_eq!(house.contents().len(), 0);
}

#[tokio::test]
async fn one_connection_too_many_hears_so() {
    let house = smtp().await;
    let mut kept = Vec::new();
    for _ in 0..4 {
        kept.push(house.play(HELLO).await);
    }
    house.play("S: 421 4.7.0 mail.example.org too many connections*\nCLOSED").await;
    kept[0].play("C: QUIT\nS: 221 *\nCLOSED").await;
}
