//! Distributes network events of a validator: messages of members go to the checking threads,
//! requests are answered from the ledger. Only requests are decoded here.

use std::sync::Arc;

use quorate_engine::{FetchRequest, FetchResponse, serve_committed, serve_range};
use quorate_ledger::decode;
use quorate_network::{NetworkEvent, NetworkEvents, PeerKey, Room};
use quorate_store::{LedgerReader, StoreError};
use tokio::sync::{mpsc, oneshot};

use super::checking::{Checker, PeerEvent};
use super::inbox::Work;
use crate::runtime::members::Members;
use crate::runtime::validator::answering::observers::ObserverRequests;
use crate::runtime::validator::answering::places::{PeerQueue, Places};

/// Responses to members that are created from the ledger at a time, for all members together. Each
/// reads and holds a few megabytes.
const SERVED_AT_A_TIME: usize = 2;

/// Requests of one member that may wait for the ledger: as many as the network allows it to have
/// open.
const REQUESTS_OF_EACH: usize = 8;

pub(crate) struct Incoming {
    pub(crate) members: Arc<Members>,
    pub(crate) checker: Checker,
    pub(crate) inbox: mpsc::Sender<Work>,
    pub(crate) ledger: LedgerReader,
}

impl Incoming {
    /// Runs until the network ends, the engine is gone, or a checking thread ended.
    pub(crate) async fn run(self, mut events: NetworkEvents) {
        let mut places = Places::new(SERVED_AT_A_TIME, REQUESTS_OF_EACH);
        let mut observers = ObserverRequests::new(self.ledger.clone());
        while let Some((event, room)) = events.recv_with_room().await {
            let goes_on = match event {
                NetworkEvent::Connected { peer } => {
                    self.log_connection(&peer, "connected");
                    match self.members.index(&peer) {
                        Some(_) => self.check(&peer, PeerEvent::Connected, room),
                        None => self.inbox.send(Work::ObserverUp).await.is_ok(),
                    }
                }
                NetworkEvent::Disconnected { peer } => {
                    self.log_connection(&peer, "disconnected");
                    self.check(&peer, PeerEvent::Disconnected, room)
                }
                NetworkEvent::Message { from, bytes } => {
                    self.check(&from, PeerEvent::Message { bytes, direct: true }, room)
                }
                NetworkEvent::Gossip { from, bytes } => {
                    self.check(&from, PeerEvent::Message { bytes, direct: false }, room)
                }
                NetworkEvent::Request { from, bytes, answer } if self.members.index(&from).is_none() => {
                    observers.serve(&from, &bytes, answer);
                    true
                }
                NetworkEvent::Request { from, bytes, answer } => {
                    match self.serve(&bytes, answer, places.line(&from)) {
                        Some(work) => self.inbox.send(work).await.is_ok(),
                        None => true,
                    }
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Passes an event of a member to the checking threads; events of observers are ignored.
    /// `false` if the threads have ended.
    fn check(&self, peer: &PeerKey, event: PeerEvent, room: Room) -> bool {
        self.members.index(peer).is_none_or(|from| self.checker.push(from, event, room))
    }

    fn log_connection(&self, peer: &PeerKey, what: &'static str) {
        match self.members.index(peer) {
            Some(replica) => tracing::info!(validator = self.members.name(replica), "{what}"),
            None => tracing::info!(observer = %peer, "{what}"),
        }
    }

    /// Serves a member's request, or returns the request that the engine must answer first.
    /// Dropping `answer` refuses the request.
    fn serve(&self, bytes: &[u8], answer: quorate_network::Answer, line: PeerQueue) -> Option<Work> {
        let ledger = self.ledger.clone();
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
                Some(Work::Fetch { request, reply })
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
    answer: quorate_network::Answer,
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

/// The result of a read of the ledger, or nothing if the read failed: the peer then asks another
/// member. The first error of a damaged ledger is logged as an error, later ones at debug level, so
/// that other nodes cannot flood the log.
pub(crate) fn served(ledger: &LedgerReader, read: Result<FetchResponse, StoreError>) -> FetchResponse {
    read.unwrap_or_else(|error| {
        if ledger.damage().is_some_and(|damage| damage.failed_reads > 1) {
            tracing::debug!(%error, "the ledger is damaged: a request of another node cannot be served");
        } else {
            tracing::error!(%error, "the ledger cannot be read, so a request of another node is not served");
        }
        FetchResponse::Nothing
    })
}
