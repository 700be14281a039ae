//! The production engine and the production store under seeded faults.
//!
//! One `u64` decides everything: the size of the network, its parameters, delays, losses, partitions,
//! crashes, clocks and clients. Time is virtual, there is one thread, and the same seed gives the same run
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
//! Views do not change yet, so the primary of the first view is always among those that are healed.

mod clients;
mod faults;
mod healing;
mod lives;
mod speech;

pub mod agenda;
pub mod coverage;
pub mod knobs;
pub mod member;
pub mod network;
pub mod oracle;
pub mod orders;
pub mod packet;
pub mod random;
pub mod trace;
pub mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use quorate_ledger::Height;

use crate::coverage::Coverage;
use crate::knobs::Knobs;
use crate::oracle::Violation;
use crate::random::Random;
use crate::world::{Occurrence, World};

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
    /// The rule, or the panic.
    pub violation: Violation,
}

/// Runs a seed. `shown` prints a timeline to the standard output.
///
/// # Errors
/// The first rule that was broken; a panic of the code under test counts as one.
pub fn run(seed: u64, shown: bool) -> Result<Summary, Box<Failure>> {
    let mut random = Random::new(seed);
    let knobs = Knobs::draw(&mut random);
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
    outcome.map_err(|violation| Box::new(Failure { seed, knobs, violation }))
}

fn play(seed: u64, knobs: Knobs, random: Random, shown: bool) -> Result<Summary, Violation> {
    let chaos = knobs.chaos;
    let mut world = World::new(seed, knobs.clone(), random, shown);
    world.begin();
    world.run_until(chaos)?;
    world.settle()?;
    world.rest()?;
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
    /// Starts everybody, clients and bad luck included.
    fn begin(&mut self) {
        for index in 0..self.members.len() {
            let replica = self.members[index].replica;
            if self.members[index].is_down() {
                let delay = self.random.millis(0, 200);
                self.agenda.after(delay, Occurrence::Revive(replica));
            } else {
                self.coverage.saw("a silent member");
            }
        }
        self.agenda.after(Duration::ZERO, Occurrence::Submit);
        if self.knobs.fault_gap_ms > 0 {
            self.agenda.after(Duration::from_millis(200), Occurrence::Fault);
        }
    }
}
