//! A replica's progress as the node shows it, for status pages and explanations.

use std::time::Duration;

use quorate_ledger::{BlockHash, Epoch, Height, ReplicaId, View};

use crate::replica::Replica;
use crate::signing::SigningState;
use crate::signing::seen::HighWaterMark;
use crate::time::{Moment, Now};
use crate::timer::Timer;
use crate::votes::slot::{Slot, Stage};

/// Progress of one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Votes are here, the proposal is not.
    WaitingForProposal,
    /// The proposal waits until its parent is accepted (R3), or until the blocks that decide about
    /// it are executed (R26).
    WaitingForParent,
    /// The engine fetches or checks its transactions (R5).
    Examining,
    /// The block's time and the wall clock differ too much (R6).
    WaitingForClock,
    /// The proposal breaks a rule (R5).
    Refused,
    /// Accepted. It waits for PREPAREs, or for the height below (R10).
    PrePrepared,
    /// Prepared. It waits for COMMITs.
    Prepared,
}

/// One open height in one view.
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
    /// Its progress.
    pub phase: Phase,
    /// The members whose PREPARE is here. The primary sends none (R9).
    pub prepares: Vec<ReplicaId>,
    /// The members whose COMMIT is here.
    pub commits: Vec<ReplicaId>,
    /// The last activity at this height (R14b): the slot was created, the proposal was accepted, or
    /// votes extended the committed chain.
    pub since: Moment,
}

/// The progress of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// The epoch.
    pub epoch: Epoch,
    /// The view.
    pub view: View,
    /// Whether the view has begun. Otherwise the replica waits for its NEW-VIEW.
    pub active: bool,
    /// Whether this replica may sign (R24).
    pub signing: SigningStatus,
    /// The view's primary.
    pub primary: ReplicaId,
    /// The last committed height.
    pub committed: Height,
    /// Open heights, ascending by height and view.
    pub slots: Vec<SlotOverview>,
    /// Since when work is pending without a commit; `None` while the timer does not run.
    pub pending_since: Option<Moment>,
    /// T: the request timeout in force (R15a).
    pub request_timeout: Duration,
    /// When the replica leaves the view unless a block is committed, or the view begins, before
    /// that.
    pub leaves_at: Option<Moment>,
    /// The members recently heard from (R15d).
    pub contacts: Vec<ReplicaId>,
    /// The members whose VIEW-CHANGE for this view or a later one is here.
    pub departed: Vec<ReplicaId>,
    /// Height of the stable checkpoint; of the root of the epoch before the first.
    pub stable: Height,
    /// Height of the next CHECKPOINT to sign. It waits until the ledger is durable there (R23).
    pub checkpoint_due: Option<Height>,
}

/// Whether a replica may sign: its signing state (R24).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningStatus {
    /// The replica asks others which of its statements they have received (R24a). It signs nothing
    /// new.
    Probing {
        /// Members that have answered.
        answered: usize,
        /// Members that must answer: q - 1.
        needed: usize,
        /// The height that the ledger must reach first, if it is an old copy (R24d).
        through: Option<Height>,
    },
    /// The replica takes part.
    Voting,
    /// The files are older than what the replica signed. It follows the chain and never signs
    /// (R24c).
    Recovering {
        /// The high-water mark that others know.
        seen: HighWaterMark,
    },
}

impl Replica {
    fn signing(&self) -> SigningStatus {
        match self.signing.state() {
            SigningState::Probing { answered } => {
                let needed = self.config.context.committee.quorum() - 1;
                let through = self.signing.ledger_lacks(self.chain.height());
                SigningStatus::Probing { answered: answered.len(), needed, through }
            }
            SigningState::Enabled => SigningStatus::Voting,
            SigningState::Recovering { seen } => SigningStatus::Recovering { seen: *seen },
        }
    }

    /// The progress of this replica.
    pub fn overview(&self, now: Now) -> Overview {
        // The block was accepted, but another block became final in place of one of its ancestors.
        // It is no longer in flight (R15b).
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
                transactions: slot.proposal().map(|proposal| proposal.skeleton().header().transaction_count),
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
            epoch: self.config.context.epoch(),
            view: self.views.view(),
            active: self.views.is_active(),
            signing: self.signing(),
            primary: self.primary(),
            committed: self.chain.height(),
            slots,
            pending_since: self.timers.started(Timer::Work),
            request_timeout: self.request_timeout(),
            leaves_at: self.leaves_at(),
            contacts: self.recently_heard(now).collect(),
            departed: self.departed().collect(),
            stable: self.checkpoints.stable_height(),
            checkpoint_due: self.checkpoints.next(),
        }
    }
}
