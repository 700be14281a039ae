//! Passes the engine's effects to the network.

use std::sync::Arc;

use quorate_engine::{Effects, Event, FetchId, FetchRequest, FetchResponse, Fetched, MemberMessage};
use quorate_ledger::ReplicaId;
use quorate_network::Network;
use quorate_pbft::To;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::inbox::ValidatorWork;
use super::verify::Verifier;
use crate::runtime::epoch::EpochView;
use crate::runtime::fetching::{self, Outcome};

/// What the engine's thread needs to pass the effects of one epoch on without blocking.
pub(crate) struct Outgoing {
    pub(crate) network: Network,
    /// The epoch of the effects: its members, and what fetched blocks are checked against.
    pub(crate) epoch: Arc<EpochView>,
    /// Verifies fetched transactions.
    pub(crate) verifier: Verifier,
    pub(crate) inbox: mpsc::Sender<ValidatorWork>,
    pub(crate) runtime: Handle,
}

impl Outgoing {
    pub(crate) fn send(&self, effects: Effects) {
        for (to, message) in effects.messages {
            let bytes = MemberMessage::consensus(message).into();
            match to {
                To::All => self.network.broadcast(bytes),
                To::One(replica) => self.network.send(self.epoch.members.key(replica), bytes),
            }
        }
        for batch in effects.gossip {
            if let Err(error) = self.network.publish(MemberMessage::transactions(&batch).into()) {
                // No peer is connected, or the queue is full. Resends deliver the transactions
                // later.
                tracing::debug!(%error, count = batch.len(), "transactions not gossiped");
            }
        }
        if !effects.resends.is_empty() {
            self.network.broadcast(MemberMessage::transactions(&effects.resends).into());
        }
        for (replica, fetch, ask) in effects.asks {
            self.request(replica, fetch, &ask);
        }
    }

    /// Sends a request to a member, and passes the checked response to the engine.
    fn request(&self, from: ReplicaId, fetch: FetchId, request: &FetchRequest) {
        let most = match request {
            FetchRequest::Transactions { indices, .. } => indices.len(),
            FetchRequest::Blocks { .. } | FetchRequest::Ids { .. } => 0,
        };
        let request = quorate_ledger::encode(request);
        let (network, peer) = (self.network.clone(), self.epoch.members.key(from));
        let (verifier, inbox, epoch) = (self.verifier.clone(), self.inbox.clone(), Arc::clone(&self.epoch));
        self.runtime.spawn(async move {
            let answer = match fetching::request(&network, peer, request).await {
                Outcome::Answered(FetchResponse::Transactions(transactions))
                    if transactions.len() <= most =>
                {
                    return verifier.fetched(epoch.epoch(), fetch, from, transactions).await;
                }
                Outcome::Answered(FetchResponse::Blocks(blocks)) => {
                    fetching::checked_range(blocks, &epoch, from).await.map(Fetched::Range)
                }
                // The engine compares the ids with the header, one hash for each.
                Outcome::Answered(FetchResponse::Ids(ids)) => Some(Fetched::Ids(ids)),
                // More transactions than requested: verifying them would cost more than the request
                // is worth.
                Outcome::Answered(FetchResponse::Transactions(_) | FetchResponse::Nothing)
                | Outcome::None => None,
                // The engine treats it as a missing response and asks another member after its
                // timeout.
                Outcome::NotSent => return,
            };
            let event = Event::Answered { fetch, from, answer };
            // If the engine is gone, no receiver is left.
            let _ = inbox.send(ValidatorWork::Event { epoch: epoch.epoch(), event }).await;
        });
    }
}
