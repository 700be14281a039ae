//! What the governance state says about the heights ahead: which of them may be judged, where the
//! epoch ends, and which are ordered even without transactions (R26).

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{BlockError, Hash, Header, Height};

use crate::replica::Replica;

/// The last block of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// Its height: the last one that the committee of the epoch orders.
    pub last: Height,
    /// The hash of the committee of the next epoch: the field `next_committee` of its header.
    pub next_committee: Hash,
}

/// What the governance state after one block says about the heights ahead. A later schedule of the
/// same epoch contains at least as much, and contradicts nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// The governance state is known after this block. It may be below the last committed block.
    pub executed: Height,
    /// The last height that may be judged (R26a). The configuration of this height and of the one
    /// above are known. A change takes effect W + 1 heights above its decision, so this is at least
    /// `executed` + W.
    pub judgeable: Height,
    /// The end of this epoch, once a change is scheduled that ends it (R26b).
    pub end: Option<EpochEnd>,
    /// Heights up to this one are ordered even without transactions, because a scheduled change
    /// takes effect above it (R26c).
    pub fill_through: Option<Height>,
}

impl Schedule {
    /// The schedule of a network whose configuration never changes: every height may be judged, and
    /// the epoch does not end.
    pub const FIXED: Schedule =
        Schedule { executed: Height(u64::MAX), judgeable: Height(u64::MAX), end: None, fill_through: None };

    /// The schedule after this block, with window W, while no change is scheduled.
    pub fn without_changes(executed: Height, window: u64) -> Schedule {
        Schedule { executed, judgeable: executed.plus(window), end: None, fill_through: None }
    }

    /// Checks a later schedule against this one.
    ///
    /// # Panics
    /// If it goes back, or contradicts this one. The heights between may already be judged, so the
    /// node must not continue.
    fn assert_precedes(&self, later: &Schedule) {
        assert!(
            later.executed >= self.executed && later.judgeable >= self.judgeable,
            "R26: the schedule goes back from {self:?} to {later:?}"
        );
        match (self.end, later.end) {
            (Some(known), end) => {
                assert_eq!(end, Some(known), "R26: the schedule contradicts the end of the epoch");
            }
            // Heights up to `judgeable` were judged as heights before the last one.
            (None, Some(end)) => assert!(
                end.last > self.judgeable,
                "R26: the schedule ends the epoch at height {}, which may be judged already",
                end.last
            ),
            (None, None) => {}
        }
    }
}

impl Replica {
    /// What the replica knows of the heights ahead.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Upon a new schedule: takes it, and drops what is about heights beyond the epoch (R26b).
    pub(crate) fn on_scheduled(&mut self, schedule: Schedule) {
        self.schedule.assert_precedes(&schedule);
        self.schedule = schedule;
        if let Some(end) = schedule.end {
            self.log.drop_above(end.last);
        }
        self.assert_agrees_with_schedule(self.chain.tip());
    }

    /// The hash of the committee that certifies the block above `height`: the field
    /// `next_committee` of the header at `height` (R5, R26b).
    ///
    /// It is known for heights up to `judgeable` in the schedule.
    pub fn next_committee_at(&self, height: Height) -> Hash {
        match self.schedule.end {
            Some(end) if height >= end.last => end.next_committee,
            _ => self.config.context.committee.hash(),
        }
    }

    /// The last height of this epoch as far as it is known (R26b).
    pub(crate) fn last_height(&self) -> Height {
        self.schedule.end.filter(|_| !is(Mutant::EpochEndIgnored)).map_or(Height(u64::MAX), |end| end.last)
    }

    /// The highest height at which the replica may judge and propose (R26a, R26b).
    pub(crate) fn judgeable_through(&self) -> Height {
        let judgeable = if is(Mutant::JudgedUnexecuted) { Height(u64::MAX) } else { self.schedule.judgeable };
        judgeable.min(self.last_height())
    }

    /// R26d: whether the last block of the epoch is committed here. The replica signs nothing more,
    /// and leaves no view. It still answers STATUS until the replica of the next epoch replaces it.
    pub fn epoch_is_over(&self) -> bool {
        let tip = self.chain.tip();
        // The last block may be fetched before the schedule shows it.
        let of_epoch = tip.height > self.config.context.root.height;
        of_epoch && (tip.ends_epoch() || tip.height >= self.last_height())
    }

    /// Whether the replica may sign new statements: signing is enabled (R24), and the epoch is not
    /// over (R26d).
    pub(crate) fn may_sign(&self) -> bool {
        self.signing.is_enabled() && !self.epoch_is_over()
    }

    /// R26c: whether a height is to be ordered now although no transaction needs it: a scheduled
    /// change takes effect above it. This is pending work like a transaction.
    pub(crate) fn needs_filler(&self) -> bool {
        !self.epoch_is_over()
            && self.schedule.fill_through.is_some_and(|through| through > self.chain.height())
    }

    /// R26c: whether this replica may propose a filler now: an empty block earlier than
    /// `empty_block_gap` above its parent. It may propose, nothing is in flight, the last committed
    /// block is executed, and the state after that block requires the height above.
    pub fn may_fill(&self) -> bool {
        let on_tip = self.proposal_parent().is_some_and(|parent| parent.height == self.chain.height());
        on_tip && self.schedule.executed >= self.chain.height() && self.needs_filler()
    }

    /// R26a, R26c: whether enough is executed to judge a block with this header on this parent. The
    /// replica holds the block until then.
    pub(crate) fn may_judge(&self, header: &Header, parent: &Header) -> bool {
        let needs_state =
            header.check_gap(parent, &self.config.limits).is_err() && !is(Mutant::FillerUnchecked);
        header.height <= self.judgeable_through() && (!needs_state || self.schedule.executed >= parent.height)
    }

    /// R26c: an empty block comes after the gap of R17, or at a height that the state after its
    /// parent fills.
    pub(crate) fn check_gap(&self, header: &Header, parent: &Header) -> Result<(), BlockError> {
        let fills = self.schedule.executed >= parent.height
            && self.schedule.fill_through.is_some_and(|through| header.height <= through);
        if fills || is(Mutant::FillerUnchecked) {
            return Ok(());
        }
        header.check_gap(parent, &self.config.limits)
    }

    /// Compares a certified block of this epoch with the schedule (R26).
    ///
    /// # Panics
    /// If they contradict each other. The governance state of this node is wrong then, or more than
    /// f members are faulty.
    pub(crate) fn assert_agrees_with_schedule(&self, header: &Header) {
        let height = header.height;
        if height <= self.config.context.root.height {
            return;
        }
        let ended = self.schedule.end.is_some_and(|end| height > end.last);
        assert!(
            !ended,
            "R26: the block at height {height} is certified by a committee whose epoch has ended"
        );
        let known = height <= self.schedule.judgeable;
        assert!(
            !known || header.next_committee == self.next_committee_at(height),
            "R26: the certified block at height {height} contradicts the governance state of this node"
        );
    }
}
