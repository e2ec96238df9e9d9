//! Which keys may be there: of what is written for the first time most are not, and need not be looked for in storage.
//!
//! A Bloom filter (B. H. Bloom, 1970) of fixed size.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Room for two bits of a million keys, in what a core has near: 1 MiB, whatever the number of entries.
const BITS: usize = 1 << 23;
const WORD_BITS: usize = u64::BITS as usize;

/// Keys that were noted. It may take one for noted that was not, which costs a look; never the other way round.
pub struct KeyFilter(Vec<u64>);

impl Default for KeyFilter {
    fn default() -> Self {
        Self(vec![0; BITS / WORD_BITS])
    }
}

impl KeyFilter {
    /// Notes a key. `group` tells apart what may be the same as octets.
    pub fn note(&mut self, group: u8, key: &[u8]) {
        for (word, bit) in places(group, key) {
            self.0[word] |= bit;
        }
    }

    /// Whether a key may have been noted.
    #[must_use]
    pub fn may_have(&self, group: u8, key: &[u8]) -> bool {
        places(group, key).into_iter().all(|(word, bit)| self.0[word] & bit != 0)
    }
}

/// Words and bits that stand for a key.
fn places(group: u8, key: &[u8]) -> [(usize, u64); 2] {
    let mut hasher = DefaultHasher::new();
    (group, key).hash(&mut hasher);
    let hash = hasher.finish();
    [hash, hash >> 32].map(|half| {
        let at = usize::try_from(half & 0xffff_ffff).unwrap_or_default() % BITS;
        (at / WORD_BITS, 1 << (at % WORD_BITS))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_known_and_little_else() {
        let mut noted = KeyFilter::default();
        let key = |number: u32| number.to_be_bytes();
        (0..100_000).for_each(|number| noted.note(1, &key(number)));
        assert!((0..100_000).all(|number| noted.may_have(1, &key(number))));
        let wrong = (0..100_000).filter(|number| noted.may_have(0, &key(*number))).count();
        assert!(wrong < 100, "{wrong} taken for noted");
    }
}
