//! The thread that runs the engine, or an observer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use quorate_ledger::VerifiedTransaction;
use quorate_store::Ledger;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Why a node ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// It failed, for this reason.
    Failed(Arc<str>),
    /// An epoch has begun in which the node has the other role: it must start again.
    RoleChanged,
}

/// The reason why a node ended by itself, once it has.
pub(crate) type Ending = watch::Sender<Option<End>>;

/// What the thread leaves for the next role of the node.
pub(crate) struct Handover {
    /// The open ledger.
    pub(crate) ledger: Ledger,
    /// The transactions of the pool of a validator; no more than its limits permit. A follower has none.
    pub(crate) pooled: Vec<VerifiedTransaction>,
}

impl From<Ledger> for Handover {
    fn from(ledger: Ledger) -> Self {
        Handover { ledger, pooled: Vec::new() }
    }
}

/// What the thread returns if it does not fail.
pub(crate) enum Ended {
    /// It was stopped.
    Stopped(Handover),
    /// An epoch has begun in which the node has another role or key.
    RoleChanged(Handover),
}

/// A started thread.
pub(crate) struct OrderingThread {
    /// Returns what the next role continues with, unless the thread failed.
    pub(crate) handle: JoinHandle<Option<Handover>>,
    /// For other parts without which the node must not continue.
    pub(crate) ending: Ending,
    pub(crate) ended: watch::Receiver<Option<End>>,
}

impl OrderingThread {
    /// Runs the engine, or an observer, on a thread of its own. Reports the reason of its end, also a
    /// panic: a violated invariant must stop the whole node.
    ///
    /// The thread has its own runtime for waiting, because the main runtime may end first.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(crate) fn start(
        name: &str,
        work: impl FnOnce(&Runtime) -> anyhow::Result<Ended> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (ending, ended) = watch::channel(None);
        let handle = spawn(name, work, ending.clone()).context("cannot start the ordering thread")?;
        Ok(OrderingThread { handle, ending, ended })
    }
}

fn spawn(
    name: &str,
    work: impl FnOnce(&Runtime) -> anyhow::Result<Ended> + Send + 'static,
    ending: Ending,
) -> std::io::Result<JoinHandle<Option<Handover>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let run = move || {
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| work(&runtime)));
        let (end, handover) = match outcome {
            Ok(Ok(Ended::Stopped(handover))) => return Some(handover),
            Ok(Ok(Ended::RoleChanged(handover))) => (End::RoleChanged, Some(handover)),
            Ok(Err(fatal)) => (End::Failed(format!("{fatal:#}").into()), None),
            Err(panic) => {
                let cause = format!(
                    "the node stopped because of a violated invariant, which is a bug: {}",
                    message_of(&*panic)
                );
                (End::Failed(cause.into()), None)
            }
        };
        ending.send_replace(Some(end));
        handover
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}
