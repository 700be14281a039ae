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
    "a message not worth checking",
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
    "a silent member",
    "members that stay dead",
    "members that verify for themselves",
    "old disks put back",
    "old disks that had forgotten",
    "old disks that had forgotten nothing",
    "an old ledger put back",
    "a lossy link",
    "a member cut off on one side for good",
    "a liar at the end",
    "liars in calm",
    "a view change",
    "a new view with one block again",
    "a new view with several blocks again",
    "a new view that drops a prepared block",
    "a new view entered without leaving",
    "a view that was jumped over",
    "a block final through a descendant of a later view",
    "a block proposed again by another primary",
    "a restart while a view changes",
    "a restart in a later view",
    "a crash before a new view was sent",
    "a departure: no progress",
    "a departure: censorship",
    "a departure: evidence",
    "a departure: joined",
    "a departure: no new view",
    "evidence: two proposals",
    "evidence: two prepares",
    "evidence: two commits",
    "evidence: two view changes",
    "evidence: a hidden certificate",
    "evidence: two new views",
    "evidence: two checkpoints",
    "a checkpoint became stable",
    "a checkpoint became stable when all was done",
    "proposals held back by the watermark",
    "a recovering member",
    "a second instance found out",
    "probes answered after a power loss of all",
    "the ids of a block asked for",
    "a timeout doubled",
    "a timeout halved",
    "a mute member at the end",
    "a liar's message refused",
    "a liar's answer refused",
    "a lie: twins",
    "a lie: several proposals",
    "a lie: votes for everything",
    "a lie: view changes without end",
    "a lie: a view change that hides",
    "a lie: a certificate shown late",
    "a lie: a wrong new view",
    "a lie: several new views",
    "a lie: silence to some",
    "a lie: a client left out",
    "a lie: a slow primary",
    "a lie: a block of the future",
    "a lie: a wrong answer",
    "a lie: a wrong status",
    "a lie: a wrong checkpoint",
    "a lie: old messages",
    "a lie: votes that are off",
    "a lie: help for one",
    "a lie: a false accusation",
    "a lie: a block that breaks a rule",
    "a lie: two proposals to one member",
    "a lie: proposals where a view begins",
    "a lie: a primary that votes",
    "a lie: forged votes",
    "a lie: votes far ahead",
    "a lie: a view change with forged certificates",
    "a lie: a forged new view",
    "a lie: a forged reminder",
    "a lie: no checkpoint",
    "a lie: a branch for one",
    "a lie: misplaced certificates",
    "a member more than 65 blocks behind",
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
