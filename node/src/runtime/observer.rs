//! An observer's thread and its network events.

use std::sync::Arc;

use quorate_engine::{Event, Fatal, Fetched, HeadStatus, Observation, Observer};
use quorate_ledger::Height;
use quorate_network::{NetworkEvent, NetworkEvents, PeerKey};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use super::members::Members;
use super::publisher::Publisher;
use crate::runtime::status::peer_lag::PeerLag;
use crate::runtime::status::snapshot::Snapshot;
use crate::runtime::validator::inbox::{GROUP, TransactionState, Work};
use crate::runtime::validator::outgoing::Outgoing;

/// Passes events to the observer and distributes the resulting effects.
pub(crate) struct ObserverDriver {
    pub(crate) observer: Observer,
    pub(crate) publisher: Publisher,
    pub(crate) outgoing: Outgoing,
}

impl ObserverDriver {
    /// Runs until it receives [`Work::Stop`].
    ///
    /// # Errors
    /// [`Fatal`]: the node must end.
    pub(crate) fn run(mut self, runtime: &Runtime) -> Result<(), Fatal> {
        let mut group = Vec::with_capacity(GROUP);
        loop {
            let has_more = self.publisher.wait(runtime, self.observer.deadline(), &mut group);
            let stop = !has_more || group.iter().any(|work| matches!(work, Work::Stop));
            let now = self.publisher.clock.now();
            let effects = self.observer.handle(now, group.drain(..).filter_map(observation))?;
            let done = self.publisher.clock.now();
            self.publisher.record_metrics(done, &effects);
            if !effects.committed.is_empty() {
                // As in the driver: publish the status before the blocks, so that it is never older
                // than they are.
                self.publisher.publish(Snapshot::of_observer(&self.observer, done));
            }
            self.publisher.notify_waiters(&effects);
            self.publisher.log(now.moment, &effects.notices);
            self.outgoing.send(effects);
            let observer = &self.observer;
            self.publisher.publish_if_due(now.moment, |_, at| Snapshot::of_observer(observer, at));
            if stop {
                return self.observer.close();
            }
        }
    }
}

/// The part of the work that concerns an observer. It accepts no transactions and serves no
/// members.
fn observation(work: Work) -> Option<Observation> {
    match work {
        Work::Head { from, claim } => Some(Observation::Head { from, claim }),
        Work::Event(Event::PeerDown(peer)) => Some(Observation::PeerDown(peer)),
        Work::Event(Event::Answered { fetch, answer, .. }) => {
            let range = match answer {
                Some(Fetched::Range(range)) => Some(range),
                Some(Fetched::Transactions(_) | Fetched::Ids(_)) | None => None,
            };
            Some(Observation::Answered { fetch, range })
        }
        Work::StatusOf { reply, .. } => {
            // A send error means that the requester is gone. A transaction in no block is unknown
            // to an observer.
            let _ = reply.send(TransactionState::Unknown);
            None
        }
        Work::Event(_) | Work::Submit { .. } | Work::Fetch { .. } | Work::ObserverUp | Work::Stop => None,
    }
}

/// Processes network events of an observer.
pub(crate) struct ObserverIncoming {
    pub(crate) members: Arc<Members>,
    pub(crate) inbox: mpsc::Sender<Work>,
    pub(crate) committed: watch::Receiver<Height>,
    pub(crate) peer_lag: Arc<PeerLag>,
}

impl ObserverIncoming {
    /// Runs until the network ends or the observer is gone.
    pub(crate) async fn run(self, mut events: NetworkEvents) {
        while let Some(event) = events.recv().await {
            let work = match event {
                NetworkEvent::Connected { peer } => {
                    tracing::info!(validator = self.members.name_of(&peer), "connected");
                    None
                }
                NetworkEvent::Disconnected { peer } => {
                    tracing::info!(validator = self.members.name_of(&peer), "disconnected");
                    self.members.index(&peer).map(|replica| Work::Event(Event::PeerDown(replica)))
                }
                NetworkEvent::Message { from, bytes } => self.head(&from, &bytes),
                // Dropping the answer refuses the request: members request only from each other.
                NetworkEvent::Gossip { .. } | NetworkEvent::Request { .. } => None,
            };
            if let Some(work) = work
                && self.inbox.send(work).await.is_err()
            {
                return;
            }
        }
    }

    /// Drops every message that is not a head status before it costs anything.
    fn head(&self, from: &PeerKey, bytes: &[u8]) -> Option<Work> {
        let from = self.members.index(from)?;
        match HeadStatus::read(bytes) {
            Ok(claim) => {
                let claim = claim?;
                self.peer_lag.record_committed(from, claim.committed, *self.committed.borrow());
                Some(Work::Head { from, claim })
            }
            Err(error) => {
                tracing::debug!(validator = self.members.name(from), %error, "message rejected");
                None
            }
        }
    }
}
