//! Claims of members that are in a later epoch: in a STATUS, or in a head status.

use std::time::Duration;

use quorate_engine::HeadStatus;
use quorate_ledger::{Epoch, Height};
use quorate_pbft::{Message, Moment};

/// An unproven claim of a member: its epoch, and the height of its last committed block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    epoch: Epoch,
    committed: Height,
}

impl Claim {
    /// The claim in a protocol message, if it is a STATUS.
    pub(crate) fn of(message: &Message) -> Option<Self> {
        let Message::Status(status) = message else { return None };
        Some(Claim { epoch: status.epoch, committed: status.committed })
    }
}

impl From<HeadStatus> for Claim {
    fn from(head: HeadStatus) -> Self {
        Claim { epoch: head.epoch, committed: head.committed }
    }
}

/// Limits how often claims of later epochs of one member reach the engine: once in a status
/// interval, like the expensive messages that the screen lets pass (R25d).
///
/// A replica that missed the end of its epoch learns only from them that it must fetch blocks. In
/// its own epoch it receives no messages any more once the other members have gone on. If the next
/// committee does not contain its key, the members treat it as an observer and send it a head status
/// instead of STATUS.
#[derive(Debug)]
pub(crate) struct AheadLimit {
    interval: Duration,
    last: Option<Moment>,
}

impl AheadLimit {
    pub(crate) fn new(interval: Duration) -> Self {
        AheadLimit { interval, last: None }
    }

    /// The claimed height, if the claim is of an epoch after this one and due.
    pub(crate) fn admit(&mut self, now: Moment, epoch: Epoch, claim: Claim) -> Option<Height> {
        let is_due = self.last.is_none_or(|last| now.since(last) >= self.interval);
        if claim.epoch <= epoch || !is_due {
            return None;
        }
        self.last = Some(now);
        Some(claim.committed)
    }
}
