//! Answers requests of members from the ledger, or from the blocks in flight of the engine.

use quorate_engine::{FetchRequest, FetchResponse, serve_committed, serve_range};
use quorate_ledger::decode;
use quorate_network::{Answer, PeerKey};
use quorate_store::{LedgerReader, StoreError};
use tokio::sync::oneshot;

use super::inbox::ValidatorWork;
use crate::runtime::answering::places::{PeerQueue, Places};
use crate::runtime::answering::served;

/// Responses to members that are created from the ledger at a time, for all members together. Each
/// reads and holds a few megabytes.
const SERVED_AT_A_TIME: usize = 2;

/// Requests of one member that may wait for the ledger: as many as the network allows it to have
/// open.
const REQUESTS_OF_EACH: usize = 8;

/// Serves members in turns.
pub(crate) struct MemberRequests {
    ledger: LedgerReader,
    places: Places,
}

impl MemberRequests {
    pub(crate) fn new(ledger: LedgerReader) -> Self {
        MemberRequests { ledger, places: Places::new(SERVED_AT_A_TIME, REQUESTS_OF_EACH) }
    }

    /// Serves a request in its turn, or returns the request that the engine must answer first.
    /// Dropping `answer` refuses the request.
    pub(crate) fn serve(&mut self, from: &PeerKey, bytes: &[u8], answer: Answer) -> Option<ValidatorWork> {
        let (line, ledger) = (self.places.line(from), self.ledger.clone());
        match decode::<FetchRequest>(bytes) {
            Ok(FetchRequest::Blocks { from }) => {
                tokio::spawn(from_ledger(line, answer, ledger, move |ledger| serve_range(ledger, from)));
                None
            }
            Ok(request @ (FetchRequest::Transactions { .. } | FetchRequest::Ids { .. })) => {
                let (reply, in_flight) = oneshot::channel();
                let wanted = request.clone();
                tokio::spawn(async move {
                    let Ok(in_flight) = in_flight.await else { return };
                    if in_flight != FetchResponse::Nothing {
                        return answer.send(quorate_ledger::encode(&in_flight).into());
                    }
                    // The block may be committed meanwhile. Read the ledger here, not on the
                    // engine's thread.
                    from_ledger(line, answer, ledger, move |ledger| serve_committed(ledger, &wanted)).await;
                });
                Some(ValidatorWork::Fetch { request, reply })
            }
            Err(error) => {
                tracing::debug!(%error, "request rejected");
                None
            }
        }
    }
}

/// Answers a request from the ledger when it is the peer's turn.
async fn from_ledger(
    line: PeerQueue,
    answer: Answer,
    ledger: LedgerReader,
    read: impl FnOnce(&LedgerReader) -> Result<FetchResponse, StoreError> + Send + 'static,
) {
    // Dropping `answer` refuses the request.
    let Some(turn) = line.turn().await else { return };
    tokio::task::spawn_blocking(move || {
        answer.send(quorate_ledger::encode(&served(&ledger, read(&ledger))).into());
        drop(turn);
    });
}
