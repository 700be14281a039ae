//! Where observers get blocks: beside the members, and never in their way.

use quorate_engine::{Ask, serve_run};
use quorate_ledger::{Height, decode};
use quorate_network::{Answer, PeerKey};
use quorate_store::LedgerReader;

use super::incoming::served;
use super::places::Places;

/// Answers to observers that are made at a time, all together. Members have a limit of their own, so observers take
/// nothing of it.
const SERVED_AT_A_TIME: usize = 1;

/// Questions of one observer at a time. A further one is refused, so each has as many turns as all others.
const QUESTIONS_OF_EACH: usize = 1;

/// Serves observers one after the other, in the order in which they asked.
pub(crate) struct ObserverQuestions {
    ledger: LedgerReader,
    places: Places,
}

impl ObserverQuestions {
    pub(crate) fn new(ledger: LedgerReader) -> Self {
        ObserverQuestions { ledger, places: Places::new(SERVED_AT_A_TIME, QUESTIONS_OF_EACH) }
    }

    /// Answers a question in its turn. To drop the answer is to refuse.
    pub(crate) fn question(&mut self, from: &PeerKey, bytes: &[u8], answer: Answer) {
        let Some(height) = blocks_from(bytes) else { return };
        let (line, ledger) = (self.places.line(from), self.ledger.clone());
        tokio::spawn(async move {
            let Some(turn) = line.turn().await else { return };
            tokio::task::spawn_blocking(move || {
                let answered = served(&ledger, serve_run(&ledger, height));
                answer.send(quorate_ledger::encode(&answered).into());
                drop(turn);
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
