//! Serves blocks to nodes that may request nothing else. They have limits of their own and cannot
//! slow down the requests of members to a validator.

use quorate_engine::{FetchRequest, serve_range};
use quorate_ledger::{Height, decode};
use quorate_network::{Answer, PeerKey};
use quorate_store::LedgerReader;

use super::places::Places;
use super::served;

/// Responses that are created at a time, for all these nodes together. Requests of members to a
/// validator have a separate limit.
const SERVED_AT_A_TIME: usize = 1;

/// Requests of one node at a time. A further one is refused, so all nodes get equally many turns.
const REQUESTS_OF_EACH: usize = 1;

/// Serves nodes one after the other, in the order of their requests.
pub(crate) struct BlockRequests {
    ledger: LedgerReader,
    places: Places,
}

impl BlockRequests {
    pub(crate) fn new(ledger: LedgerReader) -> Self {
        BlockRequests { ledger, places: Places::new(SERVED_AT_A_TIME, REQUESTS_OF_EACH) }
    }

    /// Answers a request in its turn. Dropping `answer` refuses the request.
    pub(crate) fn serve(&mut self, from: &PeerKey, bytes: &[u8], answer: Answer) {
        let Some(height) = blocks_from(bytes) else { return };
        let (line, ledger) = (self.places.line(from), self.ledger.clone());
        tokio::spawn(async move {
            let Some(turn) = line.turn().await else { return };
            tokio::task::spawn_blocking(move || {
                let answered = served(&ledger, serve_range(&ledger, height));
                answer.send(quorate_ledger::encode(&answered).into());
                drop(turn);
            });
        });
    }
}

/// Only blocks may be requested.
fn blocks_from(request: &[u8]) -> Option<Height> {
    match decode::<FetchRequest>(request) {
        Ok(FetchRequest::Blocks { from }) => Some(from),
        Ok(FetchRequest::Transactions { .. } | FetchRequest::Ids { .. }) | Err(_) => {
            tracing::debug!("a request for something else than blocks was rejected");
            None
        }
    }
}
