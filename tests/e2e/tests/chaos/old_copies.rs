//! Restored old copies of data.

use std::fs;

use quorate_api::ValidatorSigningState;
use quorate_e2e::{Network, copy_directory, wait_until};

use crate::fixtures::{FaultTest, Figures};
use crate::{Length, Scenario, last, scenario};

pub(crate) const SCENARIOS: &[Scenario] =
    &[scenario("a backup killed and restored from an old copy, until its newest journal is back", restored)];

/// Transactions reported `committed` between the copy and the crash, and while the old copy runs.
const BETWEEN: usize = 200;

fn restored(length: Length) -> Figures {
    let mut test = FaultTest::start(Network::testnet(4), &[0, 1, 3]);
    let index = test.backup(2);
    let (live, old) = (test.network.data(index), test.network.directory().join("old"));
    let newest = test.network.directory().join("newest");
    test.network.stop(index);
    copy_directory(&live, &old);
    test.network.start(index);
    test.network.wait_until_caught_up(index, test.primary);
    test.network.wait_until_it_votes(index, test.primary);
    test.load.wait_for_more(BETWEEN);

    test.fault_begins();
    test.network.kill(index);
    fs::rename(&live, &newest).unwrap();
    copy_directory(&old, &live);
    test.network.start(index);
    let rpc = test.network.rpc(index);
    wait_until("it knows that its journal is old", || {
        rpc.consensus().signing_state == ValidatorSigningState::Recovering
    });
    let height = test.height_of(&[test.primary]);
    test.load.wait_for_more(BETWEEN);
    wait_until("it follows the chain", || rpc.head().height > height);
    last(length.hold());
    assert_eq!(rpc.consensus().signing_state, ValidatorSigningState::Recovering);

    test.network.stop(index);
    fs::copy(newest.join("journal.redb"), live.join("journal.redb")).unwrap();
    test.fault_ends();
    test.network.start(index);
    test.network.wait_until_caught_up(index, test.primary);
    test.network.wait_until_it_votes(index, test.primary);
    test.note = "did not vote meanwhile".to_owned();
    test.finish()
}
