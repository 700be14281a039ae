//! Sends the head status of a validator to its observers.

use std::time::Duration;

use quorate_engine::HeadStatus;
use quorate_network::Network;
use quorate_pbft::Moment;

/// The last head status that was sent.
pub(crate) struct HeadSender {
    network: Network,
    /// Whether the network has observers.
    has_observers: bool,
    /// An unchanged status is sent again after this time, so that an observer whose request was
    /// refused tries again.
    interval: Duration,
    last_sent: Option<(HeadStatus, Moment)>,
}

impl HeadSender {
    pub(crate) fn new(network: Network, interval: Duration) -> Self {
        let has_observers = !network.observers().is_empty();
        HeadSender { network, has_observers, interval, last_sent: None }
    }

    /// A new observer has connected: send the status again with the next call.
    pub(crate) fn send_again(&mut self) {
        self.last_sent = None;
    }

    /// Sends the head status to all observers if it is new or the last one is at least `interval`
    /// old. At most one message of some bytes to each observer for a group of events.
    pub(crate) fn send_if_due(&mut self, now: Moment, claim: HeadStatus) {
        let is_known = |(sent, at): (HeadStatus, Moment)| sent == claim && now.since(at) < self.interval;
        if !self.has_observers || self.last_sent.is_some_and(is_known) {
            return;
        }
        self.network.tell_observers(claim.to_message().into());
        self.last_sent = Some((claim, now));
    }
}
