//! A look at a replica from outside, for status pages and explanations.

use std::time::Duration;

use quorate_ledger::{BlockHash, Epoch, Height, ReplicaId, View};

use crate::replica::Replica;
use crate::signing::SigningState;
use crate::signing::seen::Mark;
use crate::time::{Moment, Now};
use crate::timer::Timer;
use crate::votes::slot::{Slot, Stage};

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
    /// When it was first heard of, it was accepted, or votes made the committed chain grow, whichever was last.
    pub since: Moment,
}

/// Where a replica stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// The epoch.
    pub epoch: Epoch,
    /// The view.
    pub view: View,
    /// Whether the view has begun; otherwise a NEW-VIEW is waited for.
    pub active: bool,
    /// Whether this replica may sign (R24).
    pub standing: Standing,
    /// The view's primary.
    pub primary: ReplicaId,
    /// The last committed height.
    pub committed: Height,
    /// Heights in flight, ascending.
    pub slots: Vec<SlotOverview>,
    /// Since when work is pending and nothing was committed.
    pub pending_since: Option<Moment>,
    /// How long a view may take at present before it is left (R15).
    pub request_timeout: Duration,
    /// When the view is left unless something is committed, or begins, before.
    pub leaves_at: Option<Moment>,
    /// Who was heard of lately.
    pub contacts: Vec<ReplicaId>,
    /// Whose VIEW-CHANGE for this view or a later one is here.
    pub departed: Vec<ReplicaId>,
    /// Height of the stable checkpoint; 0 before the first.
    pub stable: Height,
    /// Height of the next CHECKPOINT to sign, which waits for the ledger to be durable.
    pub checkpoint_due: Option<Height>,
}

/// Whether a replica may sign (R24).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It asks others what they have seen of it; so many have answered, of so many it needs.
    Probing {
        /// Members that have answered.
        answered: usize,
        /// Members that must.
        needed: usize,
        /// The height to which the ledger must be caught up first, if it is an old copy.
        through: Option<Height>,
    },
    /// It takes part.
    Voting,
    /// Its files are older than what it signed: it follows and never signs.
    Recovering {
        /// How far others have seen it go.
        seen: Mark,
    },
}

impl Replica {
    fn standing(&self) -> Standing {
        match self.signing.state() {
            SigningState::Probing { answered } => {
                let needed = self.config.committee.quorum() - 1;
                let through = self.signing.ledger_lacks(self.chain.height());
                Standing::Probing { answered: answered.len(), needed, through }
            }
            SigningState::Enabled => Standing::Voting,
            SigningState::Recovering { seen } => Standing::Recovering { seen: *seen },
        }
    }

    /// Where this replica stands.
    pub fn overview(&self, now: Now) -> Overview {
        // Accepted on a block in whose place another one became final: in flight no more.
        let superseded = |height: Height, view: View, slot: &Slot| {
            view == self.views.view() && slot.accepted().is_some() && self.in_flight_at(height).is_none()
        };
        let slots = self
            .log
            .slots()
            .filter(|(height, view, slot)| !superseded(*height, *view, slot))
            .map(|(height, view, slot)| SlotOverview {
                height,
                view,
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
            view: self.views.view(),
            active: self.views.is_active(),
            standing: self.standing(),
            primary: self.primary(),
            committed: self.chain.height(),
            slots,
            pending_since: self.timers.started(Timer::Work),
            request_timeout: self.request_timeout(),
            leaves_at: self.view_deadline(),
            contacts: self.recently_heard(now).collect(),
            departed: self.departed().collect(),
            stable: self.checkpoints.stable_height(),
            checkpoint_due: self.checkpoints.next(),
        }
    }
}
