//! A validator: the engine's thread, checks of messages and transactions, and answers to other
//! nodes.

mod answering;
mod checking;
mod driver;
mod heads;
mod inbox;
mod incoming;
mod outgoing;
mod service;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use quorate_engine::Engine;
use quorate_ledger::{Height, SignatureCache};
use quorate_network::PeerKey;
use quorate_pbft::Position;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::data_files;
use crate::runtime::Setup;
use crate::runtime::assembly::{Base, Connected};
use crate::runtime::inbox::Inbox;
use crate::runtime::metrics::{self, Measured};
use crate::runtime::ordering_thread::OrderingThread;
use crate::runtime::publisher::Publisher;
use crate::runtime::running::{Running, Started};
use crate::runtime::status::snapshot::{Latest, ValidatorSnapshot};
use checking::{CheckContext, Checker};
use driver::Driver;
use heads::HeadSender;
use inbox::ValidatorWork;
use incoming::Incoming;
use outgoing::Outgoing;
use service::ValidatorService;
use verify::Verifier;

/// Ids in a generation of the signature cache: the number that a busy network orders in half a
/// minute.
const SIGNATURES_REMEMBERED: usize = 200_000;

/// Assembles and starts a validator.
///
/// # Errors
/// As [`crate::runtime::start`].
pub(crate) async fn start(setup: Setup) -> anyhow::Result<Running> {
    let (base, log_level) = Base::of(setup);
    let Config { ledger, journal, .. } = &base.config;
    let (ledger, journal) = data_files::open(&base.genesis, &base.key.public(), ledger, journal)?;
    let (engine_config, root) = (base.engine_config.clone(), base.genesis.header());
    let engine = Engine::open(engine_config, root, &base.key, ledger, journal, base.clock.now())?;
    let (connected, events) = base.connect(engine.reader(), log_level).await?;

    let (sender, inbox) = Inbox::new(base.clock);
    let verifier = verifier(&base, &sender)?;
    let measured = Measured::new();
    let first = ValidatorSnapshot::of(&engine, None, base.clock.now());
    let (publisher, snapshots, committed) =
        Publisher::new(base.clock, &base.members, engine.reader(), first, measured.clone());
    let service = Arc::new(service(&base, &connected, verifier, sender.clone(), snapshots, committed)?);
    let measures = Arc::clone(&service);
    let registry = metrics::registry(move || measures.facts(), &measured);
    let rpc = base.serve(&connected, Arc::clone(&service), registry).await?;

    let (driver, position) = driver(&base, engine, inbox, publisher, &service);
    let thread = OrderingThread::start("engine", move |runtime| driver.run(runtime))?;
    let incoming = incoming(&base, &service, position)?;
    let incoming = tokio::spawn(incoming.run(events));
    Ok(Running::of(Started { rpc, connected, thread, inbox: sender, stop: ValidatorWork::Stop, incoming }))
}

/// Starts the threads that verify transactions.
fn verifier(base: &Base, inbox: &mpsc::Sender<ValidatorWork>) -> anyhow::Result<Verifier> {
    let genesis = &base.genesis;
    let cache = SignatureCache::new(genesis.chain_id(), SIGNATURES_REMEMBERED);
    let (threads, members) = (base.config.verify_threads, base.members.keys().len());
    Verifier::start(threads, members, cache, genesis.block_limits().transaction, inbox)
        .context("cannot start the verification threads")
}

fn service(
    base: &Base,
    connected: &Connected,
    verifier: Verifier,
    inbox: mpsc::Sender<ValidatorWork>,
    snapshots: Latest<ValidatorSnapshot>,
    committed: watch::Receiver<Height>,
) -> anyhow::Result<ValidatorService> {
    let files = vec![("ledger", base.config.ledger.clone()), ("journal", base.config.journal.clone())];
    Ok(ValidatorService {
        node: base.view(connected, committed, files)?,
        name: base.name.clone(),
        verifier,
        inbox,
        waiters: Arc::default(),
        snapshots,
        not_checked: Arc::default(),
    })
}

/// What the engine's thread runs, and the position that it publishes.
fn driver(
    base: &Base,
    engine: Engine,
    inbox: Inbox<ValidatorWork>,
    publisher: Publisher<ValidatorSnapshot>,
    service: &ValidatorService,
) -> (Driver, watch::Receiver<Arc<Position>>) {
    let node = &service.node;
    let outgoing = Outgoing {
        network: node.network.clone(),
        members: Arc::clone(&node.members),
        context: Arc::new(base.engine_config.pbft.context.clone()),
        verifier: service.verifier.clone(),
        inbox: service.inbox.clone(),
        runtime: Handle::current(),
    };
    let interval = Duration::from_millis(node.genesis.consensus().status_interval_ms);
    let (position, latest) = watch::channel(Arc::new(engine.position()));
    let driver = Driver {
        engine,
        clock: node.clock,
        inbox,
        publisher,
        waiters: Arc::clone(&service.waiters),
        outgoing,
        heads: HeadSender::new(node.network.clone(), interval),
        position,
    };
    (driver, latest)
}

/// Starts the threads that check messages.
fn incoming(
    base: &Base,
    service: &ValidatorService,
    position: watch::Receiver<Arc<Position>>,
) -> anyhow::Result<Incoming> {
    let node = &service.node;
    let me = node.members.index(&PeerKey(*node.public_key.as_bytes()));
    let context = CheckContext {
        config: base.engine_config.pbft.clone(),
        me: me.expect("files are opened for a member's key only"),
        members: Arc::clone(&node.members),
        verifier: service.verifier.clone(),
        inbox: service.inbox.clone(),
        position,
        committed: node.committed.clone(),
        ledger: node.ledger.clone(),
        clock: node.clock,
        peer_lag: Arc::clone(&node.peer_lag),
        not_checked: Arc::clone(&service.not_checked),
    };
    let threads = base.config.verify_threads;
    let checker = Checker::start(threads, context).context("cannot start the threads that check messages")?;
    let (members, ledger) = (Arc::clone(&node.members), node.ledger.clone());
    Ok(Incoming { members, checker, inbox: service.inbox.clone(), ledger })
}
