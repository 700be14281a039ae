//! Which member to ask for the missing parts of a block, and when to ask the next one as well
//! (R12c, R20c).
//!
//! As for certified block ranges, the wait for a member that does not answer is short, and late
//! answers are used.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_ledger::ReplicaId;
use quorate_ledger::mutant::{Mutant, is};
use quorate_pbft::Moment;

use crate::event::FetchId;
use crate::fetching::catchup::Pace;

/// The time before the first request. Gossip or the primary usually brings the missing parts within
/// it.
const GRACE: Duration = Duration::from_millis(50);

/// If no member had it, the next round of requests begins after this pause.
const ROUND_PAUSE: Duration = Duration::from_secs(1);

/// The number of open requests for one thing, for each member. Beyond it, the oldest is dropped.
const OPEN_FOR_EACH: usize = 4;

/// How long to wait for an answer, given the number of requests that expired recently.
#[derive(Debug)]
pub(crate) struct Wait {
    pace: Pace,
    /// Requests that expired while parts are missing. Each one makes the wait longer: the
    /// connection may be slow.
    given_up: u32,
}

impl Wait {
    pub(crate) fn new(pace: Pace) -> Self {
        Wait { pace, given_up: 0 }
    }

    /// An answer helped: its member is quicker than those whose requests expired, so shorten the
    /// wait.
    fn helped(&mut self) {
        self.given_up /= 2;
    }

    /// Nothing is missing any more.
    pub(crate) fn reset(&mut self) {
        self.given_up = 0;
    }
}

/// How much an answer helped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Helped {
    /// It contained nothing that was missing.
    Not,
    /// It contained missing parts, but was not full. The member has no more, or sends its parts one
    /// by one to delay this node.
    Little,
    /// It was full: the member may have more.
    Much,
}

/// The requests for one thing that every member may have.
#[derive(Debug)]
pub(crate) struct Schedule {
    me: ReplicaId,
    size: usize,
    /// Requests without an answer that the network has not given up either.
    open: BTreeMap<FetchId, ReplicaId>,
    /// The last request, while it is open.
    latest: Option<FetchId>,
    /// The member to ask next.
    candidate: ReplicaId,
    /// Answers in a row that contained nothing that was missing.
    fruitless: usize,
    ask_at: Moment,
}

impl Schedule {
    /// Asks `first` after [`GRACE`], then the others in turns. It never asks `me`.
    pub(crate) fn new(now: Moment, me: ReplicaId, size: usize, first: ReplicaId) -> Self {
        let mut schedule = Schedule {
            me,
            size,
            open: BTreeMap::new(),
            latest: None,
            candidate: first,
            fruitless: 0,
            ask_at: now.after(GRACE),
        };
        if first == me {
            schedule.turn();
        }
        schedule
    }

    /// When to call [`Schedule::ask`] next.
    pub(crate) fn deadline(&self) -> Moment {
        self.ask_at
    }

    /// Whether this request is for this thing, and still open.
    pub(crate) fn is_open(&self, fetch: FetchId) -> bool {
        self.open.contains_key(&fetch)
    }

    /// The member to ask now, if a request is due. From now on the request is open as `fetch`.
    pub(crate) fn ask(&mut self, now: Moment, fetch: FetchId, wait: &mut Wait) -> Option<ReplicaId> {
        // In a committee of one, the only member holds everything that it proposes.
        if now < self.ask_at || self.size == 1 {
            return None;
        }
        // The last request expired without an answer.
        if self.latest.take().is_some() {
            wait.given_up = wait.given_up.saturating_add(1);
            self.turn();
        }
        if self.open.len() >= OPEN_FOR_EACH * self.size {
            self.open.pop_first();
        }
        self.open.insert(fetch, self.candidate);
        self.latest = Some(fetch);
        self.ask_at = now.after(wait.pace.wait(wait.given_up));
        Some(self.candidate)
    }

    /// Takes the outcome of an open request. If it was the last request and its answer was full,
    /// the same member is asked again. Otherwise the next member is asked at once. After a round of
    /// answers that contained nothing, the next round waits for [`ROUND_PAUSE`].
    pub(crate) fn answered(&mut self, now: Moment, fetch: FetchId, helped: Helped, wait: &mut Wait) {
        if self.open.remove(&fetch).is_none() {
            return;
        }
        if helped == Helped::Not {
            self.fruitless += 1;
        } else {
            self.fruitless = 0;
            wait.helped();
        }
        // Another member has been asked since: wait for its answer.
        if self.latest.take_if(|latest| *latest == fetch).is_none() {
            return;
        }
        self.ask_at = now;
        if helped == Helped::Much {
            return;
        }
        self.turn();
        if helped == Helped::Not && self.fruitless.is_multiple_of(self.size - 1) {
            self.ask_at = now.after(ROUND_PAUSE);
        }
    }

    /// A channel was closed. If that member was asked last, the next one is asked at once.
    pub(crate) fn lost(&mut self, now: Moment, peer: ReplicaId) {
        let waited_for = self.latest.and_then(|latest| self.open.get(&latest)) == Some(&peer);
        self.open.retain(|_, asked| *asked != peer);
        if waited_for {
            self.latest = None;
            self.turn();
            self.ask_at = now;
        }
    }

    /// Selects the next member after the candidate, without this one. Members whose answers are
    /// still open come last, but before the candidate: it may just have answered that it has
    /// nothing.
    fn turn(&mut self) {
        if is(Mutant::AsksOneMember) && self.candidate != self.me {
            return;
        }
        let at = |offset: usize| {
            let index = (self.candidate.index() + offset) % self.size;
            ReplicaId(u16::try_from(index).expect("a committee is small"))
        };
        let others = || (1..=self.size).map(at).filter(|replica| *replica != self.me);
        let awaited = |replica: &ReplicaId| self.open.values().any(|asked| asked == replica);
        let rested = others().find(|replica| *replica != self.candidate && !awaited(replica));
        if let Some(next) = rested.or_else(|| others().next()) {
            self.candidate = next;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_genesis::TestNetwork;

    use super::*;
    use crate::EngineConfig;

    const ME: ReplicaId = ReplicaId(0);

    struct Scene {
        schedule: Schedule,
        wait: Wait,
        now: Moment,
        asked: u64,
    }

    impl Scene {
        /// Member 0 of four lacks something that member 1 proposed.
        fn new() -> Self {
            let config = EngineConfig::of(TestNetwork::seeded(4, 1).genesis()).pbft;
            let schedule = Schedule::new(Moment::default(), ME, 4, ReplicaId(1));
            let wait = Wait::new(Pace::of_member(&config));
            Scene { schedule, wait, now: Moment::default(), asked: 0 }
        }

        /// The member that is asked when the next request is due, and the wait until then.
        fn asks(&mut self) -> (u16, Duration) {
            let waited = self.schedule.deadline().since(self.now);
            self.now = self.now.max(self.schedule.deadline());
            self.asked += 1;
            let member = self.schedule.ask(self.now, FetchId(self.asked), &mut self.wait).unwrap();
            (member.0, waited)
        }

        /// The last request is answered.
        fn answered(&mut self, helped: Helped) {
            self.schedule.answered(self.now, FetchId(self.asked), helped, &mut self.wait);
        }
    }

    /// R12c: a faulty member that sends one transaction at a time cannot delay the others.
    #[test]
    fn only_a_member_whose_answer_was_full_is_asked_again() {
        let mut scene = Scene::new();
        assert_eq!(scene.asks(), (1, GRACE));
        scene.answered(Helped::Much);
        assert_eq!(scene.asks(), (1, Duration::ZERO));
        scene.answered(Helped::Little);
        assert_eq!(scene.asks(), (2, Duration::ZERO));
        scene.answered(Helped::Not);
        assert_eq!(scene.asks(), (3, Duration::ZERO));
    }

    /// Members whose answers are still open come before the one that has just answered that it has
    /// nothing.
    #[test]
    fn a_member_that_has_nothing_is_asked_last() {
        let mut scene = Scene::new();
        scene.asks();
        assert_eq!(scene.asks().0, 2);
        assert_eq!(scene.asks().0, 3);
        scene.answered(Helped::Not);
        assert_eq!(scene.asks(), (1, Duration::ZERO));
        scene.answered(Helped::Not);
        assert_eq!(scene.asks(), (3, Duration::ZERO), "the request to member 2 is still open");
    }

    #[test]
    fn answers_that_help_shorten_the_wait() {
        let mut scene = Scene::new();
        scene.asks();
        let waits: Vec<Duration> = (0..6).map(|_| scene.asks().1).collect();
        assert!(waits.is_sorted() && waits[5] > waits[0] * 3, "{waits:?}");
        scene.answered(Helped::Much);
        assert_eq!(scene.asks().1, Duration::ZERO);
        assert!(scene.asks().1 < waits[5], "{waits:?}");
    }
}
