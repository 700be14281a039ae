//! Passes the engine's effects to the network.

use std::sync::Arc;

use quorate_engine::{
    CheckedRange, Effects, Event, FetchId, FetchRequest, FetchResponse, Fetched, MemberMessage,
};
use quorate_genesis::Genesis;
use quorate_ledger::ReplicaId;
use quorate_network::{Network, RequestError};
use quorate_pbft::To;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::inbox::Work;
use super::verify::Verifier;
use crate::runtime::members::Members;

/// What the engine's thread needs to pass effects on without blocking.
pub(crate) struct Outgoing {
    pub(crate) network: Network,
    pub(crate) members: Arc<Members>,
    pub(crate) genesis: Arc<Genesis>,
    /// Verifies fetched transactions; `None` for an observer, which requests only blocks.
    pub(crate) verifier: Option<Verifier>,
    pub(crate) inbox: mpsc::Sender<Work>,
    pub(crate) runtime: Handle,
}

impl Outgoing {
    pub(crate) fn send(&self, effects: Effects) {
        for (to, message) in effects.messages {
            let bytes = MemberMessage::consensus(message).into();
            match to {
                To::All => self.network.broadcast(bytes),
                To::One(replica) => self.network.send(self.members.key(replica), bytes),
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

    /// Sends a request to a member. The network limits how many are open for each member.
    fn request(&self, from: ReplicaId, fetch: FetchId, ask: &FetchRequest) {
        let most = match ask {
            FetchRequest::Transactions { indices, .. } => indices.len(),
            FetchRequest::Blocks { .. } | FetchRequest::Ids { .. } => 0,
        };
        let request = quorate_ledger::encode(ask).into();
        let (network, peer) = (self.network.clone(), self.members.key(from));
        let (verifier, inbox, genesis) =
            (self.verifier.clone(), self.inbox.clone(), Arc::clone(&self.genesis));
        let name = self.members.name(from).to_owned();
        self.runtime.spawn(async move {
            let answer = match outcome(network.request(peer, request).await) {
                Outcome::Answered(answer) => Some(answer),
                Outcome::None => None,
                // The engine treats it as a missing response and asks another member after its
                // timeout.
                Outcome::NotSent => return,
            };
            let answer = match answer {
                Some(FetchResponse::Transactions(transactions)) if transactions.len() <= most => {
                    match verifier {
                        Some(verifier) => return verifier.fetched(fetch, from, transactions).await,
                        None => None,
                    }
                }
                Some(FetchResponse::Blocks(blocks)) => {
                    // Hundreds of signatures and megabytes of hashing must not block a thread that
                    // serves sockets.
                    let check = move || {
                        CheckedRange::check(blocks, genesis.anchor(), genesis.consensus().window)
                            .inspect_err(|error| tracing::warn!(validator = name, %error, "bad blocks"))
                            .ok()
                    };
                    tokio::task::spawn_blocking(check).await.ok().flatten().map(Fetched::Range)
                }
                // The engine compares the ids with the header, one hash for each.
                Some(FetchResponse::Ids(ids)) => Some(Fetched::Ids(ids)),
                // More transactions than requested: verifying them would cost more than the request
                // is worth.
                Some(FetchResponse::Transactions(_) | FetchResponse::Nothing) | None => None,
            };
            // If the engine is gone, no receiver is left.
            let _ = inbox.send(Work::Event(Event::Answered { fetch, from, answer })).await;
        });
    }
}

/// The result of a request.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Answered(FetchResponse),
    /// The member did not respond, or its response cannot be decoded.
    None,
    /// Too many requests to this member are already open. This says nothing about the member.
    NotSent,
}

fn outcome(result: Result<impl AsRef<[u8]>, RequestError>) -> Outcome {
    match result {
        Ok(bytes) => quorate_ledger::decode(bytes.as_ref()).map_or(Outcome::None, Outcome::Answered),
        Err(error) => {
            tracing::debug!(%error, "a request to a validator was not answered");
            if matches!(error, RequestError::TooMany { .. }) { Outcome::NotSent } else { Outcome::None }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_request_that_was_not_sent_is_not_a_missing_response() {
        let none: Result<&[u8], _> = Err(RequestError::TooMany { limit: 8 });
        assert_eq!(outcome(none), Outcome::NotSent);
        let none: Result<&[u8], _> = Err(RequestError::TimedOut { after: Duration::from_secs(1) });
        assert_eq!(outcome(none), Outcome::None);
        assert_eq!(outcome(Ok([255])), Outcome::None);
        assert_eq!(
            outcome(Ok(quorate_ledger::encode(&FetchResponse::Nothing))),
            Outcome::Answered(FetchResponse::Nothing)
        );
    }
}
