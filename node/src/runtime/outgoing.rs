//! From the engine's effects to the network.

use std::sync::Arc;

use quorate_engine::{Answer, Ask, CheckedRun, Effects, Event, FetchId, Fetched, MemberMessage};
use quorate_genesis::Genesis;
use quorate_ledger::ReplicaId;
use quorate_network::Network;
use quorate_pbft::To;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::members::Members;
use super::verify::Verifier;
use super::work::Work;

/// What the engine's thread needs to pass effects on without waiting for anything.
pub(crate) struct Outgoing {
    pub(crate) network: Network,
    pub(crate) members: Arc<Members>,
    pub(crate) genesis: Arc<Genesis>,
    /// For transactions; none for an observer, which asks for blocks alone.
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
                // Nobody hears us now, or the queue is full: reminders carry them later.
                tracing::debug!(%error, count = batch.len(), "transactions not gossiped");
            }
        }
        if !effects.reminders.is_empty() {
            self.network.broadcast(MemberMessage::transactions(&effects.reminders).into());
        }
        for (replica, fetch, ask) in effects.asks {
            self.ask(replica, fetch, &ask);
        }
    }

    /// Puts a question to a member. The network bounds how many are under way to each.
    fn ask(&self, from: ReplicaId, fetch: FetchId, ask: &Ask) {
        let most = match ask {
            Ask::Transactions { indices, .. } => indices.len(),
            Ask::Blocks { .. } | Ask::Ids { .. } => 0,
        };
        let question = quorate_ledger::encode(ask).into();
        let (network, peer) = (self.network.clone(), self.members.key(from));
        let (verifier, inbox, genesis) =
            (self.verifier.clone(), self.inbox.clone(), Arc::clone(&self.genesis));
        let name = self.members.name(from).to_owned();
        self.runtime.spawn(async move {
            let answer = match network.request(peer, question).await {
                Ok(bytes) => quorate_ledger::decode::<Answer>(&bytes).ok(),
                Err(error) => {
                    tracing::debug!(%error, "a question to a validator was not answered");
                    None
                }
            };
            let answer = match answer {
                Some(Answer::Transactions(transactions)) if transactions.len() <= most => match verifier {
                    Some(verifier) => return verifier.fetched(fetch, from, transactions).await,
                    None => None,
                },
                Some(Answer::Blocks(blocks)) => {
                    // Hundreds of signatures and megabytes of hashing: not on a thread that serves sockets.
                    let check = move || {
                        CheckedRun::check(blocks, genesis.anchor(), genesis.consensus().window)
                            .inspect_err(|error| tracing::warn!(validator = name, %error, "bad blocks"))
                            .ok()
                    };
                    tokio::task::spawn_blocking(check).await.ok().flatten().map(Fetched::Run)
                }
                // Compared with the header by the engine: a hash for each.
                Some(Answer::Ids(ids)) => Some(Fetched::Ids(ids)),
                // More than was asked for would be more signatures to check than the question was worth.
                Some(Answer::Transactions(_) | Answer::Nothing) | None => None,
            };
            // With the engine gone there is nobody to tell.
            let _ = inbox.send(Work::Event(Event::Answered { fetch, from, answer })).await;
        });
    }
}
