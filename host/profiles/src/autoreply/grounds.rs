//! When not to answer (RFC 3834 §2).

use mail_types::Address;
use message::{AddressItem, Fields, parse_addresses};

use super::Responder;

/// Beginnings and ends of local parts of software that sends, and of people who want no answer (RFC 3834 §2 names some).
const BEGINNINGS: [&str; 8] =
    ["owner-", "mailer-daemon", "listserv", "majordomo", "noreply", "no-reply", "donotreply", "do-not-reply"];
const ENDS: [&str; 5] = ["-request", "-owner", "-bounces", "-bounce", "-noreply"];
/// Values of Precedence that mean: to many.
const PRECEDENCES: [&str; 3] = ["list", "bulk", "junk"];
/// Values of X-Auto-Response-Suppress that ask for no answer of this kind.
const SUPPRESSED: [&str; 3] = ["all", "oof", "autoreply"];

/// Why there is no answer; `None` where nothing stands against one.
pub(super) fn against(
    header: &[u8],
    sender: &Address,
    responder: &Responder,
    is_absence: bool,
) -> Option<&'static str> {
    if is_software(sender) {
        return Some("the sender is software");
    }
    if is_own(sender, responder) {
        return Some("the message is the user's own");
    }
    if let Some(why) = by_header(header) {
        return Some(why);
    }
    // RFC 3834 §2: a notice of absence only to those who wrote to the user by name.
    (is_absence && !names_user(header, responder)).then_some("no field of the message names the user")
}

fn is_software(sender: &Address) -> bool {
    let local = sender.local.as_str().to_ascii_lowercase();
    let name = local.split('+').next().unwrap_or(&local);
    BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
        || ENDS.iter().any(|end| name.ends_with(end))
}

fn is_own(address: &Address, responder: &Responder) -> bool {
    let key = address.to_key();
    let user = &responder.user;
    responder.address.to_key() == key
        || user.addresses().any(|own| own.to_key() == key)
        || user.alternate_domains.contains(&address.domain)
}

fn by_header(header: &[u8]) -> Option<&'static str> {
    for field in Fields::of(header) {
        let value = || String::from_utf8_lossy(&field.unfolded()).trim().to_ascii_lowercase();
        let first_word = |text: &str| text.split([';', ' ', '\t', '(']).next().unwrap_or("").to_owned();
        if field.is("Auto-Submitted") && first_word(&value()) != "no" {
            return Some("the message was sent automatically");
        }
        if field.is("Precedence") && PRECEDENCES.contains(&first_word(&value()).as_str()) {
            return Some("the message went to many");
        }
        if field.name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"List-")) {
            return Some("the message came from a list");
        }
        if field.is("X-Auto-Response-Suppress")
            && value().split(',').any(|word| SUPPRESSED.contains(&word.trim()))
        {
            return Some("the message asks for no automatic reply");
        }
        if field.is("Content-Type") && first_word(&value()) == "multipart/report" {
            return Some("the message is a report");
        }
    }
    None
}

/// Whether a recipient field names the user, by any of its addresses.
fn names_user(header: &[u8], responder: &Responder) -> bool {
    const FIELDS: [&str; 6] = ["To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc"];
    let named = Fields::of(header).filter(|field| FIELDS.iter().any(|name| field.is(name)));
    named.flat_map(|field| parse_addresses(field.value)).any(|item| match item {
        AddressItem::Mailbox(mailbox) => {
            let Some(domain) = &mailbox.domain else { return false };
            let text =
                format!("{}@{}", String::from_utf8_lossy(&mailbox.local), String::from_utf8_lossy(domain));
            Address::parse(&text).is_ok_and(|address| is_own(&without_detail(&address, responder), responder))
        }
        _ => false,
    })
}

/// An address with a subaddress is the user's, too.
fn without_detail(address: &Address, responder: &Responder) -> Address {
    if is_own(address, responder) {
        return address.clone();
    }
    let detail = responder.routing.detail_of(address);
    if detail.is_empty() {
        return address.clone();
    }
    let text = address.local.as_str();
    // The separator is one sign of ASCII.
    let base = text.strip_suffix(detail.as_str()).and_then(|rest| rest.get(..rest.len().checked_sub(1)?));
    match mail_types::LocalPart::new(base.unwrap_or(text)) {
        Ok(local) => Address::new(local, address.domain.clone()),
        Err(_) => address.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_is_known_by_its_local_part() {
        for (sender, expected) in [
            ("owner-news@far.test", true),
            ("news-owner@far.test", true),
            ("news-request@far.test", true),
            ("news-bounces+anna=us.test@far.test", true),
            ("MAILER-DAEMON@far.test", true),
            ("No-Reply@far.test", true),
            ("anna@far.test", false),
            ("request@far.test", false),
            ("owner@far.test", false),
        ] {
            assert_eq!(is_software(&Address::parse(sender).unwrap()), expected, "{sender}");
        }
    }

    #[test]
    fn the_header_says_who_wants_no_answer() {
        for (header, expected) in [
            ("Auto-Submitted: auto-generated; x=y\r\n\r\n", true),
            ("Auto-Submitted: No (a person)\r\n\r\n", false),
            ("Precedence: Bulk\r\n\r\n", true),
            ("Precedence: first-class\r\n\r\n", false),
            ("LIST-ID: <news.far.test>\r\n\r\n", true),
            ("List-Unsubscribe: <mailto:a@b>\r\n\r\n", true),
            ("X-Auto-Response-Suppress: DR, OOF\r\n\r\n", true),
            ("X-Auto-Response-Suppress: RN\r\n\r\n", false),
            ("Content-Type: multipart/report; report-type=delivery-status\r\n\r\n", true),
            ("Subject: Auto-Submitted: yes\r\n\r\nPrecedence: bulk\r\n", false),
        ] {
            assert_eq!(by_header(header.as_bytes()).is_some(), expected, "{header}");
        }
    }
}
