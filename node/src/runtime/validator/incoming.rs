//! Distributes network events of a validator: messages of members go to the checking threads,
//! requests are answered from the ledger. Only requests are decoded here.

use std::sync::Arc;

use quorate_network::{NetworkEvent, NetworkEvents, PeerKey, Room};
use quorate_store::LedgerReader;
use tokio::sync::{mpsc, watch};

use super::checking::{Checker, PeerMessage};
use super::inbox::ValidatorWork;
use super::member_requests::MemberRequests;
use super::ready_requests::ReadyRequests;
use crate::runtime::answering::blocks::BlockRequests;
use crate::runtime::epoch::EpochView;

/// What receives the messages of members in one epoch. The threads of the checker end with it.
pub(crate) struct Reception {
    pub(crate) epoch: Arc<EpochView>,
    pub(crate) checker: Checker,
}

pub(crate) struct Incoming {
    /// That of the epoch in force.
    pub(crate) reception: watch::Receiver<Arc<Reception>>,
    pub(crate) inbox: mpsc::Sender<ValidatorWork>,
    pub(crate) ledger: LedgerReader,
    /// Serves candidates.
    pub(crate) readies: ReadyRequests,
}

impl Incoming {
    /// Runs until the network ends, the engine is gone, or a checking thread ended.
    ///
    /// Connections go to the engine's thread directly, and messages through the queues of the
    /// checking threads. So messages of a connection may arrive after its end, or after the start of
    /// the next one. That is harmless, because no message gets its meaning from its connection:
    ///
    /// * Statements are signed. They are as valid as before, and repeated ones are ignored.
    /// * STATUS and head statuses are unsigned claims. A late one makes the member count as heard
    ///   for at most three status intervals (R15d), as the last message before a silent failure does.
    ///   A request that it causes fails at once, and goes to the next member.
    /// * Upon a new connection, the replica sends everything again that the first STATUS shows to be
    ///   missing (R14c). If that is a late one of the old connection, it shows that more is missing,
    ///   and the answer goes over the new connection.
    ///
    /// The start of a connection is always before its own messages, because this task passes both on.
    pub(crate) async fn run(mut self, mut events: NetworkEvents) {
        let mut members = MemberRequests::new(self.ledger.clone());
        let mut observers = BlockRequests::new(self.ledger.clone());
        while let Some((event, room)) = events.recv_with_room().await {
            let reception = Arc::clone(&self.reception.borrow());
            let goes_on = match event {
                NetworkEvent::Connected { peer } => {
                    log_connection(&reception.epoch, &peer, "connected");
                    self.inbox.send(ValidatorWork::PeerUp(peer)).await.is_ok()
                }
                NetworkEvent::Disconnected { peer } => {
                    log_connection(&reception.epoch, &peer, "disconnected");
                    self.inbox.send(ValidatorWork::PeerDown(peer)).await.is_ok()
                }
                NetworkEvent::Message { from, bytes } => {
                    reception.check(&from, PeerMessage { bytes, direct: true }, room)
                }
                NetworkEvent::Gossip { from, bytes } => {
                    reception.check(&from, PeerMessage { bytes, direct: false }, room)
                }
                NetworkEvent::Request { from, bytes, answer } => {
                    if reception.epoch.members.index(&from).is_none() {
                        if let Some(answer) = self.readies.serve(&from, &bytes, answer) {
                            observers.serve(&from, &bytes, answer);
                        }
                        continue;
                    }
                    match members.serve(&from, &bytes, answer) {
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
}

impl Reception {
    /// Passes a message of a member to the checking threads; messages of observers are ignored.
    /// `false` if the threads have ended.
    fn check(&self, peer: &PeerKey, message: PeerMessage, room: Room) -> bool {
        self.epoch.members.index(peer).is_none_or(|from| self.checker.push(from, message, room))
    }
}

fn log_connection(epoch: &EpochView, peer: &PeerKey, what: &'static str) {
    match epoch.members.index(peer) {
        Some(replica) => tracing::info!(validator = epoch.members.name(replica), "{what}"),
        None => tracing::info!(observer = %peer, "{what}"),
    }
}
