//! How waits and connections learn that the server stops.

use tokio::sync::watch;

/// Tells when to stop. Clones tell the same.
#[derive(Debug, Clone)]
pub(crate) struct Stopping(Option<watch::Receiver<bool>>);

impl Stopping {
    /// For a server: told through the sender, or by dropping it.
    pub(crate) fn channel() -> (watch::Sender<bool>, Self) {
        let (stop, stopping) = watch::channel(false);
        (stop, Stopping(Some(stopping)))
    }

    /// For a router that nobody stops.
    pub(crate) fn never() -> Self {
        Stopping(None)
    }

    /// Returns when it is time.
    pub(crate) async fn stopped(&mut self) {
        match &mut self.0 {
            Some(stopping) => drop(stopping.wait_for(|stop| *stop).await),
            None => std::future::pending().await,
        }
    }
}
