//! An observer: it follows the chain without a vote. Its ledger is its only file, and it has no
//! mempool and no way to sign. A validator whose key is not in the committee runs as an observer,
//! too, and does not open its journal.

mod candidacy;
mod candidate;
mod driver;
mod inbox;
mod incoming;
mod outgoing;
mod service;

use std::sync::Arc;

use anyhow::Context;
use quorate_api::Membership;
use quorate_engine::{EngineConfig, Observer};
use quorate_store::Ledger;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::runtime::Setup;
use crate::runtime::answering::blocks::BlockRequests;
use crate::runtime::assembly::{self, Base};
use crate::runtime::clock::Clock;
use crate::runtime::inbox::Inbox;
use crate::runtime::metrics::{self, Measured};
use crate::runtime::ordering_thread::OrderingThread;
use crate::runtime::publisher::Publisher;
use crate::runtime::running::{Needs, RunningRole, Started};
use crate::runtime::status::snapshot::ObserverSnapshot;
use candidate::Candidate;
use driver::Driver;
use inbox::ObserverWork;
use incoming::Incoming;
use outgoing::Outgoing;
use service::ObserverService;

/// Assembles and starts an observer on this ledger.
///
/// # Errors
/// As [`crate::runtime::start`].
pub(crate) async fn start(setup: Setup, ledger: Ledger) -> anyhow::Result<RunningRole> {
    let memo = Some(assembly::vote_memo());
    let config = EngineConfig::of_ledger(&ledger).context("cannot read the ledger")?;
    let state = ledger.governance().clone();
    let (config, sources) = (config.remembering(memo.clone()), setup.sources());
    let (base, log_level) = Base::of(setup, state, config, sources, Clock::new());
    warn_without_vote(&base);
    let observer = Observer::open(ledger, memo)?;
    let (connected, events, peers) = base.connect(observer.reader(), log_level).await?;

    let (sender, inbox) = Inbox::new(base.clock);
    let measured = Measured::new();
    let candidate = base.epoch.membership.map(|_| {
        let overview = observer.overview(base.clock.now());
        Candidate::new(base.key.clone(), observer.governance(), &overview)
    });
    let candidacy = candidate.as_ref().and_then(|candidate| candidate.candidacy().cloned());
    let first = ObserverSnapshot::of(&observer, &base.epoch, candidacy, base.clock.now());
    let (publisher, snapshots, committed) =
        Publisher::new(base.clock, observer.reader(), first, measured.clone());
    let files = vec![("ledger", base.config.ledger.clone())];
    let node = base.view(&connected, committed, files)?;
    let service = Arc::new(ObserverService { node, inbox: sender.clone(), snapshots });
    let measures = Arc::clone(&service);
    let registry = metrics::registry(move || measures.facts(), &measured);
    let rpc = base.serve(&connected, Arc::clone(&service), registry).await?;

    let outgoing = Outgoing {
        network: connected.network.clone(),
        epoch: Arc::clone(&base.epoch),
        inbox: sender.clone(),
        runtime: Handle::current(),
    };
    let (views, epochs) = watch::channel(Arc::clone(&base.epoch));
    let driver = Driver {
        observer,
        epoch: Arc::clone(&base.epoch),
        source: base.epochs.clone(),
        views,
        clock: base.clock,
        inbox,
        publisher,
        outgoing,
        peers,
        candidate,
    };
    let thread = OrderingThread::start("observer", move |runtime| driver.run(runtime))?;
    let is_follower = base.epoch.membership.is_some();
    let incoming = Incoming {
        epochs,
        inbox: sender.clone(),
        committed: service.node.committed.clone(),
        requests: is_follower.then(|| BlockRequests::new(service.node.ledger.clone())),
    };
    let incoming = tokio::spawn(incoming.run(events));
    let (inbox, stop) = (sender, ObserverWork::Stop);
    Ok(RunningRole::of(Started { rpc, connected, thread, inbox, stop, needs: Needs::Any, incoming }))
}

/// Says why a node that was configured as a validator does not vote.
fn warn_without_vote(base: &Base) {
    let epoch = base.epoch.epoch().0;
    let key = base.key.public();
    match base.epoch.membership {
        None | Some(Membership::Member) => {}
        Some(Membership::NotYetMember) => tracing::warn!(
            epoch,
            %key,
            "not yet a member: the committee does not contain the key of this node, which follows the chain \
             without a vote. If it should be a member already, check files.key and files.genesis in the config"
        ),
        Some(Membership::Removed) => tracing::warn!(
            epoch,
            %key,
            "removed: the committee no longer contains the key of this node, which follows the chain without a vote"
        ),
    }
}
