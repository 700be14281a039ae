//! Would the simulator notice? Faults are switched on in the production code, one at a time, and seeds are run
//! until a rule breaks.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::PoisonError;

use quorate_ledger::mutant::{Mutant, activate};

/// How a fault was noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The seed that showed it.
    pub seed: u64,
    /// How many seeds were run, that one included.
    pub seeds: u64,
    /// The rule that broke, and how.
    pub violation: String,
}

/// Runs up to `most` seeds with a fault switched on, until one breaks a rule.
pub fn hunt(mutant: Mutant, start: u64, most: u64) -> Option<Found> {
    activate(Some(mutant));
    let found = (0..most).find_map(|count| {
        let seed = start + count;
        let failure = crate::run(seed, false).err()?;
        Some(Found { seed, seeds: count + 1, violation: failure.violation.to_string() })
    });
    activate(None);
    found
}

/// Hunts all faults, some at a time; tells each result as it comes, in no particular order.
pub fn hunt_all(start: u64, most: u64, jobs: NonZeroUsize, told: impl Fn(Mutant, Option<Found>) + Sync) {
    let waiting = Mutex::new(Mutant::ALL.to_vec());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
    std::thread::scope(|scope| {
        for _ in 0..jobs.get().min(Mutant::ALL.len()) {
            scope.spawn(|| {
                while let Some(mutant) = next() {
                    told(mutant, hunt(mutant, start, most));
                }
            });
        }
    });
}
