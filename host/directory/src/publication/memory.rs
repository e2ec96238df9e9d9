//! What is remembered of the records of a domain.

use dns::Record;
use serde::{Deserialize, Serialize};

use super::Published;

/// A domain whose change has begun. Of one that is settled the records alone are written, without the flag.
#[derive(Serialize, Deserialize)]
struct Open {
    records: Vec<Record>,
    is_open: bool,
}

/// As it was written.
pub(super) fn read(octets: &[u8]) -> Option<Published> {
    // The records are all of a settled one, so that it ends before the flag.
    let open: Result<Open, _> = postcard::from_bytes(octets);
    let (records, is_open) = match open {
        Ok(open) => (open.records, open.is_open),
        Err(_) => (postcard::from_bytes(octets).ok()?, false),
    };
    Some(Published { records, is_open, failure: None })
}

/// As it is written.
pub(super) fn write(published: &Published) -> Vec<u8> {
    let written = if published.is_open {
        postcard::to_stdvec(&Open { records: published.records.clone(), is_open: true })
    } else {
        postcard::to_stdvec(&published.records)
    };
    written.unwrap_or_default()
}

/// How a domain stands while `wanted` is on its way: what was or may have been there may be there still, and what is wanted
/// may be there already. It grows by what another configuration wants after a restart, and by nothing else.
pub(super) fn opened(known: &Published, wanted: &[Record]) -> Published {
    let mut opened = Published { is_open: true, ..known.clone() };
    let new: Vec<Record> = wanted.iter().filter(|one| !known.records.contains(one)).cloned().collect();
    opened.records.extend(new);
    opened
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let text = |text: &str| Record { name: "a.test".into(), data: dns::Data::Text(text.into()), ttl: 60 };
        let settled = Published { records: vec![text("one")], ..Published::default() };
        let open = opened(&settled, &[text("two"), text("one")]);
        assert_eq!(open.records, [text("one"), text("two")]);
        for one in [&settled, &open] {
            assert_eq!(read(&write(one)).as_ref(), Some(one));
        }
        // Before there was a flag, the records stood alone.
        assert_eq!(read(&postcard::to_stdvec(&settled.records).unwrap()), Some(settled));
        assert_eq!(read(&[0xff]), None);
    }
}
