//! A validator: the engine's thread, checks of messages and transactions, and answers to other
//! nodes.

mod checking;
mod driver;
mod epoch_parts;
mod group;
mod heads;
mod inbox;
mod incoming;
mod member_requests;
mod outgoing;
mod ready_requests;
mod service;
mod verify;

use std::sync::Arc;

use anyhow::Context;
use quorate_engine::Engine;
use quorate_ledger::{Height, SignatureCache, VerifiedTransaction};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use crate::runtime::Setup;
use crate::runtime::assembly::{Base, Connected};
use crate::runtime::clock::Clock;
use crate::runtime::epoch::EpochViews;
use crate::runtime::epoch::peer_lists::PeerUpdates;
use crate::runtime::inbox::Inbox;
use crate::runtime::metrics::{self, Measured};
use crate::runtime::ordering_thread::OrderingThread;
use crate::runtime::publisher::Publisher;
use crate::runtime::ready::ReadySender;
use crate::runtime::running::{Needs, RunningRole, Started};
use crate::runtime::status::snapshot::{Latest, ValidatorSnapshot};
use driver::{Driver, EpochChange};
use epoch_parts::EpochMaker;
use group::Channels;
use inbox::ValidatorWork;
use incoming::Incoming;
use ready_requests::ReadyRequests;
use service::ValidatorService;
use verify::Verifier;

/// Ids in a generation of the signature cache: the number that a busy network orders in half a
/// minute.
const SIGNATURES_REMEMBERED: usize = 200_000;

/// Assembles and starts a validator with this engine, whose key is that of the setup. It admits the
/// transactions in `pooled` again, which an earlier role of this node had in its pool.
///
/// # Errors
/// As [`crate::runtime::start`].
pub(crate) async fn start(
    setup: Setup,
    engine: Engine,
    clock: Clock,
    pooled: Vec<VerifiedTransaction>,
) -> anyhow::Result<RunningRole> {
    let (state, config) = (engine.governance().clone(), engine.config().clone());
    let (base, log_level) = Base::of(setup, state, config, Vec::new(), clock);
    let (connected, events, mut peers) = base.connect(engine.reader(), log_level).await?;
    admit_members_before(&engine, &base, &mut peers)?;

    let (sender, inbox) = Inbox::new(base.clock);
    let again = ValidatorWork::Gossiped { epoch: base.epoch.epoch(), transactions: pooled };
    sender.try_send(again).context("a new queue is full")?;
    let (views, epochs) = watch::channel(Arc::clone(&base.epoch));
    let verifier = verifier(&base, &epochs, &sender)?;
    let measured = Measured::new();
    let first = ValidatorSnapshot::of(&engine, &base.epoch, None, base.clock.now());
    let (publisher, snapshots, committed) =
        Publisher::new(base.clock, engine.reader(), first, measured.clone());
    let service = Arc::new(service(&base, &connected, verifier, sender.clone(), snapshots, committed)?);
    let measures = Arc::clone(&service);
    let registry = metrics::registry(move || measures.facts(), &measured);
    let rpc = base.serve(&connected, Arc::clone(&service), registry).await?;

    let maker = epoch_maker(&base, &service);
    let me = base.epoch.me.context("the key of a validator is in the committee")?;
    let made = maker.make(&base.epoch, me, &engine);
    let (parts, reception) = made.context("cannot start the threads that check messages")?;
    let (reception, received) = watch::channel(reception);
    let driver = Driver {
        engine,
        epoch: parts,
        next: EpochChange { key: base.key.clone(), source: base.epochs.clone(), maker, views, reception },
        clock: base.clock,
        inbox,
        channels: Channels::default(),
        publisher,
        waiters: Arc::clone(&service.waiters),
        peers,
        next_key: base.next_key.clone().map(ReadySender::new),
    };
    let thread = OrderingThread::start("engine", move |runtime| driver.run(runtime))?;
    let ledger = service.node.ledger.clone();
    let readies = ReadyRequests::new(service.verifier.clone(), service.snapshots.clone());
    let incoming = Incoming { reception: received, inbox: sender.clone(), ledger, readies };
    let incoming = tokio::spawn(incoming.run(events));
    Ok(RunningRole::of(Started {
        rpc,
        connected,
        thread,
        inbox: sender,
        stop: ValidatorWork::Stop,
        needs: Needs::Quorum(epochs),
        incoming,
    }))
}

/// Until the epoch has a stable checkpoint, the members of the epoch before serve and fetch blocks, also
/// after a restart.
fn admit_members_before(engine: &Engine, base: &Base, peers: &mut PeerUpdates) -> anyhow::Result<()> {
    let stable = engine.stable_checkpoint().map(|stable| stable.checkpoint().height);
    if stable.is_none_or(|stable| stable < base.epoch.config.epoch_start()) {
        let before = base.members_before(&engine.reader()).context("cannot read the ledger")?;
        peers.epoch_began(&before, base.epoch.members.keys());
        peers.update(engine.governance());
    }
    Ok(())
}

/// Starts the threads that verify transactions.
fn verifier(
    base: &Base,
    epochs: &EpochViews,
    inbox: &mpsc::Sender<ValidatorWork>,
) -> anyhow::Result<Verifier> {
    let cache = SignatureCache::new(base.genesis.chain_id(), SIGNATURES_REMEMBERED);
    Verifier::start(base.config.verify_threads, cache, epochs, inbox)
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
        verifier,
        inbox,
        waiters: Arc::default(),
        snapshots,
        not_checked: Arc::default(),
    })
}

/// What the parts of every epoch are made of.
fn epoch_maker(base: &Base, service: &ValidatorService) -> EpochMaker {
    let node = &service.node;
    EpochMaker {
        network: node.network.clone(),
        verifier: service.verifier.clone(),
        inbox: service.inbox.clone(),
        runtime: Handle::current(),
        threads: base.config.verify_threads,
        committed: node.committed.clone(),
        ledger: node.ledger.clone(),
        clock: node.clock,
        not_checked: Arc::clone(&service.not_checked),
    }
}
