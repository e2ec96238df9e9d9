//! A message as a list sends it on: fields added and removed, a text before and after the body.

use bytes::Bytes;
use message::{ContentType, Fields, TransferEncoding, encode_phrase, header_len};
use queue::{Attempt, OutgoingContent};
use routing::List;
use storage::StorageError;

/// Octets of the content whose header is looked at.
const HEADER_MAX: usize = 256 << 10;
/// Fields that a list sets (RFC 2369, RFC 2919, RFC 8058).
const LIST_FIELDS: [&str; 8] = [
    "List-Id",
    "List-Help",
    "List-Subscribe",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Post",
    "List-Owner",
    "List-Archive",
];
/// The field by which a list knows what it has sent before.
const DELIVERED_TO: &str = "Delivered-To";

/// What the list's message consists of.
pub(super) struct Posting {
    pub(super) prefix: Vec<u8>,
    pub(super) content: OutgoingContent,
}

/// The message of a list; none where the list has sent it before: it goes around in a circle.
pub(super) fn compose(attempt: &Attempt, list: &List) -> Result<Option<Posting>, StorageError> {
    let head = attempt.content.range(0, HEADER_MAX)?;
    let header = &head[..header_len(&head).min(head.len())];
    if was_here(&attempt.prefix, list) || was_here(header, list) {
        return Ok(None);
    }
    // A list below one of ours leaves the fields of that as they are (RFC 2369 §4, RFC 2919 §7); what says that it came
    // from a list of elsewhere does not pass.
    let is_below = Fields::of(&attempt.prefix).any(|field| field.is("List-Id"));
    let mut prefix = format!("{DELIVERED_TO}: {}\r\n", list.address);
    if is_below {
        prefix.push_str(&added(list));
    } else {
        prefix.push_str(&fields_of(list));
    }
    let mut prefix = prefix.into_bytes();
    let stays = |field: &message::Field<'_>| is_below && is_list_field(field) || !goes(field, list);
    prefix.extend_from_slice(&kept(&attempt.prefix, stays));
    let untouched = Fields::of(header).all(|field| !goes(&field, list));
    let text = list.settings.prefix_text.is_some() || list.settings.suffix_text.is_some();
    let text = text && takes_text(header);
    if untouched && !text {
        return Ok(Some(Posting { prefix, content: OutgoingContent::Same }));
    }
    let octets = attempt.content.to_bytes()?;
    let body = octets.get(header.len()..).unwrap_or_default();
    let mut content = kept(header, |field| !goes(field, list));
    if Fields::of(header).position() < header.len() || header.ends_with(b"\r\n\r\n") {
        content.extend_from_slice(b"\r\n");
    }
    if text {
        push_text(&mut content, list.settings.prefix_text.as_deref());
        content.extend_from_slice(body);
        if !body.is_empty() && !body.ends_with(b"\r\n") {
            content.extend_from_slice(b"\r\n");
        }
        push_text(&mut content, list.settings.suffix_text.as_deref());
    } else {
        content.extend_from_slice(body);
    }
    Ok(Some(Posting { prefix, content: OutgoingContent::Octets(Bytes::from(content)) }))
}

/// Whether the message went through the list before.
fn was_here(header: &[u8], list: &List) -> bool {
    let key = list.address.to_key();
    let named = |field: &message::Field<'_>| {
        field.is(DELIVERED_TO) && String::from_utf8_lossy(&field.unfolded()).trim().eq_ignore_ascii_case(&key)
    };
    Fields::of(header).any(|field| named(&field))
}

/// The fields that the list sets. Without an address for errors there is nobody whom a member could ask to be taken out; by a
/// click (RFC 8058), members of elsewhere are, whose copies name a web page where the operator has one.
fn fields_of(list: &List) -> String {
    let address = &list.address;
    let phrase =
        list.settings.name.as_deref().map(|name| format!("{} ", encode_phrase(name))).unwrap_or_default();
    // RFC 2919 §2: dots and atoms; what else stands in a local part has no place there.
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = address.local.as_str().chars().map(plain).collect();
    let mut lines = vec![
        format!("List-Id: {phrase}<{name}.{}>\r\n", address.domain),
        format!("List-Post: <mailto:{address}>\r\n"),
    ];
    if let Some(owner) = &list.settings.errors_to {
        lines.push(format!("List-Owner: <mailto:{owner}>\r\n"));
        lines.push(format!("List-Unsubscribe: <mailto:{owner}?subject=unsubscribe>\r\n"));
    }
    lines.push("Precedence: list\r\n".to_owned());
    // What the entry says itself stands in place of ours: there is one of each (RFC 2369 §3).
    let own = added(list);
    lines.retain(|line| Fields::of(line.as_bytes()).all(|field| !names(&own, &field)));
    lines.concat() + &own
}

/// Whether some fields have one of this name.
fn names(fields: &str, field: &message::Field<'_>) -> bool {
    Fields::of(fields.as_bytes()).any(|own| own.name.eq_ignore_ascii_case(field.name))
}

/// The fields that the list adds of its own.
fn added(list: &List) -> String {
    let mut fields = String::new();
    for field in &list.settings.header_add {
        if let Some((name, value)) = field.split_once(':')
            && is_field(name, value)
        {
            fields.push_str(&format!("{}: {}\r\n", name.trim(), value.trim()));
        }
    }
    fields
}

/// Whether a name and a value make one field and nothing else (RFC 5322 §2.2).
fn is_field(name: &str, value: &str) -> bool {
    let name = name.trim();
    let good = |byte: u8| (b'!'..=b'~').contains(&byte);
    !name.is_empty() && name.bytes().all(good) && value.len() <= 900 && !value.chars().any(char::is_control)
}

/// Whether a field is left out of what the list sends.
fn goes(field: &message::Field<'_>, list: &List) -> bool {
    let removed = list.settings.header_remove.iter().any(|name| field.is(name.trim().trim_end_matches(':')));
    removed || is_list_field(field)
}

fn is_list_field(field: &message::Field<'_>) -> bool {
    LIST_FIELDS.iter().any(|name| field.is(name))
}

/// The fields that stay, without the empty line.
fn kept(header: &[u8], stays: impl Fn(&message::Field<'_>) -> bool) -> Vec<u8> {
    let mut kept = Vec::with_capacity(header.len());
    for field in Fields::of(header).filter(|field| stays(field)) {
        kept.extend_from_slice(&header[field.range()]);
    }
    kept
}

/// Whether a text may stand before and after the body: in plain text that stands for itself. Elsewhere it would not be
/// seen, or break what is there.
fn takes_text(header: &[u8]) -> bool {
    let fields = Fields::of(header);
    let plain = match fields.first("Content-Type") {
        None => true,
        Some(field) => ContentType::parse(&field.unfolded())
            .is_some_and(|kind| kind.is_text() && kind.sub.eq_ignore_ascii_case(b"plain")),
    };
    let encoding = fields.first("Content-Transfer-Encoding");
    let encoding =
        encoding.map_or(Some(TransferEncoding::Identity), |f| TransferEncoding::parse(&f.unfolded()));
    plain && encoding == Some(TransferEncoding::Identity)
}

/// `$` ends a line, as in all texts of the product. What is not ASCII is shown by its nearest: the body's charset is not
/// ours to choose.
fn push_text(content: &mut Vec<u8>, text: Option<&str>) {
    let Some(text) = text else { return };
    for line in text.split(['$', '\n']) {
        content.extend(line.chars().map(|c| if (' '..='~').contains(&c) { c as u8 } else { b'?' }));
        content.extend_from_slice(b"\r\n");
    }
}
