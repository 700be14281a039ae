//! From the network to the engine: everything is decoded and checked here, off the engine's thread.

use std::sync::Arc;

use quorate_engine::{Answer, Ask, Event, MemberMessage, serve_committed, serve_run};
use quorate_genesis::Genesis;
use quorate_ledger::{Height, ReplicaId, Timestamp, decode};
use quorate_network::{NetworkEvent, NetworkEvents, PeerKey};
use quorate_pbft::{Checked, Message};
use quorate_store::{LedgerReader, StoreError};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::clock::Clock;
use super::heard::Heard;
use super::members::Members;
use super::observer_questions::ObserverQuestions;
use super::verify::Verifier;
use super::work::Work;

/// Questions for blocks that are served at a time. Each reads and holds a few megabytes; further ones are
/// refused, and the asker turns to another member.
const SERVED_AT_A_TIME: usize = 2;

pub(crate) struct Incoming {
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) members: Arc<Members>,
    pub(crate) verifier: Verifier,
    pub(crate) inbox: mpsc::Sender<Work>,
    pub(crate) ledger: LedgerReader,
    /// Height of the newest block here.
    pub(crate) committed: watch::Receiver<Height>,
    pub(crate) clock: Clock,
    pub(crate) heard: Arc<Heard>,
}

impl Incoming {
    /// Runs until the network ends or the engine is gone.
    pub(crate) async fn run(self, mut events: NetworkEvents) {
        let serving = Arc::new(Semaphore::new(SERVED_AT_A_TIME));
        let mut observers = ObserverQuestions::new(self.ledger.clone());
        while let Some(event) = events.recv().await {
            let work = match event {
                NetworkEvent::Connected { peer } => {
                    self.say(&peer, "connected");
                    let up = |replica| Work::Event(Event::PeerUp(replica));
                    Some(self.members.index(&peer).map_or(Work::ObserverUp, up))
                }
                NetworkEvent::Disconnected { peer } => {
                    self.say(&peer, "disconnected");
                    self.members.index(&peer).map(|replica| Work::Event(Event::PeerDown(replica)))
                }
                NetworkEvent::Message { from, bytes } => {
                    self.members.index(&from).and_then(|from| self.message(from, &bytes, true))
                }
                NetworkEvent::Gossip { from, bytes } => {
                    self.members.index(&from).and_then(|from| self.message(from, &bytes, false))
                }
                NetworkEvent::Request { from, bytes, answer } if self.members.index(&from).is_none() => {
                    observers.question(&from, &bytes, answer);
                    None
                }
                NetworkEvent::Request { bytes, answer, .. } => self.question(&bytes, answer, &serving),
            };
            if let Some(work) = work
                && self.inbox.send(work).await.is_err()
            {
                return;
            }
        }
    }

    fn say(&self, peer: &PeerKey, what: &'static str) {
        match self.members.index(peer) {
            Some(replica) => tracing::info!(validator = self.members.name(replica), "{what}"),
            None => tracing::info!(observer = %peer, "{what}"),
        }
    }

    /// A message over a direct stream, or by gossip, where protocol messages have no place: their channel
    /// says nothing about who sent them.
    fn message(&self, from: ReplicaId, bytes: &[u8], direct: bool) -> Option<Work> {
        let checked = match MemberMessage::from_bytes(bytes) {
            Ok(MemberMessage::Transactions(transactions)) => {
                self.verifier.offer(from, transactions);
                return None;
            }
            Ok(MemberMessage::Consensus(message)) if direct => {
                let (chain, epoch) = (self.genesis.chain_id(), self.genesis.header().epoch);
                let time = own_time(&message, from);
                let checked = message.check(
                    from,
                    &chain,
                    epoch,
                    self.genesis.committee(),
                    self.genesis.consensus().window,
                );
                if let Ok(checked) = &checked {
                    self.listen(from, checked, time);
                }
                checked.map_err(|rejected| rejected.to_string())
            }
            Ok(MemberMessage::Consensus(_)) => Err("a protocol message was gossiped".to_owned()),
            Ok(MemberMessage::Head(_)) => Err("a head is for observers".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        match checked {
            Ok(message) => Some(Work::Event(Event::Consensus { from, message })),
            Err(reason) => {
                tracing::debug!(validator = self.members.name(from), reason, "message rejected");
                None
            }
        }
    }

    fn listen(&self, from: ReplicaId, message: &Checked, time: Option<Timestamp>) {
        if let Some(time) = time {
            self.heard.proposed(from, time, self.clock.now());
        }
        if let Checked::Status(status) = message {
            self.heard.stands(from, status.committed, *self.committed.borrow());
        }
    }

    fn question(
        &self,
        bytes: &[u8],
        answer: quorate_network::Answer,
        serving: &Arc<Semaphore>,
    ) -> Option<Work> {
        match decode::<Ask>(bytes) {
            Ok(Ask::Blocks { from }) => {
                // Dropping `answer` refuses the question.
                let permit = Arc::clone(serving).try_acquire_owned().ok()?;
                let ledger = self.ledger.clone();
                tokio::task::spawn_blocking(move || {
                    let served = served(serve_run(&ledger, from));
                    answer.send(quorate_ledger::encode(&served).into());
                    drop(permit);
                });
                None
            }
            Ok(ask @ (Ask::Transactions { .. } | Ask::Ids { .. })) => {
                let (reply, in_flight) = oneshot::channel();
                let (ledger, serving, wanted) = (self.ledger.clone(), Arc::clone(serving), ask.clone());
                tokio::spawn(async move {
                    // Dropping `answer` refuses the question.
                    let Ok(in_flight) = in_flight.await else { return };
                    if in_flight != Answer::Nothing {
                        return answer.send(quorate_ledger::encode(&in_flight).into());
                    }
                    // Committed meanwhile, perhaps: the ledger is asked here, not on the engine's thread.
                    let Ok(permit) = serving.try_acquire_owned() else { return };
                    tokio::task::spawn_blocking(move || {
                        let served = served(serve_committed(&ledger, &wanted));
                        answer.send(quorate_ledger::encode(&served).into());
                        drop(permit);
                    });
                });
                Some(Work::Ask { ask, reply })
            }
            Err(error) => {
                tracing::debug!(%error, "question rejected");
                None
            }
        }
    }
}

/// The time of what a member proposes itself, which is that of its clock. What it passes on tells of others'.
fn own_time(message: &Message, from: ReplicaId) -> Option<Timestamp> {
    match message {
        Message::PrePrepare(proposal) if proposal.header.proposer == from => Some(proposal.header.timestamp),
        _ => None,
    }
}

/// What a read of the ledger gave, or nothing: a member asks another one then, and the engine finds out itself
/// when its disk is broken.
pub(super) fn served(read: Result<Answer, StoreError>) -> Answer {
    read.unwrap_or_else(|error| {
        tracing::error!(%error, "the ledger cannot be read for another validator");
        Answer::Nothing
    })
}
