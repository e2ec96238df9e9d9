//! Fields that we add: Received (R90) and Return-Path (R91), by which the way of a message can be
//! traced (R92), and what a submission lacks.

use std::fmt::Write as _;
use std::net::IpAddr;

use mail_types::{Address, QueueId, ReversePath, Timestamp};

use crate::date::date_text;
use crate::header::Facts;

/// Longest HELO name that a trace field repeats, in octets.
const HELO_MAX: usize = 255;

/// What the session spoke, for the word after `with`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Protocol {
    /// LHLO was said (RFC 2033).
    pub lmtp: bool,
    /// EHLO was said, not HELO.
    pub extended: bool,
    /// SMTPUTF8 was given to MAIL (RFC 6531 §4.3).
    pub utf8: bool,
    /// TLS protects the session.
    pub tls: bool,
    /// The client authenticated.
    pub authenticated: bool,
}

impl Protocol {
    /// The registered word: `SMTP`, `ESMTPSA`, `UTF8LMTPS`, … (RFC 3848, RFC 6531 §4.3).
    #[must_use]
    pub fn word(self) -> &'static str {
        let column = usize::from(self.tls) + 2 * usize::from(self.authenticated);
        let row = match self {
            Self { lmtp: true, utf8: false, .. } => ["LMTP", "LMTPS", "LMTPA", "LMTPSA"],
            Self { lmtp: true, utf8: true, .. } => ["UTF8LMTP", "UTF8LMTPS", "UTF8LMTPA", "UTF8LMTPSA"],
            Self { utf8: true, .. } => ["UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA"],
            Self { extended: true, .. } => ["ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA"],
            // HELO knows neither STARTTLS nor AUTH by itself; implicit TLS may still be there.
            _ => return "SMTP",
        };
        row[column]
    }
}

/// What protects the session, for the comment in the Received field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tls<'a> {
    /// As `TLSv1.3`.
    pub version: &'a str,
    /// The cipher suite's name.
    pub cipher: &'a str,
}

/// All that a Received field says (RFC 5321 §4.4).
#[derive(Debug, Clone)]
pub struct ReceivedField<'a> {
    /// What the client called itself. Octets that no domain has are replaced.
    pub helo: &'a str,
    /// Where it connected from; absent for local submission.
    pub peer: Option<IpAddr>,
    /// The peer's verified name, where it was looked up.
    pub peer_name: Option<&'a str>,
    /// Our name.
    pub by: &'a str,
    /// What was spoken.
    pub protocol: Protocol,
    /// What protected it.
    pub tls: Option<Tls<'a>>,
    /// Our id of the message.
    pub id: QueueId,
    /// The recipient, only where the message has exactly one: others must not be disclosed (RFC 5321 §7.6).
    pub recipient: Option<&'a Address>,
    /// When it was received.
    pub date: Timestamp,
}

impl ReceivedField<'_> {
    /// The field with its line ends.
    #[must_use]
    pub fn to_octets(&self) -> Vec<u8> {
        let mut field = String::with_capacity(256);
        field.push_str("Received: from ");
        push_helo(&mut field, self.helo);
        match (self.peer, self.peer_name) {
            (Some(peer), Some(name)) => drop(write!(field, " ({name} {})", Literal(peer))),
            (Some(peer), None) => drop(write!(field, " ({})", Literal(peer))),
            (None, _) => {}
        }
        let _ = write!(field, "\r\n\tby {} with {} id {}", self.by, self.protocol.word(), self.id);
        if let Some(tls) = self.tls {
            let _ = write!(field, "\r\n\t({} {})", tls.version, tls.cipher);
        }
        // Only a message that needs SMTPUTF8 anyway may carry a UTF-8 trace (RFC 6531 §3.7.3).
        if let Some(address) = self.recipient.filter(|address| self.protocol.utf8 || !address.needs_utf8()) {
            let _ = write!(field, "\r\n\tfor <{address}>");
        }
        let _ = write!(field, ";\r\n\t{}\r\n", date_text(self.date));
        field.into_bytes()
    }
}

/// An address literal (RFC 5321 §4.1.3).
struct Literal(IpAddr);

impl std::fmt::Display for Literal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.to_canonical() {
            IpAddr::V4(ip) => write!(f, "[{ip}]"),
            IpAddr::V6(ip) => write!(f, "[IPv6:{ip}]"),
        }
    }
}

/// Writes what a client called itself, so that it can neither end the field nor forge a clause.
fn push_helo(field: &mut String, helo: &str) {
    if helo.is_empty() {
        field.push_str("unknown");
        return;
    }
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    field.extend(helo.bytes().take(HELO_MAX).map(|byte| if is_safe(byte) { char::from(byte) } else { '?' }));
}

/// The Return-Path field that final delivery puts on top (RFC 5321 §4.4).
#[must_use]
pub fn return_path_field(path: &ReversePath) -> Vec<u8> {
    format!("Return-Path: {path}\r\n").into_bytes()
}

/// What a submission server may add to a message (RFC 6409 §8.2, §8.3).
#[derive(Debug, Clone)]
pub struct FixUps<'a> {
    /// Our name, right of the `@` of a Message-ID.
    pub host: &'a str,
    /// Our id of the message: makes the Message-ID unique.
    pub id: QueueId,
    /// Sixty-four random bits: make it unguessable.
    pub random: u64,
    /// The time of submission.
    pub now: Timestamp,
}

impl FixUps<'_> {
    /// The Date and Message-ID fields that the message lacks; nothing where it has both.
    #[must_use]
    pub fn missing_fields(&self, facts: &Facts<'_>) -> Vec<u8> {
        let mut fields = String::new();
        if !facts.has_date {
            let _ = write!(fields, "Date: {}\r\n", date_text(self.now));
        }
        if facts.message_id.is_none() {
            let _ = write!(fields, "Message-ID: {}\r\n", self.message_id());
        }
        fields.into_bytes()
    }

    /// A Message-ID of ours (RFC 5322 §3.6.4), brackets included.
    #[must_use]
    pub fn message_id(&self) -> String {
        format!("<{}.{:016x}@{}>", self.id, self.random, self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Fields;

    fn sample<'a>(recipient: Option<&'a Address>) -> ReceivedField<'a> {
        ReceivedField {
            helo: "client.example",
            peer: Some("192.0.2.7".parse().unwrap()),
            peer_name: None,
            by: "mx.example.org",
            protocol: Protocol { extended: true, tls: true, ..Protocol::default() },
            tls: Some(Tls { version: "TLSv1.3", cipher: "TLS13_AES_256_GCM_SHA384" }),
            id: QueueId::from_u64(1),
            recipient,
            date: Timestamp(0),
        }
    }

    #[test]
    fn a_received_field_says_it_all() {
        let address = Address::parse("user1@example.org").unwrap();
        assert_eq!(
            String::from_utf8(sample(Some(&address)).to_octets()).unwrap(),
            "Received: from client.example ([192.0.2.7])\r\n\tby mx.example.org with ESMTPS id 0000000000001\r\n\
             \t(TLSv1.3 TLS13_AES_256_GCM_SHA384)\r\n\tfor <user1@example.org>;\r\n\
             \tThu, 1 Jan 1970 00:00:00 +0000\r\n"
        );
    }

    #[test]
    fn our_own_received_field_is_recognised_as_ours() {
        let octets = sample(None).to_octets();
        assert_eq!(Facts::scan(&octets, "MX.example.org").received_by_us, 1);
        assert_eq!(Facts::scan(&octets, "client.example").received_by_us, 0);
    }

    #[test]
    fn a_hostile_helo_cannot_forge() {
        let mut field = sample(None);
        field.helo = "x (by\r\n\r\nbody by evil) ;é";
        field.peer = Some("2001:db8::1".parse().unwrap());
        field.peer_name = Some("host.example");
        let octets = field.to_octets();
        assert_eq!(Fields::of(&octets).count(), 1);
        let text = String::from_utf8(octets).unwrap();
        assert!(
            text.starts_with(
                "Received: from x??by????body?by?evil????? (host.example [IPv6:2001:db8::1])\r\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn an_internationalised_recipient_is_named_only_in_utf8_mail() {
        let address = Address::parse("jörg@example.org").unwrap();
        let mut field = sample(Some(&address));
        assert!(!String::from_utf8(field.to_octets()).unwrap().contains("for"));
        field.protocol.utf8 = true;
        assert!(String::from_utf8(field.to_octets()).unwrap().contains("with UTF8SMTPS id 0000000000001"));
        assert!(String::from_utf8(field.to_octets()).unwrap().contains("for <jörg@example.org>"));
    }

    #[test]
    fn protocol_words_are_the_registered_ones() {
        let plain = Protocol::default();
        assert_eq!(plain.word(), "SMTP");
        assert_eq!(Protocol { lmtp: true, ..plain }.word(), "LMTP");
        assert_eq!(Protocol { extended: true, authenticated: true, ..plain }.word(), "ESMTPA");
        assert_eq!(Protocol { extended: true, authenticated: true, tls: true, ..plain }.word(), "ESMTPSA");
        assert_eq!(Protocol { lmtp: true, utf8: true, tls: true, ..plain }.word(), "UTF8LMTPS");
    }

    #[test]
    fn only_what_is_missing_is_added() {
        let fix_ups = FixUps { host: "mx.example", id: QueueId::from_u64(7), random: 255, now: Timestamp(0) };
        let both = fix_ups.missing_fields(&Facts::scan(b"Subject: x\r\n\r\n", "mx.example"));
        assert_eq!(
            String::from_utf8(both).unwrap(),
            "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\nMessage-ID: <0000000000007.00000000000000ff@mx.example>\r\n"
        );
        assert!(
            fix_ups.missing_fields(&Facts::scan(b"Date: x\r\nMessage-ID: <1@x>\r\n\r\n", "h")).is_empty()
        );
        assert_eq!(return_path_field(&ReversePath::Null), b"Return-Path: <>\r\n");
    }
}
