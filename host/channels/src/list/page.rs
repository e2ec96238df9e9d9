//! The next members of a list that a search finds, by address.

use std::collections::BTreeMap;

use mail_types::Address;

/// Of all addresses that it is given, in whatever order, the first ones after a place. However many there are, no more
/// than a page of them is in memory.
pub(super) struct Page<'a> {
    after: &'a str,
    most: usize,
    // One more than a page has room for: it says that there are further ones.
    found: BTreeMap<String, Address>,
}

impl<'a> Page<'a> {
    /// At most `most` addresses whose keys come after `after`.
    pub(super) fn new(after: &'a str, most: usize) -> Self {
        Self { after, most, found: BTreeMap::new() }
    }

    /// Takes an address; one that is there already is the same.
    pub(super) fn take(&mut self, address: Address) {
        let key = address.to_key();
        if key.as_str() > self.after {
            self.found.insert(key, address);
        }
        if self.found.len() > self.most + 1 {
            self.found.pop_last();
        }
    }

    /// The addresses, and where there are further ones, the key of the last: the place of the next page.
    pub(super) fn finish(mut self) -> (Vec<Address>, Option<String>) {
        let more = self.found.len() > self.most && self.found.pop_last().is_some();
        let last = self.found.last_key_value().map(|(key, _)| key.clone());
        (self.found.into_values().collect(), last.filter(|_| more))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pages_are_the_whole_in_order(numbers in prop::collection::vec(0..60_u32, 0..120), most in 1..20_usize) {
            let address = |number: &u32| Address::parse(&format!("user{number}@example.org")).unwrap();
            let (mut came, mut place) = (Vec::new(), String::new());
            loop {
                let mut page = Page::new(&place, most);
                for number in &numbers {
                    page.take(address(number));
                    prop_assert!(page.found.len() <= most + 1);
                }
                let (addresses, next) = page.finish();
                prop_assert!(addresses.len() == most || next.is_none());
                came.extend(addresses.iter().map(Address::to_key));
                match next {
                    Some(next) => place = next,
                    None => break,
                }
            }
            let whole: BTreeSet<String> = numbers.iter().map(|number| address(number).to_key()).collect();
            prop_assert_eq!(came, whole.into_iter().collect::<Vec<_>>());
        }
    }
}
