//! Signals waits and connections that the server stops.

use tokio::sync::watch;

/// Becomes ready when the server stops. Clones share the signal.
#[derive(Debug, Clone)]
pub(crate) struct Stopping(Option<watch::Receiver<bool>>);

impl Stopping {
    /// For a server: the signal is given through the sender, or by dropping it.
    pub(crate) fn channel() -> (watch::Sender<bool>, Self) {
        let (stop, stopping) = watch::channel(false);
        (stop, Stopping(Some(stopping)))
    }

    /// For a router that never stops.
    pub(crate) fn never() -> Self {
        Stopping(None)
    }

    /// Returns when the server stops.
    pub(crate) async fn stopped(&mut self) {
        match &mut self.0 {
            Some(stopping) => drop(stopping.wait_for(|stop| *stop).await),
            None => std::future::pending().await,
        }
    }
}
