//! Composing delivery status notifications (RFC 3461 §6, RFC 3464, RFC 6522; RFC 6533 for UTF-8).
//!
//! The envelope is the caller's: null reverse path, NOTIFY=NEVER, and no DSN at all for a message
//! that itself has a null reverse path (RFC 3461 §6.1, RFC 5321 §4.5.5).

mod original;
mod status;
mod text;

use std::fmt::Write as _;

use mail_types::{
    Address, BodyType, EnhancedStatus, OriginalRecipient, QueueId, Reply, RetentionOfContent, Timestamp,
};

use crate::date::date_text;

/// Most octets of a message that a report returns; of a longer one only the header is returned
/// (RFC 3461 §6.2 allows that).
pub const RETURNED_OCTETS_MAX: usize = 256 * 1024;
/// Most octets of a header that a report returns. It is cut at a field's end.
pub const RETURNED_HEADER_OCTETS_MAX: usize = 64 * 1024;

/// What became of a recipient (RFC 3464 §2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Not delivered, for good.
    Failed,
    /// Not delivered yet; tried again.
    Delayed,
    /// In its mailbox.
    Delivered,
    /// Handed to a server that sends no reports.
    Relayed,
    /// Delivered to a group's address, and sent on to its members.
    Expanded,
}

impl Action {
    /// The word of RFC 3464 §2.3.3.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        }
    }
}

/// What there is to say about one recipient.
#[derive(Debug, Clone)]
pub struct DsnRecipient {
    /// The address as the sender gave it: what the human text names.
    pub named: Address,
    /// The address that was tried (RFC 3461 §6.3 e).
    pub last: Address,
    /// ORCPT=, where it was given (RFC 3461 §6.3 d).
    pub orcpt: Option<OriginalRecipient>,
    /// What became of it.
    pub action: Action,
    /// The status; its class must fit the action.
    pub status: EnhancedStatus,
    /// The host that answered, for what was tried by SMTP (RFC 3461 §6.3 h).
    pub remote_mta: Option<String>,
    /// What it answered (RFC 3461 §6.3 i).
    pub diagnostic: Option<Reply>,
    /// When it was tried last.
    pub last_attempt: Option<Timestamp>,
    /// Until when a delayed message is tried again.
    pub will_retry_until: Option<Timestamp>,
    /// Why, in plain words for the sender. Shown to outsiders: nothing internal belongs here.
    pub cause: Option<String>,
}

/// A report to be composed.
#[derive(Debug, Clone)]
pub struct Dsn<'a> {
    /// The queue id of the report itself.
    pub id: QueueId,
    /// Random bits, for its boundary and Message-ID.
    pub random: u64,
    /// Our name (RFC 3464 §2.2.2).
    pub reporting_mta: &'a str,
    /// Who the report is from: by custom the mail system's own address.
    pub from: &'a Address,
    /// To whom: the reverse path of the message.
    pub to: &'a Address,
    /// When the report is made.
    pub date: Timestamp,
    /// When the message arrived.
    pub arrival: Timestamp,
    /// ENVID=, decoded.
    pub envid: Option<&'a str>,
    /// What became of whom; at least one.
    pub recipients: &'a [DsnRecipient],
    /// RET=; absent means the header only.
    pub ret: Option<RetentionOfContent>,
    /// The message, or as much of its beginning as holds the header.
    pub original: &'a [u8],
    /// How many octets the message has in all.
    pub original_len: u64,
    /// Whether the message came with SMTPUTF8: its sender can read a report in UTF-8 (RFC 6533 §4).
    pub smtputf8: bool,
}

/// A report, and what it asks of the transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposedDsn {
    /// The message.
    pub octets: Vec<u8>,
    /// BODY= that it needs.
    pub body: BodyType,
    /// Whether it needs SMTPUTF8.
    pub smtputf8: bool,
}

impl Dsn<'_> {
    /// Composes the report.
    #[must_use]
    pub fn compose(&self) -> ComposedDsn {
        let boundary = format!("=_{}_{:016x}", self.id, self.random);
        let original = original::Returned::of(self);
        let mut octets = Vec::with_capacity(4096 + original.octets.len());
        octets.extend_from_slice(self.header(&boundary).as_bytes());
        octets.extend_from_slice(text::part(self, &boundary, &original).as_bytes());
        let status = self.status_part(&boundary);
        octets.extend_from_slice(status.as_bytes());
        original.append_part(&boundary, &mut octets);
        octets.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        // UTF-8 in any header, nested ones included, takes SMTPUTF8 (RFC 6531 §3.6); in bodies it does not.
        let smtputf8 = self.to.needs_utf8() || !status.is_ascii() || original.has_utf8_header();
        let body = if octets.is_ascii() { BodyType::SevenBit } else { BodyType::EightBitMime };
        ComposedDsn { octets, body, smtputf8 }
    }

    fn header(&self, boundary: &str) -> String {
        let subject = match self.gravest() {
            Action::Failed => "Your message could not be delivered",
            Action::Delayed => "Your message is delayed",
            Action::Delivered | Action::Expanded => "Your message was delivered",
            Action::Relayed => "Your message was passed on",
        };
        // An address that no header may carry without SMTPUTF8 is left to the envelope.
        let to = if self.to.needs_utf8() && !self.smtputf8 {
            "undisclosed-recipients:;".to_owned()
        } else {
            format!("<{}>", self.to)
        };
        format!(
            "From: Mail Delivery System <{}>\r\nTo: {to}\r\nSubject: {subject}\r\nDate: {}\r\n\
             Message-ID: <{}.{:016x}@{}>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\r\n",
            self.from,
            date_text(self.date),
            self.id,
            self.random,
            self.reporting_mta,
        )
    }

    /// The worst that befell any recipient: what the report is about.
    fn gravest(&self) -> Action {
        self.recipients.iter().map(|recipient| recipient.action).min().unwrap_or(Action::Failed)
    }

    fn status_part(&self, boundary: &str) -> String {
        let fields = status::fields(self);
        let media = if fields.is_ascii() { "delivery-status" } else { "global-delivery-status" };
        let mut part = String::with_capacity(fields.len() + 128);
        let _ = write!(part, "\r\n--{boundary}\r\nContent-Type: message/{media}\r\n");
        if !fields.is_ascii() {
            part.push_str("Content-Transfer-Encoding: 8bit\r\n");
        }
        part.push_str("\r\n");
        part.push_str(&fields);
        part
    }
}

#[cfg(test)]
mod tests;
