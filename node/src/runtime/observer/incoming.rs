//! Distributes network events of an observer: only head statuses of validators reach it.

use std::sync::Arc;

use quorate_engine::{HeadStatus, Observation};
use quorate_ledger::Height;
use quorate_network::{NetworkEvent, NetworkEvents, PeerKey};
use tokio::sync::{mpsc, watch};

use super::inbox::ObserverWork;
use crate::runtime::members::Members;
use crate::runtime::status::peer_lag::PeerLag;

/// Processes network events of an observer.
pub(crate) struct Incoming {
    pub(crate) members: Arc<Members>,
    pub(crate) inbox: mpsc::Sender<ObserverWork>,
    pub(crate) committed: watch::Receiver<Height>,
    pub(crate) peer_lag: Arc<PeerLag>,
}

impl Incoming {
    /// Runs until the network ends or the observer is gone.
    pub(crate) async fn run(self, mut events: NetworkEvents) {
        while let Some(event) = events.recv().await {
            let observation = match event {
                NetworkEvent::Connected { peer } => {
                    tracing::info!(validator = self.members.name_of(&peer), "connected");
                    None
                }
                NetworkEvent::Disconnected { peer } => {
                    tracing::info!(validator = self.members.name_of(&peer), "disconnected");
                    self.members.index(&peer).map(Observation::PeerDown)
                }
                NetworkEvent::Message { from, bytes } => self.head(&from, &bytes),
                // Dropping the answer refuses the request: members request only from each other.
                NetworkEvent::Gossip { .. } | NetworkEvent::Request { .. } => None,
            };
            if let Some(observation) = observation
                && self.inbox.send(ObserverWork::Observation(observation)).await.is_err()
            {
                return;
            }
        }
    }

    /// Drops every message that is not a head status before it costs anything.
    fn head(&self, from: &PeerKey, bytes: &[u8]) -> Option<Observation> {
        let from = self.members.index(from)?;
        match HeadStatus::read(bytes) {
            Ok(claim) => {
                let claim = claim?;
                self.peer_lag.record_committed(from, claim.committed, *self.committed.borrow());
                Some(Observation::Head { from, claim })
            }
            Err(error) => {
                tracing::debug!(validator = self.members.name(from), %error, "message rejected");
                None
            }
        }
    }
}
