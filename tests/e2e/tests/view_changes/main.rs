//! What the program promises about primaries that fail, tried on real processes.
//!
//! Where a time is promised, the test measures it, prints it (`--nocapture` shows it) and asserts the promise
//! with [`ALLOWANCE`] on top.
#![allow(clippy::unwrap_used)]

mod frozen;
mod idle;
mod old_copies;
mod overload;
mod standstill;
mod takeover;
mod upgrading;

use std::time::Duration;

use quorate_e2e::Network;

/// What a machine may add that runs other tests at the same time, and a program that was not optimised.
const ALLOWANCE: Duration = Duration::from_secs(2);

/// Between two requests of a client, so that the machine has time for the protocol.
const PACE: Duration = Duration::from_millis(30);

fn others(network: &Network, without: &[usize]) -> Vec<usize> {
    (0..network.size()).filter(|index| !without.contains(index)).collect()
}
