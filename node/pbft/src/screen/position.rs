//! The position of a replica, which it publishes after each step (R25a).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_ledger::{BlockHash, Epoch, Height, ReplicaId, View};

use crate::checkpoint::certificate::Checkpoint;
use crate::evidence::superseded::FinalProposals;
use crate::messages::statement::Subject;
use crate::replica::Replica;
use crate::signing::SigningState;
use crate::signing::seen::{HighWaterMark, Seen};
use crate::view_change::statements::{NewView, ViewChange};

/// What a [`crate::Screen`] needs to know of a replica to find the messages that it would ignore.
/// It takes a few hundred bytes for each member and 50 for each slot. It shares the PRE-PREPAREs of
/// the last final blocks.
///
/// A position may be old when it is used. The screen therefore relies on facts that stay true:
/// committed heights stay committed, left views stay left, and known statements stay known (R25b).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The epoch of the replica. Everything else is about this epoch (R26f).
    pub(crate) epoch: Epoch,
    pub(crate) view: View,
    pub(crate) active: bool,
    /// The NEW-VIEW of the view that was entered last.
    pub(crate) begun: Option<NewView>,
    /// The last height that the current view proposes again, or its anchor's (R20).
    pub(crate) again_through: Option<Height>,
    pub(crate) committed: Height,
    /// The highest height at which the replica takes proposals and votes (R7, R23, R26b).
    pub(crate) top: Height,
    /// The high-water mark of the replica itself (R24b).
    pub(crate) mark: HighWaterMark,
    /// While the replica is probing: the members that have answered (R24a).
    pub(crate) probing: Option<BTreeSet<ReplicaId>>,
    /// The slots, each with the block that is proposed there.
    pub(crate) slots: BTreeMap<(Height, View), Option<BlockHash>>,
    /// PRE-PREPAREs of final blocks. Another block for the same view and height proves a fault
    /// (R14d).
    pub(crate) final_proposals: Arc<FinalProposals>,
    /// By index of the member.
    pub(crate) members: Vec<Known>,
}

/// What a replica knows of one member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) said: Said,
    /// Its latest VIEW-CHANGE.
    pub(crate) view_change: Option<ViewChange>,
    /// The height of the anchor of that VIEW-CHANGE.
    pub(crate) anchor: Height,
    /// Its CHECKPOINTs that are kept, ascending by height.
    pub(crate) checkpoints: Vec<Checkpoint>,
    /// The subjects of the evidence against it.
    pub(crate) accused: BTreeSet<Subject>,
}

/// The furthest statement of each kind that is known of a member. R24b remembers every further one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) pre_prepare: Option<(View, Height)>,
    pub(crate) prepare: Option<(View, Height)>,
    pub(crate) commit: Option<(View, Height)>,
    pub(crate) view_change: Option<View>,
    pub(crate) new_view: Option<View>,
}

impl Said {
    fn of(seen: &Seen) -> Self {
        let place = |ballot: &quorate_ledger::Ballot| (ballot.view, ballot.height);
        Said {
            pre_prepare: seen.pre_prepare.as_ref().map(|vote| place(&vote.body.0)),
            prepare: seen.prepare.as_ref().map(|vote| place(&vote.body.0)),
            commit: seen.commit.as_ref().map(|vote| place(&vote.body.0)),
            view_change: seen.view_change.as_ref().map(|vote| vote.body.view),
            new_view: seen.new_view.as_ref().map(|vote| vote.body.view),
        }
    }
}

/// The part of a position that decides about repetitions (R25c). Positions with equal stamps treat
/// a repeated proposal or vote alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    view: View,
    active: bool,
    committed: Height,
    top: Height,
}

impl Position {
    pub(crate) fn stamp(&self) -> Stamp {
        let Position { view, active, committed, top, .. } = *self;
        Stamp { view, active, committed, top }
    }

    /// What is known of a member; `None` if there is no such member.
    pub(crate) fn member(&self, replica: ReplicaId) -> Option<&Known> {
        self.members.get(replica.index())
    }

    /// The last committed height.
    pub fn committed(&self) -> Height {
        self.committed
    }
}

impl Replica {
    /// The position of this replica. Publish it before the messages of a step leave. The answers to
    /// these messages are then screened by a position that knows about them (R25a).
    pub fn position(&self) -> Position {
        let root = self.config.context.root.height;
        let known = |replica: ReplicaId| Known {
            said: self.signing.seen_of(replica).map(Said::of).unwrap_or_default(),
            view_change: self.views.change_of(replica).map(|change| change.vote().body),
            anchor: self.views.change_of(replica).map_or(root, |change| change.anchor_height(root)),
            checkpoints: self.checkpoints.of(replica).iter().map(|vote| vote.body).collect(),
            accused: self.faults.of(replica).cloned().unwrap_or_default(),
        };
        let block_of =
            |slot: &crate::votes::slot::Slot| slot.proposal().map(|proposal| proposal.ballot().block);
        let entered = self.views.entered();
        Position {
            epoch: self.config.context.epoch(),
            view: self.views.view(),
            active: self.views.is_active(),
            begun: entered.map(|entered| entered.vote().body),
            again_through: entered
                .filter(|entered| entered.view() == self.views.view())
                .map(|entered| entered.end()),
            committed: self.chain.height(),
            top: self.top(),
            mark: self.signing.mark(),
            probing: match self.signing.state() {
                SigningState::Probing { answered } => Some(answered.clone()),
                SigningState::Enabled | SigningState::Recovering { .. } => None,
            },
            slots: self.log.slots().map(|(height, view, slot)| ((height, view), block_of(slot))).collect(),
            final_proposals: self.faults.final_proposals(),
            members: self.config.context.committee.replicas().map(known).collect(),
        }
    }
}
