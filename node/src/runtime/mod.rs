//! A running node: network, verification, engine and RPC wired together.
//!
//! ```text
//! network ── incoming ──► verify ──► inbox ──► driver (engine) ──► outgoing ──► network
//! RPC ────── service ───────┘           ▲              │
//!                                       └── answers ◄──┴──► waiters, snapshots ──► RPC
//! ```
//!
//! An observer has the same around `Observer` instead of the engine, and neither verification nor a journal: `observer`.

mod administration;
mod checking;
mod clock;
mod desk;
mod disk;
mod driver;
mod faults;
mod files;
mod heads;
mod heard;
mod incoming;
mod known_addresses;
mod lanes;
mod members;
mod metrics;
mod observer;
mod observer_questions;
mod observing;
mod open_files;
mod ordering;
mod outgoing;
mod places;
mod progress;
mod report;
mod service;
mod serving;
mod snapshot;
mod verify;
mod waiters;
mod work;

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
use crate::logging::LogLevel;
use crate::output;
pub(crate) use files::create_files;
pub(crate) use open_files::make_room;

use checking::{Bench, Checker, NotChecked};
use clock::Clock;
use desk::Desk;
use disk::Disk;
use driver::Driver;
use heads::Heads;
use heard::Heard;
use incoming::Incoming;
use members::Members;
use metrics::{Measured, Stopwatch};
use observer::{Hearing, Watch};
use outgoing::Outgoing;
use service::Service;
use serving::Serving;
use snapshot::Snapshot;
use verify::Verifier;
use waiters::Waiters;
use work::{INBOX, Work};

/// Ids in a generation of the signature cache: what a busy network orders in half a minute.
const SIGNATURES_REMEMBERED: usize = 200_000;

/// Signatures of validators that are known to be good: all votes in the largest committee's open window.
const VOTES_REMEMBERED: usize = 20_000;

/// Everything a node needs to run.
pub(crate) struct Setup {
    /// What all nodes agree on.
    pub(crate) genesis: Genesis,
    /// This node's key.
    pub(crate) key: SecretKey,
    /// This node's name, for people.
    pub(crate) name: String,
    /// Its settings.
    pub(crate) config: Config,
    /// What is logged, if this node may change it: it is administered then.
    pub(crate) log_level: Option<LogLevel>,
}

/// Why the node died, once it has.
type Death = watch::Receiver<Option<Arc<str>>>;

/// A node that runs until it is stopped or dies.
pub(crate) struct Running {
    rpc: Serving,
    admin: Option<AdminServer>,
    network: Network,
    inbox: mpsc::Sender<Work>,
    engine: JoinHandle<()>,
    death: Death,
    stopping: Arc<AtomicBool>,
    /// Ends the task that keeps addresses for the next start, and waits for it.
    addresses: (oneshot::Sender<()>, tokio::task::JoinHandle<()>),
}

/// Starts a node on files that exist. It takes part as soon as this returns.
///
/// # Errors
/// Files that cannot be opened or are another node's, a key that is no member's, addresses that cannot be
/// listened on.
pub(crate) async fn start(setup: Setup) -> anyhow::Result<Running> {
    let public_key = setup.key.public();
    // What validators sign comes back in certificates and view changes.
    let memo = Arc::new(SignatureMemo::new(VOTES_REMEMBERED));
    let genesis = Arc::new(setup.genesis.with_memo(Arc::clone(&memo)));
    let key = setup.key.with_memo(memo);
    let clock = Clock::new();
    let Config { role, ledger: ledger_path, journal: journal_path, admin_socket, .. } = &setup.config;
    let core = Core::open(*role, &genesis, &key, ledger_path, journal_path, clock)?;
    let is_validator = *role == Role::Validator;
    // The files are locked now, so nobody else serves this socket.
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
    let heard = Arc::new(Heard::of(members.keys().len()));
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
        heard: Arc::clone(&heard),
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

    let desk = Desk {
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
    let (dying, death) = watch::channel(None);
    let (engine, position) = match core {
        Core::Engine(engine) => {
            let interval = Duration::from_millis(genesis.consensus().status_interval_ms);
            let heads = Heads::new(network.clone(), interval);
            let (position, latest) = watch::channel(Arc::new(engine.position()));
            let driver = Driver { engine: *engine, desk, outgoing, heads, position };
            (spawn("engine", move |runtime| driver.run(runtime), dying.clone()), Some(latest))
        }
        Core::Observer(observer) => {
            let watch = Watch { observer: *observer, desk, outgoing };
            (spawn("observer", move |runtime| watch.run(runtime), dying.clone()), None)
        }
    };
    let engine = engine.context("cannot start the ordering thread")?;
    let listening = match verifier.zip(position) {
        Some((verifier, position)) => {
            let me = members.index(&PeerKey(*public_key.as_bytes()));
            let me = me.expect("files are opened for a member's key only");
            let bench = Bench {
                genesis,
                me,
                members: Arc::clone(&members),
                verifier,
                inbox: inbox.clone(),
                position,
                committed: committed_here,
                ledger: reader.clone(),
                clock,
                heard,
                not_checked,
            };
            let checker = Checker::start(setup.config.verify_threads, bench)
                .context("cannot start the threads that check messages")?;
            let incoming = Incoming { members, checker, inbox: inbox.clone(), ledger: reader };
            tokio::spawn(incoming.run(events))
        }
        None => {
            let hearing = Hearing { members, inbox: inbox.clone(), committed: committed_here, heard };
            tokio::spawn(hearing.run(events))
        }
    };
    let (ends, ended) = oneshot::channel::<()>();
    // The sender is dropped when the node stops.
    let stopped = async move { drop(ended.await) };
    let addresses = tokio::spawn(known_addresses::keep(network.clone(), addresses_file, stopped));
    let stopping = Arc::<AtomicBool>::default();
    let told = Arc::clone(&stopping);
    let engine_inbox = inbox.clone();
    tokio::spawn(async move {
        let ended = listening.await;
        // A node that hears nobody but goes on answering clients would be worse than none.
        // When the engine is gone, it says itself why.
        let expected = told.load(Ordering::Acquire) || engine_inbox.is_closed();
        if ended.is_err() || !expected {
            dying.send_replace(Some("the node stopped hearing the other validators".into()));
        }
    });
    Ok(Running { rpc, admin, network, inbox, engine, death, stopping, addresses: (ends, addresses) })
}

/// Blocks get later and later times, so a newest block from the future keeps the next one away until then.
fn warn_of_time_ahead(genesis: &Genesis, head: Head, now: Now) {
    let possible_at = genesis.next_block_possible_at(head.timestamp);
    if possible_at > now.wall {
        tracing::warn!(
            height = %head.height,
            time = output::time(head.timestamp.0),
            possible_at = output::time(possible_at.0),
            "the newest block's time is ahead of this node's clock: nothing can be ordered before possible_at, unless this clock \
             is wrong"
        );
    }
}

/// What a node runs around.
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
                let (ledger, journal) = files::open_files(genesis, &key.public(), ledger, journal)?;
                Core::Engine(Box::new(Engine::open(genesis, key, ledger, journal, clock.now())?))
            }
            Role::Observer => {
                let ledger = files::open_ledger(genesis, ledger)?;
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

/// Runs the engine, or an observer, on a thread of its own. Whatever ends it is told, a panic too: a broken invariant
/// must stop the node, not leave it half alive.
///
/// The thread has a runtime of its own to wait with: the other one may end before it does.
fn spawn(
    name: &str,
    work: impl FnOnce(&Runtime) -> Result<(), Fatal> + Send + 'static,
    dying: watch::Sender<Option<Arc<str>>>,
) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let run = move || {
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| work(&runtime)));
        let cause: Option<String> = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(fatal)) => Some(chain_of(&fatal)),
            Err(panic) => Some(format!("a broken invariant stopped the node: {}", message_of(&*panic))),
        };
        if let Some(cause) = cause {
            dying.send_replace(Some(cause.into()));
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

/// The network's limits follow from what the genesis allows, so that nothing legal is ever refused.
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
    /// Where the RPC server listens.
    pub(crate) fn rpc_address(&self) -> SocketAddr {
        self.rpc.local_addr()
    }

    /// Where peers can dial this node.
    pub(crate) fn p2p_addresses(&self) -> Vec<String> {
        self.network.listen_addresses()
    }

    /// Resolves only if the node dies by itself, with the reason.
    pub(crate) async fn failed(&self) -> anyhow::Error {
        let mut death = self.death.clone();
        match death.wait_for(Option::is_some).await {
            Ok(cause) => anyhow::anyhow!("{}", cause.as_deref().unwrap_or("the node died")),
            // The engine ended in good order because it was told to.
            Err(_) => std::future::pending().await,
        }
    }

    /// Stops cleanly: answers what is being answered, closes connections, makes everything durable.
    ///
    /// # Errors
    /// If the node died before or while stopping.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stopping.store(true, Ordering::Release);
        self.rpc.shutdown().await;
        if let Some(admin) = self.admin {
            admin.shutdown().await;
        }
        let (ends, kept) = self.addresses;
        drop(ends);
        // An error means that the task panicked, and there is nothing more to do about addresses.
        let _ = kept.await;
        self.network.shutdown().await;
        // An error means that the engine has ended already.
        let _ = self.inbox.send(Work::Stop).await;
        let engine = self.engine;
        let _ = tokio::task::spawn_blocking(move || engine.join()).await;
        match &*self.death.borrow() {
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

    /// The largest messages that a genesis can call for are messages that the network can carry.
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
