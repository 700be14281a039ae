//! What goes wrong without holding ordering up is told all the same.

use std::fs;

use quorate_api::{Trouble, TroubleKind};
use quorate_e2e::{Network, PATIENCE, until};

/// Variables that a build for tests reads: `node/src/runtime/faults.rs`.
const CLOCK: &str = "QUORATE_FAULT_CLOCK";
const DISK: &str = "QUORATE_FAULT_DISK";

const HOUR_MS: i64 = 3_600_000;

/// Orders transactions through one validator until another one tells, or no longer tells, of such a trouble.
fn order_until(
    network: &Network,
    through: usize,
    asked: usize,
    kind: TroubleKind,
    told: bool,
) -> Option<Trouble> {
    let rpc = network.rpc(asked);
    until(&format!("validator-{asked} tells of {kind:?}: {told}"), 2 * PATIENCE, || {
        network.order_one(through);
        let explanation = rpc.explanation();
        let found = explanation.troubles.into_iter().find(|trouble| trouble.kind == kind);
        (found.is_some() == told).then_some(found)
    })
}

#[test]
fn a_clock_that_jumps_is_told_by_whoever_has_it_and_by_whom_it_concerns() {
    let mut network = Network::testnet(4);
    let directory = tempfile::tempdir().unwrap();
    let files = [0, 1, 2, 3].map(|index| directory.path().join(format!("clock-{index}")));
    for (index, file) in files.iter().enumerate() {
        network.start_with(index, &[], &[(CLOCK, file.to_str().unwrap())]);
    }
    (0..4).for_each(|index| network.wait_until_connected(index, 3));
    let primary = network.primary(0);
    let (wrong, other) = ((primary + 1) % 4, (primary + 2) % 4);
    order_until(&network, other, wrong, TroubleKind::Clock, false);
    for (offset, direction) in [(HOUR_MS, "ahead of"), (-HOUR_MS, "behind")] {
        fs::write(&files[wrong], offset.to_string()).unwrap();
        let told = order_until(&network, other, wrong, TroubleKind::Clock, true).unwrap();
        let primary = &network.validators()[primary].name;
        assert!(told.text.contains(&format!("{direction} that of {primary}")), "{told:?}");
        let others: Vec<Trouble> = network.rpc(other).explanation().troubles;
        assert!(others.iter().all(|trouble| trouble.kind != TroubleKind::Clock), "{others:?}");
        let metrics = network.rpc(wrong).text("/metrics").unwrap();
        let line = format!("quorate_clock_ahead_seconds{{validator=\"{primary}\"}} ");
        let told = metrics.lines().find_map(|told| told.strip_prefix(&line)).map(str::parse::<f64>);
        assert!(told.is_some_and(|seconds| seconds.unwrap().abs() > 3_500.0), "{line}");
        fs::write(&files[wrong], "0").unwrap();
        order_until(&network, other, wrong, TroubleKind::Clock, false);
    }
    network.equal_chains(&[0, 1, 2, 3]);
}

#[test]
fn a_validator_that_does_not_follow_is_named_by_the_others() {
    let mut network = Network::testnet(4);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("disk");
    // Neither the first primary nor the one that is asked.
    let (slow, asked) = (3, 0);
    for index in 0..4 {
        let variables = [(DISK, file.to_str().unwrap())];
        network.start_with(index, &[], if index == slow { &variables } else { &[] });
    }
    (0..4).for_each(|index| network.wait_until_connected(index, 3));
    network.order_one(asked);
    fs::write(&file, "1500").unwrap();
    let told = order_until(&network, asked, asked, TroubleKind::MemberBehind, true).unwrap();
    assert_eq!(told.members.iter().map(|member| member.index).collect::<Vec<_>>(), [3]);
    assert!(told.text.contains("connected and"), "{told:?}");
    fs::write(&file, "0").unwrap();
    order_until(&network, asked, asked, TroubleKind::MemberBehind, false);
    network.equal_chains(&[0, 1, 2, 3]);
}
