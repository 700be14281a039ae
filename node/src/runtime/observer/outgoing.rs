//! Passes an observer's requests for blocks, and the READYs of a candidate, to the network.

use std::sync::Arc;

use quorate_engine::{Effects, FetchId, FetchRequest, FetchResponse, Observation, ReadyRequest};
use quorate_ledger::{ReplicaId, Transaction};
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

    /// Asks a validator to admit the READY of this node. Whether a block contains it shows in the chain.
    pub(crate) fn submit(&self, to: ReplicaId, transaction: Transaction) {
        let (network, epoch) = (self.network.clone(), Arc::clone(&self.epoch));
        self.runtime.spawn(async move {
            let (peer, validator) = (epoch.peer_key(to), epoch.members.name(to));
            let request = ReadyRequest { transaction }.to_bytes();
            match network.request(peer, request.into()).await {
                Ok(answer) if ReadyRequest::is_admitted(answer.as_ref()) => {
                    tracing::info!(validator, "READY is in the pool of a validator");
                }
                Ok(_) => tracing::info!(validator, "a validator did not admit READY: the next one is asked"),
                Err(error) => {
                    tracing::info!(validator, %error, "a validator did not answer READY: the next one is asked");
                }
            }
        });
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
