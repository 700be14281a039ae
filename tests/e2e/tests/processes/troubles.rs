//! What goes wrong without holding ordering up is told all the same.

use std::time::Duration;

use quorate_api::{Explanation, ProgressState, TransactionStatus, Trouble, TroubleKind, Wait};
use quorate_e2e::{Network, PATIENCE, Signer, until};

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

const ALL: [usize; 4] = [0, 1, 2, 3];

fn kinds(explanation: &Explanation) -> Vec<TroubleKind> {
    explanation.troubles.iter().map(|trouble| trouble.kind).collect()
}

/// Waits until a validator says that the chain's time is ahead of its clock.
fn told_of_time_ahead(network: &Network, asked: usize) -> Explanation {
    let rpc = network.rpc(asked);
    let told = until(&format!("validator-{asked} tells that the chain is ahead"), PATIENCE, || {
        let told = rpc.explanation();
        (told.state == ProgressState::WaitingForClock).then_some(told)
    });
    // Addresses of validators that have not started yet may be told as well.
    assert!(kinds(&told).contains(&TroubleKind::ChainAhead), "{told:?}");
    assert!(!kinds(&told).contains(&TroubleKind::Clock), "{told:?}");
    assert!(!told.making_progress && told.headline.contains("nothing can be ordered before"), "{told:?}");
    told
}

/// What `/metrics` says of the time at which ordering is possible.
fn possible_time(network: &Network, asked: usize) -> Option<f64> {
    let metrics = network.rpc(asked).text("/metrics").unwrap();
    let value = metrics.lines().find_map(|line| line.strip_prefix("quorate_ordering_possible_time_seconds "));
    let value: f64 = value.expect("the metric is always told").parse().unwrap();
    (value > 0.0).then_some(value)
}

#[test]
fn a_genesis_from_the_future_is_told_with_the_time_at_which_ordering_begins() {
    let mut network = Network::testnet(4).with_faults();
    for index in ALL {
        network.set_clock_off(index, -HOUR_MS);
        network.start(index);
    }
    for index in ALL {
        let told = told_of_time_ahead(&network, index);
        assert!(told.headline.contains("The genesis has the time"), "{told:?}");
        assert!(network.log(index).contains("nothing can be ordered before possible_at"));
        let ready = network.rpc(index).text("/readyz").unwrap();
        assert!(ready.contains("nothing can be ordered before"), "{ready}");
        let (time, genesis) = (possible_time(&network, index).unwrap(), network.genesis().time().0);
        let tolerance = network.genesis().consensus().clock_tolerance_ms;
        #[expect(clippy::cast_precision_loss)]
        let expected = (genesis + 1 - tolerance) as f64 / 1000.0;
        assert!((time - expected).abs() < 0.001, "{time} is not {expected}");
    }
    ALL.iter().for_each(|index| network.set_clock_off(*index, 0));
    ALL.iter().for_each(|index| network.wait_until_ready(*index));
    network.order_one(0);
    assert_eq!(possible_time(&network, 0), None);
}

/// Ordering goes on by itself once the clocks have reached the chain, and until then no validator's clock is accused.
#[test]
fn clocks_that_ran_ahead_and_were_put_right_accuse_no_other_clock() {
    let mut network = Network::testnet(4).with_faults();
    ALL.iter().for_each(|index| network.set_clock_off(*index, 12_000));
    network.start_all();
    network.order_one(0);
    network.common_height(&ALL);
    ALL.iter().for_each(|index| network.set_clock_off(*index, 0));
    for index in ALL {
        let told = told_of_time_ahead(&network, index);
        assert!(told.headline.contains("the newest,"), "{told:?}");
    }
    let signed = Signer::new(network.genesis(), 1, 32).sign();
    let rpc = network.rpc(1);
    rpc.submit(&signed.hex, Wait::None, 0).unwrap();
    until("it is ordered once the clocks are there", PATIENCE, || {
        for index in ALL {
            let told = network.rpc(index).explanation();
            assert!(!kinds(&told).contains(&TroubleKind::Clock), "{told:?}");
        }
        matches!(rpc.transaction(&signed.id), TransactionStatus::Committed { .. }).then_some(())
    });
    ALL.iter().for_each(|index| network.wait_until_ready(*index));
}
