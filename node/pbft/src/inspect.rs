//! A look at a replica from outside, for status pages and explanations.

use quorate_ledger::{BlockHash, Epoch, Height, ReplicaId, View};

use crate::replica::Replica;
use crate::slot::Stage;
use crate::time::Moment;

/// How far a height has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No proposal seen, but votes.
    WaitingForProposal,
    /// The proposal waits for its parent.
    WaitingForParent,
    /// Its transactions are fetched or checked.
    Examining,
    /// Its time lies ahead of our clock.
    WaitingForClock,
    /// It breaks a rule.
    Refused,
    /// Accepted; waits for PREPAREs, or for the height below.
    PrePrepared,
    /// Prepared; waits for COMMITs.
    Prepared,
}

/// One height in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotOverview {
    /// The height.
    pub height: Height,
    /// The view.
    pub view: View,
    /// The proposed block.
    pub block: Option<BlockHash>,
    /// Transactions in the proposed block.
    pub transactions: Option<u32>,
    /// How far it has come.
    pub phase: Phase,
    /// Whose PREPARE is here (the primary sends none).
    pub prepares: Vec<ReplicaId>,
    /// Whose COMMIT is here.
    pub commits: Vec<ReplicaId>,
    /// When it was first heard of, it was accepted, or the committed chain last grew, whichever was last.
    pub since: Moment,
}

/// Where a replica stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// The epoch.
    pub epoch: Epoch,
    /// The view.
    pub view: View,
    /// The view's primary.
    pub primary: ReplicaId,
    /// The last committed height.
    pub committed: Height,
    /// Heights in flight, ascending.
    pub slots: Vec<SlotOverview>,
    /// Since when work is pending and nothing was committed.
    pub pending_since: Option<Moment>,
}

impl Replica {
    /// Where this replica stands.
    pub fn overview(&self) -> Overview {
        let slots = self
            .slots
            .iter()
            .map(|((height, view), slot)| SlotOverview {
                height: *height,
                view: *view,
                block: slot.proposal().map(|proposal| proposal.ballot().block),
                transactions: slot.proposal().map(|proposal| proposal.outline().header().transaction_count),
                phase: match slot.stage {
                    Stage::Empty => Phase::WaitingForProposal,
                    Stage::Waiting { .. } => Phase::WaitingForParent,
                    Stage::Examining { .. } => Phase::Examining,
                    Stage::Held { .. } => Phase::WaitingForClock,
                    Stage::Refused { .. } => Phase::Refused,
                    Stage::Accepted { .. } => Phase::PrePrepared,
                    Stage::Prepared { .. } => Phase::Prepared,
                },
                prepares: slot.prepares.signers().iter().collect(),
                commits: slot.commits.signers().iter().collect(),
                since: slot.since,
            })
            .collect();
        Overview {
            epoch: self.config.epoch,
            view: self.view,
            primary: self.primary(),
            committed: self.tip.height,
            slots,
            pending_since: self.pending_since,
        }
    }
}
