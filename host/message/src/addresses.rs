//! Addresses in header fields (RFC 5322 §3.4): for IMAP's envelope, and with their places for rewriting.
//!
//! Reading is lenient, and one pass over the octets: what a mail client shows as an address should
//! be one here, too.

use std::ops::Range;

use crate::header::Fields;

/// Most addresses that are read from one field; the rest is left alone.
pub const ADDRESSES_MAX: usize = 10_000;

/// Fields whose addresses a rewriter may change: those of originators and recipients
/// (RFC 5322 §3.6.2, §3.6.3), and their resent forms (§3.6.6).
pub const ADDRESS_FIELDS: [&str; 12] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Resent-From",
    "Resent-Sender",
    "Resent-Reply-To",
    "Resent-To",
    "Resent-Cc",
    "Resent-Bcc",
];

/// One element of an address list, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressItem {
    /// A group begins (RFC 5322 §3.4): its name, quoting removed.
    GroupStart(Vec<u8>),
    /// One address.
    Mailbox(MailboxItem),
    /// A group ends.
    GroupEnd,
}

/// One address of a list, in the parts that IMAP names (RFC 3501 §7.4.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailboxItem {
    /// The display name, quoting removed, encoded words left; where there is none, a comment.
    pub name: Option<Vec<u8>>,
    /// The obsolete source route, as it stands.
    pub route: Option<Vec<u8>>,
    /// The local part, quoting removed. Empty where none stands.
    pub local: Vec<u8>,
    /// The domain. `None` where there is no `@`.
    pub domain: Option<Vec<u8>>,
    /// Where `local@domain` stands in the value, without angle brackets.
    pub spec: Range<usize>,
}

/// An address in a header, and where it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderAddress<'a> {
    /// The field's name, as it stands.
    pub field: &'a [u8],
    /// Its octets in what was scanned: a rewriter replaces exactly these.
    pub range: Range<usize>,
    /// Those octets.
    pub text: &'a [u8],
}

/// The addresses of a header's originator and recipient fields, in order.
pub fn header_addresses(octets: &[u8]) -> impl Iterator<Item = HeaderAddress<'_>> {
    Fields::of(octets).filter(|field| ADDRESS_FIELDS.iter().any(|name| field.is(name))).flat_map(
        move |field| {
            let value_start = field.value.as_ptr() as usize - octets.as_ptr() as usize;
            parse_addresses(field.value).into_iter().filter_map(move |item| match item {
                AddressItem::Mailbox(MailboxItem { spec, domain: Some(_), .. }) => {
                    let range = value_start + spec.start..value_start + spec.end;
                    Some(HeaderAddress { field: field.name, text: &octets[range.clone()], range })
                }
                _ => None,
            })
        },
    )
}

/// Reads an address list (RFC 5322 §3.4, with the obsolete forms of §4.4).
#[must_use]
pub fn parse_addresses(value: &[u8]) -> Vec<AddressItem> {
    let mut items = Vec::new();
    let mut in_group = false;
    let mut start = 0;
    let mut at = 0;
    while at < value.len() && items.len() < ADDRESSES_MAX {
        match value[at] {
            b'<' => {
                at = angle_end(value, at);
                continue;
            }
            b':' if !in_group => {
                items.push(AddressItem::GroupStart(phrase(&value[start..at])));
                (in_group, start) = (true, at + 1);
            }
            b',' => {
                items.extend(element(value, start..at));
                start = at + 1;
            }
            b';' => {
                items.extend(element(value, start..at));
                if in_group {
                    items.push(AddressItem::GroupEnd);
                }
                (in_group, start) = (false, at + 1);
            }
            _ => {}
        }
        at = token_end(value, at);
    }
    if items.len() < ADDRESSES_MAX {
        items.extend(element(value, start.min(value.len())..value.len()));
    }
    if in_group {
        items.push(AddressItem::GroupEnd);
    }
    items
}

/// Where the token at a place ends: after a quoted string, a comment, a domain literal, or one octet.
fn token_end(value: &[u8], at: usize) -> usize {
    let close = match value[at] {
        b'"' => b'"',
        b'[' => b']',
        b'(' => b')',
        b'\\' => return (at + 2).min(value.len()),
        _ => return at + 1,
    };
    let mut depth = 1_usize;
    let mut next = at + 1;
    while next < value.len() {
        match value[next] {
            b'\\' => next += 1,
            octet if octet == close => {
                depth -= 1;
                if depth == 0 {
                    return next + 1;
                }
            }
            b'(' if close == b')' => depth += 1,
            _ => {}
        }
        next += 1;
    }
    value.len()
}

/// Where `<…>` ends: after its bracket, or before the next comma that no route explains.
fn angle_end(value: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < value.len() {
        if value[at] == b'>' {
            return at + 1;
        }
        at = token_end(value, at);
    }
    value.len()
}

/// One element between commas; nothing where it is empty.
fn element(value: &[u8], range: Range<usize>) -> Option<AddressItem> {
    let mut at = range.start;
    while at < range.end {
        if value[at] == b'<' {
            let end = angle_end(value, at).min(range.end);
            let inner_end = if value[end - 1] == b'>' && end - 1 > at { end - 1 } else { end };
            let name = Some(phrase(&value[range.start..at])).filter(|name| !name.is_empty());
            let (route, spec) = without_route(value, at + 1..inner_end);
            let name = name.or_else(|| last_comment(&value[end..range.end]));
            return Some(AddressItem::Mailbox(MailboxItem { name, route, ..addr_spec(value, spec) }));
        }
        at = token_end(value, at).min(range.end);
    }
    let item = addr_spec(value, range.clone());
    if item.local.is_empty() && item.domain.is_none() {
        return None;
    }
    Some(AddressItem::Mailbox(MailboxItem { name: last_comment(&value[range]), ..item }))
}

/// Takes `@a,@b:` off the front (RFC 5322 §4.4).
fn without_route(value: &[u8], range: Range<usize>) -> (Option<Vec<u8>>, Range<usize>) {
    let inner = &value[range.clone()];
    if !inner.trim_ascii_start().starts_with(b"@") {
        return (None, range);
    }
    match inner.iter().position(|octet| *octet == b':') {
        Some(colon) => (Some(inner[..colon].trim_ascii().to_vec()), range.start + colon + 1..range.end),
        None => (None, range),
    }
}

/// Takes `local@domain` apart, and finds where it stands without the comments and space around it.
fn addr_spec(value: &[u8], range: Range<usize>) -> MailboxItem {
    let mut item = MailboxItem { spec: range.start..range.start, ..MailboxItem::default() };
    let mut current = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let end = token_end(value, at).min(range.end);
        let token = &value[at..end];
        match token[0] {
            // A bracket that closes nothing belongs to no address.
            b'(' | b' ' | b'\t' | b'\r' | b'\n' | b'>' => {}
            octet => {
                if item.spec.is_empty() {
                    item.spec.start = at;
                }
                item.spec.end = end;
                match octet {
                    // The last @ divides: a local part with a bare @ is wrong, but seen.
                    b'@' => match item.domain.replace(Vec::new()) {
                        None => item.local = std::mem::take(&mut current),
                        Some(_) => {
                            item.local.push(b'@');
                            item.local.append(&mut current);
                        }
                    },
                    b'"' => push_unquoted(&mut current, token),
                    _ => current.extend_from_slice(token),
                }
            }
        }
        at = end;
    }
    match &mut item.domain {
        Some(domain) => *domain = current,
        None => item.local = current,
    }
    item
}

/// A phrase: its words joined by one space, quoting and comments removed.
fn phrase(value: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(value.len());
    let mut at = 0;
    let mut space = false;
    while at < value.len() {
        let end = token_end(value, at);
        match value[at] {
            b'(' | b' ' | b'\t' | b'\r' | b'\n' => space = !text.is_empty(),
            octet => {
                if std::mem::take(&mut space) {
                    text.push(b' ');
                }
                match octet {
                    b'"' => push_unquoted(&mut text, &value[at..end]),
                    _ => text.extend_from_slice(&value[at..end]),
                }
            }
        }
        at = end;
    }
    text
}

/// The text of the last comment, which older software uses for the name.
fn last_comment(value: &[u8]) -> Option<Vec<u8>> {
    let mut found = None;
    let mut at = 0;
    while at < value.len() {
        let end = token_end(value, at);
        if value[at] == b'(' {
            found = Some(at..end);
        }
        at = end;
    }
    let comment = &value[found?];
    let inner = comment[1..].strip_suffix(b")").unwrap_or(&comment[1..]);
    let mut text = Vec::with_capacity(inner.len());
    push_unescaped(&mut text, inner.trim_ascii());
    (!text.is_empty()).then_some(text)
}

fn push_unquoted(text: &mut Vec<u8>, quoted: &[u8]) {
    let inner = &quoted[1..];
    push_unescaped(text, inner.strip_suffix(b"\"").unwrap_or(inner));
}

/// Removes backslashes and the line ends of folds (RFC 5322 §3.2.4).
fn push_unescaped(text: &mut Vec<u8>, inner: &[u8]) {
    let mut octets = inner.iter();
    while let Some(&octet) = octets.next() {
        match octet {
            b'\\' => text.extend(octets.next()),
            b'\r' | b'\n' => {}
            octet => text.push(octet),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(value: &str) -> Vec<String> {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        parse_addresses(value.as_bytes())
            .iter()
            .map(|item| match item {
                AddressItem::GroupStart(name) => format!("{}:", text(name)),
                AddressItem::GroupEnd => ";".into(),
                AddressItem::Mailbox(mailbox) => format!(
                    "{}|{}|{}",
                    mailbox.name.as_deref().map_or("-".into(), text),
                    text(&mailbox.local),
                    mailbox.domain.as_deref().map_or("-".into(), text)
                ),
            })
            .collect()
    }

    #[test]
    fn address_lists_of_rfc_5322_are_read() {
        for (value, expected) in [
            ("John Doe <jdoe@machine.example>", vec!["John Doe|jdoe|machine.example"]),
            (
                "\"Joe Q. Public\" <john.q.public@example.com>",
                vec!["Joe Q. Public|john.q.public|example.com"],
            ),
            (
                "Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
                vec!["Mary Smith|mary|x.test", "-|jdoe|example.org", "Who?|one|y.test"],
            ),
            (
                "<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@example.net>",
                vec!["-|boss|nil.test", "Giant; \"Big\" Box|sysservices|example.net"],
            ),
            (
                "A Group:Ed Jones <joe@where.test>,joe@where.test,John <jdoe@one.test>;",
                vec!["A Group:", "Ed Jones|joe|where.test", "-|joe|where.test", "John|jdoe|one.test", ";"],
            ),
            ("Undisclosed recipients:;", vec!["Undisclosed recipients:", ";"]),
            ("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", vec!["Pete|pete|silly.test"]),
            (
                "(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;",
                vec!["Hidden recipients:", ";"],
            ),
            (
                "Mary <@node.test:mary@example.net>, , jdoe@test  . example",
                vec!["Mary|mary|example.net", "-|jdoe|test.example"],
            ),
            ("user@example.org (The User)", vec!["The User|user|example.org"]),
            ("\"a@b\"@example.org, x@[192.0.2.1]", vec!["-|a@b|example.org", "-|x|[192.0.2.1]"]),
            ("no at sign", vec!["-|noatsign|-"]),
            ("a@example.org>", vec!["-|a|example.org"]),
            ("", vec![]),
            ("<>", vec!["-||-"]),
            ("<", vec!["-||-"]),
            ("a: b@c", vec!["a:", "-|b|c", ";"]),
        ] {
            assert_eq!(shown(value), expected, "{value}");
        }
    }

    #[test]
    fn header_addresses_have_their_places() {
        let header = b"From: A <a@x.example>\r\nSubject: no@address.here\r\nCc: b@x.example,\r\n \"q\" <c@x.example>\r\n\r\nTo: d@e\r\n";
        let found: Vec<_> = header_addresses(header).collect();
        assert_eq!(
            found.iter().map(|f| f.text).collect::<Vec<_>>(),
            [&b"a@x.example"[..], b"b@x.example", b"c@x.example"]
        );
        assert!(found.iter().all(|f| &header[f.range.clone()] == f.text));
        assert_eq!(found[2].field, b"Cc");
    }

    #[test]
    fn an_endless_list_is_read_up_to_the_maximum() {
        assert_eq!(parse_addresses(&b"a@b,".repeat(ADDRESSES_MAX * 2)).len(), ADDRESSES_MAX);
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_places_are_inside(value in "[a-c@<>(),:;\"\\\\\\[\\] .\r\n\u{e9}]{0,60}") {
            for item in parse_addresses(value.as_bytes()) {
                if let AddressItem::Mailbox(mailbox) = item {
                    prop_assert!(mailbox.spec.start <= mailbox.spec.end && mailbox.spec.end <= value.len());
                }
            }
            let _ = header_addresses(value.as_bytes()).count();
        }
    }
}
