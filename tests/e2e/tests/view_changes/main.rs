//! The documented behaviour when primaries fail, tested on real processes.
//!
//! Where the documentation states a time, the test measures it, prints it (visible with
//! `--nocapture`) and asserts the limit plus [`ALLOWANCE`].
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

/// Additional time for a machine that runs other tests at the same time, and for an unoptimised
/// program.
const ALLOWANCE: Duration = Duration::from_secs(2);

/// Pause between two requests of a client, so that the machine has time for the protocol.
const PACE: Duration = Duration::from_millis(30);

fn others(network: &Network, without: &[usize]) -> Vec<usize> {
    (0..network.size()).filter(|index| !without.contains(index)).collect()
}
