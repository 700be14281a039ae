//! What the runs came across. A simulator that never reaches a situation says nothing about it.

use std::collections::BTreeMap;

/// Situations that a large number of runs must reach.
pub const SITUATIONS: &[&str] = &[
    "a block finalised through a descendant",
    "several blocks in flight",
    "a proposal waits for its parent",
    "a proposal held for the clock",
    "a vote or proposal repaired",
    "transactions of a proposal asked for",
    "a proposal completed by an answer",
    "a run of certified blocks applied",
    "a restart with an accepted block",
    "a restart with a prepared block",
    "a block that only the journal remembered",
    "an empty block for an expired transaction",
    "a waiting transaction expired",
    "a resubmission answered with its place",
    "a transaction refused: expired",
    "a transaction refused: lifetime too long",
    "a transaction refused: pool full",
    "a transaction refused: sender's quota",
    "a transaction refused: form",
    "a transaction refused: signature",
    "a reminder sent",
    "gossip lost",
    "a message lost",
    "a message doubled",
    "a crash between remembering and speaking",
    "a crash in the middle of speaking",
    "a process killed",
    "a power loss",
    "a torn power loss",
    "a power loss of all members at once",
    "a sync that failed",
    "a crash while opening",
    "a partition",
    "a one-way partition",
    "a connection that broke",
    "a clock that jumped",
    "a primary that was overdue",
    "a silent member",
    "members that stay dead",
];

/// How often each situation came up.
#[derive(Debug, Clone, Default)]
pub struct Coverage(BTreeMap<&'static str, u64>);

impl Coverage {
    /// Counts a situation.
    ///
    /// # Panics
    /// If it is not one of [`SITUATIONS`].
    pub fn saw(&mut self, situation: &'static str) {
        assert!(SITUATIONS.contains(&situation), "{situation} is not on the list");
        *self.0.entry(situation).or_default() += 1;
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Coverage) {
        for (situation, count) in &other.0 {
            *self.0.entry(situation).or_default() += count;
        }
    }

    /// Every situation with its count.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        SITUATIONS.iter().map(|situation| (*situation, self.0.get(situation).copied().unwrap_or(0)))
    }

    /// The situations that never came up.
    pub fn missing(&self) -> Vec<&'static str> {
        self.counts().filter(|(_, count)| *count == 0).map(|(situation, _)| situation).collect()
    }
}
