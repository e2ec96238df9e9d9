//! Which texts a message cannot contain: a Bloom filter over the triples of octets in all that is searched.

use std::collections::HashSet;

use crate::search::{Needle, SearchTexts};

/// Bits for each triple, and how many of them one sets: of a hundred triples that are not there, one seems to be.
const BITS_A_TRIPLE: usize = 10;
const HASHES: u32 = 4;
/// Smallest and largest signature, in octets.
const OCTETS_MIN: usize = 64;
const OCTETS_MAX: usize = 32 * 1024;

/// The signature of a message: it tells most of the texts that are not in it, and never one that is. It is of
/// all [`SearchTexts`], header and body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature<'a>(&'a [u8]);

impl<'a> Signature<'a> {
    /// Over the octets that [`Signature::make`] gave.
    #[must_use]
    pub fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    /// Makes a message's signature.
    #[must_use]
    pub fn make(texts: &SearchTexts) -> Vec<u8> {
        let mut triples = HashSet::new();
        let most = OCTETS_MAX * 8 / BITS_A_TRIPLE * 2;
        let has_too_many = texts.all().flat_map(|text| text.as_bytes().windows(3)).any(|octets| {
            // One by one: a set that is extended takes room for as many as there are octets. So many triples say nothing.
            triples.insert(triple(octets));
            triples.len() > most
        });
        if has_too_many {
            return Vec::new();
        }
        let octets = (triples.len() * BITS_A_TRIPLE / 8).next_power_of_two().clamp(OCTETS_MIN, OCTETS_MAX);
        let mut signature = vec![0; octets];
        for triple in triples {
            for bit in bits(triple, octets) {
                signature[bit / 8] |= 1 << (bit % 8);
            }
        }
        signature
    }

    /// Whether a text may be in the message. Of texts shorter than three octets nothing is known.
    #[must_use]
    pub fn may_contain(self, needle: &Needle) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let is_set = |bit: usize| self.0[bit / 8] & (1 << (bit % 8)) != 0;
        needle.lower.as_bytes().windows(3).map(triple).all(|triple| bits(triple, self.0.len()).all(is_set))
    }
}

fn triple(octets: &[u8]) -> u32 {
    u32::from(octets[0]) << 16 | u32::from(octets[1]) << 8 | u32::from(octets[2])
}

/// The bits of a triple in a signature of so many octets, a power of two.
fn bits(triple: u32, octets: usize) -> impl Iterator<Item = usize> {
    // Two halves of one good mix stand for independent hashes.
    let mixed = (u64::from(triple) ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    let mixed = mixed ^ (mixed >> 33);
    let (one, other) = (mixed & 0xffff_ffff, (mixed >> 32) | 1);
    let mask = octets as u64 * 8 - 1;
    (0..u64::from(HASHES)).map(move |turn| usize::try_from((one + turn * other) & mask).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::structure::Structure;
    use proptest::prelude::*;

    fn texts(message: &str) -> SearchTexts {
        SearchTexts::of(&Structure::parse(message.as_bytes()))
    }

    #[test]
    fn it_tells_what_is_not_there() {
        let message = "Subject: lunch\r\n\r\nThe quick brown fox jumps over the lazy dog, says Größe.\r\n";
        let octets = Signature::make(&texts(message));
        let signature = Signature::new(&octets);
        for text in ["quick", "QUICK BROWN", "größe", "Subject: Lunch", "", "ab"] {
            assert!(signature.may_contain(&Needle::new(text)), "{text}");
        }
        for text in ["invoice", "chrysoberyl", "quack"] {
            assert!(!signature.may_contain(&Needle::new(text)), "{text}");
        }
        assert!(Signature::new(&[]).may_contain(&Needle::new("anything")));
    }

    #[test]
    fn it_grows_with_the_text_up_to_a_bound() {
        let of = |text: &str| Signature::make(&texts(&format!("A: b\r\n\r\n{text}"))).len();
        assert_eq!(of("short"), OCTETS_MIN);
        let many: String =
            (0..2_000_u32).map(|number| format!("{:x} ", number.wrapping_mul(2_654_435_761))).collect();
        assert!((1024..=OCTETS_MAX).contains(&of(&many)));
    }

    proptest! {
        #[test]
        fn no_text_that_is_there_is_denied(body in "[a-zA-Z äÖß\r\n=]{0,200}", at in 0_usize..200, len in 0_usize..20) {
            let message = format!("Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}");
            let texts = texts(&message);
            let octets = Signature::make(&texts);
            let text: String = message.chars().skip(at).take(len).collect();
            let needle = Needle::new(&text);
            prop_assert!(!texts.text_contains(&needle) || Signature::new(&octets).may_contain(&needle));
        }
    }
}
