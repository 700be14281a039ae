//! The production engine and the production store under seeded faults.
//!
//! One `u64` determines everything: the size of the network, its parameters, delays, losses,
//! partitions, crashes, clocks and clients. Time is virtual, a run has one thread, and the same
//! seed gives the same run on every machine, which its trace hash shows.
//!
//! A run has two halves. In the first half any fault may occur. After every event the simulator
//! checks the rules that must always hold: agreement, one vote per slot, no sent statement lost.
//! Then the network, or at least a quorum of it, is healed and all work must be finished: every
//! transaction is committed or expired, every member has the same head, and then the network is
//! idle.
//!
//! The rules are in [`oracle`], one file each, with their own computations: a checker that calls
//! the code under test shares its mistakes.
//!
//! Up to f members are faulty all the time: silent, Byzantine in one way or several
//! ([`byzantine`]), or running on disks that were restored to an old state. The rules apply to the
//! others. In some runs the only faults are Byzantine members, and the first primary is correct:
//! there no view may change.
//!
//! In addition, [`runs::soak`] checks whether anything grows over a long run. With the feature
//! `mutants`, faults of the production code can be switched on to find out whether the rules detect
//! them.

mod faults;

pub mod byzantine;
pub mod clients;
pub mod members;
pub mod network;
pub mod occasions;
pub mod oracle;
pub mod random;
pub mod runs;
pub mod world;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use quorate_ledger::Height;

use crate::occasions::Occasion;
use crate::occasions::knobs::Knobs;
use crate::oracle::Violation;
use crate::oracle::coverage::Coverage;
use crate::random::Random;
use crate::world::World;

/// How many runs a thread may be ahead of the results that were consumed.
const AHEAD_MAX: usize = 256;

/// Upper limit of threads that run seeds.
const JOBS_MAX: usize = 256;

/// The result of a run that broke no rule.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The parameters that were drawn before it started.
    pub knobs: Knobs,
    /// The hash of everything that happened.
    pub trace: u64,
    /// Its duration in virtual time.
    pub virtual_time: Duration,
    /// The last committed height.
    pub height: Height,
    /// Number of transactions that clients created.
    pub transactions: usize,
    /// The situations of the run.
    pub coverage: Coverage,
}

/// The result of a run that broke a rule.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed that repeats it.
    pub seed: u64,
    /// The parameters that were drawn before it started.
    pub knobs: Knobs,
    /// The occasion that shaped all seeds.
    pub occasion: Occasion,
    /// The rule, or the panic.
    pub violation: Violation,
}

/// Runs a seed, shaped for an occasion. `shown` prints a timeline to the standard output.
///
/// # Errors
/// The first rule that was broken; a panic of the code under test counts as one.
pub fn run(seed: u64, occasion: Occasion, shown: bool) -> Result<Summary, Box<Failure>> {
    let mut random = Random::new(seed);
    let knobs = Knobs::draw(&mut random, occasion);
    let drawn = knobs.clone();
    let outcome = catch_unwind(AssertUnwindSafe(|| play(seed, drawn, random, shown)));
    let outcome = outcome.unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("nothing");
        Err(Violation { rule: "no panic", what: message.to_owned() })
    });
    outcome.map_err(|violation| Box::new(Failure { seed, knobs, occasion, violation }))
}

/// Runs seeds on `jobs` threads, 256 at most, each seed on one of them, and passes the results to
/// `taken` in the order of the seeds. The number of threads affects only the duration.
///
/// # Panics
/// If `taken` does.
pub fn run_all(
    seeds: Range<u64>,
    occasion: Occasion,
    jobs: NonZeroUsize,
    mut taken: impl FnMut(u64, Result<Summary, Box<Failure>>),
) {
    let jobs = jobs.get().min(JOBS_MAX);
    thread::scope(|scope| {
        let lines: Vec<_> = (0..jobs)
            .map(|job| {
                let (send, results) = sync_channel(AHEAD_MAX);
                let share = seeds.clone().skip(job).step_by(jobs);
                scope.spawn(move || {
                    for seed in share {
                        if send.send(run(seed, occasion, false)).is_err() {
                            break; // the receiver panicked
                        }
                    }
                });
                results
            })
            .collect();
        for (seed, results) in seeds.zip(lines.iter().cycle()) {
            taken(seed, results.recv().expect("every thread runs its share"));
        }
    });
}

fn play(seed: u64, knobs: Knobs, random: Random, shown: bool) -> Result<Summary, Violation> {
    let chaos = knobs.chaos;
    let mut world = World::new(seed, knobs.clone(), random, shown);
    if knobs.each_verifies {
        world.coverage.saw("members that verify for themselves");
    } else {
        world.share_memo();
    }
    world.begin();
    world.run_until(chaos)?;
    world.settle()?;
    world.rest()?;
    world.change_when_idle()?;
    world.order_one_more()?;
    world.final_checks()?;
    Ok(Summary {
        knobs,
        trace: world.trace.hash(),
        virtual_time: world.agenda.now(),
        height: world.height(),
        transactions: world.orders.all.len(),
        coverage: world.coverage,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A memo that accepts or rejects wrong signatures would show here.
    #[test]
    fn the_shared_memo_changes_only_the_amount_of_work() {
        for seed in 0..6 {
            let traces = [false, true].map(|each_verifies| {
                let mut random = Random::new(seed);
                let knobs = Knobs { each_verifies, ..Knobs::draw(&mut random, Occasion::default()) };
                play(seed, knobs, random, false).unwrap().trace
            });
            assert_eq!(traces[0], traces[1], "seed {seed}");
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_run() {
        let traces = |jobs| {
            let mut traces = Vec::new();
            run_all(20..27, Occasion::default(), NonZeroUsize::new(jobs).unwrap(), |seed, result| {
                traces.push((seed, result.unwrap().trace));
            });
            traces
        };
        let alone = traces(1);
        assert!(alone.iter().map(|(seed, _)| *seed).eq(20..27), "in order, each once");
        assert_eq!(traces(3), alone);
        assert_eq!(traces(20), alone, "more threads than seeds");
    }
}
