//! STATUS: the progress of a replica (R14).

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{BlockHash, Epoch, Height, Signed, Signers, Verified, View, bounded};

use crate::config::{EpochContext, MAX_WINDOW};
use crate::messages::proposal::PrePrepare;
use crate::messages::rejected::Rejected;
use crate::signing::seen::HighWaterMark;

/// Most slots in a STATUS: 2 W for the largest window.
pub const MAX_STATUS_SLOTS: u32 = 64;
const _: () = assert!(MAX_STATUS_SLOTS as u64 == 2 * MAX_WINDOW, "a STATUS has room for every open height");

/// The progress of a replica, so that others can send what it lacks (R14). It is not signed, but
/// arrives on an authenticated channel. A replica uses it only as R12, R14, R15 and R24 say.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Status {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its view.
    pub view: View,
    /// Whether that view has begun at the sender. Otherwise it waits for the NEW-VIEW.
    pub active: bool,
    /// Height of its last committed block.
    pub committed: Height,
    /// Hash of that block.
    pub committed_hash: BlockHash,
    /// Height of its stable checkpoint.
    pub stable: Height,
    /// Its high-water mark (R24b).
    pub mark: HighWaterMark,
    /// Whether it is probing: it asks which of its statements others have received (R24a).
    pub probing: bool,
    /// The PRE-PREPARE of the last superseded proposal of its view (R14d). A receiver that
    /// remembers the PRE-PREPARE of the final block can prove the equivocation (R22a).
    pub superseded: Option<Signed<PrePrepare>>,
    /// The open heights in its view, ascending.
    #[borsh(deserialize_with = "bounded::<MAX_STATUS_SLOTS, _, _>")]
    pub slots: Vec<SlotStatus>,
}

impl Status {
    /// Whether the sender needs the NEW-VIEW of this view.
    pub(crate) fn lacks_view(&self, view: View) -> bool {
        self.view < view || self.view == view && !self.active
    }
}

/// What a replica holds of one open height in its view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SlotStatus {
    /// The height.
    pub height: Height,
    /// The proposed block, if it has the proposal.
    pub proposal: Option<BlockHash>,
    /// The members whose PREPARE it has.
    pub prepares: Signers,
    /// The members whose COMMIT it has.
    pub commits: Signers,
}

/// A STATUS. Its superseded proposal, if it contains one, was signed by the primary of that view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedStatus {
    status: Status,
    superseded: Option<Verified<Signed<PrePrepare>>>,
}

impl CheckedStatus {
    pub(super) fn check(mut status: Status, context: &EpochContext) -> Result<Self, Rejected> {
        let Some(vote) = status.superseded.take() else {
            return Ok(CheckedStatus { status, superseded: None });
        };
        let (ballot, signer) = (vote.body.0, vote.signer);
        if ballot.epoch != context.epoch() {
            return Err(Rejected::Epoch(ballot.epoch));
        }
        if signer != context.committee.primary(ballot.view) {
            return Err(Rejected::NotPrimary { signer, view: ballot.view });
        }
        let superseded = Some(context.verify(vote)?);
        Ok(CheckedStatus { status, superseded })
    }

    /// The unsigned claims of the sender, without the superseded proposal.
    pub fn claim(&self) -> &Status {
        &self.status
    }

    /// The superseded proposal that it contains.
    pub(crate) fn superseded(&self) -> Option<&Verified<Signed<PrePrepare>>> {
        self.superseded.as_ref()
    }
}
