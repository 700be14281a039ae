//! Stands in for the governance state of an engine: it executes final blocks, one of which may
//! decide a change.

use quorate_ledger::{Domain, Hash, Header, Height, tagged_hash};
use quorate_pbft::{EpochEnd, Input, Schedule};

/// A change that a block of the epoch decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The block that decides it. It takes effect W + 1 heights above.
    pub(crate) decided: Height,
    /// The next committee, if the change ends the epoch.
    pub(crate) next_committee: Option<Hash>,
}

#[derive(Debug)]
pub(crate) struct Executor {
    window: u64,
    /// `None` if the configuration never changes, so that every height may be judged at once.
    executed: Option<Height>,
    pub(crate) plan: Option<Plan>,
    /// Whether it executes only when the test says so.
    pub(crate) late: bool,
    /// The replica knows the state roots up to this height.
    rooted: Height,
}

/// Stands in for the root of the governance state after a block.
pub(crate) fn state_root(header: &Header) -> Hash {
    tagged_hash(Domain::StateNode, &[header.hash().as_bytes()])
}

impl Executor {
    /// The configuration never changes.
    pub(crate) fn fixed(window: u64) -> Self {
        Executor { window, executed: None, plan: None, late: false, rooted: Height(0) }
    }

    /// The configuration may change. Nothing above this height is executed.
    pub(crate) fn on(window: u64, executed: Height, plan: Option<Plan>) -> Self {
        Executor { window, executed: Some(executed), plan, late: false, rooted: executed }
    }

    /// The process starts again, with the state after the last block of its ledger.
    pub(crate) fn reset(&mut self, tip: Height) {
        self.executed = self.executed.map(|_| tip);
        self.rooted = tip;
    }

    /// The state roots of a chain at multiples of `interval` up to this height, as far as the replica
    /// does not know them.
    pub(crate) fn new_roots(&mut self, chain: &[Header], interval: u64, height: Height) -> Vec<Input> {
        let known = self.rooted;
        self.rooted = height.max(known);
        let new = chain.iter().rev().skip_while(|header| header.height > height);
        let new = new.take_while(|header| header.height > known);
        let mut roots: Vec<Input> = new
            .filter(|header| header.height.0.is_multiple_of(interval))
            .map(|header| Input::Executed { height: header.height, state_root: state_root(header) })
            .collect();
        roots.reverse();
        roots
    }

    /// Executes blocks up to this height. `None` if all of them are executed.
    pub(crate) fn execute(&mut self, height: Height) -> Option<Schedule> {
        if self.executed.is_none_or(|executed| height <= executed) {
            return None;
        }
        self.executed = Some(height);
        Some(self.schedule())
    }

    pub(crate) fn schedule(&self) -> Schedule {
        let Some(executed) = self.executed else { return Schedule::FIXED };
        let schedule = Schedule::without_changes(executed, self.window);
        let Some(plan) = self.plan.filter(|plan| executed >= plan.decided) else { return schedule };
        let last = plan.decided.plus(self.window);
        let end = plan.next_committee.map(|next_committee| EpochEnd { last, next_committee });
        Schedule { end, fill_through: Some(last), ..schedule }
    }
}
