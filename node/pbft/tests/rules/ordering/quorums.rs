//! How many members order blocks (R1).

use crate::net::{self, Net};

/// R1: with five or six members, 2f + 1 = 3 votes are no quorum. Two sets of three votes may share
/// no correct member.
#[test]
fn three_votes_are_no_quorum_of_five_or_six() {
    for size in [5, 6] {
        let mut net = Net::of(size);
        for silent in 3..size {
            net.crash(silent);
        }
        net.propose("A");
        net.deliver_all();
        assert_eq!(net.links.sent[2], 0, "a proposal and two PREPAREs of {size} prepare nothing");
    }
}

/// R1: blocks are ordered while a quorum runs. With one member less, nothing is committed until it
/// returns.
#[test]
fn the_network_orders_blocks_exactly_while_a_quorum_runs() {
    for (size, quorum) in [(4, 3), (5, 4), (6, 4), (7, 5), (10, 7)] {
        let mut net = Net::of(size);
        for node in quorum..size {
            net.crash(node);
        }
        net.propose("A");
        net.deliver_all();
        net.assert_chain(&["A"]);
        net.crash(1);
        net.propose("B");
        net.deliver_all();
        net.pass(2 * net::STATUS);
        net.assert_chain(&["A"]);
        net.restart(1);
        net.pass(3 * net::STATUS);
        net.assert_chain(&["A", "B"]);
    }
}
