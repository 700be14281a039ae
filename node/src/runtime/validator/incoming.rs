//! Distributes network events of a validator: messages of members go to the checking threads,
//! requests are answered from the ledger. Only requests are decoded here.

use std::sync::Arc;

use quorate_network::{NetworkEvent, NetworkEvents, PeerKey, Room};
use quorate_store::LedgerReader;
use tokio::sync::mpsc;

use super::answering::members::MemberRequests;
use super::answering::observers::ObserverRequests;
use super::checking::{Checker, PeerEvent};
use super::inbox::ValidatorWork;
use crate::runtime::members::Members;

pub(crate) struct Incoming {
    pub(crate) members: Arc<Members>,
    pub(crate) checker: Checker,
    pub(crate) inbox: mpsc::Sender<ValidatorWork>,
    pub(crate) ledger: LedgerReader,
}

impl Incoming {
    /// Runs until the network ends, the engine is gone, or a checking thread ended.
    pub(crate) async fn run(self, mut events: NetworkEvents) {
        let mut members = MemberRequests::new(self.ledger.clone());
        let mut observers = ObserverRequests::new(self.ledger.clone());
        while let Some((event, room)) = events.recv_with_room().await {
            let goes_on = match event {
                NetworkEvent::Connected { peer } => {
                    self.log_connection(&peer, "connected");
                    match self.members.index(&peer) {
                        Some(_) => self.check(&peer, PeerEvent::Connected, room),
                        None => self.inbox.send(ValidatorWork::ObserverUp).await.is_ok(),
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
                NetworkEvent::Request { from, bytes, answer } => match members.serve(&from, &bytes, answer) {
                    Some(work) => self.inbox.send(work).await.is_ok(),
                    None => true,
                },
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
}
