//! Waiting for conditions, never for time.

use std::time::{Duration, Instant};

/// How long anything may take that should happen soon, on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(10);

/// Looks until there is something to see, and answers it.
///
/// # Panics
/// With `what` if `limit` passes before that.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < limit, "waited {} s in vain: {what}", limit.as_secs());
        std::thread::sleep(INTERVAL);
    }
}

/// Waits until a condition holds, for at most [`PATIENCE`].
///
/// # Panics
/// With `what` if it does not.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, PATIENCE, || holds().then_some(()));
}
