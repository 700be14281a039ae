//! Problems that do not stop ordering are reported as well.

use std::time::Duration;

use quorate_api::{Explanation, ProgressState, TransactionStatus, Wait, Warning, WarningKind};
use quorate_e2e::{Network, Signer, WAIT_LIMIT, until};

const HOUR_MS: i64 = 3_600_000;

/// Orders transactions through one validator until another one reports, or no longer reports, such
/// a problem.
fn order_until(
    network: &Network,
    through: usize,
    reporter: usize,
    kind: WarningKind,
    report: bool,
) -> Option<Warning> {
    let rpc = network.rpc(reporter);
    until(&format!("validator-{reporter} reports {kind:?}: {report}"), 2 * WAIT_LIMIT, || {
        network.order_one(through);
        let explanation = rpc.explanation();
        let found = explanation.warnings.into_iter().find(|warning| warning.kind == kind);
        (found.is_some() == report).then_some(found)
    })
}

#[test]
fn a_clock_that_jumps_is_reported_by_its_validator_and_by_the_others() {
    let mut network = Network::testnet(4).with_faults();
    network.start_all();
    let primary = network.primary(0);
    let (wrong, other) = ((primary + 1) % 4, (primary + 2) % 4);
    order_until(&network, other, wrong, WarningKind::Clock, false);
    for (offset, direction) in [(HOUR_MS, "ahead of"), (-HOUR_MS, "behind")] {
        network.set_clock_off(wrong, offset);
        let report = order_until(&network, other, wrong, WarningKind::Clock, true).unwrap();
        let primary = &network.validators()[primary].name;
        assert!(report.text.contains(&format!("{direction} that of {primary}")), "{report:?}");
        let others: Vec<Warning> = network.rpc(other).explanation().warnings;
        assert!(others.iter().all(|warning| warning.kind != WarningKind::Clock), "{others:?}");
        let metrics = network.rpc(wrong).text("/metrics").unwrap();
        let line = format!("quorate_clock_ahead_seconds{{validator=\"{primary}\"}} ");
        let report = metrics.lines().find_map(|report| report.strip_prefix(&line)).map(str::parse::<f64>);
        assert!(report.is_some_and(|seconds| seconds.unwrap().abs() > 3_500.0), "{line}");
        network.set_clock_off(wrong, 0);
        order_until(&network, other, wrong, WarningKind::Clock, false);
    }
    network.equal_chains(&[0, 1, 2, 3]);
}

#[test]
fn a_validator_that_does_not_follow_is_named_by_the_others() {
    let mut network = Network::testnet(4).with_faults();
    // Neither the first primary nor the validator that reports.
    let (slow, reporter) = (3, 0);
    network.start_all();
    network.order_one(reporter);
    network.set_disk_delay(slow, Duration::from_millis(1500));
    let report = order_until(&network, reporter, reporter, WarningKind::MemberBehind, true).unwrap();
    assert_eq!(report.members.iter().map(|member| member.index).collect::<Vec<_>>(), [3]);
    assert!(report.text.contains("connected and"), "{report:?}");
    network.set_disk_delay(slow, Duration::ZERO);
    order_until(&network, reporter, reporter, WarningKind::MemberBehind, false);
    network.equal_chains(&[0, 1, 2, 3]);
}

const ALL: [usize; 4] = [0, 1, 2, 3];

fn kinds(explanation: &Explanation) -> Vec<WarningKind> {
    explanation.warnings.iter().map(|warning| warning.kind).collect()
}

/// Waits until a validator reports that the chain's time is ahead of its clock.
fn time_ahead_report(network: &Network, reporter: usize) -> Explanation {
    let rpc = network.rpc(reporter);
    let report = until(&format!("validator-{reporter} reports that the chain is ahead"), WAIT_LIMIT, || {
        let report = rpc.explanation();
        (report.state == ProgressState::WaitingForClock).then_some(report)
    });
    // Addresses of validators that have not started yet may be reported as well.
    assert!(kinds(&report).contains(&WarningKind::ChainAhead), "{report:?}");
    assert!(!kinds(&report).contains(&WarningKind::Clock), "{report:?}");
    assert!(
        !report.making_progress && report.summary.contains("nothing can be ordered before"),
        "{report:?}"
    );
    report
}

/// The metric with the time at which ordering becomes possible.
fn possible_time(network: &Network, reporter: usize) -> Option<f64> {
    let metrics = network.rpc(reporter).text("/metrics").unwrap();
    let value = metrics.lines().find_map(|line| line.strip_prefix("quorate_ordering_possible_time_seconds "));
    let value: f64 = value.expect("the metric is always present").parse().unwrap();
    (value > 0.0).then_some(value)
}

#[test]
fn a_genesis_with_a_future_time_is_reported_with_the_time_at_which_ordering_begins() {
    let mut network = Network::testnet(4).with_faults();
    for index in ALL {
        network.set_clock_off(index, -HOUR_MS);
        network.start(index);
    }
    for index in ALL {
        let report = time_ahead_report(&network, index);
        assert!(report.summary.contains("The genesis has the time"), "{report:?}");
        assert!(network.log(index).contains("no block can be ordered before possible_at"));
        let ready = network.rpc(index).text("/readyz").unwrap();
        assert!(ready.contains("no block can be ordered before"), "{ready}");
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

/// Ordering continues by itself once the clocks have reached the chain's time. Until then no
/// validator's clock is reported as wrong.
#[test]
fn after_clocks_ran_ahead_and_were_corrected_no_other_clock_is_reported() {
    let mut network = Network::testnet(4).with_faults();
    ALL.iter().for_each(|index| network.set_clock_off(*index, 12_000));
    network.start_all();
    network.order_one(0);
    network.common_height(&ALL);
    ALL.iter().for_each(|index| network.set_clock_off(*index, 0));
    for index in ALL {
        let report = time_ahead_report(&network, index);
        assert!(report.summary.contains("the newest,"), "{report:?}");
    }
    let signed = Signer::new(network.genesis(), 1, 32).sign();
    let rpc = network.rpc(1);
    rpc.submit(&signed.hex, Wait::None, 0).unwrap();
    until("it is ordered once the clocks have reached the chain", WAIT_LIMIT, || {
        for index in ALL {
            let report = network.rpc(index).explanation();
            assert!(!kinds(&report).contains(&WarningKind::Clock), "{report:?}");
        }
        matches!(rpc.transaction(&signed.id), TransactionStatus::Committed { .. }).then_some(())
    });
    ALL.iter().for_each(|index| network.wait_until_ready(*index));
}
