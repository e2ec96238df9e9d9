//! Chance: from the machine, or from a seed.

use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

/// A source of random numbers. The system's is fit for secrets; a seeded one repeats itself, for tests
/// and simulation only. Clones share one sequence.
#[derive(Debug, Clone)]
pub struct Random(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Seeded(Arc<Mutex<StdRng>>),
}

impl Random {
    /// The machine's: a generator per thread, seeded by the kernel, cryptographically strong.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// The sequence of a seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    fn with<T>(&self, draw: impl FnOnce(&mut dyn RngCore) -> T) -> T {
        match &self.0 {
            Source::System => draw(&mut rand::rng()),
            Source::Seeded(generator) => draw(&mut *generator.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Fills with random octets.
    pub fn fill(&self, octets: &mut [u8]) {
        self.with(|generator| generator.fill_bytes(octets));
    }

    /// Any number.
    #[must_use]
    pub fn u64(&self) -> u64 {
        self.with(|generator| generator.next_u64())
    }

    /// A number under `n`, each with the same chance; 0 where `n` is 0.
    #[must_use]
    pub fn below(&self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.with(|generator| generator.random_range(0..n)) }
    }

    /// Puts in random order (Fisher-Yates).
    pub fn shuffle<T>(&self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let pick = usize::try_from(self.below(last as u64 + 1)).unwrap_or(0);
            items.swap(last, pick);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_sequence() {
        let (one, two) = (Random::seeded(7), Random::seeded(7));
        let draw = |random: &Random| (0..20).map(|_| random.below(100)).collect::<Vec<_>>();
        assert_eq!(draw(&one), draw(&two));
        assert_ne!(one.u64(), Random::seeded(8).u64());
    }

    #[test]
    fn below_stays_below_and_reaches_all() {
        for random in [Random::system(), Random::seeded(1)] {
            let mut seen = [false; 5];
            for _ in 0..500 {
                seen[usize::try_from(random.below(5)).unwrap()] = true;
            }
            assert_eq!(seen, [true; 5]);
            assert_eq!(random.below(0), 0);
        }
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..100).collect();
        Random::seeded(3).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn fill_writes_every_octet_at_some_time() {
        let mut union = [0_u8; 64];
        for _ in 0..20 {
            let mut octets = [0_u8; 64];
            Random::system().fill(&mut octets);
            union.iter_mut().zip(octets).for_each(|(all, octet)| *all |= octet);
        }
        assert!(union.iter().all(|octet| *octet != 0));
    }
}
