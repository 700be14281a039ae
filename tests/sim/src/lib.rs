//! The production engine and the production store under seeded faults.
//!
//! One `u64` decides everything: the size of the network, its parameters, delays, losses, partitions,
//! crashes, clocks and clients. Time is virtual, a run has one thread, and the same seed gives the same run
//! on every machine, which its trace hash shows.
//!
//! A run has two halves. In the first everything may go wrong, and after every event the rules are checked
//! that must hold whatever happens: agreement, one vote for one slot, nothing that was said forgotten. Then
//! the network is healed, a quorum of it at least, and everything must come to its end: every transaction
//! committed or expired, every member at the same block, and then silence.
//!
//! What the rules are is said in [`oracle`], one file each, with arithmetic of their own: a checker that
//! calls the code under test shares its mistakes.
//!
//! Up to f members are faulty all the time: silent, lying in one way or several ([`byzantine`]), or running on
//! disks that were put back to an old state. The rules are asked of the others. Some runs have no other faults
//! than liars and a good first primary: there no view may change.
//!
//! Besides, [`soak`] looks whether anything grows in a long life, and with the feature `mutants` faults of the
//! production code can be switched on to find out whether the rules would notice.

mod clients;
mod faults;
mod healing;
mod lives;
mod lying;
mod occasions;
mod speech;

pub mod agenda;
pub mod byzantine;
pub mod coverage;
pub mod knobs;
pub mod member;
#[cfg(feature = "mutants")]
pub mod mutants;
pub mod network;
pub mod oracle;
pub mod orders;
pub mod packet;
pub mod random;
pub mod scenario;
pub mod script;
pub mod soak;
pub mod trace;
pub mod watch;
pub mod world;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use quorate_ledger::{Height, SignatureCache, SignatureMemo};

use crate::byzantine::Lie;
use crate::coverage::Coverage;
use crate::knobs::Knobs;
use crate::oracle::Violation;
use crate::random::Random;
use crate::scenario::Occasion;
use crate::world::{Occurrence, World};

/// Runs that a thread may be ahead of those whose results were taken.
const AHEAD_MAX: usize = 256;

/// Most threads that run seeds.
const JOBS_MAX: usize = 256;

/// Signatures that members remember together: more than a run makes.
const MEMO: usize = 200_000;

/// Transactions that they remember together.
const TRANSACTIONS: usize = 100_000;

/// What came out of a run that kept all rules.
#[derive(Debug, Clone)]
pub struct Summary {
    /// What chance had decided before it started.
    pub knobs: Knobs,
    /// The hash of everything that happened.
    pub trace: u64,
    /// How long it took, in virtual time.
    pub virtual_time: Duration,
    /// The last committed height.
    pub height: Height,
    /// Transactions that clients made.
    pub transactions: usize,
    /// What the run came across.
    pub coverage: Coverage,
}

/// What came out of a run that broke a rule.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed that does it again.
    pub seed: u64,
    /// What chance had decided before it started.
    pub knobs: Knobs,
    /// What all seeds were shaped for.
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
        let said = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("nothing");
        Err(Violation { rule: "no panic", what: said.to_owned() })
    });
    outcome.map_err(|violation| Box::new(Failure { seed, knobs, occasion, violation }))
}

/// Runs seeds on `jobs` threads, 256 at most, each seed on one of them, and hands over what came out in the
/// order of the seeds. The number of threads changes nothing but the time.
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
                            break; // the other side panicked
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

impl World {
    /// Lets all members know which signatures one of them has found good or made.
    ///
    /// A key can only make good signatures of what it signs: a member that signs the wrong bytes is found out
    /// as before, when the signature is checked for the right ones.
    fn share_memo(&mut self) {
        let memo = Arc::new(SignatureMemo::new(MEMO));
        for member in &mut self.members {
            member.key = member.key.clone().with_memo(Arc::clone(&memo));
        }
        self.brain.pen.share(&memo);
        self.orders.share_memo(&memo);
        self.genesis = self.genesis.clone().with_memo(Arc::clone(&memo));
        self.signatures = SignatureCache::new(self.genesis.chain_id(), TRANSACTIONS).with_memo(memo);
    }

    /// Starts all members that run at all.
    fn start_members(&mut self) {
        for index in 0..self.members.len() {
            let replica = self.members[index].replica;
            if !self.members[index].is_down() {
                self.coverage.saw("a silent member");
                continue;
            }
            let delay = self.random.millis(0, 200);
            self.agenda.after(delay, Occurrence::Revive(replica));
            if self.members[index].liar.is_some() {
                self.agenda.after(delay, Occurrence::Scheme(replica));
                if self.knobs.calm {
                    self.coverage.saw("liars in calm");
                }
            }
            if self.members[index].identity != replica {
                self.coverage.saw(Lie::Twin.situation());
            }
        }
    }

    /// Starts everybody, clients and bad luck included.
    fn begin(&mut self) {
        self.start_members();
        self.spoil_links();
        self.agenda.after(Duration::ZERO, Occurrence::Submit);
        if self.knobs.fault_gap_ms > 0 {
            self.agenda.after(Duration::from_millis(200), Occurrence::Fault);
        }
        self.begin_scenario();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A memo that let something through, or kept something out, would show here.
    #[test]
    fn what_members_remember_together_changes_nothing_but_the_work() {
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
