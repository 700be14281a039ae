//! What a validator tells its observers: where it stands.

use std::time::Duration;

use quorate_engine::HeadClaim;
use quorate_network::Network;
use quorate_pbft::Moment;

/// The last thing that was told.
pub(crate) struct Heads {
    network: Network,
    /// Whether there is anybody to tell.
    has_observers: bool,
    /// The same is told again this often: whoever was refused an answer asks again then.
    interval: Duration,
    told: Option<(HeadClaim, Moment)>,
}

impl Heads {
    pub(crate) fn new(network: Network, interval: Duration) -> Self {
        let has_observers = !network.observers().is_empty();
        Heads { network, has_observers, interval, told: None }
    }

    /// Somebody is new here: all are told next time.
    pub(crate) fn greet(&mut self) {
        self.told = None;
    }

    /// Tells all observers where this validator stands now, if that is new or was told some while ago. At most one
    /// message of some bytes to each for a group of events.
    pub(crate) fn tell(&mut self, now: Moment, claim: HeadClaim) {
        let is_known = |(told, at): (HeadClaim, Moment)| told == claim && now.since(at) < self.interval;
        if !self.has_observers || self.told.is_some_and(is_known) {
            return;
        }
        self.network.tell_observers(claim.to_message().into());
        self.told = Some((claim, now));
    }
}
