//! Faults that tests inject into a running node: a wrong clock and a slow disk.
//!
//! Each fault is a number of milliseconds in a file. An environment variable contains the path of
//! the file. The node reads the file each time, so a fault can start and end while the node runs.
//! Release builds have no faults: they exist only with debug assertions or with the feature
//! `faults`.

use std::time::Duration;

/// The variable with the path of the file whose value is added to the wall clock. It may be
/// negative.
#[cfg(any(debug_assertions, feature = "faults"))]
const CLOCK: &str = "QUORATE_FAULT_CLOCK";

/// The variable with the path of the file whose value delays each write of a group of journal
/// records.
#[cfg(any(debug_assertions, feature = "faults"))]
const DISK: &str = "QUORATE_FAULT_DISK";

/// Offset of the clock in milliseconds.
pub(super) fn clock_ms() -> i64 {
    #[cfg(any(debug_assertions, feature = "faults"))]
    return read(CLOCK);
    #[cfg(not(any(debug_assertions, feature = "faults")))]
    return 0;
}

/// Additional time of a journal write.
pub(super) fn disk_delay() -> Duration {
    #[cfg(any(debug_assertions, feature = "faults"))]
    return Duration::from_millis(read(DISK).try_into().unwrap_or(0));
    #[cfg(not(any(debug_assertions, feature = "faults")))]
    return Duration::ZERO;
}

/// No fault if the variable is unset, or if the file contains no number.
#[cfg(any(debug_assertions, feature = "faults"))]
fn read(variable: &str) -> i64 {
    let text = std::env::var_os(variable).and_then(|file| std::fs::read_to_string(file).ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
