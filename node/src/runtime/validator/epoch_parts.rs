//! The parts of a validator that exist for one epoch.

use std::sync::Arc;
use std::time::Duration;

use quorate_engine::Engine;
use quorate_ledger::{Height, ReplicaId};
use quorate_network::Network;
use quorate_pbft::Position;
use quorate_store::LedgerReader;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::checking::{CheckContext, Checker, NotChecked};
use super::heads::HeadSender;
use super::inbox::ValidatorWork;
use super::incoming::Reception;
use super::outgoing::Outgoing;
use super::verify::Verifier;
use crate::runtime::clock::Clock;
use crate::runtime::epoch::EpochView;

/// The parts of one epoch that the engine's thread uses.
pub(crate) struct EpochParts {
    pub(crate) view: Arc<EpochView>,
    pub(crate) outgoing: Outgoing,
    pub(crate) heads: HeadSender,
    /// For the threads that check messages.
    pub(crate) position: watch::Sender<Arc<Position>>,
}

/// What the parts of every epoch are made of.
pub(crate) struct EpochMaker {
    pub(crate) network: Network,
    pub(crate) verifier: Verifier,
    pub(crate) inbox: mpsc::Sender<ValidatorWork>,
    pub(crate) runtime: Handle,
    /// Threads that check messages.
    pub(crate) threads: usize,
    /// Height of the newest block of this node.
    pub(crate) committed: watch::Receiver<Height>,
    pub(crate) ledger: LedgerReader,
    pub(crate) clock: Clock,
    /// Messages of members that were dropped unchecked, in all epochs.
    pub(crate) not_checked: Arc<NotChecked>,
}

impl EpochMaker {
    /// Makes the parts of an epoch, of which `me` is a member, and starts the threads that check its
    /// messages.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub(crate) fn make(
        &self,
        view: &Arc<EpochView>,
        me: ReplicaId,
        engine: &Engine,
    ) -> std::io::Result<(EpochParts, Arc<Reception>)> {
        let (position, latest) = watch::channel(Arc::new(engine.position()));
        let context = CheckContext {
            epoch: Arc::clone(view),
            me,
            verifier: self.verifier.clone(),
            inbox: self.inbox.clone(),
            position: latest,
            committed: self.committed.clone(),
            ledger: self.ledger.clone(),
            clock: self.clock,
            not_checked: Arc::clone(&self.not_checked),
        };
        let checker = Checker::start(self.threads, context)?;
        let outgoing = Outgoing {
            network: self.network.clone(),
            epoch: Arc::clone(view),
            verifier: self.verifier.clone(),
            inbox: self.inbox.clone(),
            runtime: self.runtime.clone(),
        };
        let interval: Duration = view.engine.pbft.status_interval;
        let heads = HeadSender::new(self.network.clone(), interval);
        let parts = EpochParts { view: Arc::clone(view), outgoing, heads, position };
        Ok((parts, Arc::new(Reception { epoch: Arc::clone(view), checker })))
    }
}
