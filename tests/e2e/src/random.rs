//! Pseudo-random choices that are determined by a seed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The variable with the seed of tests that use one.
const SEED: &str = "QUORATE_E2E_SEED";

/// A sequence of numbers that is determined by its seed.
#[derive(Debug, Clone)]
pub struct Random(fastrand::Rng);

/// The seed of a test: `QUORATE_E2E_SEED`, or a new one each time. It is printed, so that a failed
/// test can be repeated as far as processes and threads allow.
///
/// # Panics
/// If the variable is not a number.
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
        Random(fastrand::Rng::with_seed(seed))
    }

    /// Another sequence, determined by this one.
    #[must_use]
    pub fn branch(&mut self) -> Self {
        Random::seeded(self.number())
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// A number below a limit above 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0.usize(..limit.max(1))
    }

    /// A duration up to a limit, in whole milliseconds.
    pub fn up_to(&mut self, limit: Duration) -> Duration {
        let milliseconds = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.0.u64(..=milliseconds))
    }

    /// Random bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.0.u8(..)).take(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_determined_by_its_seed() {
        let bytes = |seed| Random::seeded(seed).bytes(100);
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
        let mut random = Random::seeded(3);
        assert_ne!(random.branch().number(), random.branch().number());
        assert!((0..1000).all(|_| random.below(7) < 7));
        assert!((0..1000).all(|_| random.up_to(Duration::from_millis(5)) <= Duration::from_millis(5)));
    }
}
