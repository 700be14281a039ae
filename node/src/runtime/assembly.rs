//! What the assemblies of a validator and of an observer share.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use prometheus::Registry;
use quorate_engine::EngineConfig;
use quorate_genesis::Genesis;
use quorate_governance::State;
use quorate_ledger::{Epoch, Height, SecretKey, SignatureMemo};
use quorate_network::{Network, NetworkEvents, PeerKey};
use quorate_rpc::{AdminServer, Node};
use quorate_store::{Head, LedgerReader, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;

use super::clock::Clock;
use super::epoch::members::peer_key;
use super::epoch::peer_lists::{self, PeerUpdates};
use super::epoch::{EpochSource, EpochView};
use super::serving::administration;
use super::serving::server::Serving;
use super::status::disk::Disk;
use super::status::node::NodeView;
use super::{Setup, known_addresses, peer_network};
use crate::config::Config;
use crate::logging::LogLevel;
use crate::output;

/// Cached valid signatures of validators: all votes in the open window of the largest committee.
const VOTES_REMEMBERED: usize = 20_000;

/// What a node is before it is connected.
pub(crate) struct Base {
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) key: SecretKey,
    /// See [`Setup::next_key`].
    pub(crate) next_key: Option<SecretKey>,
    pub(crate) config: Config,
    /// Makes the views of later epochs.
    pub(crate) epochs: EpochSource,
    /// The epoch in force at the start.
    pub(crate) epoch: Arc<EpochView>,
    /// The governance state at the start.
    pub(crate) state: State,
    pub(crate) clock: Clock,
}

/// What a node has as soon as its files are open, in addition.
pub(crate) struct Connected {
    pub(crate) network: Network,
    pub(crate) ledger: LedgerReader,
    pub(crate) admin: Option<AdminServer>,
    /// The file with the known addresses of other validators.
    pub(crate) addresses_file: PathBuf,
}

/// An empty memo for the signatures of validators. Certificates and view changes contain signatures
/// that were already verified in votes.
pub(crate) fn vote_memo() -> Arc<SignatureMemo> {
    Arc::new(SignatureMemo::new(VOTES_REMEMBERED))
}

impl Base {
    /// The node in the epoch after this state, for which `engine` is the configuration. Returns also
    /// the log level that the administration socket changes. `sources`: see [`EpochView::sources`].
    pub(crate) fn of(
        setup: Setup,
        state: State,
        engine: EngineConfig,
        sources: Vec<PeerKey>,
        clock: Clock,
    ) -> (Self, Option<LogLevel>) {
        let genesis = Arc::new(setup.genesis);
        let (key, role) = (setup.key.public(), setup.config.role);
        let epochs = EpochSource { genesis: Arc::clone(&genesis), key, role, sources: sources.into() };
        let base = Base {
            epoch: epochs.view(&state, engine),
            epochs,
            state,
            genesis,
            key: setup.key,
            next_key: setup.next_key,
            config: setup.config,
            clock,
        };
        (base, setup.log_level)
    }

    /// Starts the administration socket and the peer-to-peer network. `ledger` reads the node's open
    /// ledger. There is no socket without a log level. Returns also what keeps the lists of peers up
    /// to date.
    ///
    /// # Errors
    /// A ledger that cannot be read, or addresses that the node cannot listen on.
    pub(crate) async fn connect(
        &self,
        ledger: LedgerReader,
        log_level: Option<LogLevel>,
    ) -> anyhow::Result<(Connected, NetworkEvents, PeerUpdates)> {
        // The files are locked now, so no other node serves this socket.
        let administered = self.config.admin_socket.as_ref().zip(log_level);
        let admin =
            administered.map(|(socket, log_level)| administration::serve(socket, log_level)).transpose()?;
        let head = ledger.head().context("cannot read the ledger")?;
        self.warn_of_time_ahead(head);
        let addresses_file = known_addresses::beside(&self.config.ledger);
        let observers = self.config.p2p_observers.clone();
        let sources = &self.epochs.sources;
        let lists = peer_lists::peers_of(&self.state, &observers, &[], sources);
        let started = peer_network::start(&self.config, &self.state, &self.key, &lists);
        let (network, events) = started.await?;
        let peers = PeerUpdates::new(network.clone(), observers, Arc::clone(sources), lists);
        Ok((Connected { network, ledger, admin, addresses_file }, events, peers))
    }

    /// The members of the epoch before the one in force; none in the first epoch.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(crate) fn members_before(&self, ledger: &LedgerReader) -> Result<Vec<PeerKey>, StoreError> {
        let Some(before) = self.epoch.epoch().0.checked_sub(1) else { return Ok(Vec::new()) };
        let Some(two_before) = before.checked_sub(1) else {
            return Ok(self.genesis.committee().members().iter().map(peer_key).collect());
        };
        // The proof of the end of an epoch names the members of the next one.
        let proofs = ledger.epoch_proofs(Epoch(two_before), 1)?;
        Ok(proofs.iter().flat_map(|proof| &proof.next).map(peer_key).collect())
    }

    /// Block times only increase, so a newest block with a future time delays the next block until
    /// that time.
    fn warn_of_time_ahead(&self, head: Head) {
        let possible_at = self.epoch.config.next_block_possible_at(head.timestamp);
        if possible_at > self.clock.now().wall {
            tracing::warn!(
                height = %head.height,
                time = output::time(head.timestamp.0),
                possible_at = output::time(possible_at.0),
                "the newest block's time is ahead of this node's clock: no block can be ordered before \
                 possible_at. If this node's clock is wrong, correct it"
            );
        }
    }

    /// The view for status reports. `files`: the files that the node writes, by name.
    ///
    /// # Errors
    /// If the thread that watches the disk cannot be started.
    pub(crate) fn view(
        &self,
        connected: &Connected,
        committed: watch::Receiver<Height>,
        files: Vec<(&'static str, PathBuf)>,
    ) -> anyhow::Result<NodeView> {
        let written = files.iter().map(|(_, path)| path.clone()).collect();
        let disk = Disk::watch(written).context("cannot start the thread that watches the disk")?;
        Ok(NodeView {
            genesis: Arc::clone(&self.genesis),
            public_key: self.key.public(),
            ledger: connected.ledger.clone(),
            network: connected.network.clone(),
            committed,
            clock: self.clock,
            started: Instant::now(),
            disk,
            files,
        })
    }

    /// Starts to serve clients.
    ///
    /// # Errors
    /// As [`Serving::start`]. The network is shut down then.
    pub(crate) async fn serve<N: Node>(
        &self,
        connected: &Connected,
        node: Arc<N>,
        metrics: Registry,
    ) -> anyhow::Result<Serving> {
        let started = Serving::start(self.config.rpc.clone(), node, metrics).await;
        if started.is_err() {
            connected.network.shutdown().await;
        }
        started
    }
}
