//! A frozen primary, with all its connections open, that continues later.

use std::time::{Duration, Instant};

use quorate_e2e::{Load, Network, scaled, wait_until};

use crate::{PACE, others};

/// How long it is frozen.
const FROZEN: Duration = Duration::from_secs(10);

#[test]
fn a_primary_that_was_frozen_for_ten_seconds_forks_nothing_and_votes_again() {
    let network = Network::running(4);
    let all = others(&network, &[]);
    network.order_one(0);
    let view = network.common_view(&all);
    let primary = network.primary_of(view);
    let survivors = others(&network, &[primary]);
    let load = Load::paced(network.genesis(), &network.rpc_addresses(survivors.iter().copied()), PACE);
    load.wait_for_more(scaled(60));

    let start = Instant::now();
    network.pause(primary);
    let took = network.time_to_order_after(view, &survivors, start);
    println!("frozen primary replaced after {} ms", took.as_millis());
    load.wait_for_more(scaled(60));
    wait_until("it was frozen for long enough", || start.elapsed() >= FROZEN);

    let start = Instant::now();
    network.resume(primary);
    network.wait_until_caught_up(primary, survivors[0]);
    network.wait_until_it_votes(primary, survivors[0]);
    println!("frozen primary votes again after {} ms", start.elapsed().as_millis());
    let promised = load.finish();
    network.equal_chains(&all).assert_contains(&promised);
    network.assert_no_evidence(&all);
}
