//! Whose questions are answered from the ledger, and when.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use quorate_network::PeerKey;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// An asker that has not had its turn after this has turned to another node.
const QUEUE_PATIENCE: Duration = Duration::from_secs(4);

/// Answers that are made at a time, each of which reads and holds a few megabytes.
///
/// Every asker has one turn at a time, and the askers take turns: one that asks much waits for itself, and holds no
/// more than one place.
pub(crate) struct Places {
    /// Its waiters are served in order, and each asker is among them once.
    places: Arc<Semaphore>,
    waiting_of_each: usize,
    /// By key: as many as the network admits.
    lines: HashMap<PeerKey, Line>,
}

/// The questions of one asker.
#[derive(Clone)]
pub(crate) struct Line {
    /// Questions that wait or are answered. A further one is refused.
    room: Arc<Semaphore>,
    /// One turn; its waiters are served in order.
    turn: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

/// The right to read the ledger for an answer, until it is dropped.
pub(crate) struct Turn {
    _place: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
    _room: OwnedSemaphorePermit,
}

impl Places {
    /// So many answers at a time for all askers, and so many questions of each that wait or are answered.
    pub(crate) fn new(at_a_time: usize, waiting_of_each: usize) -> Self {
        Places { places: Arc::new(Semaphore::new(at_a_time)), waiting_of_each, lines: HashMap::new() }
    }

    /// Where the questions of this asker wait.
    pub(crate) fn line(&mut self, asker: &PeerKey) -> Line {
        let (places, room) = (&self.places, self.waiting_of_each);
        let line = || Line {
            room: Arc::new(Semaphore::new(room)),
            turn: Arc::new(Semaphore::new(1)),
            places: Arc::clone(places),
        };
        self.lines.entry(*asker).or_insert_with(line).clone()
    }
}

impl Line {
    /// Waits for the turn of one question; `None` if too many of this asker wait, or if it takes too long.
    pub(crate) async fn turn(self) -> Option<Turn> {
        let room = self.room.try_acquire_owned().ok()?;
        let (turn, places) = (self.turn, self.places);
        let both = async {
            let turn = turn.acquire_owned().await.ok()?;
            let place = places.acquire_owned().await.ok()?;
            Some(Turn { _place: place, _turn: turn, _room: room })
        };
        timeout(QUEUE_PATIENCE, both).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures::FutureExt;

    use super::*;

    const LIAR: PeerKey = PeerKey([2; 33]);
    const OTHERS: [PeerKey; 2] = [PeerKey([3; 33]), PeerKey([4; 33])];

    #[tokio::test]
    async fn one_asker_holds_one_place_however_much_it_asks() {
        let mut places = Places::new(2, 8);
        let first = places.line(&LIAR).turn().await.unwrap();
        let mut rest: Vec<_> = (0..7).map(|_| Box::pin(places.line(&LIAR).turn())).collect();
        assert!(
            rest.iter_mut().all(|turn| turn.as_mut().now_or_never().is_none()),
            "they wait for the first"
        );
        assert!(places.line(&LIAR).turn().await.is_none(), "a ninth question is refused");
        let other = places.line(&OTHERS[0]).turn().now_or_never().unwrap().unwrap();

        // Both places are taken. The next free one goes to the member that came to the common line first.
        let mut third = Box::pin(places.line(&OTHERS[1]).turn());
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        assert!(
            rest[0].as_mut().now_or_never().is_none(),
            "it has its turn, and stands behind the third asker"
        );
        let third = third.now_or_never().unwrap().unwrap();
        drop((other, third));
        assert!(rest[0].as_mut().now_or_never().unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends() {
        let mut places = Places::new(1, 8);
        let _held = places.line(&LIAR).turn().await.unwrap();
        assert!(
            places.line(&OTHERS[0]).turn().await.is_none(),
            "after four seconds of a clock that tests move"
        );
    }
}
