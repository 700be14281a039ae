//! An observer: it follows the chain without a vote. Its ledger is its only file, and it has no
//! mempool and no way to sign.

mod driver;
mod inbox;
mod incoming;
mod outgoing;
mod service;

use std::sync::Arc;

use quorate_engine::Observer;
use tokio::runtime::Handle;

use crate::data_files;
use crate::runtime::Setup;
use crate::runtime::assembly::Base;
use crate::runtime::inbox::Inbox;
use crate::runtime::metrics::{self, Measured};
use crate::runtime::ordering_thread::OrderingThread;
use crate::runtime::publisher::Publisher;
use crate::runtime::running::{Running, Started};
use crate::runtime::status::snapshot::ObserverSnapshot;
use driver::Driver;
use inbox::ObserverWork;
use incoming::Incoming;
use outgoing::Outgoing;
use service::ObserverService;

/// Assembles and starts an observer.
///
/// # Errors
/// As [`crate::runtime::start`].
pub(crate) async fn start(setup: Setup) -> anyhow::Result<Running> {
    let (base, log_level) = Base::of(setup);
    let ledger = data_files::open_ledger(&base.genesis, &base.config.ledger)?;
    let observer = Observer::open(&base.genesis, ledger);
    let (connected, events) = base.connect(observer.reader(), log_level).await?;

    let (sender, inbox) = Inbox::new(base.clock);
    let measured = Measured::new();
    let first = ObserverSnapshot::of(&observer, base.clock.now());
    let (publisher, snapshots, committed) =
        Publisher::new(base.clock, &base.members, observer.reader(), first, measured.clone());
    let files = vec![("ledger", base.config.ledger.clone())];
    let node = base.view(&connected, committed, files)?;
    let service = Arc::new(ObserverService { node, inbox: sender.clone(), snapshots });
    let measures = Arc::clone(&service);
    let registry = metrics::registry(move || measures.facts(), &measured);
    let rpc = base.serve(&connected, Arc::clone(&service), registry).await?;

    let outgoing = Outgoing {
        network: connected.network.clone(),
        members: Arc::clone(&base.members),
        context: Arc::new(base.engine_config.pbft.context.clone()),
        inbox: sender.clone(),
        runtime: Handle::current(),
    };
    let driver = Driver { observer, clock: base.clock, inbox, publisher, outgoing };
    let thread = OrderingThread::start("observer", move |runtime| driver.run(runtime))?;
    let incoming = Incoming {
        members: Arc::clone(&base.members),
        inbox: sender.clone(),
        committed: service.node.committed.clone(),
        peer_lag: Arc::clone(&service.node.peer_lag),
    };
    let incoming = tokio::spawn(incoming.run(events));
    Ok(Running::of(Started { rpc, connected, thread, inbox: sender, stop: ObserverWork::Stop, incoming }))
}
