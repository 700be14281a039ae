//! The situations that runs have reached. A simulator that never reaches a situation does not test
//! it.

use std::collections::BTreeMap;

/// Situations that a large number of runs must reach.
pub const SITUATIONS: &[&str] = &[
    "a block finalised through a descendant",
    "several blocks in flight",
    "a proposal waits for its parent",
    "a proposal held for the clock",
    "a vote or proposal retransmitted",
    "transactions of a proposal requested",
    "a proposal completed by a response",
    "a certified block range applied",
    "a restart with an accepted block",
    "a restart with a prepared block",
    "a block that only the journal contained",
    "an empty block for an expired transaction",
    "a waiting transaction expired",
    "a resubmission answered with its place",
    "a transaction refused: expired",
    "a transaction refused: lifetime too long",
    "a transaction refused: pool full",
    "a transaction refused: sender's quota",
    "a transaction refused: member's share",
    "a transaction refused: form",
    "a transaction refused: no operation",
    "a transaction refused: sender",
    "a transaction refused: signature",
    "a transaction resent",
    "gossip lost",
    "a message lost",
    "a message duplicated",
    "a message not worth checking",
    "a crash between journaling and sending",
    "a crash in the middle of sending",
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
    "old disks restored",
    "old disks that lacked statements",
    "old disks that lacked nothing",
    "an old ledger restored",
    "a lossy link",
    "a member cut off on one side for good",
    "a Byzantine member at the end",
    "Byzantine members in calm",
    "a view change",
    "a new view with one block proposed again",
    "a new view with several blocks proposed again",
    "a new view that drops a prepared block",
    "a new view entered without leaving",
    "a view that was skipped",
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
    "evidence: crossed votes",
    "evidence: two new views",
    "evidence: two checkpoints",
    "a checkpoint became stable",
    "a checkpoint became stable in an idle network",
    "proposals held back by the watermark",
    "a recovering member",
    "a second instance detected",
    "probes answered after a power loss of all",
    "the ids of a block requested",
    "a timeout doubled",
    "a timeout halved",
    "a member excluded from its view at the end",
    "a Byzantine member's message refused",
    "a Byzantine member's response refused",
    "Byzantine: twins",
    "Byzantine: several proposals",
    "Byzantine: votes for everything",
    "Byzantine: view changes without end",
    "Byzantine: an incomplete view change",
    "Byzantine: a certificate sent late",
    "Byzantine: a wrong new view",
    "Byzantine: several new views",
    "Byzantine: withheld messages",
    "Byzantine: a censored client",
    "Byzantine: a slow primary",
    "Byzantine: a block with a future time",
    "Byzantine: a wrong response",
    "Byzantine: a wrong status",
    "Byzantine: a wrong checkpoint",
    "Byzantine: old messages",
    "Byzantine: votes that are slightly wrong",
    "Byzantine: help to leave alone",
    "Byzantine: false evidence",
    "Byzantine: a block that breaks a rule",
    "Byzantine: two proposals to one member",
    "Byzantine: proposals where a view begins",
    "Byzantine: a primary that votes",
    "Byzantine: crossed votes",
    "Byzantine: forged votes",
    "Byzantine: votes far ahead",
    "Byzantine: a view change with forged certificates",
    "Byzantine: a forged new view",
    "Byzantine: a forged SEEN",
    "Byzantine: no checkpoint",
    "Byzantine: a branch for one member",
    "Byzantine: misplaced certificates",
    "a member more than 65 blocks behind",
    "an epoch that began at a member",
    "an epoch change: renewal",
    "an epoch change: parameters",
    "several epoch changes in a run",
    "an epoch change in an idle network",
    "a change within an epoch",
    "an operation executed",
    "an operation failed",
    "an early empty block",
    "a crash in an epoch change",
    "a member that missed an epoch",
    "a recovering member that votes in the next epoch",
    "an old ledger of an earlier epoch",
    "an epoch that a member enters again",
    "a STATUS of a later epoch",
    "a message of a later epoch",
    "a message of an earlier epoch",
    "Byzantine members in a later epoch",
    "a member that was added",
    "a member that was removed",
    "a removed member whose journal had the end of its epoch",
    "an epoch change: rotation",
    "an epoch change: members",
    "an operation of a key without rights",
    "a message of a member of another epoch",
    "a waiting transaction rejected",
    "a transaction of a client that is not registered",
    "a block with transactions of registered clients only",
    "a block that uses up a quota",
];

/// How often each situation occurred.
#[derive(Debug, Clone, Default)]
pub struct Coverage(BTreeMap<&'static str, u64>);

impl Coverage {
    /// Counts a situation.
    ///
    /// # Panics
    /// If it is not one of [`SITUATIONS`].
    pub fn saw(&mut self, situation: &'static str) {
        if let Some(count) = self.0.get_mut(situation) {
            *count += 1;
            return;
        }
        assert!(SITUATIONS.contains(&situation), "{situation} is not in the list");
        self.0.insert(situation, 1);
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Coverage) {
        for (situation, count) in &other.0 {
            *self.0.entry(situation).or_default() += count;
        }
    }

    /// Every situation with its count.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        SITUATIONS.iter().map(|situation| (*situation, self.0.get(situation).copied().unwrap_or(0)))
    }

    /// The situations that never occurred.
    pub fn missing(&self) -> Vec<&'static str> {
        self.counts().filter(|(_, count)| *count == 0).map(|(situation, _)| situation).collect()
    }
}
