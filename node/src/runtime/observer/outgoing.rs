//! Passes an observer's requests for blocks to the network.

use std::sync::Arc;

use quorate_engine::{Effects, FetchId, FetchRequest, FetchResponse, Observation};
use quorate_ledger::ReplicaId;
use quorate_network::Network;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::inbox::ObserverWork;
use crate::runtime::epoch::EpochView;
use crate::runtime::fetching::{self, Outcome};

/// What an observer's thread needs to send the requests of one epoch without blocking.
pub(crate) struct Outgoing {
    pub(crate) network: Network,
    /// The epoch of the requests: its members, and what fetched blocks are checked against.
    pub(crate) epoch: Arc<EpochView>,
    pub(crate) inbox: mpsc::Sender<ObserverWork>,
    pub(crate) runtime: Handle,
}

impl Outgoing {
    /// The effects of an observer contain no messages.
    pub(crate) fn send(&self, effects: Effects) {
        for (replica, fetch, request) in effects.asks {
            self.request(replica, fetch, &request);
        }
    }

    /// Sends a request to a validator or a source, and passes the checked blocks to the observer.
    fn request(&self, from: ReplicaId, fetch: FetchId, request: &FetchRequest) {
        let request = quorate_ledger::encode(request);
        let (network, peer) = (self.network.clone(), self.epoch.peer_key(from));
        let (inbox, epoch) = (self.inbox.clone(), Arc::clone(&self.epoch));
        self.runtime.spawn(async move {
            let range = match fetching::request(&network, peer, request).await {
                Outcome::Answered(FetchResponse::Blocks(blocks)) => {
                    fetching::checked_range(blocks, &epoch, from).await
                }
                // An observer requests only blocks.
                Outcome::Answered(
                    FetchResponse::Transactions(_) | FetchResponse::Ids(_) | FetchResponse::Nothing,
                )
                | Outcome::None => None,
                // The observer asks another validator after its timeout.
                Outcome::NotSent => return,
            };
            let observation = Observation::Answered { fetch, range };
            // If the observer is gone, no receiver is left.
            let _ = inbox.send(ObserverWork::Observation { epoch: epoch.epoch(), observation }).await;
        });
    }
}
