//! What tests make wrong in a running node: its clock, and the time its disk takes.
//!
//! Each fault is a number of milliseconds in a file, which is named by a variable of the environment and read again each
//! time, so that it can come and go while the node runs. Builds for use have no faults: they exist with debug assertions,
//! or with the feature `faults`.

use std::time::Duration;

/// Names the file with what is added to the clock that people read. May be negative.
#[cfg(any(debug_assertions, feature = "faults"))]
const CLOCK: &str = "QUORATE_FAULT_CLOCK";

/// Names the file with how much longer a group of promises takes to write.
#[cfg(any(debug_assertions, feature = "faults"))]
const DISK: &str = "QUORATE_FAULT_DISK";

/// Milliseconds that the clock is off.
pub(super) fn clock_ms() -> i64 {
    #[cfg(any(debug_assertions, feature = "faults"))]
    return read(CLOCK);
    #[cfg(not(any(debug_assertions, feature = "faults")))]
    return 0;
}

/// How much longer the disk takes.
pub(super) fn disk_delay() -> Duration {
    #[cfg(any(debug_assertions, feature = "faults"))]
    return Duration::from_millis(read(DISK).try_into().unwrap_or(0));
    #[cfg(not(any(debug_assertions, feature = "faults")))]
    return Duration::ZERO;
}

/// No fault if the variable names no file, or the file holds no number.
#[cfg(any(debug_assertions, feature = "faults"))]
fn read(variable: &str) -> i64 {
    let text = std::env::var_os(variable).and_then(|file| std::fs::read_to_string(file).ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
