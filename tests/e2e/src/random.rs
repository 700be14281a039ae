//! Choices that look like chance and follow from a seed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The variable that gives the seed of tests with one.
const SEED: &str = "QUORATE_E2E_SEED";

/// A sequence of numbers that follows from its seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

/// The seed of a test: `QUORATE_E2E_SEED`, or another one each time. It is printed, so that a test that fails can
/// be repeated as far as processes and threads can be.
///
/// # Panics
/// If the variable is no number.
pub fn seed() -> u64 {
    let seed = match std::env::var(SEED) {
        Ok(text) => text.parse().expect("QUORATE_E2E_SEED is a number"),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    };
    println!("{SEED}={seed}");
    seed
}

impl Random {
    /// The sequence of a seed.
    pub fn seeded(seed: u64) -> Self {
        Random(seed)
    }

    /// Another sequence, which follows from this one.
    #[must_use]
    pub fn branch(&mut self) -> Self {
        Random(self.number())
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a limit above 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.number() % limit.max(1) as u64).expect("it is below a usize")
    }

    /// A time up to a limit, in whole milliseconds.
    pub fn up_to(&mut self, limit: Duration) -> Duration {
        let milliseconds = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.number() % milliseconds.saturating_add(1).max(1))
    }

    /// Bytes without a pattern.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.number().to_le_bytes());
        words.flatten().take(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_follows_from_its_seed() {
        let bytes = |seed| Random::seeded(seed).bytes(100);
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
        let mut random = Random::seeded(3);
        assert_ne!(random.branch().number(), random.branch().number());
        assert!((0..1000).all(|_| random.below(7) < 7));
        assert!((0..1000).all(|_| random.up_to(Duration::from_millis(5)) <= Duration::from_millis(5)));
    }
}
