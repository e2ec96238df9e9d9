//! The order of SORT (RFC 5256 §3, RFC 5957).

use std::cmp::Ordering;

use imap_wire::{SortCriterion, SortKey};
use message::{AddressItem, BaseSubject, Fields, collation_key, decode_header, parse_addresses, parse_date};
use store::{MessageInfo, StoreError};

use super::gathered::Gathered;
use super::judge::{Found, read_headers};
use crate::commands::Context;
use crate::selected::Selected;

/// Characters of a text that messages are sorted by, and octets of what they are compared as: a subject may have a MiB, and
/// each message has a text for each criterion. Where so much is the same, it is the next criterion that counts.
const COMPARED_CHARACTERS_MAX: usize = 256;
const COMPARED_OCTETS_MAX: usize = 1024;

/// What a message is sorted by, a value for each criterion.
struct Sorted {
    found: Found,
    values: Box<[Value]>,
}

impl Sorted {
    /// Octets that it holds in memory.
    fn octets(&self) -> usize {
        let texts =
            self.values.iter().map(|value| if let Value::Text(text) = value { text.len() } else { 0 });
        size_of::<Self>() + size_of_val(&*self.values) + texts.sum::<usize>()
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(u64),
    Text(Box<str>),
}

impl Value {
    /// A text as it is compared.
    fn text(text: &str) -> Self {
        let end = text.char_indices().nth(COMPARED_CHARACTERS_MAX).map_or(text.len(), |(at, _)| at);
        let key = collation_key(&text[..end]);
        Self::Text(key[..key.floor_char_boundary(COMPARED_OCTETS_MAX)].into())
    }
}

/// Messages in the order of the criteria; where those are equal, in that of the mailbox.
pub(super) async fn sorted(
    context: &Context<'_>,
    selected: &Selected,
    found: Vec<Found>,
    criteria: &[SortCriterion],
) -> Result<Vec<Found>, StoreError> {
    let criteria = telling(criteria);
    let needs_header =
        criteria.iter().any(|criterion| !matches!(criterion.key, SortKey::Arrival | SortKey::Size));
    let (mut all, mut gathered) = (Vec::new(), Gathered::new(context.shared));
    read_headers(context, selected, &found, (needs_header, &mut gathered), |found, info, header| {
        let values = criteria.iter().map(|criterion| value(criterion.key, info, header)).collect();
        let sorted = Sorted { found: *found, values };
        let octets = sorted.octets();
        all.push(sorted);
        octets
    })
    .await?;
    let sort = move || {
        all.sort_by(|one, other| compare(one, other, &criteria));
        all.into_iter().map(|sorted| sorted.found).collect()
    };
    gathered.told(sort).await
}

/// The criteria that tell something: of those that are the same but for their direction, the first one.
fn telling(criteria: &[SortCriterion]) -> Vec<SortCriterion> {
    let mut telling: Vec<SortCriterion> = Vec::new();
    for criterion in criteria {
        if telling.iter().all(|known| known.key != criterion.key) {
            telling.push(*criterion);
        }
    }
    telling
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
        SortKey::Subject => Value::text(&base_subject(header).text),
        SortKey::From => Value::text(&mailbox_of(first("From"))),
        SortKey::To => Value::text(&mailbox_of(first("To"))),
        SortKey::Cc => Value::text(&mailbox_of(first("Cc"))),
        SortKey::DisplayFrom => Value::text(&display_of(first("From"))),
        SortKey::DisplayTo => Value::text(&display_of(first("To"))),
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
    String::from_utf8_lossy(&octets).into_owned()
}

/// What a list shows of an address (RFC 5957 §3).
fn display_of(item: Option<AddressItem>) -> String {
    let Some(AddressItem::Mailbox(mailbox)) = item else { return mailbox_of(item) };
    let name = mailbox.name.as_deref().map(decode_header).unwrap_or_default();
    if !name.is_empty() {
        return name;
    }
    let local = String::from_utf8_lossy(&mailbox.local).into_owned();
    let domain = mailbox.domain.as_deref().map(|domain| format!("@{}", String::from_utf8_lossy(domain)));
    format!("{local}{}", domain.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_criterion_that_comes_again_tells_nothing() {
        let criterion = |reverse, key| SortCriterion { reverse, key };
        let (subject, date) = (criterion(false, SortKey::Subject), criterion(true, SortKey::Date));
        let again = criterion(true, SortKey::Subject);
        assert_eq!(telling(&[subject, date, again, subject, date]), [subject, date]);
        assert_eq!(telling(&[again, subject]), [again]);
    }

    #[test]
    fn of_a_long_text_its_beginning_is_compared() {
        let octets = |text: &str| match Value::text(text) {
            Value::Text(text) => text.len(),
            Value::Number(_) => 0,
        };
        assert_eq!(octets(&"a".repeat(900_000)), COMPARED_CHARACTERS_MAX);
        assert_eq!(octets("\u{e4}"), 3);
        // One character of these is eighteen when it is taken apart.
        let long = octets(&"\u{fdfa}".repeat(900));
        assert!(long <= COMPARED_OCTETS_MAX && long > COMPARED_OCTETS_MAX - 4, "{long} octets");
        let same = "x".repeat(COMPARED_CHARACTERS_MAX);
        assert!(Value::text(&format!("{same}a")) == Value::text(&format!("{same}b")));
        assert!(Value::text("a") < Value::text("B"));
    }
}
