//! Admits the READYs of candidates, which connect as observers and have no other way to submit them.

use quorate_engine::ReadyRequest;
use quorate_ledger::PublicKey;
use quorate_network::{Answer, PeerKey};

use super::verify::Verifier;
use crate::runtime::answering::places::Places;
use crate::runtime::status::snapshot::{Latest, Snapshot, ValidatorSnapshot};

/// READYs that are verified at a time, for all candidates together.
const VERIFIED_AT_A_TIME: usize = 1;

/// READYs of one candidate at a time. A further one is refused.
const READYS_OF_EACH: usize = 1;

/// Passes READYs to the pool, each as a client's transaction.
pub(crate) struct ReadyRequests {
    verifier: Verifier,
    snapshots: Latest<ValidatorSnapshot>,
    places: Places,
}

impl ReadyRequests {
    pub(crate) fn new(verifier: Verifier, snapshots: Latest<ValidatorSnapshot>) -> Self {
        ReadyRequests { verifier, snapshots, places: Places::new(VERIFIED_AT_A_TIME, READYS_OF_EACH) }
    }

    /// Serves a request in its turn, if it is a READY of this node; otherwise returns `answer`.
    ///
    /// Everything that needs no signature is checked first: the node is a candidate, and its key is the
    /// sender. So other observers cause no verification, and a candidate one at a time. Dropping
    /// `answer` refuses the request.
    pub(crate) fn serve(&mut self, from: &PeerKey, bytes: &[u8], answer: Answer) -> Option<Answer> {
        // The length excludes requests for blocks, before the key is read.
        if bytes.len() != ReadyRequest::BYTES {
            return Some(answer);
        }
        let key = PublicKey::from_bytes(from.0).ok();
        let Some(ready) = key.and_then(|key| ReadyRequest::read(bytes, &key)) else { return Some(answer) };
        if !self.is_candidate(&ready.transaction.sender) {
            tracing::debug!(candidate = %from, "READY rejected: no open proposal adds this key");
            return None;
        }
        let (line, verifier) = (self.places.line(from), self.verifier.clone());
        let from = *from;
        tokio::spawn(async move {
            let Some(turn) = line.turn().await else { return };
            // An error means that the node is stopping.
            let Ok(outcome) = verifier.submit(ready.transaction).await.await else { return };
            if let Err(refusal) = &outcome {
                tracing::debug!(candidate = %from, %refusal, "READY refused");
            } else {
                tracing::info!(candidate = %from, "READY of a candidate is in the pool or in a block");
            }
            answer.send(ReadyRequest::answer(outcome.is_ok()).into());
            drop(turn);
        });
        None
    }

    /// Whether the next block may contain a READY of this key.
    fn is_candidate(&self, key: &PublicKey) -> bool {
        self.snapshots.borrow().config().candidates().contains(key)
    }
}
