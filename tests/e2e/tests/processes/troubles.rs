//! What goes wrong without holding ordering up is told all the same.

use std::time::Duration;

use quorate_api::{Trouble, TroubleKind};
use quorate_e2e::{Network, PATIENCE, until};

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
    let mut network = Network::testnet(4).with_faults();
    network.start_all();
    let primary = network.primary(0);
    let (wrong, other) = ((primary + 1) % 4, (primary + 2) % 4);
    order_until(&network, other, wrong, TroubleKind::Clock, false);
    for (offset, direction) in [(HOUR_MS, "ahead of"), (-HOUR_MS, "behind")] {
        network.set_clock_off(wrong, offset);
        let told = order_until(&network, other, wrong, TroubleKind::Clock, true).unwrap();
        let primary = &network.validators()[primary].name;
        assert!(told.text.contains(&format!("{direction} that of {primary}")), "{told:?}");
        let others: Vec<Trouble> = network.rpc(other).explanation().troubles;
        assert!(others.iter().all(|trouble| trouble.kind != TroubleKind::Clock), "{others:?}");
        let metrics = network.rpc(wrong).text("/metrics").unwrap();
        let line = format!("quorate_clock_ahead_seconds{{validator=\"{primary}\"}} ");
        let told = metrics.lines().find_map(|told| told.strip_prefix(&line)).map(str::parse::<f64>);
        assert!(told.is_some_and(|seconds| seconds.unwrap().abs() > 3_500.0), "{line}");
        network.set_clock_off(wrong, 0);
        order_until(&network, other, wrong, TroubleKind::Clock, false);
    }
    network.equal_chains(&[0, 1, 2, 3]);
}

#[test]
fn a_validator_that_does_not_follow_is_named_by_the_others() {
    let mut network = Network::testnet(4).with_faults();
    // Neither the first primary nor the one that is asked.
    let (slow, asked) = (3, 0);
    network.start_all();
    network.order_one(asked);
    network.set_disk_delay(slow, Duration::from_millis(1500));
    let told = order_until(&network, asked, asked, TroubleKind::MemberBehind, true).unwrap();
    assert_eq!(told.members.iter().map(|member| member.index).collect::<Vec<_>>(), [3]);
    assert!(told.text.contains("connected and"), "{told:?}");
    network.set_disk_delay(slow, Duration::ZERO);
    order_until(&network, asked, asked, TroubleKind::MemberBehind, false);
    network.equal_chains(&[0, 1, 2, 3]);
}
