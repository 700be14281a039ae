//! Which member to ask for certified blocks, and when (R12b). Validators and observers share it.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Height, ReplicaId};
use quorate_pbft::{Config, Moment};

use crate::event::FetchId;

/// The longest wait for an answer: enough for some megabytes and their signatures over a slow
/// connection.
const RUN_PATIENCE: Duration = Duration::from_secs(10);

/// The number of expired requests beyond which the wait does not grow. The wait reaches
/// [`RUN_PATIENCE`] earlier.
const EXPIRED_MAX: u32 = 16;

/// When to ask, and how long to wait for an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// A gap of at most this many heights may close without a request within a status interval. It
    /// is 0 for an observer, which gets blocks only by requests.
    window: u64,
    status_interval: Duration,
    /// f + 1: among so many members, at least one is correct.
    weak_quorum: u32,
}

impl Pace {
    /// For a validator, which takes part in ordering.
    pub(crate) fn of_member(config: &Config) -> Self {
        let weak_quorum = u32::try_from(config.committee.weak_quorum()).unwrap_or(u32::MAX);
        Pace { window: config.window, status_interval: config.status_interval, weak_quorum }
    }

    /// For an observer, which gets every block by a request.
    pub(crate) fn of_observer(config: &Config) -> Self {
        Pace { window: 0, ..Pace::of_member(config) }
    }

    /// The shortest wait for an answer (R12b). f faulty members that never answer cost less than
    /// half a status interval.
    fn least(&self) -> Duration {
        self.status_interval / (2 * self.weak_quorum)
    }

    /// How long to wait for the parts of a block before asking the next member as well (R12c),
    /// after this many requests expired. Each expired request makes the wait longer: the connection
    /// may be slow.
    pub(crate) fn wait(&self, given_up: u32) -> Duration {
        RUN_PATIENCE.min(self.least().saturating_mul(given_up.saturating_add(1)))
    }

    /// How long to wait for blocks from a member that let this many requests expire (R12b).
    fn wait_for(&self, expired: u32) -> Duration {
        RUN_PATIENCE.min(self.least().saturating_mul(1 << expired.min(EXPIRED_MAX)))
    }
}

/// The committed heights that members claim, and the request for the blocks that are missing here.
#[derive(Debug)]
pub(crate) struct CatchUp {
    pace: Pace,
    /// The last committed height that each member claims. A false claim costs a request, and never
    /// delays one to a member that let fewer requests expire.
    heads: BTreeMap<ReplicaId, Height>,
    /// A certificate proves that this height is committed.
    certain: Height,
    /// Since when this node is behind without progress.
    behind_since: Option<Moment>,
    open: Option<OpenRequest>,
    /// The number of requests that each member let expire. A quick useful answer takes one back, so
    /// the wait for a member follows the speed of its connection.
    expired: BTreeMap<ReplicaId, u32>,
    /// Until when a member is not asked again, because its last answer contained no new blocks.
    rests: BTreeMap<ReplicaId, Moment>,
    /// The member that was asked last. Members with equally many expired requests take turns.
    last: Option<ReplicaId>,
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    fetch: FetchId,
    peer: ReplicaId,
    asked: Moment,
    until: Moment,
}

impl CatchUp {
    pub(crate) fn new(pace: Pace) -> Self {
        CatchUp {
            pace,
            heads: BTreeMap::new(),
            certain: Height(0),
            behind_since: None,
            open: None,
            expired: BTreeMap::new(),
            rests: BTreeMap::new(),
            last: None,
        }
    }

    pub(crate) fn heard(&mut self, from: ReplicaId, committed: Height) {
        self.heads.insert(from, committed);
    }

    /// The channel to a member was closed. Its answer is not awaited, and its claim does not count
    /// until it connects again and claims anew. An open request counts as expired, and expired
    /// requests stay counted: a member must gain nothing by connecting anew instead of answering.
    pub(crate) fn lost(&mut self, peer: ReplicaId) {
        self.heads.remove(&peer);
        if self.open.take_if(|open| open.peer == peer).is_some() {
            self.count_expired(peer);
        }
    }

    fn count_expired(&mut self, peer: ReplicaId) {
        let expired = self.expired.entry(peer).or_default();
        *expired = (*expired + 1).min(EXPIRED_MAX);
    }

    pub(crate) fn certain(&mut self, height: Height) {
        self.certain = self.certain.max(height);
    }

    pub(crate) fn progressed(&mut self) {
        self.behind_since = None;
    }

    pub(crate) fn heads(&self) -> &BTreeMap<ReplicaId, Height> {
        &self.heads
    }

    pub(crate) fn is_running(&self) -> bool {
        self.open.is_some()
    }

    fn expired(&self, peer: ReplicaId) -> u32 {
        self.expired.get(&peer).copied().unwrap_or_default()
    }

    /// The members that claim to have more than `tip`, in the order in which to ask them. Members
    /// with the fewest expired requests come first. Among equals, the order continues after the
    /// member that was asked last.
    fn candidates(&self, tip: Height) -> Vec<ReplicaId> {
        let ahead = self.heads.iter().filter(|(_, head)| **head > tip).map(|(peer, _)| *peer);
        let mut candidates: Vec<_> = ahead.collect();
        candidates.sort_by_key(|peer| (self.expired(*peer), Some(*peer) <= self.last, *peer));
        candidates
    }

    /// When this member may be asked: at once if the gap to its height is larger than the window,
    /// otherwise when the gap has lasted for a status interval. A useless answer delays it by a
    /// status interval. An open request delays it, unless its member let more requests expire.
    fn due(&self, peer: ReplicaId, tip: Height) -> Moment {
        let head = self.heads.get(&peer).copied().unwrap_or_default().max(self.certain);
        let gap_lasted = match self.behind_since {
            Some(since) if head <= tip.plus(self.pace.window) => since.after(self.pace.status_interval),
            _ => Moment::default(),
        };
        let rested = self.rests.get(&peer).copied().unwrap_or_default();
        let due = gap_lasted.max(rested);
        match &self.open {
            Some(open) if self.expired(open.peer) <= self.expired(peer) => due.max(open.until),
            _ => due,
        }
    }

    /// The next request for blocks above `tip`, if one is due: the member to ask, and the height
    /// that it claims or that a certificate proves. From now on the request is open as `fetch`.
    pub(crate) fn ask(&mut self, now: Moment, tip: Height, fetch: FetchId) -> Option<(ReplicaId, Height)> {
        let candidates = self.candidates(tip);
        if candidates.is_empty() {
            if self.certain <= tip {
                (self.behind_since, self.open) = (None, None);
            }
            return None;
        }
        self.behind_since.get_or_insert(now);
        let expired = self.open.as_ref().filter(|open| now >= open.until).map(|open| open.peer);
        let peer = candidates.into_iter().find(|peer| now >= self.due(*peer, tip))?;
        if let Some(silent) = expired {
            self.count_expired(silent);
        }
        self.last = Some(peer);
        let until = now.after(self.pace.wait_for(self.expired(peer)));
        self.open = Some(OpenRequest { fetch, peer, asked: now, until });
        let head = self.heads.get(&peer).copied().unwrap_or_default();
        Some((peer, head.max(self.certain)))
    }

    /// When to call [`CatchUp::ask`] next; `None` while no member claims to be ahead. A new claim
    /// comes as an event.
    pub(crate) fn deadline(&self, tip: Height) -> Option<Moment> {
        self.candidates(tip).into_iter().map(|peer| self.due(peer, tip)).min()
    }

    /// Takes the open request, if this is its answer.
    pub(crate) fn answered(&mut self, fetch: FetchId) -> Option<OpenRequest> {
        self.open.take_if(|open| open.fetch == fetch || is(Mutant::AnyAnswer))
    }

    /// The answer to a request contained new blocks.
    pub(crate) fn helped(&mut self, now: Moment, request: &OpenRequest) {
        let took = now.since(request.asked);
        let shorter = self.pace.wait_for(self.expired(request.peer).saturating_sub(1));
        if took < shorter
            && let Some(expired) = self.expired.get_mut(&request.peer)
        {
            *expired = expired.saturating_sub(1);
        }
    }

    /// The answer to a request contained no new blocks. Until its next claim, this member counts as
    /// not ahead. It is asked at most once in a status interval, however often it claims (R12b).
    pub(crate) fn fruitless(&mut self, now: Moment, request: &OpenRequest, tip: Height) {
        self.heads.insert(request.peer, tip);
        self.rests.insert(request.peer, now.after(self.pace.status_interval));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_genesis::TestNetwork;

    use super::*;
    use crate::EngineConfig;

    struct Scene {
        catchup: CatchUp,
        now: Moment,
        tip: Height,
        asked: u64,
        least: Duration,
        interval: Duration,
    }

    impl Scene {
        /// A member of a committee of four that has 100 blocks and no claim of others.
        fn new() -> Self {
            let config = EngineConfig::of(TestNetwork::seeded(4, 1).genesis()).pbft;
            let pace = Pace::of_member(&config);
            let (least, interval) = (pace.least(), pace.status_interval);
            let catchup = CatchUp::new(pace);
            Scene {
                catchup,
                now: Moment::default().after(interval),
                tip: Height(100),
                asked: 0,
                least,
                interval,
            }
        }

        fn claims(&mut self, peer: u16, height: u64) {
            self.catchup.heard(ReplicaId(peer), Height(height));
        }

        /// The member that is asked at this moment, if any.
        fn asks_now(&mut self) -> Option<u16> {
            let asked = self.catchup.ask(self.now, self.tip, FetchId(self.asked + 1))?;
            self.asked += 1;
            Some(asked.0.0)
        }

        /// The member that is asked when the next request is due, and the wait until then.
        fn asks(&mut self) -> (u16, Duration) {
            let due = self.catchup.deadline(self.tip).unwrap().max(self.now);
            let waited = due.since(self.now);
            self.now = due;
            (self.asks_now().unwrap(), waited)
        }

        fn answered(&mut self, blocks: u64) {
            let request = self.catchup.answered(FetchId(self.asked)).unwrap();
            if blocks == 0 {
                self.catchup.fruitless(self.now, &request, self.tip);
            } else {
                self.tip = self.tip.plus(blocks);
                self.catchup.progressed();
                self.catchup.helped(self.now, &request);
            }
        }
    }

    /// R12b: the member that claims the most and never answers costs the shortest wait, once.
    #[test]
    fn a_silent_member_delays_catching_up_once() {
        let mut scene = Scene::new();
        scene.claims(0, u64::MAX);
        scene.claims(1, 100_000);
        assert_eq!(scene.asks(), (0, Duration::ZERO));
        assert_eq!(scene.asks(), (1, scene.least));
        for _ in 0..100 {
            scene.answered(65);
            scene.claims(0, u64::MAX);
            assert_eq!(scene.asks(), (1, Duration::ZERO));
        }
    }

    /// R12b: while no other member is ahead, the silent member is asked again and again. A correct
    /// member that gets ahead meanwhile is asked when it is due, even while another request is
    /// open.
    #[test]
    fn an_honest_member_does_not_wait_for_the_answer_of_a_silent_one() {
        let mut scene = Scene::new();
        scene.claims(0, u64::MAX);
        let waits: Vec<Duration> = (0..12).map(|_| scene.asks().1).collect();
        assert_eq!(waits[..4], [0, 1, 2, 4].map(|times| scene.least * times), "each wait is twice the last");
        assert_eq!(waits[11], RUN_PATIENCE);
        scene.claims(1, 200);
        assert_eq!(scene.asks_now(), Some(1), "a gap larger than the window");
        scene.answered(100);
        assert_eq!(scene.asks(), (0, Duration::ZERO));
        scene.claims(1, 201);
        assert_eq!(scene.asks(), (1, scene.interval), "a gap within the window, which votes may close");
    }

    /// R12b: votes close gaps within the window, also while a faulty member claims a large one.
    #[test]
    fn a_false_claim_makes_no_small_gap_urgent() {
        let mut scene = Scene::new();
        scene.claims(0, u64::MAX);
        scene.claims(1, 101);
        assert_eq!(scene.asks_now(), Some(0));
        assert_eq!(scene.asks_now(), None);
        // Answers without new blocks do not restart the wait for the other member.
        scene.now = scene.now.after(scene.least / 2);
        scene.answered(0);
        assert_eq!(scene.asks(), (1, scene.interval - scene.least / 2));
    }

    /// R12b: however often a member claims to be ahead, useless answers cost one request in a status
    /// interval.
    #[test]
    fn a_member_with_useless_answers_is_asked_once_in_an_interval() {
        let mut scene = Scene::new();
        scene.claims(0, u64::MAX);
        assert_eq!(scene.asks(), (0, Duration::ZERO));
        for _ in 0..10 {
            scene.answered(0);
            for _ in 0..100 {
                scene.claims(0, u64::MAX);
                assert_eq!(scene.asks_now(), None);
            }
            assert_eq!(scene.asks(), (0, scene.interval));
        }
        // Another member need not wait for it.
        scene.answered(0);
        scene.claims(0, u64::MAX);
        scene.claims(1, 100_000);
        assert_eq!(scene.asks(), (1, Duration::ZERO));
    }

    /// R12b: a member that disconnects instead of answering has let the request expire.
    #[test]
    fn a_request_whose_connection_ends_has_expired() {
        let mut scene = Scene::new();
        scene.claims(0, u64::MAX);
        scene.claims(1, 100_000);
        assert_eq!(scene.asks(), (0, Duration::ZERO));
        scene.catchup.lost(ReplicaId(0));
        scene.claims(0, u64::MAX);
        for _ in 0..10 {
            assert_eq!(scene.asks(), (1, Duration::ZERO));
            scene.answered(65);
        }
    }

    /// A slow connection: every member lets some requests expire. The wait grows until answers
    /// arrive in time, and no longer.
    #[test]
    fn the_wait_follows_the_speed_of_the_connection() {
        let mut scene = Scene::new();
        (0..3).for_each(|peer| scene.claims(peer, 100_000));
        let takes = scene.least * 3;
        let mut expired = 0;
        for _ in 0..50 {
            scene.asks();
            let until = scene.catchup.open.as_ref().unwrap().until;
            if until.since(scene.now) > takes {
                scene.now = scene.now.after(takes);
                scene.answered(65);
            } else {
                expired += 1;
            }
        }
        assert_eq!(expired, 6, "two requests to each of the three members");
        // The connection is fast again: quick answers shorten the wait.
        for _ in 0..50 {
            scene.asks();
            scene.answered(65);
        }
        scene.asks();
        assert_eq!(scene.catchup.open.as_ref().unwrap().until, scene.now.after(scene.least));
    }

    /// A silent member cannot clear its expired requests by connecting again.
    #[test]
    fn a_new_connection_keeps_the_expired_requests() {
        let mut scene = Scene::new();
        scene.claims(0, u64::MAX);
        scene.claims(1, 100_000);
        scene.asks();
        scene.asks();
        scene.catchup.lost(ReplicaId(0));
        scene.claims(0, u64::MAX);
        scene.answered(65);
        assert_eq!(scene.asks(), (1, Duration::ZERO));
    }
}
