//! Who a client is.

use super::*;
use crate::Kind;

fn plain(login: &str, password: &str) -> String {
    smtp_wire::encode_sasl(format!("\0{login}\0{password}").as_bytes())
}

#[tokio::test]
async fn submission_wants_authentication_and_an_own_sender() {
    let house = house(Kind::Submission, |_| ()).await;
    let mut client = house.connect().await;
    client.play("S: 220 *\nC: EHLO c.example").await;
    assert!(client.reply().await.iter().any(|line| line.contains("AUTH ") && line.contains("PLAIN")));
    let (wrong, right) = (plain("user1@example.org", "wrong"), plain("user1@example.org", "password"));
    client
        .play(&format!(
            "
            C: MAIL FROM:<user1@example.org>
            S: 530 5.7.0 *
            C: AUTH PLAIN {wrong}
            S: 535 5.7.8 *
            C: AUTH PLAIN
            S: 334
            C: *
            S: 501 5.7.0 *
            C: AUTH PLAIN =AAA
            S: 501 5.5.2 *
            C: AUTH NOSUCH
            S: 504 5.5.4 *
            C: AUTH PLAIN
            S: 334
            C: {right}
            S: 235 2.7.0 *
            C: AUTH PLAIN {right}
            S: 503 5.5.1 *
            C: MAIL FROM:<user2@example.org>
            S: 553 5.7.1 *
            C: MAIL FROM:<user1@example.org>
            S: 250 2.1.0 *
            C: RCPT TO:<somebody@elsewhere.example>
            S: 250 2.1.5 *
            C: RCPT TO:<user2@example.org>
            S: 250 2.1.5 *
            C: DATA
            S: 354 *
            C= From: user1@example.org\\r\\n\\r\\nx\\r\\n.\\r\\n
            S: 250 2.0.0 *"
        ))
        .await;
    let prefix = house.copies.lock()[0].1.clone();
    assert!(prefix.contains("with ESMTPA id") && prefix.contains("\r\nDate: "), "{prefix}");
    assert!(prefix.contains("\r\nMessage-ID: <") && !prefix.contains("for <"), "{prefix}");
}

/// The client's side of SCRAM-SHA-256 (RFC 5802 §3): from its first message without header and the
/// server's first, to its final message and the server's expected signature.
fn scram(bare: &str, server_first: &str, password: &[u8]) -> (String, String) {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use hmac::{Hmac, Mac};
    use sha2::{Digest as _, Sha256};
    let mac = |key: &[u8], text: &[u8]| -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text);
        mac.finalize().into_bytes().to_vec()
    };
    let part = |name: &str| server_first.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
    let salt = STANDARD.decode(part("s=")).unwrap();
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password, &salt, part("i=").parse().unwrap(), &mut salted);
    let client_key = mac(&salted, b"Client Key");
    let without_proof = format!("c=biws,r={}", part("r="));
    let authenticated = format!("{bare},{server_first},{without_proof}");
    let signature = mac(&Sha256::digest(&client_key), authenticated.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, octet)| key ^ octet).collect();
    let server = mac(&mac(&salted, b"Server Key"), authenticated.as_bytes());
    (format!("{without_proof},p={}", STANDARD.encode(proof)), format!("v={}", STANDARD.encode(server)))
}

#[tokio::test]
async fn scram_proves_both_sides() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let house = house(Kind::Submission, |_| ()).await;
    let mut client = house.connect().await;
    client.play("S: 220 *\nC: EHLO c.example").await;
    client.reply().await;
    let bare = "n=user1@example.org,r=fyko+d2lbbFgONRv9qkxdawL";
    let first = smtp_wire::encode_sasl(format!("n,,{bare}").as_bytes());
    client.send(format!("AUTH SCRAM-SHA-256 {first}\r\n").as_bytes()).await;
    let challenge = client.hear().await.unwrap();
    let challenge = STANDARD.decode(challenge.strip_prefix("334 ").unwrap()).unwrap();
    let (last, expected) = scram(bare, std::str::from_utf8(&challenge).unwrap(), b"password");
    client.send(format!("{}\r\n", smtp_wire::encode_sasl(last.as_bytes())).as_bytes()).await;
    // SMTP carries no data with success: the server's signature comes as one more challenge.
    let signature = client.hear().await.unwrap();
    assert_eq!(signature, format!("334 {}", smtp_wire::encode_sasl(expected.as_bytes())));
    client.send(b"\r\n").await;
    client.play("S: 235 2.7.0 *\nC: MAIL FROM:<user1@example.org>\nS: 250 *").await;
}
