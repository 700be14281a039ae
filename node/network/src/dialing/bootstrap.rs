//! Bootstrap addresses without a peer id: it is not known yet which member each belongs to.
//!
//! Each is dialed until a member answers. From then on it is treated as an address of that member.
//! It returns to this list only when a different peer answers there.

use std::time::Instant;

use fastrand::Rng;
use libp2p::Multiaddr;

use crate::dialing::schedule::Pace;
use crate::identity::PeerKey;

/// All bootstrap addresses without a peer id.
pub(crate) struct Bootstrap {
    pace: Pace,
    jitter: Rng,
    entries: Vec<Entry>,
}

struct Entry {
    address: Multiaddr,
    state: State,
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting(Instant),
    Dialing,
    /// This member answered there.
    Answered(PeerKey),
    /// This node itself answered there.
    Own,
}

impl Bootstrap {
    /// All addresses are due at once.
    pub(crate) fn new(addresses: Vec<Multiaddr>, pace: Pace, now: Instant, jitter: Rng) -> Self {
        let entry = |address| Entry { address, state: State::Waiting(now), failures: 0 };
        Self { pace, jitter, entries: addresses.into_iter().map(entry).collect() }
    }

    /// Takes the indexes of the addresses that should be dialed now.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<usize> {
        let mut due = Vec::new();
        for (number, entry) in self.entries.iter_mut().enumerate() {
            if matches!(entry.state, State::Waiting(at) if at <= now) {
                entry.state = State::Dialing;
                due.push(number);
            }
        }
        due
    }

    /// When to call [`Bootstrap::take_due`] next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let waiting = self.entries.iter().filter_map(|entry| match entry.state {
            State::Waiting(at) => Some(at),
            _ => None,
        });
        waiting.min()
    }

    /// The address with this index.
    pub(crate) fn address(&self, number: usize) -> Option<Multiaddr> {
        self.entries.get(number).map(|entry| entry.address.clone())
    }

    /// How many attempts at this address failed in a row.
    pub(crate) fn failures(&self, number: usize) -> usize {
        self.entries.get(number).map_or(0, |entry| entry.failures as usize)
    }

    /// The attempt failed: no answer, or an unknown peer answered.
    pub(crate) fn failed(&mut self, number: usize, now: Instant) {
        let Some(entry) = self.entries.get_mut(number) else { return };
        entry.failures = entry.failures.saturating_add(1);
        entry.state = State::Waiting(now + self.pace.back_off(entry.failures, &mut self.jitter));
    }

    /// The member `key` answered. Returns the address, which belongs to that member from now on.
    pub(crate) fn known(&mut self, number: usize, key: PeerKey) -> Option<Multiaddr> {
        let entry = self.entries.get_mut(number)?;
        entry.state = State::Answered(key);
        entry.failures = 0;
        Some(entry.address.clone())
    }

    /// This node itself answered.
    pub(crate) fn own(&mut self, number: usize) {
        if let Some(entry) = self.entries.get_mut(number) {
            entry.state = State::Own;
        }
    }

    /// A different peer answered where `key` was expected, so any of its addresses in this list may
    /// belong to another peer now. Schedules these addresses again and returns them.
    pub(crate) fn forget(&mut self, key: &PeerKey, now: Instant) -> Vec<Multiaddr> {
        let mut forgotten = Vec::new();
        for entry in self.entries.iter_mut().filter(|entry| entry.state == State::Answered(*key)) {
            entry.state = State::Waiting(now + self.pace.back_off(1, &mut self.jitter));
            forgotten.push(entry.address.clone());
        }
        forgotten
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::NetworkTiming;

    const KEY: PeerKey = PeerKey([2; 33]);

    fn bootstrap(now: Instant) -> Bootstrap {
        let addresses = ["/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.2/tcp/1"].map(|text| text.parse().unwrap());
        Bootstrap::new(addresses.to_vec(), Pace::from(&NetworkTiming::default()), now, Rng::new())
    }

    #[test]
    fn addresses_are_dialed_until_a_member_answers() {
        let now = Instant::now();
        let mut bootstrap = bootstrap(now);
        assert_eq!(bootstrap.take_due(now).len(), 2);
        bootstrap.known(0, KEY);
        bootstrap.failed(1, now);
        let again = bootstrap.next_due().unwrap();
        assert!(again > now);
        assert_eq!(bootstrap.take_due(again).len(), 1);
        bootstrap.own(1);
        assert_eq!(bootstrap.next_due(), None);
    }

    #[test]
    fn an_address_that_changed_hands_is_dialed_again() {
        let now = Instant::now();
        let mut bootstrap = bootstrap(now);
        bootstrap.take_due(now);
        let address = bootstrap.known(0, KEY).unwrap();
        assert_eq!(bootstrap.forget(&PeerKey([3; 33]), now), []);
        assert_eq!(bootstrap.forget(&KEY, now), [address]);
        assert!(bootstrap.next_due().is_some());
    }
}
