//! An idle network.

use std::time::{Duration, Instant};

use quorate_e2e::{Network, wait_until};

use crate::others;

/// How long the network is observed.
const LISTENED: Duration = Duration::from_secs(6);

/// Allowed traffic between two validators per second, in both directions together, with a status
/// interval of a second. Each sends a STATUS and a heartbeat, and responds to the other's
/// heartbeat: six messages. libp2p encrypts and frames them, and adds a few of its own from time to
/// time.
const PIECES_A_SECOND: f64 = 10.0;
const BYTES_A_SECOND: f64 = 1_500.0;

#[test]
fn an_idle_network_makes_no_blocks_changes_no_views_and_says_little() {
    let mut network = Network::testnet(4).behind_lines();
    network.start_all();
    let all = others(&network, &[]);
    let passed = || network.lines().passed();
    network.order_one(0);
    assert_eq!(network.genesis().consensus().status_interval_ms, 1000);
    let chain = network.equal_chains(&all);
    let before: Vec<_> = all.iter().map(|index| network.rpc(*index).consensus()).collect();

    // Do not count the messages that the transaction still causes.
    let mut last = passed();
    let mut quiet = Instant::now();
    wait_until("the transaction is over", || {
        let now = passed();
        if now.bytes > last.bytes + 4096 {
            (last, quiet) = (now, Instant::now());
        }
        quiet.elapsed() > Duration::from_secs(1)
    });
    let (start, passed_before) = (Instant::now(), passed());
    wait_until("the observation is over", || start.elapsed() >= LISTENED);
    let (seconds, passed_after) = (start.elapsed().as_secs_f64(), passed());

    for (index, before) in all.iter().zip(before) {
        let now = network.rpc(*index).consensus();
        assert_eq!((now.view, now.active, now.deadline), (before.view, true, None));
        assert_eq!(now.view_change_counts, before.view_change_counts);
        assert_eq!(now.committed_height, chain.height(), "no blocks");
    }
    let pairs = 6.0;
    let (bytes, pieces) =
        (passed_after.bytes - passed_before.bytes, passed_after.pieces - passed_before.pieces);
    #[allow(clippy::cast_precision_loss)]
    let [bytes, pieces] = [bytes, pieces].map(|count| count as f64 / seconds / pairs);
    println!("idle, between two validators: {bytes:.0} bytes/s in {pieces:.1} pieces/s");
    assert!(pieces >= 1.0, "they communicate over the lines");
    assert!(
        bytes <= BYTES_A_SECOND && pieces <= PIECES_A_SECOND,
        "{bytes} bytes in {pieces} pieces a second"
    );
    network.assert_no_evidence(&all);
}
