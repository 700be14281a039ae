//! Validators are replaced one after the other, as "Upgrading" in `docker/README.md` describes.

use quorate_e2e::{Load, Network, scaled};

use crate::{PACE, others};

/// The variable with the program of an earlier release, which the network runs at first. Without
/// it, all validators run the program under test, and every restart uses the same program.
const BEFORE: &str = "QUORATE_E2E_BEFORE";

/// Transactions reported `committed` between two steps.
const BETWEEN: usize = 40;

#[test]
fn a_network_is_upgraded_while_it_orders() {
    let mut network = Network::testnet(4);
    let all = others(&network, &[]);
    if let Some(before) = std::env::var_os(BEFORE) {
        all.iter().for_each(|index| network.set_program(*index, Some(before.clone().into())));
    }
    network.start_all();
    let load = Load::paced(network.genesis(), &network.rpc_addresses(all.iter().copied()), PACE);
    load.wait_for_more(scaled(BETWEEN));
    let primary = network.primary_of(network.common_view(&all));
    // The primary is the last one.
    for index in others(&network, &[primary]).into_iter().chain([primary]) {
        let other = others(&network, &[index])[0];
        network.stop(index);
        load.wait_for_more(scaled(BETWEEN));
        network.set_program(index, None);
        network.start(index);
        network.wait_until_ready(index);
        network.wait_until_caught_up(index, other);
        network.wait_until_it_votes(index, other);
    }
    load.wait_for_more(scaled(BETWEEN));
    let promised = load.finish();
    network.equal_chains(&all).assert_contains(&promised);
    network.assert_no_evidence(&all);
}
