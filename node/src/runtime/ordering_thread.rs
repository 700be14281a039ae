//! The thread that runs the engine, or an observer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use quorate_engine::Fatal;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// The reason why a node failed, once it has.
pub(crate) type Failing = watch::Sender<Option<Arc<str>>>;

/// The receiving end of [`Failing`].
pub(crate) type Failure = watch::Receiver<Option<Arc<str>>>;

/// A started thread.
pub(crate) struct OrderingThread {
    pub(crate) handle: JoinHandle<()>,
    /// For other parts without which the node must not continue.
    pub(crate) failing: Failing,
    pub(crate) failure: Failure,
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
        work: impl FnOnce(&Runtime) -> Result<(), Fatal> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (failing, failure) = watch::channel(None);
        let handle = spawn(name, work, failing.clone()).context("cannot start the ordering thread")?;
        Ok(OrderingThread { handle, failing, failure })
    }
}

fn spawn(
    name: &str,
    work: impl FnOnce(&Runtime) -> Result<(), Fatal> + Send + 'static,
    failing: Failing,
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
