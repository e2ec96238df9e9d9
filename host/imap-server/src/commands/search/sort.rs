//! The order of SORT (RFC 5256 §3, RFC 5957).

use std::cmp::Ordering;

use imap_wire::{SortCriterion, SortKey};
use message::{AddressItem, BaseSubject, Fields, collation_key, decode_header, parse_addresses, parse_date};
use store::{MessageInfo, StoreError};

use super::judge::{Found, read_headers};
use crate::commands::Context;
use crate::selected::Selected;

/// What a message is sorted by, a value for each criterion.
struct Sorted {
    found: Found,
    values: Vec<Value>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(u64),
    Text(String),
}

/// Messages in the order of the criteria; where those are equal, in that of the mailbox.
pub(super) async fn sorted(
    context: &Context<'_>,
    selected: &Selected,
    found: Vec<Found>,
    criteria: &[SortCriterion],
) -> Result<Vec<Found>, StoreError> {
    let needs_header =
        criteria.iter().any(|criterion| !matches!(criterion.key, SortKey::Arrival | SortKey::Size));
    let mut all = Vec::with_capacity(found.len());
    read_headers(context, selected, &found, needs_header, |found, info, header| {
        let values = criteria.iter().map(|criterion| value(criterion.key, info, header)).collect();
        all.push(Sorted { found: *found, values });
    })
    .await?;
    all.sort_by(|one, other| compare(one, other, criteria));
    Ok(all.into_iter().map(|sorted| sorted.found).collect())
}

fn compare(one: &Sorted, other: &Sorted, criteria: &[SortCriterion]) -> Ordering {
    let pairs = one.values.iter().zip(&other.values).zip(criteria);
    let orders = pairs.map(|((one, other), criterion)| {
        let order = one.cmp(other);
        if criterion.reverse { order.reverse() } else { order }
    });
    orders.fold(Ordering::Equal, Ordering::then)
}

fn value(key: SortKey, info: &MessageInfo, header: &[u8]) -> Value {
    let first = |name: &str| {
        let fields = Fields::of(header).filter(|field| field.is(name));
        fields.flat_map(|field| parse_addresses(field.value)).next()
    };
    match key {
        SortKey::Arrival => Value::Number(info.internal_date.as_seconds()),
        SortKey::Size => Value::Number(info.size),
        SortKey::Date => Value::Number(sent_date(info, header)),
        SortKey::Subject => Value::Text(collation_key(&base_subject(header).text)),
        SortKey::From => Value::Text(mailbox_of(first("From"))),
        SortKey::To => Value::Text(mailbox_of(first("To"))),
        SortKey::Cc => Value::Text(mailbox_of(first("Cc"))),
        SortKey::DisplayFrom => Value::Text(display_of(first("From"))),
        SortKey::DisplayTo => Value::Text(display_of(first("To"))),
    }
}

/// The sent date in seconds (RFC 5256 §2.2): of the Date field, or the internal date where it has none.
pub(super) fn sent_date(info: &MessageInfo, header: &[u8]) -> u64 {
    let date = Fields::of(header).first("Date").and_then(|field| parse_date(&field.unfolded()));
    date.map_or(info.internal_date, |date| date.timestamp()).as_seconds()
}

pub(super) fn base_subject(header: &[u8]) -> BaseSubject {
    Fields::of(header).first("Subject").map(|field| BaseSubject::of(field.value)).unwrap_or_default()
}

/// `addr-mailbox` of an address; of a group its name, which stands there (RFC 3501 §7.4.2).
fn mailbox_of(item: Option<AddressItem>) -> String {
    let octets = match item {
        Some(AddressItem::Mailbox(mailbox)) => mailbox.local,
        Some(AddressItem::GroupStart(name)) => name,
        _ => Vec::new(),
    };
    collation_key(&String::from_utf8_lossy(&octets))
}

/// What a list shows of an address (RFC 5957 §3).
fn display_of(item: Option<AddressItem>) -> String {
    let Some(AddressItem::Mailbox(mailbox)) = item else { return mailbox_of(item) };
    let name = mailbox.name.as_deref().map(decode_header).unwrap_or_default();
    if !name.is_empty() {
        return collation_key(&name);
    }
    let local = String::from_utf8_lossy(&mailbox.local).into_owned();
    let domain = mailbox.domain.as_deref().map(|domain| format!("@{}", String::from_utf8_lossy(domain)));
    collation_key(&format!("{local}{}", domain.unwrap_or_default()))
}
