//! The primary is killed repeatedly under load.

use std::time::{Duration, Instant};

use quorate_e2e::{Load, Network, scaled};

use crate::{ALLOWANCE, PACE, others};

/// Kills in the test that always runs.
const FEW: usize = 5;

/// Kills in the measurement.
const MANY: usize = 50;

/// The documented limit, in addition to the timeouts.
const PROMISED: Duration = Duration::from_secs(1);

/// Transactions reported `committed` before each kill.
const BETWEEN: usize = 60;

/// Measured times, in the order of the kills.
#[derive(Default)]
struct Measured {
    /// From the kill to the first block of a later view.
    takeovers: Vec<Duration>,
    /// From the restart to the first vote that another validator shows in a certificate.
    returns: Vec<Duration>,
}

/// Kills the primary, waits for a block of a later view, restarts the killed validator and waits
/// until it votes.
fn kill_and_return(network: &mut Network, load: &Load, measured: &mut Measured) {
    let all = others(network, &[]);
    load.wait_for_more(scaled(BETWEEN));
    let view = network.common_view(&all);
    let primary = network.primary_of(view);
    let survivors = others(network, &[primary]);
    let start = Instant::now();
    network.kill(primary);
    measured.takeovers.push(network.time_to_order_after(view, &survivors, start));

    let start = Instant::now();
    network.start(primary);
    network.wait_until_caught_up(primary, survivors[0]);
    network.wait_until_it_votes(primary, survivors[0]);
    measured.returns.push(start.elapsed());
}

/// Kills in one network. No transaction that was reported `committed` is lost or repeated, and all
/// chains are equal.
fn measure(kills: usize) -> (Network, Measured) {
    let mut network = Network::running(4);
    let all = others(&network, &[]);
    let load = Load::paced(network.genesis(), &network.rpc_addresses(all.iter().copied()), PACE);
    let mut measured = Measured::default();
    for _ in 0..kills {
        kill_and_return(&mut network, &load, &mut measured);
    }
    let promised = load.finish();
    network.equal_chains(&all).assert_contains(&promised);
    network.assert_no_evidence(&all);
    for (what, times) in [("takeovers", &measured.takeovers), ("returns", &measured.returns)] {
        println!("{kills} kills, {what}: {}", distribution(times));
    }
    (network, measured)
}

fn distribution(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    // The nearest rank: this percentage of the times is no longer than this one.
    let at = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1].as_millis();
    format!("min {} p50 {} p90 {} p99 {} max {} ms", at(0), at(50), at(90), at(99), at(100))
}

#[test]
fn when_the_primary_is_killed_the_next_one_orders_within_the_request_timeout_and_a_second() {
    let (network, measured) = measure(scaled(FEW));
    let bound = network.request_timeout() + PROMISED + ALLOWANCE;
    assert!(measured.takeovers.iter().all(|took| *took <= bound), "{:?}", measured.takeovers);
}

/// Run `cargo test --release -p quorate-e2e --test view_changes -- --ignored --nocapture fifty` on
/// a quiet machine.
#[test]
#[ignore = "a measurement of some minutes, without allowance for other tests"]
fn fifty_primaries_are_replaced_in_time() {
    let (network, measured) = measure(scaled(MANY));
    let bound = network.request_timeout() + PROMISED;
    assert!(measured.takeovers.iter().all(|took| *took <= bound), "{:?}", measured.takeovers);
}

#[test]
fn two_primaries_in_a_row_are_passed_over_in_a_network_of_seven() {
    let mut network = Network::running(7);
    let all = others(&network, &[]);
    network.order_one(0);
    let view = network.common_view(&all);
    let dead = [network.primary_of(view), network.primary_of(view + 1)];
    let survivors = others(&network, &dead);
    let load = Load::paced(network.genesis(), &network.rpc_addresses(survivors[..2].iter().copied()), PACE);
    load.wait_for_more(scaled(BETWEEN));

    let start = Instant::now();
    for index in dead {
        network.kill(index);
    }
    // The block is from the first view after these two, or from a later one.
    let took = network.time_to_order_after(view + 1, &survivors, start);
    println!("two dead primaries of seven: {} ms", took.as_millis());
    let bound = network.request_timeout() + network.new_view_timeout() + PROMISED + ALLOWANCE;
    assert!(took <= bound, "{took:?}");
    assert_eq!(network.common_view(&survivors), view + 2);

    for index in dead {
        network.start(index);
        network.wait_until_caught_up(index, survivors[0]);
    }
    let promised = load.finish();
    network.equal_chains(&all).assert_contains(&promised);
    network.assert_no_evidence(&all);
}
