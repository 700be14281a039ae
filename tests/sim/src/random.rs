//! Repeatable pseudo-random numbers.

use std::time::Duration;

/// SplitMix64: small, fast, and the same on every machine. It is sufficient here.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A separate sequence for one part of a run, so that changes in this part do not affect the
    /// others.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Random(self.number())
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "{low} to {high} is empty");
        match (high - low).checked_add(1) {
            Some(span) => low + self.number() % span,
            None => self.number(),
        }
    }

    /// An index below `length`, which is not 0.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.between(0, length as u64 - 1)).expect("below a number that fits")
    }

    /// A random element.
    pub fn choose<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.index(of.len())]
    }

    /// True with this probability, per thousand.
    pub fn permille(&mut self, share: u64) -> bool {
        self.between(0, 999) < share
    }

    /// A duration from `low` to `high` milliseconds, in whole microseconds.
    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(self.between(low * 1000, high * 1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_numbers_again_and_another_gives_others() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            [random.number(), random.number(), random.split().number()]
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
    }

    #[test]
    fn both_ends_of_a_range_come() {
        let mut random = Random::new(3);
        let drawn: Vec<u64> = (0..200).map(|_| random.between(5, 8)).collect();
        assert!((5..=8).all(|wanted| drawn.contains(&wanted)));
        assert!(drawn.iter().all(|number| (5..=8).contains(number)));
        assert!(!random.permille(0));
        assert!(random.permille(1000));
    }
}
