//! What strangers may not do, and trusted neighbours may.

use runtime::TlsClient;

use super::*;
use crate::{Kind, Options, TlsMode};

#[tokio::test]
async fn no_smuggled_message_is_taken() {
    let vectors = [
        "\\n.\\n",
        "\\r.\\r",
        "\\r.\\n",
        "\\n.\\r",
        "\\n.\\r\\n",
        "\\r\\n.\\n",
        "\\r.\\r\\n",
        "\\r\\n.\\r",
        "\\r\\n\\0.\\r\\n",
        "\\r\\n.\\0\\r\\n",
        "\\r\\n.\\r\\r\\n",
        "\\r\\r\\n.\\r\\r\\n",
    ];
    let house = house(Kind::Smtp, |options| options.limits.errors_max = 100).await;
    for vector in vectors {
        let dialogue = format!("
            C: MAIL FROM:<a@b.example>
            S: 250 2.1.0 *
            C: RCPT TO:<user1@example.org>
            S: 250 2.1.5 *
            C: DATA
            S: 354 *
            C= A: b\\r\\n\\r\\nx{vector}MAIL FROM:<evil@b.example>\\r\\nRCPT TO:<user2@example.org>\\r\\nDATA\\r\\ninner\\r\\n.\\r\\n
            S: 550 5.5.2 *
            C: NOOP
            S: 250 2.0.0 *");
        house.play(&format!("{HELLO}\n{dialogue}")).await;
    }
    assert_eq!(house.copies.lock().len(), 0);
    assert_eq!(house.contents().len(), 0);
}

#[tokio::test]
async fn nothing_said_before_tls_counts_after_it() {
    let house = smtp().await;
    let mut client = house.connect().await;
    client.play("S: 220 *\nC: EHLO c.example").await;
    assert!(client.reply().await.iter().any(|line| line.ends_with("STARTTLS")));
    client.play("C= STARTTLS\\r\\nNOOP\\r\\nMAIL FROM:<evil@x.example>\\r\\n\nS: 220 2.0.0 *").await;
    let tls = TlsClient::opportunistic().unwrap();
    let mut client = Client { stream: client.stream.connect_tls(&tls, HOST).await.unwrap() };
    client.play("C: MAIL FROM:<a@b.example>\nS: 503 5.5.1 *\nC: EHLO c.example").await;
    let offered = client.reply().await;
    assert!(!offered.iter().any(|line| line.contains("STARTTLS")));
    assert!(offered.iter().any(|line| line.contains("SCRAM-SHA-256-PLUS")), "{offered:?}");
    client
        .play(
            "
            C: STARTTLS
            S: 503 5.5.1 *
            C: MAIL FROM:<a@b.example>
            S: 250 2.1.0 *
            C: RCPT TO:<user1@example.org>
            S: 250 2.1.5 *
            C: DATA
            S: 354 *
            C: .
            S: 250 2.0.0 *",
        )
        .await;
    assert!(house.copies.lock()[0].1.contains("with ESMTPS id"));
}

#[tokio::test]
async fn a_trusted_front_end_speaks_for_its_client() {
    let house = house(Kind::Smtp, |options| options.xclient_networks = loopback()).await;
    house
        .play(&format!(
            "{HELLO}
            C: XCLIENT ADDR=203.0.113.9 NAME=client.test HELO=told.test
            S: 220 *
            C: MAIL FROM:<a@b.example>
            S: 503 5.5.1 *
            C: HELO front.example
            S: 250 *
            C: MAIL FROM:<a@b.example>
            S: 250 *
            C: XCLIENT ADDR=203.0.113.9
            S: 503 5.5.1 *
            C: RCPT TO:<user1@example.org>
            S: 250 *
            C: DATA
            S: 354 *
            C: .
            S: 250 *"
        ))
        .await;
    let prefix = house.copies.lock()[0].1.clone();
    assert!(prefix.contains("from told.test (client.test [203.0.113.9])"), "{prefix}");
}

#[tokio::test]
async fn others_may_not_use_xclient_or_proxy() {
    smtp()
        .await
        .play(&format!(
            "{HELLO}
        C: XCLIENT ADDR=203.0.113.9
        S: 550 5.7.1 *
        C: PROXY TCP4 203.0.113.9 192.0.2.1 1 25
        S: 500 5.5.1 *"
        ))
        .await;
}

#[tokio::test]
async fn a_proxy_tells_the_client_ahead_of_tls_too() {
    let proxied = |options: &mut Options| {
        options.proxy_networks = loopback();
        options.tls = TlsMode::Implicit;
    };
    let house = house(Kind::Smtp, proxied).await;
    let mut client = house.connect().await;
    client.send(b"PROXY TCP4 203.0.113.9 192.0.2.1 1 25\r\n").await;
    let tls = TlsClient::opportunistic().unwrap();
    let mut client = Client { stream: client.stream.connect_tls(&tls, HOST).await.unwrap() };
    client
        .play(&format!(
            "{HELLO}
            C: MAIL FROM:<a@b.example>
            S: 250 *
            C: RCPT TO:<user1@example.org>
            S: 250 *
            C: DATA
            S: 354 *
            C: .
            S: 250 *"
        ))
        .await;
    assert!(house.copies.lock()[0].1.contains("[203.0.113.9]"));
    house.play("C: EHLO x\nCLOSED").await;
}
