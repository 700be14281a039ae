//! Waits for conditions, never for a fixed time.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time limit of events that should happen soon, on a machine that is busy with other tests.
pub const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// Interval between two checks.
const INTERVAL: Duration = Duration::from_millis(10);

/// Checks repeatedly until there is a value, and returns it.
///
/// # Panics
/// With `what` if there is none within `limit`.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < limit, "timed out after {} s: {what}", limit.as_secs());
        between_looks();
    }
}

/// Sleeps between two checks of another process. Such a process sends no notification, so the test
/// must check repeatedly, within a time limit.
pub fn between_looks() {
    std::thread::park_timeout(INTERVAL);
}

/// Waits until a condition is true, for at most [`WAIT_LIMIT`].
///
/// # Panics
/// With `what` if it does not become true.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, WAIT_LIMIT, || holds().then_some(()));
}

/// A signal for background threads to end.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    /// Raises the signal and wakes all waiting threads.
    pub(crate) fn raise(&self) {
        *self.raised.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Waits for the signal, at most this long. Returns whether it was raised.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        let raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(raised, limit, |raised| !*raised);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
