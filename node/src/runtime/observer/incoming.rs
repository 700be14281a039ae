//! Distributes network events of an observer: only head statuses of validators reach it. A follower
//! also serves blocks.

use quorate_engine::{HeadStatus, Observation};
use quorate_ledger::Height;
use quorate_network::{NetworkEvent, NetworkEvents, PeerKey};
use tokio::sync::{mpsc, watch};

use super::inbox::ObserverWork;
use crate::runtime::answering::blocks::BlockRequests;
use crate::runtime::epoch::{EpochView, EpochViews};

/// Processes network events of an observer.
pub(crate) struct Incoming {
    pub(crate) epochs: EpochViews,
    pub(crate) inbox: mpsc::Sender<ObserverWork>,
    pub(crate) committed: watch::Receiver<Height>,
    /// Serves blocks. A member that was removed may have the last blocks of its epoch before a quorum
    /// of the next one has them. An observer serves none: members request only from each other.
    pub(crate) requests: Option<BlockRequests>,
}

impl Incoming {
    /// Runs until the network ends or the observer is gone.
    pub(crate) async fn run(mut self, mut events: NetworkEvents) {
        while let Some(event) = events.recv().await {
            let work = match event {
                NetworkEvent::Request { from, bytes, answer } => {
                    // Dropping the answer refuses the request.
                    if let Some(requests) = &mut self.requests {
                        requests.serve(&from, &bytes, answer);
                    }
                    None
                }
                event => self.work(event),
            };
            if let Some(work) = work
                && self.inbox.send(work).await.is_err()
            {
                return;
            }
        }
    }

    fn work(&self, event: NetworkEvent) -> Option<ObserverWork> {
        let epoch = self.epochs.borrow();
        match event {
            NetworkEvent::Connected { peer } => {
                tracing::info!(validator = epoch.members.name_of(&peer), "connected");
                None
            }
            NetworkEvent::Disconnected { peer } => {
                tracing::info!(validator = epoch.members.name_of(&peer), "disconnected");
                Some(ObserverWork::PeerDown(peer))
            }
            NetworkEvent::Message { from, bytes } => {
                let observation = self.head(&epoch, &from, &bytes)?;
                Some(ObserverWork::Observation { epoch: epoch.epoch(), observation })
            }
            NetworkEvent::Gossip { .. } | NetworkEvent::Request { .. } => None,
        }
    }

    /// Drops every message that is not a head status before it costs anything.
    fn head(&self, epoch: &EpochView, from: &PeerKey, bytes: &[u8]) -> Option<Observation> {
        let from = epoch.peer_index(from)?;
        match HeadStatus::read(bytes) {
            Ok(claim) => {
                let claim = claim?;
                epoch.peer_lag.record_committed(from, claim.committed, *self.committed.borrow());
                Some(Observation::Head { from, claim })
            }
            Err(error) => {
                tracing::debug!(validator = epoch.members.name(from), %error, "message rejected");
                None
            }
        }
    }
}
