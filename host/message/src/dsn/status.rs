//! The part for programs: `message/delivery-status` (RFC 3464 §2) and its UTF-8 form (RFC 6533 §4.1).

use std::fmt::Write as _;

use mail_types::{Address, OriginalRecipient, Reply};

use super::{Action, Dsn, DsnRecipient};
use crate::date::date_text;

/// Longest text that one line of a field repeats from elsewhere, in octets: with the field's name
/// it stays within the 998 of RFC 5322 §2.1.1.
const TEXT_MAX: usize = 900;
/// Most lines of a reply that are repeated.
const REPLY_LINES_MAX: usize = 20;

/// All fields of a report, per message and per recipient.
pub(super) fn fields(dsn: &Dsn<'_>) -> String {
    let mut fields = String::with_capacity(512);
    if let Some(envid) = dsn.envid {
        let _ = write!(fields, "Original-Envelope-Id: {}\r\n", line(envid));
    }
    let _ = write!(fields, "Reporting-MTA: dns; {}\r\n", line(dsn.reporting_mta));
    let _ = write!(fields, "Arrival-Date: {}\r\n", date_text(dsn.arrival));
    for recipient in dsn.recipients {
        fields.push_str("\r\n");
        push_recipient(&mut fields, recipient, dsn.smtputf8);
    }
    fields
}

fn push_recipient(fields: &mut String, recipient: &DsnRecipient, utf8: bool) {
    if let Some(orcpt) = &recipient.orcpt {
        let _ = write!(fields, "Original-Recipient: {}\r\n", original_recipient(orcpt, utf8));
    }
    let _ = write!(fields, "Final-Recipient: {}\r\n", typed_address(&recipient.last, utf8));
    let _ = write!(fields, "Action: {}\r\nStatus: {}\r\n", recipient.action.word(), recipient.status);
    if let Some(host) = &recipient.remote_mta {
        let _ = write!(fields, "Remote-MTA: dns; {}\r\n", line(host));
    }
    if let Some(reply) = &recipient.diagnostic {
        push_diagnostic(fields, reply);
    }
    if let Some(date) = recipient.last_attempt {
        let _ = write!(fields, "Last-Attempt-Date: {}\r\n", date_text(date));
    }
    // Only a delayed recipient is tried again (RFC 3464 §2.3.9).
    if let Some(date) = recipient.will_retry_until.filter(|_| recipient.action == Action::Delayed) {
        let _ = write!(fields, "Will-Retry-Until: {}\r\n", date_text(date));
    }
}

/// A reply as `smtp` diagnostic (RFC 3461 §9.2): each of its lines on one of ours.
fn push_diagnostic(fields: &mut String, reply: &Reply) {
    fields.push_str("Diagnostic-Code: smtp;");
    let count = reply.lines.len().min(REPLY_LINES_MAX);
    for (at, text) in reply.lines.iter().take(count).enumerate() {
        let separator = if at + 1 < count { '-' } else { ' ' };
        let fold = if at == 0 { "" } else { "\r\n\t" };
        let _ = write!(fields, "{fold} {:03}{separator}", reply.code);
        if let Some(status) = reply.status {
            let _ = write!(fields, "{status} ");
        }
        fields.push_str(&line(text));
    }
    fields.push_str("\r\n");
}

fn typed_address(address: &Address, utf8: bool) -> String {
    match (address.needs_utf8(), utf8) {
        (false, _) => format!("rfc822; {address}"),
        (true, true) => format!("utf-8; {address}"),
        (true, false) => format!("utf-8; {}", to_unitext(&address.to_string())),
    }
}

/// ORCPT in the form that the report can carry (RFC 6533 §3).
fn original_recipient(orcpt: &OriginalRecipient, utf8: bool) -> String {
    let kind = line(&orcpt.kind);
    if !orcpt.kind.eq_ignore_ascii_case("utf-8") {
        return format!("{kind}; {}", line(&orcpt.address));
    }
    let plain = from_unitext(&orcpt.address);
    let sane = !plain.chars().any(char::is_control);
    let address = if utf8 && sane { plain } else { to_unitext(&plain) };
    format!("{kind}; {}", cut(&address))
}

/// Text from elsewhere as it may stand in a field: ASCII, no controls, bounded.
pub(super) fn line(text: &str) -> String {
    let shown = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
    text.chars().take(TEXT_MAX).map(shown).collect()
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_MAX)]
}

/// `utf-8-addr-xtext`: everything but plain ASCII as `\x{HEX}` (RFC 6533 §3).
fn to_unitext(plain: &str) -> String {
    let mut text = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '!'..='~' if !matches!(c, '\\' | '+' | '=') => text.push(c),
            _ => drop(write!(text, "\\x{{{:02X}}}", u32::from(c))),
        }
    }
    text
}

/// Undoes [`to_unitext`]; what is not of its form stays as it is (RFC 6533 §3).
fn from_unitext(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x{") {
        plain.push_str(before);
        let decoded = after.split_once('}').and_then(|(hex, behind)| {
            let is_hex = (2..=6).contains(&hex.len()) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
            let code = if is_hex { u32::from_str_radix(hex, 16).ok()? } else { return None };
            Some((char::from_u32(code)?, behind))
        });
        if let Some((c, behind)) = decoded {
            plain.push(c);
            rest = behind;
        } else {
            plain.push_str("\\x{");
            rest = after;
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn unitext_is_inverse(plain in "\\PC{0,40}") {
            prop_assert_eq!(from_unitext(&to_unitext(&plain)), plain);
        }

        #[test]
        fn reading_unitext_never_panics(text in "[\\\\x{}0-9A-F\u{e9}]{0,40}") {
            let _ = from_unitext(&text);
        }
    }
}
