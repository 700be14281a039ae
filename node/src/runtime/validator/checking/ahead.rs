//! STATUS messages of later epochs.

use std::time::Duration;

use quorate_ledger::{Epoch, Height};
use quorate_pbft::{Message, Moment};

/// Limits how often STATUS messages of later epochs of one member reach the engine: once in a status
/// interval, like the expensive messages that the screen lets pass (R25d).
///
/// A replica that missed the end of its epoch learns only from them that it must fetch blocks. In
/// its own epoch it hears no messages any more once the other members have gone on.
#[derive(Debug)]
pub(crate) struct AheadLimit {
    interval: Duration,
    last: Option<Moment>,
}

impl AheadLimit {
    pub(crate) fn new(interval: Duration) -> Self {
        AheadLimit { interval, last: None }
    }

    /// The committed height that the message claims, if it is a STATUS of an epoch after this one
    /// and due.
    pub(crate) fn admit(&mut self, now: Moment, epoch: Epoch, message: &Message) -> Option<Height> {
        let Message::Status(status) = message else { return None };
        let is_due = self.last.is_none_or(|last| now.since(last) >= self.interval);
        if status.epoch <= epoch || !is_due {
            return None;
        }
        self.last = Some(now);
        Some(status.committed)
    }
}
