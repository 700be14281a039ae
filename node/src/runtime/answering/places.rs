//! Decides which requests are answered from the ledger, and in which order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use quorate_network::PeerKey;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// After this time, a peer has turned to another node, so its request is dropped.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(4);

/// Upper limit of queues without a request. The committee and its candidates change, so keys of peers
/// come and go.
const IDLE_LINES: usize = 256;

/// Limits how many responses are created at a time, each of which reads and holds a few megabytes.
///
/// Every peer has at most one response at a time, and peers take turns. A peer with many requests
/// waits only for itself and occupies at most one place.
pub(crate) struct Places {
    /// Its waiters are served in order, and each peer is among them at most once.
    places: Arc<Semaphore>,
    waiting_of_each: usize,
    /// By key. Those without a request are dropped when there are [`IDLE_LINES`].
    lines: HashMap<PeerKey, PeerQueue>,
}

/// The requests of one peer.
#[derive(Clone)]
pub(crate) struct PeerQueue {
    /// Requests that wait or are being answered. A further one is refused.
    room: Arc<Semaphore>,
    /// The peer's single turn; its waiters are served in order.
    turn: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

/// The right to read the ledger for a response, until it is dropped.
pub(crate) struct ServingPermit {
    _place: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
    _room: OwnedSemaphorePermit,
}

impl Places {
    /// `at_a_time`: responses at a time for all peers. `waiting_of_each`: requests of each peer
    /// that wait or are being answered.
    pub(crate) fn new(at_a_time: usize, waiting_of_each: usize) -> Self {
        Places { places: Arc::new(Semaphore::new(at_a_time)), waiting_of_each, lines: HashMap::new() }
    }

    /// The queue of this peer.
    pub(crate) fn line(&mut self, peer: &PeerKey) -> PeerQueue {
        let (places, room) = (&self.places, self.waiting_of_each);
        let line = || PeerQueue {
            room: Arc::new(Semaphore::new(room)),
            turn: Arc::new(Semaphore::new(1)),
            places: Arc::clone(places),
        };
        if self.lines.len() >= IDLE_LINES && !self.lines.contains_key(peer) {
            let most = self.waiting_of_each;
            self.lines.retain(|_, line| line.room.available_permits() < most);
        }
        self.lines.entry(*peer).or_insert_with(line).clone()
    }
}

impl PeerQueue {
    /// Waits for the turn of one request. `None` if too many requests of this peer wait, or after
    /// [`QUEUE_TIMEOUT`].
    pub(crate) async fn turn(self) -> Option<ServingPermit> {
        let room = self.room.try_acquire_owned().ok()?;
        let (turn, places) = (self.turn, self.places);
        let both = async {
            let turn = turn.acquire_owned().await.ok()?;
            let place = places.acquire_owned().await.ok()?;
            Some(ServingPermit { _place: place, _turn: turn, _room: room })
        };
        timeout(QUEUE_TIMEOUT, both).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures::FutureExt;

    use super::*;

    const FLOODER: PeerKey = PeerKey([2; 33]);
    const OTHERS: [PeerKey; 2] = [PeerKey([3; 33]), PeerKey([4; 33])];

    #[tokio::test]
    async fn one_peer_occupies_one_place_with_any_number_of_requests() {
        let mut places = Places::new(2, 8);
        let first = places.line(&FLOODER).turn().await.unwrap();
        let mut rest: Vec<_> = (0..7).map(|_| Box::pin(places.line(&FLOODER).turn())).collect();
        assert!(
            rest.iter_mut().all(|turn| turn.as_mut().now_or_never().is_none()),
            "they wait for the first"
        );
        assert!(places.line(&FLOODER).turn().await.is_none(), "a ninth request is refused");
        let other = places.line(&OTHERS[0]).turn().now_or_never().unwrap().unwrap();

        // Both places are taken. The next free one goes to the member that joined the common queue
        // first.
        let mut third = Box::pin(places.line(&OTHERS[1]).turn());
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        assert!(
            rest[0].as_mut().now_or_never().is_none(),
            "it has its turn, and waits behind the third peer"
        );
        let third = third.now_or_never().unwrap().unwrap();
        drop((other, third));
        assert!(rest[0].as_mut().now_or_never().unwrap().is_some());
    }

    #[tokio::test]
    async fn queues_of_peers_that_left_are_dropped() {
        let mut places = Places::new(1, 1);
        let held = places.line(&FLOODER).turn().await.unwrap();
        for number in 0..=255 {
            places.line(&PeerKey([number; 33]));
        }
        assert!(places.lines.len() <= IDLE_LINES, "{}", places.lines.len());
        assert!(places.line(&FLOODER).turn().await.is_none(), "a queue with a request is kept");
        drop(held);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_only_for_a_limited_time() {
        let mut places = Places::new(1, 8);
        let _held = places.line(&FLOODER).turn().await.unwrap();
        assert!(
            places.line(&OTHERS[0]).turn().await.is_none(),
            "after four seconds of a clock that tests move"
        );
    }
}
