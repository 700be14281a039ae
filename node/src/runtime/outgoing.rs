//! From the engine's effects to the network.

use std::sync::Arc;

use quorate_engine::{Answer, Ask, CheckedRun, Effects, Event, FetchId, Fetched, MemberMessage};
use quorate_genesis::Genesis;
use quorate_ledger::ReplicaId;
use quorate_network::{Network, RequestError};
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
            let answer = match outcome(network.request(peer, question).await) {
                Outcome::Answered(answer) => Some(answer),
                Outcome::None => None,
                // The engine waits as for any answer that does not come, and asks another member then.
                Outcome::NotAsked => return,
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

/// What became of a question.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Answered(Answer),
    /// The member did not answer, or its answer cannot be decoded.
    None,
    /// Too many questions to this member are open already. This says nothing about what the member has.
    NotAsked,
}

fn outcome(result: Result<impl AsRef<[u8]>, RequestError>) -> Outcome {
    match result {
        Ok(bytes) => quorate_ledger::decode(bytes.as_ref()).map_or(Outcome::None, Outcome::Answered),
        Err(error) => {
            tracing::debug!(%error, "a question to a validator was not answered");
            if matches!(error, RequestError::TooMany { .. }) { Outcome::NotAsked } else { Outcome::None }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_question_that_was_not_put_is_no_answer() {
        let none: Result<&[u8], _> = Err(RequestError::TooMany { limit: 8 });
        assert_eq!(outcome(none), Outcome::NotAsked);
        let none: Result<&[u8], _> = Err(RequestError::TimedOut { after: Duration::from_secs(1) });
        assert_eq!(outcome(none), Outcome::None);
        assert_eq!(outcome(Ok([255])), Outcome::None);
        assert_eq!(outcome(Ok(quorate_ledger::encode(&Answer::Nothing))), Outcome::Answered(Answer::Nothing));
    }
}
