//! A running node: network, verification, engine and RPC wired together.
//!
//! ```text
//! network ── incoming ──► verify ──► inbox ──► driver (engine) ──► outgoing ──► network
//! RPC ────── service ───────┘           ▲              │
//!                                       └── answers ◄──┴──► waiters, snapshots ──► RPC
//! ```
//!
//! An observer is wired the same way with `Observer` instead of the engine (see `observer`). It has neither
//! verification nor a journal.

mod clock;
mod faults;
mod known_addresses;
mod members;
mod metrics;
mod observer;
mod open_files;
mod publisher;
mod serving;
mod status;
mod validator;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use quorate_engine::{Engine, Fatal, Observer, WireLimits};
use quorate_genesis::Genesis;
use quorate_ledger::{SecretKey, SignatureCache, SignatureMemo};
use quorate_network::{Network, NetworkConfig, NetworkLimits, NetworkTiming, PeerKey};
use quorate_pbft::Now;
use quorate_rpc::AdminServer;
use quorate_store::{Head, LedgerReader};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::config::{Config, Role};
use crate::data_files;
use crate::home::Home;
use crate::logging::LogLevel;
use crate::output;
pub(crate) use open_files::make_room;

use clock::Clock;
use members::Members;
use metrics::{Measured, Stopwatch};
use observer::{ObserverDriver, ObserverIncoming};
use publisher::Publisher;
use serving::administration;
use serving::server::Serving;
use serving::validator::Service;
use serving::waiters::Waiters;
use status::disk::Disk;
use status::peer_lag::PeerLag;
use status::snapshot::Snapshot;
use validator::checking::{CheckContext, Checker, NotChecked};
use validator::driver::Driver;
use validator::heads::HeadSender;
use validator::inbox::{INBOX, Work};
use validator::incoming::Incoming;
use validator::outgoing::Outgoing;
use validator::verify::Verifier;

/// Ids in a generation of the signature cache: the number that a busy network orders in half a
/// minute.
const SIGNATURES_REMEMBERED: usize = 200_000;

/// Cached valid signatures of validators: all votes in the open window of the largest committee.
const VOTES_REMEMBERED: usize = 20_000;

/// Everything that a node needs to run.
pub(crate) struct Setup {
    /// The parameters that all nodes agree on.
    pub(crate) genesis: Genesis,
    /// This node's key.
    pub(crate) key: SecretKey,
    /// This node's name in messages.
    pub(crate) name: String,
    /// Its settings.
    pub(crate) config: Config,
    /// The log level. The node has an administration socket if this is set.
    pub(crate) log_level: Option<LogLevel>,
}

impl Setup {
    /// The setup of the node with this home.
    pub(crate) fn of(home: Home, log_level: Option<LogLevel>) -> Self {
        let Home { config, genesis, key, name } = home;
        Setup { genesis, key, name, config, log_level }
    }
}

/// The reason why the node failed, once it has.
type Failure = watch::Receiver<Option<Arc<str>>>;

/// A node that runs until it is stopped or fails.
pub(crate) struct Running {
    rpc: Serving,
    admin: Option<AdminServer>,
    network: Network,
    inbox: mpsc::Sender<Work>,
    engine: JoinHandle<()>,
    failure: Failure,
    stopping: Arc<AtomicBool>,
    /// Ends the task that keeps addresses for the next start, and waits for it.
    addresses: (oneshot::Sender<()>, tokio::task::JoinHandle<()>),
}

/// Starts a node with existing files. It takes part as soon as this returns.
///
/// # Errors
/// Files that cannot be opened or belong to another node, a key that is not a member's, or addresses
/// that it cannot listen on.
pub(crate) async fn start(setup: Setup) -> anyhow::Result<Running> {
    let public_key = setup.key.public();
    // Certificates and view changes contain signatures that were already verified in votes.
    let memo = Arc::new(SignatureMemo::new(VOTES_REMEMBERED));
    let genesis = Arc::new(setup.genesis.with_memo(Arc::clone(&memo)));
    let key = setup.key.with_memo(memo);
    let clock = Clock::new();
    let Config { role, ledger: ledger_path, journal: journal_path, admin_socket, .. } = &setup.config;
    let core = Core::open(*role, &genesis, &key, ledger_path, journal_path, clock)?;
    let is_validator = *role == Role::Validator;
    // The files are locked now, so no other node serves this socket.
    let administered = admin_socket.as_ref().zip(setup.log_level);
    let admin =
        administered.map(|(socket, log_level)| administration::serve(socket, log_level)).transpose()?;
    let members = Arc::new(Members::of(&genesis));
    let reader = core.reader();
    let head = reader.head().context("cannot read the ledger")?;
    warn_of_time_ahead(&genesis, head, clock.now());

    let addresses_file = known_addresses::beside(ledger_path);
    let (network, events) = quorate_network::start(NetworkConfig {
        secret_key: key.to_bytes(),
        members: members.keys().to_vec(),
        observers: setup.config.p2p_observers.iter().map(|key| PeerKey(*key.as_bytes())).collect(),
        network_name: genesis.chain_id().to_string(),
        listen: setup.config.p2p_listen,
        advertise: setup.config.p2p_advertise,
        bootstrap: setup.config.p2p_bootstrap,
        known: known_addresses::read(&addresses_file),
        limits: network_limits(&genesis),
        timing: NetworkTiming::default(),
    })
    .await
    .context("cannot start the peer-to-peer network")?;

    let (inbox, work) = mpsc::channel(INBOX);
    let not_checked = Arc::<NotChecked>::default();
    let verifier = is_validator
        .then(|| {
            let cache = SignatureCache::new(genesis.chain_id(), SIGNATURES_REMEMBERED);
            let (threads, size) = (setup.config.verify_threads, members.keys().len());
            Verifier::start(threads, size, cache, genesis.block_limits().transaction, &inbox)
        })
        .transpose()
        .context("cannot start the verification threads")?;
    let waiters = Arc::<Waiters>::default();
    let peer_lag = Arc::new(PeerLag::of(members.keys().len()));
    let journal_file = is_validator.then_some(setup.config.journal);
    let written = journal_file.iter().chain([&setup.config.ledger]).cloned().collect();
    let disk = Disk::watch(written).context("cannot start the thread that watches the disk")?;
    let (committed, heads) = watch::channel(head.height);
    let (snapshots, latest) = watch::channel(Arc::new(core.snapshot(clock.now())));

    let committed_here = heads.clone();
    let service = Service {
        genesis: Arc::clone(&genesis),
        name: is_validator.then_some(setup.name),
        public_key,
        members: Arc::clone(&members),
        ledger: reader.clone(),
        network: network.clone(),
        verifier: verifier.clone(),
        inbox: inbox.clone(),
        waiters: Arc::clone(&waiters),
        snapshots: latest,
        committed: heads,
        clock,
        started: Instant::now(),
        peer_lag: Arc::clone(&peer_lag),
        not_checked: Arc::clone(&not_checked),
        disk,
        ledger_file: setup.config.ledger,
        journal_file,
    };
    let measured = Measured::new();
    let service = Arc::new(service);
    let registry = metrics::registry(&service, &measured);
    let rpc = match Serving::start(setup.config.rpc, service, registry).await {
        Ok(rpc) => rpc,
        Err(error) => {
            network.shutdown().await;
            return Err(error);
        }
    };

    let publisher = Publisher {
        clock,
        ledger: reader.clone(),
        inbox: work,
        waiters,
        members: Arc::clone(&members),
        snapshots,
        committed,
        snapshot_due: None,
        warned: None,
        stopwatch: Stopwatch::new(measured.clone()),
        measured,
    };
    let outgoing = Outgoing {
        network: network.clone(),
        members: Arc::clone(&members),
        genesis: Arc::clone(&genesis),
        verifier: verifier.clone(),
        inbox: inbox.clone(),
        runtime: Handle::current(),
    };
    let (failing, failure) = watch::channel(None);
    let (engine, position) = match core {
        Core::Engine(engine) => {
            let interval = Duration::from_millis(genesis.consensus().status_interval_ms);
            let heads = HeadSender::new(network.clone(), interval);
            let (position, latest) = watch::channel(Arc::new(engine.position()));
            let driver = Driver { engine: *engine, publisher, outgoing, heads, position };
            (spawn("engine", move |runtime| driver.run(runtime), failing.clone()), Some(latest))
        }
        Core::Observer(observer) => {
            let driver = ObserverDriver { observer: *observer, publisher, outgoing };
            (spawn("observer", move |runtime| driver.run(runtime), failing.clone()), None)
        }
    };
    let engine = engine.context("cannot start the ordering thread")?;
    let incoming_task = match verifier.zip(position) {
        Some((verifier, position)) => {
            let me = members.index(&PeerKey(*public_key.as_bytes()));
            let me = me.expect("files are opened for a member's key only");
            let context = CheckContext {
                genesis,
                me,
                members: Arc::clone(&members),
                verifier,
                inbox: inbox.clone(),
                position,
                committed: committed_here,
                ledger: reader.clone(),
                clock,
                peer_lag,
                not_checked,
            };
            let checker = Checker::start(setup.config.verify_threads, context)
                .context("cannot start the threads that check messages")?;
            let incoming = Incoming { members, checker, inbox: inbox.clone(), ledger: reader };
            tokio::spawn(incoming.run(events))
        }
        None => {
            let incoming =
                ObserverIncoming { members, inbox: inbox.clone(), committed: committed_here, peer_lag };
            tokio::spawn(incoming.run(events))
        }
    };
    let (ends, ended) = oneshot::channel::<()>();
    // The sender is dropped when the node stops.
    let stopped = async move { drop(ended.await) };
    let addresses = tokio::spawn(known_addresses::keep(network.clone(), addresses_file, stopped));
    let stopping = Arc::<AtomicBool>::default();
    let stop_requested = Arc::clone(&stopping);
    let engine_inbox = inbox.clone();
    tokio::spawn(async move {
        let ended = incoming_task.await;
        // Without messages of other validators the node must not continue to serve clients. If the
        // engine is gone, it reports its own reason.
        let expected = stop_requested.load(Ordering::Acquire) || engine_inbox.is_closed();
        if ended.is_err() || !expected {
            failing.send_replace(Some(
                "the node stopped because it no longer processes messages of the \
                 other validators (see earlier errors in the log)"
                    .into(),
            ));
        }
    });
    Ok(Running { rpc, admin, network, inbox, engine, failure, stopping, addresses: (ends, addresses) })
}

/// Block times only increase, so a newest block with a future time delays the next block until that
/// time.
fn warn_of_time_ahead(genesis: &Genesis, head: Head, now: Now) {
    let possible_at = genesis.next_block_possible_at(head.timestamp);
    if possible_at > now.wall {
        tracing::warn!(
            height = %head.height,
            time = output::time(head.timestamp.0),
            possible_at = output::time(possible_at.0),
            "the newest block's time is ahead of this node's clock: no block can be ordered before \
             possible_at. If this node's clock is wrong, correct it"
        );
    }
}

/// The part of a node that depends on its role.
enum Core {
    Engine(Box<Engine>),
    Observer(Box<Observer>),
}

impl Core {
    fn open(
        role: Role,
        genesis: &Genesis,
        key: &SecretKey,
        ledger: &Path,
        journal: &Path,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        Ok(match role {
            Role::Validator => {
                let (ledger, journal) = data_files::open(genesis, &key.public(), ledger, journal)?;
                Core::Engine(Box::new(Engine::open(genesis, key, ledger, journal, clock.now())?))
            }
            Role::Observer => {
                let ledger = data_files::open_ledger(genesis, ledger)?;
                Core::Observer(Box::new(Observer::open(genesis, ledger)))
            }
        })
    }

    fn reader(&self) -> LedgerReader {
        match self {
            Core::Engine(engine) => engine.reader(),
            Core::Observer(observer) => observer.reader(),
        }
    }

    fn snapshot(&self, now: Now) -> Snapshot {
        match self {
            Core::Engine(engine) => Snapshot::of_engine(engine, None, now),
            Core::Observer(observer) => Snapshot::of_observer(observer, now),
        }
    }
}

/// Runs the engine, or an observer, on a thread of its own. Reports the reason of its end, also a
/// panic: a violated invariant must stop the whole node.
///
/// The thread has its own runtime for waiting, because the main runtime may end first.
fn spawn(
    name: &str,
    work: impl FnOnce(&Runtime) -> Result<(), Fatal> + Send + 'static,
    failing: watch::Sender<Option<Arc<str>>>,
) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let run = move || {
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| work(&runtime)));
        let cause: Option<String> = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(fatal)) => Some(chain_of(&fatal)),
            Err(panic) => Some(format!(
                "the node stopped because of a violated invariant, which is a bug: {}",
                message_of(&*panic)
            )),
        };
        if let Some(cause) = cause {
            failing.send_replace(Some(cause.into()));
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

fn chain_of(fatal: &Fatal) -> String {
    let mut text = fatal.to_string();
    let mut cause = std::error::Error::source(fatal);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

/// Limits of the network, derived from the genesis so that no valid message exceeds them.
fn network_limits(genesis: &Genesis) -> NetworkLimits {
    let members = genesis.committee().size();
    let wire = WireLimits::of(&genesis.block_limits(), genesis.consensus().window, members);
    let defaults = NetworkLimits::default();
    NetworkLimits {
        frame_bytes: wire.message,
        gossip_message_bytes: wire.gossip,
        request_bytes: wire.ask,
        response_bytes: wire.answer,
        outbound_bytes: defaults.outbound_bytes.max(4 * wire.message),
        inbound_bytes: defaults.inbound_bytes.max(4 * wire.message),
        gossip_bytes: defaults.gossip_bytes.max(4 * wire.gossip),
        publish_bytes: defaults.publish_bytes.max(4 * wire.gossip),
        ..defaults
    }
}

impl Running {
    /// The address of the RPC server.
    pub(crate) fn rpc_address(&self) -> SocketAddr {
        self.rpc.local_addr()
    }

    /// The addresses at which peers can dial this node.
    pub(crate) fn p2p_addresses(&self) -> Vec<String> {
        self.network.listen_addresses()
    }

    /// Resolves only if the node fails by itself, with the reason.
    pub(crate) async fn failed(&self) -> anyhow::Error {
        let mut failure = self.failure.clone();
        match failure.wait_for(Option::is_some).await {
            Ok(cause) => anyhow::anyhow!("{}", cause.as_deref().unwrap_or("the node failed")),
            // The engine ended regularly because it was stopped.
            Err(_) => std::future::pending().await,
        }
    }

    /// Stops cleanly: finishes pending responses, closes connections, and makes everything durable.
    ///
    /// # Errors
    /// If the node failed before or while stopping.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stopping.store(true, Ordering::Release);
        self.rpc.shutdown().await;
        if let Some(admin) = self.admin {
            admin.shutdown().await;
        }
        let (ends, kept) = self.addresses;
        drop(ends);
        // An error means that the task panicked. The addresses are optional, so ignore it.
        let _ = kept.await;
        self.network.shutdown().await;
        // An error means that the engine has already ended.
        let _ = self.inbox.send(Work::Stop).await;
        let engine = self.engine;
        let _ = tokio::task::spawn_blocking(move || engine.join()).await;
        match &*self.failure.borrow() {
            Some(cause) => anyhow::bail!("{cause}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_genesis::TestNetwork;
    use quorate_ledger::{
        MAX_BODY_BYTES, MAX_DESCENDANTS, MAX_MEMBERS, MAX_RUN_BYTES, MAX_TRANSACTION_BYTES, MAX_TRANSACTIONS,
    };
    use quorate_network::MESSAGE_BYTES_MAX;

    use super::*;

    /// The largest messages that a genesis allows must fit into the limits of the network.
    #[test]
    fn every_legal_genesis_fits_the_network() {
        let windows = 1..=u64::from(MAX_DESCENDANTS) / 2;
        for (window, members) in windows.flat_map(|window| [(window, 4), (window, MAX_MEMBERS)]) {
            let network = TestNetwork::seeded(members, 1).with_parameters(|parameters| {
                let block = &mut parameters.block;
                block.max_body_bytes = u64::from(MAX_BODY_BYTES).min(MAX_RUN_BYTES / (2 * window + 1));
                block.max_transaction_bytes = u64::from(MAX_TRANSACTION_BYTES).min(block.max_body_bytes);
                block.max_transactions = u64::from(MAX_TRANSACTIONS);
                parameters.consensus.window = window;
                parameters.mempool.max_transactions = window * block.max_transactions;
                parameters.mempool.max_bytes = window * block.max_body_bytes;
                parameters.mempool.max_bytes_per_sender = block.max_transaction_bytes;
                parameters.mempool.max_transactions_per_sender = 1;
            });
            let limits = network_limits(network.unwrap().genesis());
            let largest = [
                limits.frame_bytes,
                limits.gossip_message_bytes,
                limits.request_bytes,
                limits.response_bytes,
            ];
            let fits = largest.iter().all(|bytes| *bytes <= MESSAGE_BYTES_MAX);
            assert!(fits, "{members} members, window {window}: {limits:?}");
        }
    }
}
