//! Decides which members to dial, and when. Time and randomness are arguments.
//!
//! Of each pair, the member with the smaller key dials at once. If both dialed, the two connections
//! would cross, and one of them would have to be closed each time. The other member dials only
//! after the pair was unconnected for a grace time, because it may be the only one that knows an
//! address that works. If both dial nevertheless, both connections are cut (see `driver`), and
//! jitter keeps the members from dialing at the same moment again. Members never dial observers, so
//! an observer dials every member at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::config::NetworkTiming;
use crate::identity::PeerKey;

/// The delays between attempts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    min: Duration,
    max: Duration,
    grace: Duration,
}

impl From<&NetworkTiming> for Pace {
    fn from(timing: &NetworkTiming) -> Self {
        Self { min: timing.redial_min, max: timing.redial_max, grace: timing.dial_grace }
    }
}

impl Pace {
    /// The delay after this many failures in a row. It doubles with each failure, and is random
    /// between half and all of that.
    pub(crate) fn back_off(&self, failures: u32, jitter: &mut Rng) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let full = self.min.saturating_mul(1 << doublings).min(self.max);
        full.mul_f64(0.5 + 0.5 * jitter.f64())
    }

    fn grace(&self, jitter: &mut Rng) -> Duration {
        self.grace.mul_f64(1.0 + 0.5 * jitter.f64())
    }
}

/// The attempts to reach each member.
#[derive(Debug)]
pub(crate) struct Dialing {
    pace: Pace,
    jitter: Rng,
    targets: BTreeMap<PeerKey, Target>,
}

#[derive(Debug)]
struct Target {
    /// Whether this node has the smaller key of the pair, so that it dials at once.
    dials_first: bool,
    state: State,
    /// Attempts in a row that failed, or that led to a connection which did not last.
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No address is known. The node waits until one is.
    Lost,
    /// The node dials the member at this time.
    Waiting(Instant),
    /// An attempt is in progress.
    Dialing,
    /// There is a connection.
    Connected,
}

impl Dialing {
    /// A schedule without members.
    pub(crate) fn new(pace: Pace, jitter: Rng) -> Self {
        Self { pace, jitter, targets: BTreeMap::new() }
    }

    /// Schedules a member: at once if `dials_first`, whether this node is the one of the pair that
    /// dials at once, and otherwise after the grace time. With `connected`, only when
    /// [`Dialing::closed`] reports the end of its connection.
    pub(crate) fn add(&mut self, key: PeerKey, dials_first: bool, connected: bool, now: Instant) {
        let due = if dials_first { now } else { now + self.pace.grace(&mut self.jitter) };
        let state = if connected { State::Connected } else { State::Waiting(due) };
        self.targets.insert(key, Target { dials_first, state, failures: 0 });
    }

    /// Removes a member. The outcome of an attempt to reach it is ignored.
    pub(crate) fn remove(&mut self, key: &PeerKey) {
        self.targets.remove(key);
    }

    /// Takes the members that should be dialed now. The caller must report the outcome of each with
    /// one of the methods below.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<PeerKey> {
        let mut due = Vec::new();
        for (key, target) in &mut self.targets {
            if matches!(target.state, State::Waiting(at) if at <= now) {
                target.state = State::Dialing;
                due.push(*key);
            }
        }
        due
    }

    /// When to call [`Dialing::take_due`] next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let waiting = self.targets.values().filter_map(|target| match target.state {
            State::Waiting(at) => Some(at),
            _ => None,
        });
        waiting.min()
    }

    /// Members without a connection.
    pub(crate) fn missing(&self) -> impl Iterator<Item = &PeerKey> {
        self.targets.iter().filter(|(_, target)| target.state != State::Connected).map(|(key, _)| key)
    }

    /// A connection exists, dialed by either side. It does not count as a success yet: a peer that
    /// refuses this node closes the connection only afterwards.
    pub(crate) fn connected(&mut self, key: &PeerKey) {
        if let Some(target) = self.targets.get_mut(key) {
            target.state = State::Connected;
        }
    }

    /// The last connection was closed. `lasted` says whether it had worked for a while.
    pub(crate) fn closed(&mut self, key: &PeerKey, lasted: bool, now: Instant) {
        self.again(key, !lasted, now);
    }

    /// The attempt failed. Ignored if a connection was established in another way meanwhile.
    pub(crate) fn failed(&mut self, key: &PeerKey, now: Instant) {
        if self.targets.get(key).is_some_and(|target| target.state == State::Dialing) {
            self.again(key, true, now);
        }
    }

    /// No address of the member is known.
    pub(crate) fn lost(&mut self, key: &PeerKey) {
        if let Some(target) = self.targets.get_mut(key)
            && target.state == State::Dialing
        {
            target.state = State::Lost;
        }
    }

    /// A new address of the member is known.
    pub(crate) fn found(&mut self, key: &PeerKey, now: Instant) {
        let Some(target) = self.targets.get_mut(key) else { return };
        let due = if target.dials_first { now } else { now + self.pace.grace(&mut self.jitter) };
        match &mut target.state {
            State::Lost => target.state = State::Waiting(due),
            State::Waiting(at) => *at = due.min(*at),
            State::Dialing | State::Connected => {}
        }
    }

    fn again(&mut self, key: &PeerKey, failure: bool, now: Instant) {
        let Some(target) = self.targets.get_mut(key) else { return };
        target.failures = if failure { target.failures.saturating_add(1) } else { 0 };
        let mut delay = self.pace.back_off(target.failures, &mut self.jitter);
        if !target.dials_first {
            delay += self.pace.grace(&mut self.jitter);
        }
        target.state = State::Waiting(now + delay);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SMALL: PeerKey = PeerKey([2; 33]);
    const OWN: PeerKey = PeerKey([3; 33]);
    const LARGE: PeerKey = PeerKey([4; 33]);

    const PACE: Pace = Pace {
        min: Duration::from_millis(100),
        max: Duration::from_millis(1000),
        grace: Duration::from_millis(300),
    };

    fn dialing(now: Instant) -> Dialing {
        let mut dialing = Dialing::new(PACE, Rng::with_seed(7));
        for key in [SMALL, LARGE] {
            dialing.add(key, OWN < key, false, now);
        }
        dialing
    }

    #[test]
    fn the_smaller_key_dials_at_once_and_the_larger_after_the_grace_time() {
        let now = Instant::now();
        let mut dialing = dialing(now);
        assert_eq!(dialing.take_due(now), [LARGE], "this node has the smaller key");
        assert_eq!(dialing.take_due(now), [], "one attempt at a time");
        let due = dialing.next_due().unwrap();
        assert!((PACE.grace..=2 * PACE.grace).contains(&(due - now)), "{:?}", due - now);
        assert_eq!(dialing.take_due(due), [SMALL]);
    }

    #[test]
    fn delays_double_up_to_the_maximum_with_jitter() {
        let mut jitter = Rng::with_seed(1);
        for (failures, full) in [(0, 100), (1, 100), (2, 200), (3, 400), (5, 1000), (u32::MAX, 1000)] {
            for _ in 0..100 {
                let delay = PACE.back_off(failures, &mut jitter);
                let full = Duration::from_millis(full);
                assert!((full / 2..=full).contains(&delay), "{failures} failures: {delay:?}");
            }
        }
        let delays: Vec<_> = (0..10).map(|_| PACE.back_off(1, &mut jitter)).collect();
        assert!(delays.windows(2).any(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_connection_is_a_success_only_if_it_lasts() {
        let mut now = Instant::now();
        let mut dialing = dialing(now);
        for _ in 0..6 {
            assert!(dialing.take_due(now).contains(&LARGE));
            dialing.connected(&LARGE);
            dialing.closed(&LARGE, false, now);
            dialing.connected(&SMALL);
            now = dialing.next_due().unwrap();
        }
        assert_eq!(dialing.targets[&LARGE].failures, 6, "refused six times");

        dialing.take_due(now);
        dialing.connected(&LARGE);
        dialing.closed(&LARGE, true, now);
        assert!(dialing.next_due().unwrap() - now <= PACE.min, "the count starts again");
    }

    #[test]
    fn a_failed_attempt_is_ignored_once_the_member_is_connected() {
        let now = Instant::now();
        let mut dialing = dialing(now);
        dialing.take_due(now);
        dialing.connected(&LARGE);
        dialing.failed(&LARGE, now);
        assert!(!dialing.missing().any(|key| *key == LARGE));
    }

    #[test]
    fn a_member_without_address_waits_for_one() {
        let now = Instant::now();
        let mut dialing = dialing(now);
        dialing.connected(&SMALL);
        dialing.take_due(now);
        dialing.lost(&LARGE);
        assert_eq!(dialing.next_due(), None);
        assert_eq!(dialing.missing().collect::<Vec<_>>(), [&LARGE]);
        dialing.found(&LARGE, now);
        assert_eq!(dialing.take_due(now), [LARGE]);
    }

    #[test]
    fn a_removed_member_is_not_dialed_and_a_changed_one_when_its_connection_is_closed() {
        let now = Instant::now();
        let mut dialing = dialing(now);
        assert_eq!(dialing.take_due(now), [LARGE]);
        dialing.remove(&LARGE);
        dialing.failed(&LARGE, now);
        dialing.closed(&LARGE, false, now);
        dialing.found(&LARGE, now);
        dialing.remove(&SMALL);
        assert_eq!((dialing.next_due(), dialing.missing().next()), (None, None));

        dialing.add(LARGE, true, true, now);
        assert_eq!((dialing.next_due(), dialing.missing().next()), (None, None));
        dialing.closed(&LARGE, true, now);
        let due = dialing.next_due().unwrap();
        assert!(due <= now + PACE.min);
        assert_eq!(dialing.take_due(due), [LARGE]);
    }

    #[test]
    fn a_new_address_shortens_the_wait_but_not_the_grace() {
        let now = Instant::now();
        let mut dialing = dialing(now);
        for key in dialing.take_due(now + 3 * PACE.grace) {
            for _ in 0..8 {
                dialing.targets.get_mut(&key).unwrap().state = State::Dialing;
                dialing.failed(&key, now);
            }
            dialing.found(&key, now);
        }
        assert_eq!(dialing.take_due(now), [LARGE]);
        assert!(dialing.next_due().unwrap() >= now + PACE.grace);
    }
}
