//! What the interface promises while much happens at once, tried on real processes.
//!
//! `subscribers` kills validators and cuts streams under load; `garbage` measures what strangers with many
//! connections and much rubbish can do to the ordering of everybody else.
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

/// Between two attempts at a node that does not answer.
const PAUSE: Duration = Duration::from_millis(20);

/// The number in a variable, if there is one.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

fn urls(network: &Network) -> Vec<String> {
    network.validators().iter().map(|validator| validator.rpc.clone()).collect()
}
