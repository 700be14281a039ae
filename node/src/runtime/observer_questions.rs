//! Where observers get blocks: beside the members, and never in their way.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use quorate_engine::{Ask, serve_run};
use quorate_ledger::{Height, decode};
use quorate_network::{Answer, PeerKey};
use quorate_store::LedgerReader;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::incoming::served;

/// Answers to observers that are made at a time, all together. Members have a limit of their own, so observers take
/// nothing of it.
const SERVED_AT_A_TIME: usize = 1;

/// Questions of one observer at a time. A further one is refused, so each has as many turns as all others.
const QUESTIONS_OF_EACH: usize = 1;

/// Whoever has not had its turn after this has turned to another validator.
const QUEUE_PATIENCE: Duration = Duration::from_secs(4);

/// Serves observers one after the other, in the order in which they asked.
pub(crate) struct ObserverQuestions {
    ledger: LedgerReader,
    /// Its waiters are served in order.
    serving: Arc<Semaphore>,
    /// By key: as many as the network admits.
    observers: HashMap<PeerKey, Arc<Semaphore>>,
}

impl ObserverQuestions {
    pub(crate) fn new(ledger: LedgerReader) -> Self {
        let serving = Arc::new(Semaphore::new(SERVED_AT_A_TIME));
        ObserverQuestions { ledger, serving, observers: HashMap::new() }
    }

    /// Answers a question in its turn. To drop the answer is to refuse.
    pub(crate) fn question(&mut self, from: &PeerKey, bytes: &[u8], answer: Answer) {
        let own = self.observers.entry(*from).or_insert_with(|| Arc::new(Semaphore::new(QUESTIONS_OF_EACH)));
        let Ok(place) = Arc::clone(own).try_acquire_owned() else { return };
        let Some(height) = blocks_from(bytes) else { return };
        let (serving, ledger) = (Arc::clone(&self.serving), self.ledger.clone());
        tokio::spawn(async move {
            let turn = timeout(QUEUE_PATIENCE, serving.acquire_owned()).await;
            let Ok(Ok(turn)) = turn else { return };
            tokio::task::spawn_blocking(move || {
                let answered = served(serve_run(&ledger, height));
                answer.send(quorate_ledger::encode(&answered).into());
                drop((turn, place));
            });
        });
    }
}

/// Observers ask for blocks alone.
fn blocks_from(question: &[u8]) -> Option<Height> {
    match decode::<Ask>(question) {
        Ok(Ask::Blocks { from }) => Some(from),
        Ok(Ask::Transactions { .. } | Ask::Ids { .. }) | Err(_) => {
            tracing::debug!("question of an observer rejected");
            None
        }
    }
}
