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
        Scene { catchup, now: Moment::default().after(interval), tip: Height(100), asked: 0, least, interval }
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
            self.catchup.helped(self.now, &request, self.tip, blocks >= 65);
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
    assert_eq!(waits[11], LONGEST_WAIT);
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

/// R12b: a faulty member sends one block for each request, always in time, while the answers of
/// correct members take so long that their requests expire. They are asked all the same.
#[test]
fn a_member_that_sends_single_blocks_does_not_keep_others_from_being_asked() {
    let mut scene = Scene::new();
    scene.claims(1, 100_000);
    for _ in 0..3 {
        assert_eq!(scene.asks().0, 1, "its request expires");
    }
    scene.claims(0, u64::MAX);
    let mut others = 0;
    for _ in 0..100 {
        match scene.asks().0 {
            0 => {
                scene.now = scene.now.after(scene.least - Duration::from_millis(1));
                scene.answered(1);
            }
            _ => others += 1,
        }
    }
    assert!(others >= 49, "{others} of 100 requests go to the other member");
}

/// R12b: a useless answer that took long costs as much as an expired request.
#[test]
fn a_late_useless_answer_counts_as_expired() {
    let mut scene = Scene::new();
    scene.claims(0, u64::MAX);
    scene.claims(1, 100_000);
    assert_eq!(scene.asks(), (0, Duration::ZERO));
    scene.now = scene.now.after(scene.least / 2);
    scene.answered(0);
    for _ in 0..100 {
        scene.claims(0, u64::MAX);
        assert_eq!(scene.asks(), (1, Duration::ZERO));
        scene.answered(65);
        scene.now = scene.now.after(scene.interval);
    }
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

/// R12b: a request has expired, and another member was asked. The late answer to the first request
/// does not close the second one.
#[test]
fn an_answer_to_an_expired_request_does_not_close_the_open_one() {
    let mut scene = Scene::new();
    scene.claims(0, u64::MAX);
    scene.claims(1, 100_000);
    assert_eq!(scene.asks().0, 0);
    let expired = FetchId(scene.asked);
    assert_eq!(scene.asks().0, 1);
    assert!(scene.catchup.answered(expired).is_none());
    assert!(scene.catchup.is_running(), "member 1 still owes its answer");
    assert_eq!(scene.catchup.answered(FetchId(scene.asked)).unwrap().peer, ReplicaId(1));
}

/// R12b: a member has entered the next epoch, and its last STATUS of this one arrives late. It does
/// not close the request to this member, and opens no second one.
#[test]
fn a_late_lower_claim_does_not_close_the_open_request() {
    let mut scene = Scene::new();
    scene.claims(1, 100_000);
    assert_eq!(scene.asks().0, 1);
    scene.claims(1, 1);
    assert_eq!(scene.asks_now(), None);
    scene.claims(2, 100_000);
    assert_eq!(scene.asks_now(), None, "member 1 still owes its answer");
    assert_eq!(scene.asks(), (2, scene.least));
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
