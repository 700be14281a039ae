//! The state of a line, which the lines set and each connection obeys, and what has passed.

use std::time::Duration;

/// What happens to bytes in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// They are delivered.
    #[default]
    Open,
    /// They wait until the direction is open again, and are then delivered.
    Held,
    /// They are dropped. Connections that may have lost bytes are cut when the direction opens,
    /// because the rest of their streams is useless.
    Lost,
}

/// The state of a line.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Line {
    /// From the validator with the lower index to the other, and back.
    deliveries: [Delivery; 2],
    /// Additional delay of bytes, in each direction.
    pub(super) delay: Duration,
    /// Whether new connections are refused.
    pub(super) refuses: bool,
    /// How many times all its connections were cut.
    pub(super) cuts: u64,
}

impl Line {
    pub(crate) fn delivery(&self, upward: bool) -> Delivery {
        self.deliveries[usize::from(!upward)]
    }

    pub(crate) fn delay(&self) -> Duration {
        self.delay
    }

    pub(super) fn set(&mut self, upward: bool, delivery: Delivery) {
        let present = &mut self.deliveries[usize::from(!upward)];
        if *present == Delivery::Lost && delivery != Delivery::Lost {
            self.cuts += 1;
        }
        *present = delivery;
    }
}

/// What has passed all lines, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// Bytes as they are on the wire: encrypted.
    pub bytes: u64,
    /// Number of reads that returned data. One message is one piece or more; messages that arrive
    /// together are one.
    pub pieces: u64,
}
