//! Sends the head status of a validator to the nodes that follow it without a vote.

use std::time::Duration;

use bytes::Bytes;
use quorate_engine::HeadStatus;
use quorate_network::{Network, PeerKey};
use quorate_pbft::Moment;

/// The last head status that was sent in an epoch.
pub(crate) struct HeadSender {
    network: Network,
    /// An unchanged status is sent again after this time, so that an observer whose request was
    /// refused tries again.
    interval: Duration,
    last_sent: Option<(HeadStatus, Moment)>,
}

impl HeadSender {
    pub(crate) fn new(network: Network, interval: Duration) -> Self {
        HeadSender { network, interval, last_sent: None }
    }

    /// A new observer has connected: send the status again with the next call.
    pub(crate) fn send_again(&mut self) {
        self.last_sent = None;
    }

    /// Sends the head status to these nodes if it is new or the last one is at least `interval` old.
    /// At most one message of some bytes to each of them for a group of events.
    pub(crate) fn send_if_due<'a>(
        &mut self,
        now: Moment,
        claim: HeadStatus,
        followers: impl Iterator<Item = &'a PeerKey>,
    ) {
        let is_known = |(sent, at): (HeadStatus, Moment)| sent == claim && now.since(at) < self.interval;
        let mut followers = followers.peekable();
        if followers.peek().is_none() || self.last_sent.is_some_and(is_known) {
            return;
        }
        let message = Bytes::from(claim.to_message());
        followers.for_each(|follower| self.network.send(*follower, message.clone()));
        self.last_sent = Some((claim, now));
    }
}
