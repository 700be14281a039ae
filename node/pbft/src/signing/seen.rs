//! High-water marks: the furthest statements that a member has signed (R24).

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Commit, Epoch, Height, ReplicaId, Signed, View};

use crate::config::EpochContext;
use crate::messages::proposal::{PrePrepare, Prepare};
use crate::messages::rejected::Rejected;
use crate::view_change::statements::{NewView, ViewChange};

/// A high-water mark: the furthest statement of each kind of one member. Of each kind, a correct
/// member only moves forward: views grow, and in a view heights grow (R3, R10).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HighWaterMark {
    /// View and height of its last PRE-PREPARE or PREPARE.
    pub accepted: (View, Height),
    /// View and height of its last COMMIT.
    pub committed: (View, Height),
    /// View of its last VIEW-CHANGE.
    pub left: View,
    /// View of its last NEW-VIEW.
    pub opened: View,
}

impl HighWaterMark {
    /// Whether some kind in it goes further than in the other.
    pub fn exceeds(&self, other: &HighWaterMark) -> bool {
        self.accepted > other.accepted
            || self.committed > other.committed
            || self.left > other.left
            || self.opened > other.opened
    }

    /// The further of both, for each kind.
    #[must_use]
    pub fn max(self, other: HighWaterMark) -> HighWaterMark {
        HighWaterMark {
            accepted: self.accepted.max(other.accepted),
            committed: self.committed.max(other.committed),
            left: self.left.max(other.left),
            opened: self.opened.max(other.opened),
        }
    }
}

/// The furthest statements that were received of one member, with their signatures. A claim without
/// signatures must not stop a member from signing.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Seen {
    /// The epoch of the member that received them. An answer of another epoch says nothing about
    /// this one (R26f).
    pub epoch: Epoch,
    /// Its last PRE-PREPARE.
    pub pre_prepare: Option<Signed<PrePrepare>>,
    /// Its last PREPARE.
    pub prepare: Option<Signed<Prepare>>,
    /// Its last COMMIT.
    pub commit: Option<Signed<Commit>>,
    /// Its last VIEW-CHANGE.
    pub view_change: Option<Signed<ViewChange>>,
    /// Its last NEW-VIEW.
    pub new_view: Option<Signed<NewView>>,
}

fn keep<T: Clone, K: PartialOrd>(
    slot: &mut Option<Signed<T>>,
    new: &Signed<T>,
    key: impl Fn(&T) -> K,
) -> bool {
    let further = slot.as_ref().is_none_or(|old| key(&new.body) > key(&old.body));
    if further {
        *slot = Some(new.clone());
    }
    further
}

impl Seen {
    /// No statement was received in this epoch.
    pub fn nothing(epoch: Epoch) -> Self {
        Seen { epoch, ..Seen::default() }
    }

    /// Keeps a statement if it goes further than the one before. `true` if it does.
    pub(crate) fn pre_prepared(&mut self, vote: &Signed<PrePrepare>) -> bool {
        keep(&mut self.pre_prepare, vote, |body| (body.0.view, body.0.height))
    }

    pub(crate) fn prepared(&mut self, vote: &Signed<Prepare>) -> bool {
        keep(&mut self.prepare, vote, |body| (body.0.view, body.0.height))
    }

    pub(crate) fn committed(&mut self, vote: &Signed<Commit>) -> bool {
        keep(&mut self.commit, vote, |body| (body.0.view, body.0.height))
    }

    pub(crate) fn left(&mut self, vote: &Signed<ViewChange>) -> bool {
        keep(&mut self.view_change, vote, |body| body.view)
    }

    pub(crate) fn opened(&mut self, vote: &Signed<NewView>) -> bool {
        keep(&mut self.new_view, vote, |body| body.view)
    }

    /// The high-water mark of these statements. Signatures do not matter.
    pub fn mark(&self) -> HighWaterMark {
        let ballot = |ballot: &quorate_ledger::Ballot| (ballot.view, ballot.height);
        let pre_prepare = self.pre_prepare.as_ref().map(|vote| ballot(&vote.body.0)).unwrap_or_default();
        let prepare = self.prepare.as_ref().map(|vote| ballot(&vote.body.0)).unwrap_or_default();
        HighWaterMark {
            accepted: pre_prepare.max(prepare),
            committed: self.commit.as_ref().map(|vote| ballot(&vote.body.0)).unwrap_or_default(),
            left: self.view_change.as_ref().map(|vote| vote.body.view).unwrap_or_default(),
            opened: self.new_view.as_ref().map(|vote| vote.body.view).unwrap_or_default(),
        }
    }

    /// The member that is claimed to have signed it, by its first statement; `None` if it is empty.
    pub(crate) fn whose(&self) -> Option<ReplicaId> {
        let pre_prepare = self.pre_prepare.as_ref().map(|vote| vote.signer);
        let prepare = self.prepare.as_ref().map(|vote| vote.signer);
        let commit = self.commit.as_ref().map(|vote| vote.signer);
        let view_change = self.view_change.as_ref().map(|vote| vote.signer);
        let new_view = self.new_view.as_ref().map(|vote| vote.signer);
        pre_prepare.or(prepare).or(commit).or(view_change).or(new_view)
    }

    /// Checks that one member signed all of it, with up to five verifications. `None` if it is
    /// empty.
    pub(crate) fn check(&self, context: &EpochContext) -> Result<Option<ReplicaId>, Rejected> {
        if self.epoch != context.epoch() && !is(Mutant::SeenOfAnyEpoch) {
            return Err(Rejected::Epoch(self.epoch));
        }
        let mut whose = None;
        let mut one = |signer: ReplicaId, claimed: Epoch| {
            if claimed != context.epoch() {
                return Err(Rejected::Epoch(claimed));
            }
            if *whose.get_or_insert(signer) == signer { Ok(()) } else { Err(Rejected::Evidence) }
        };
        if let Some(vote) = &self.pre_prepare {
            one(vote.signer, vote.body.0.epoch)?;
            context.verify_unless(Mutant::SeenUnchecked, vote.clone())?;
        }
        if let Some(vote) = &self.prepare {
            one(vote.signer, vote.body.0.epoch)?;
            context.verify_unless(Mutant::SeenUnchecked, vote.clone())?;
        }
        if let Some(vote) = &self.commit {
            one(vote.signer, vote.body.0.epoch)?;
            context.verify_unless(Mutant::SeenUnchecked, vote.clone())?;
        }
        if let Some(vote) = &self.view_change {
            one(vote.signer, vote.body.epoch)?;
            context.verify_unless(Mutant::SeenUnchecked, vote.clone())?;
        }
        if let Some(vote) = &self.new_view {
            one(vote.signer, vote.body.epoch)?;
            context.verify_unless(Mutant::SeenUnchecked, vote.clone())?;
        }
        Ok(whose)
    }
}
