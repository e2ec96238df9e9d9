//! Mail that goes through.

use super::*;
use crate::Kind;

#[tokio::test]
async fn a_message_goes_from_the_wire_to_the_mailbox() {
    let house = smtp().await;
    let dialogue = "
        C: MAIL FROM:<a@remote.example> SIZE=30
        S: 250 2.1.0 *
        C: RCPT TO:<user1+tag@example.org>
        S: 250 2.1.5 *
        C: DATA
        S: 354 *
        C: Subject: hello
        C= \\r\\n..dot\\r\\n.\\r\\n
        S: 250 2.0.0 Accepted as *
        C: QUIT
        S: 221 2.0.0 *
        CLOSED";
    house.play(&format!("{HELLO}\n{dialogue}")).await;
    let copies = house.copies.lock().clone();
    assert_eq!(copies.len(), 1);
    assert_eq!(copies[0].0, "user1@example.org");
    let prefix = &copies[0].1;
    assert!(
        prefix.contains("Received: from client.example ([127.0.0.1])\r\n\tby mail.example.org with SMTP id "),
        "{prefix}"
    );
    assert!(prefix.contains("for <user1+tag@example.org>;"), "{prefix}");
    assert_eq!(house.contents().len(), 1);
    assert!(house.contents()[0].ends_with("\r\n.dot\r\n"));
}

#[tokio::test]
async fn pipelined_commands_are_answered_together_and_in_order() {
    let house = smtp().await;
    let mut client = house.connect().await;
    client.play(HELLO).await;
    let burst = "RSET\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user1@example.org>\r\nRCPT TO:<nobody@example.org>\r\nRCPT TO:<x@elsewhere.example>\r\nDATA\r\n";
    client.send(burst.as_bytes()).await;
    client
        .play(
            "
        S: 250 2.0.0 *
        S: 250 2.1.0 *
        S: 250 2.1.5 *
        S: 550 5.1.1 *
        S: 550 5.7.1 *
        S: 354 *
        C= A: b\\r\\n\\r\\nx\\r\\n.\\r\\nMAIL FROM:<>\\r\\nQUIT\\r\\n
        S: 250 2.0.0 *
        S: 250 2.1.0 *
        S: 221 *
        CLOSED",
        )
        .await;
}

#[tokio::test]
async fn line_endings_are_mended_where_that_is_chosen() {
    let house = house(Kind::Smtp, |options| options.line_endings = smtp_wire::LineEndings::Normalize).await;
    house
        .play(&format!(
            "{HELLO}
            C= MAIL FROM:<a@b.example>\\n
            S: 250 2.1.0 *
            C: RCPT TO:<user1@example.org>
            S: 250 2.1.5 *
            C: DATA
            S: 354 *
            C= A: b\\n\\nx\\n.\\ny\\r\\n.\\r\\n
            S: 250 2.0.0 *"
        ))
        .await;
    assert_eq!(house.contents(), ["A: b\r\n\r\nx\r\n.\r\ny\r\n"]);
}

#[tokio::test]
async fn chunks_are_content_octet_for_octet() {
    let house = smtp().await;
    let mut client = house.connect().await;
    client.play("S: 220 *\nC: EHLO c.example").await;
    client.reply().await;
    client
        .play(
            "
            C: MAIL FROM:<a@b.example> BODY=BINARYMIME
            S: 250 2.1.0 *
            C: RCPT TO:<user1@example.org>
            S: 250 2.1.5 *
            C: DATA
            S: 503 5.6.1 *
            C= BDAT 8\\r\\nA: b\\r\\n\\r\\nBDAT 7 LAST\\r\\n.\\r\\n\\0\\n.\\r
            S: 250 2.0.0 8 octets received
            S: 250 2.0.0 Accepted as *
            C: BDAT 3
            C= abc
            S: 503 5.5.1 *
            C: NOOP
            S: 250 2.0.0 *
            C: BDAT x
            S: 501 5.5.4 *
            CLOSED",
        )
        .await;
    assert_eq!(house.contents(), ["A: b\r\n\r\n.\r\n\0\n.\r"]);
}

#[tokio::test]
async fn a_refused_chunk_fails_the_transaction_until_rset() {
    let house = smtp().await;
    house
        .play(&format!(
            "{HELLO}
            C: MAIL FROM:<a@b.example>
            S: 250 2.1.0 *
            C: RCPT TO:<user1@example.org>
            S: 250 2.1.5 *
            C= BDAT 4\\r\\na\\nb\\n
            S: 550 5.5.2 *
            C= BDAT 2 LAST\\r\\n\\r\\n
            S: 503 5.5.1 *
            C: RSET
            S: 250 2.0.0 *
            C: MAIL FROM:<a@b.example>
            S: 250 2.1.0 *"
        ))
        .await;
    assert_eq!(house.contents().len(), 0);
}

#[tokio::test]
async fn lmtp_answers_for_each_recipient() {
    let house = house(Kind::Lmtp, |_| ()).await;
    let mut client = house.connect().await;
    client.play("S: 220 mail.example.org LMTP *\nC: EHLO x\nS: 500 5.5.1 *\nC: LHLO queue.example").await;
    assert!(client.reply().await.iter().any(|line| line.ends_with("PIPELINING")));
    client
        .play(
            "
            C: MAIL FROM:<a@b.example>
            S: 250 2.1.0 *
            C: DATA
            S: 503 5.5.1 *
            C= BDAT 2 LAST\\r\\n\\r\\nNOOP\\r\\n
            S: 250 2.0.0 Done
            C: RCPT TO:<user1@example.org>
            S: 250 2.1.5 *
            C: RCPT TO:<nobody@example.org>
            S: 550 5.1.1 *
            C: RCPT TO:<user1@example.org>
            S: 250 2.1.5 *
            C: DATA
            S: 354 *
            C: .
            S: 250 2.0.0 *
            S: 250 2.0.0 *
            C: QUIT
            S: 221 *
            CLOSED",
        )
        .await;
    assert_eq!(house.copies.lock().len(), 1, "the same mailbox twice is one copy");
    assert!(house.copies.lock()[0].1.contains("with LMTP id"));
}

#[tokio::test]
async fn large_content_passes_through_the_disk() {
    let house = smtp().await;
    let mut client = house
        .play(&format!(
            "{HELLO}
        C: MAIL FROM:<a@b.example>
        S: 250 *
        C: RCPT TO:<user1@example.org>
        S: 250 *
        C: DATA
        S: 354 *"
        ))
        .await;
    let body = "0123456789abcdef\r\n".repeat(60_000);
    client.send(format!("A: b\r\n\r\n{body}.\r\n").as_bytes()).await;
    client.play("S: 250 2.0.0 *").await;
    assert_eq!(house.contents(), [format!("A: b\r\n\r\n{body}")]);
}

#[tokio::test]
async fn internationalised_mail_follows_rfc_6531() {
    let house = smtp().await;
    let mut client = house.connect().await;
    client.play("S: 220 *\nC: EHLO c.example").await;
    assert!(client.reply().await.iter().any(|line| line.ends_with("SMTPUTF8")));
    client
        .play(
            "
            C: MAIL FROM:<jörg@b.example>
            S: 550 5.6.7 *
            C: MAIL FROM:<a@b.example>
            S: 250 *
            C: RCPT TO:<jörg@example.org>
            S: 553 5.6.7 *
            C: RSET
            S: 250 *
            C: MAIL FROM:<jörg@b.example> SMTPUTF8
            S: 250 *
            C: RCPT TO:<user1@example.org>
            S: 250 *
            C: DATA
            S: 354 *
            C: .
            S: 250 *",
        )
        .await;
    assert!(house.copies.lock()[0].1.contains("with UTF8SMTP id"));
}

#[tokio::test]
async fn own_users_headers_show_their_primary_address() {
    let house = house(Kind::Smtp, |options| options.relay_networks = loopback()).await;
    house
        .play(&format!(
            "{HELLO}
            C: MAIL FROM:<user2@example.org>
            S: 250 *
            C: RCPT TO:<user1@example.org>
            S: 250 *
            C: DATA
            S: 354 *
            C: From: Una <una.berg@example.org>
            C: To: x@elsewhere.example, una.berg@example.org
            C: Subject: una.berg@example.org
            C= \\r\\nbody una.berg@example.org\\r\\n.\\r\\n
            S: 250 2.0.0 *"
        ))
        .await;
    let expected = "From: Una <user1@example.org>\r\nTo: x@elsewhere.example, user1@example.org\r\n\
        Subject: una.berg@example.org\r\n\r\nbody una.berg@example.org\r\n";
    assert_eq!(house.contents(), [expected]);
}
