//! Guarantees of the interface under high load, tested on real processes.
//!
//! `subscribers` kills validators and cuts streams under load. `garbage` measures how much many
//! connections with useless messages delay the transactions of other clients.
#![allow(clippy::unwrap_used)]

mod clients;
mod garbage;
mod probe;
mod readers;
mod rubbish;
mod storm;
mod subscribers;

use std::time::Duration;

use quorate_e2e::Network;

const ALL: [usize; 4] = [0, 1, 2, 3];

/// Pause before a node that does not respond is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// The number in a variable, if it is set.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number")))
}

fn urls(network: &Network) -> Vec<String> {
    network.validators().iter().map(|validator| validator.rpc.clone()).collect()
}
