//! The part for people: what happened, to which address, why, and what they can do.

use std::fmt::Write as _;

use mail_types::EnhancedStatus;

use super::original::Returned;
use super::{Action, Dsn, DsnRecipient, status};
use crate::date::date_text;
use crate::header::Fields;

/// Where lines are wrapped, in characters.
const WRAP_AT: usize = 72;
/// Longest subject that is quoted, in characters.
const SUBJECT_MAX: usize = 200;

/// The part with its boundary line and MIME header.
pub(super) fn part(dsn: &Dsn<'_>, boundary: &str, original: &Returned<'_>) -> String {
    let text = text(dsn, original);
    let (charset, encoding) = if text.is_ascii() { ("us-ascii", "7bit") } else { ("utf-8", "8bit") };
    format!(
        "--{boundary}\r\nContent-Type: text/plain; charset={charset}\r\n\
         Content-Transfer-Encoding: {encoding}\r\n\r\n{text}"
    )
}

fn text(dsn: &Dsn<'_>, original: &Returned<'_>) -> String {
    let mut text = String::with_capacity(1024);
    wrap(&mut text, "", &format!("This is the mail server {}.", status::line(dsn.reporting_mta)));
    text.push_str("\r\n");
    let whole_story = match dsn.gravest() {
        Action::Failed => {
            "Your message could not be delivered to everyone. Below is what happened and what you can do."
        }
        Action::Delayed => {
            "Your message has not been delivered yet. You need not send it again: the server keeps trying, \
             and tells you if it gives up."
        }
        Action::Delivered | Action::Expanded | Action::Relayed => {
            "You asked to be told about the delivery of your message."
        }
    };
    wrap(&mut text, "", whole_story);
    text.push_str("\r\n");
    push_description(&mut text, dsn);
    for recipient in dsn.recipients {
        text.push_str("\r\n");
        push_recipient(&mut text, dsn, recipient);
    }
    text.push_str("\r\n");
    let returned = if original.is_whole { "your message" } else { "the header of your message" };
    wrap(&mut text, "", &format!("A report for programs follows, and after it {returned}."));
    text
}

/// Which message this is about.
fn push_description(text: &mut String, dsn: &Dsn<'_>) {
    let fields = Fields::of(dsn.original);
    for name in ["Subject", "Message-ID"] {
        let value = fields.first(name).map(|field| field.unfolded().into_owned());
        // Encoded words stay encoded: the report must be readable everywhere, and is not worth a guess.
        if let Some(value) = value.and_then(|value| String::from_utf8(value).ok()).filter(|v| v.is_ascii()) {
            let value: String = value.chars().take(SUBJECT_MAX).collect();
            let _ = write!(text, "    {name}: {}\r\n", status::line(&value));
        }
    }
    let _ = write!(text, "    Received: {}\r\n", date_text(dsn.arrival));
}

fn push_recipient(text: &mut String, dsn: &Dsn<'_>, recipient: &DsnRecipient) {
    let address = recipient.named.to_string();
    if dsn.smtputf8 || address.is_ascii() {
        let _ = write!(text, "<{address}>\r\n");
    } else {
        let _ = write!(text, "<{}>\r\n", status::line(&address));
    }
    let happened = match recipient.action {
        Action::Failed => "The message was not delivered, and will not be tried again.",
        Action::Delayed => "The message is delayed.",
        Action::Delivered => "The message is in the recipient's mailbox.",
        Action::Relayed => {
            "The message was passed on to a server that sends no reports. You may hear nothing further."
        }
        Action::Expanded => "The message reached a group, and was sent on to its members.",
    };
    wrap(text, "    What happened: ", happened);
    let not_delivered = matches!(recipient.action, Action::Failed | Action::Delayed);
    if not_delivered {
        let reason = recipient.cause.as_deref().unwrap_or_else(|| reason(recipient.status));
        wrap(text, "    Why: ", &status::line(reason));
    }
    if let Some(reply) = recipient.diagnostic.as_ref().filter(|_| not_delivered) {
        let host = recipient.remote_mta.as_deref().map_or("The other server", |host| host);
        wrap(text, "    ", &status::line(&format!("{host} answered: {reply}")));
    }
    match (recipient.action, recipient.will_retry_until) {
        (Action::Delayed, Some(until)) => {
            wrap(text, "    ", &format!("It will be tried until {}.", date_text(until)));
        }
        (Action::Failed, _) => wrap(text, "    What you can do: ", advice(recipient.status)),
        _ => {}
    }
}

/// What a status means, in plain words (RFC 3463 §3).
fn reason(status: EnhancedStatus) -> &'static str {
    match (status.subject, status.detail) {
        (1, 1) => "there is no such address.",
        (1, 2 | 10) => "the part after the @ names no place that takes mail.",
        (1, 3 | 5) => "the address is not written correctly.",
        (1, 6) => "the recipient has moved to another address.",
        (1, 7 | 8) => "the receiving server does not accept your sender address.",
        (1, _) => "there is a problem with the address.",
        (2, 1) => "the recipient's mailbox does not take mail.",
        (2, 2) => "the recipient's mailbox is full.",
        (2, 3) | (3, 4) => "the message is too big.",
        (2, _) => "there is a problem with the recipient's mailbox.",
        (3, 1) => "the receiving server has no room left.",
        (3, _) => "there is a problem with the receiving server.",
        (4, 1) => "the receiving server did not answer.",
        (4, 3 | 4) => "the way to the receiving server is not known.",
        (4, 6) => "the message went round in a loop.",
        (4, 7) => "the time for delivery ran out.",
        (4, _) => "there is a problem on the way to the receiving server.",
        (5, _) => "the two servers did not understand each other.",
        (6, _) => "the receiving server cannot take a message of this form.",
        (7, _) => "the receiving server does not allow this message.",
        _ => "the server gave no reason.",
    }
}

/// What the sender can do about a failure.
fn advice(status: EnhancedStatus) -> &'static str {
    match (status.subject, status.detail) {
        (1, 1 | 3 | 5) | (1, 0) => {
            "check the address for typing errors, correct it, and send the message again."
        }
        (1, 2 | 10) => "check the part after the @ for typing errors, and send the message again.",
        (1, 6) => "ask the recipient by other means for the new address.",
        (2, 2) | (3, 1) => "tell the recipient by other means, and send the message again later.",
        (2, 3) | (3, 4) => "make the message smaller, or pass large files on by other means.",
        (2, _) => "reach the recipient by other means.",
        (4, 6) => "tell the postmaster of the receiving domain: two servers send the message to each other.",
        (3..=5, _) => "send the message again later. If it fails again, tell the recipient by other means.",
        (6, _) => "send the message in a simpler form, for example as plain text.",
        (7, _) => {
            "if you think this is wrong, ask the postmaster of the receiving domain, and quote the answer above."
        }
        _ => "send the message again later, or ask your postmaster, quoting this report.",
    }
}

/// Appends a paragraph, wrapped at words, its later lines indented by the width of the label.
fn wrap(text: &mut String, label: &str, paragraph: &str) {
    text.push_str(label);
    let indent = label.len().min(4);
    let mut width = label.len();
    let mut at_start = true;
    for word in paragraph.split_ascii_whitespace() {
        let length = word.chars().count();
        if !at_start && width + 1 + length > WRAP_AT {
            text.push_str("\r\n");
            text.extend(std::iter::repeat_n(' ', indent + 2 * usize::from(indent > 0)));
            width = indent + 2 * usize::from(indent > 0);
            at_start = true;
        }
        if !at_start {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += length;
        at_start = false;
    }
    text.push_str("\r\n");
}
