//! Metrics of the node and of its chain.

use quorate_api::{Membership, ProgressState};

use super::{counter, gauge, seconds};
use crate::runtime::metrics::read::Reading;

/// The node, then the chain.
pub(super) const NODE: &[Reading] = &[
    gauge(
        "quorate_info",
        &["version", "network", "validator"],
        "1; the labels identify the node.",
        |facts, samples| {
            let status = &facts.status;
            let name = status.name.clone().unwrap_or_default();
            samples.with(vec![status.version.clone(), status.network.clone(), name], 1.0);
        },
    ),
    gauge("quorate_uptime_seconds", &[], "Time since the node started.", |facts, samples| {
        samples.is(seconds(facts.status.uptime_ms));
    }),
    counter(
        "quorate_log_lines_lost_total",
        &[],
        "Log lines that were lost because standard error did not accept them, or not fast enough.",
        |facts, samples| samples.counts(facts.log_lines_lost),
    ),
    gauge(
        "quorate_snapshot_age_seconds",
        &[],
        "Age of the ordering thread's last report; readiness, status and most of these metrics are derived from it.",
        |facts, samples| samples.is(seconds(facts.status.snapshot_age_ms)),
    ),
    gauge("quorate_ready", &[], "1 while /readyz responds with 200.", |facts, samples| {
        samples.counts(u64::from(facts.readiness.is_ready()));
    }),
    gauge("quorate_ready_check", &["check"], "1 while this check of /readyz succeeds.", |facts, samples| {
        facts.readiness.checks.iter().for_each(|check| samples.says(&check.name, check.ok));
    }),
    gauge(
        "quorate_ordering_state",
        &["state"],
        "1 for the state that consensus_explain returns, 0 for all others.",
        |facts, samples| {
            ProgressState::ALL.iter().for_each(|state| samples.says(state.name(), *state == facts.state));
        },
    ),
    gauge(
        "quorate_member",
        &[],
        "1 while the key of a node that is configured as a validator is in the committee, 0 while it is not. Observers have \
         no sample.",
        |facts, samples| {
            let membership = facts.status.membership.into_iter();
            membership.for_each(|membership| samples.counts(u64::from(membership == Membership::Member)));
        },
    ),
    // ---- the chain
    gauge(
        "quorate_epoch",
        &[],
        "Number of the epoch: it grows when the committee changes.",
        |facts, samples| {
            samples.counts(facts.status.epoch);
        },
    ),
    gauge("quorate_committed_height", &[], "Height of the newest final block.", |facts, samples| {
        samples.counts(facts.status.head.height);
    }),
    gauge(
        "quorate_committed_time_seconds",
        &[],
        "Time of the newest final block, seconds since 1970.",
        |facts, samples| samples.is(seconds(facts.status.head.timestamp_ms)),
    ),
    gauge(
        "quorate_ordering_possible_time_seconds",
        &[],
        "If the newest block's time is so far ahead of this node's clock that no block can follow: the time at which one can, \
         seconds since 1970. 0 otherwise.",
        |facts, samples| samples.is(facts.possible_at.map_or(0.0, |time| seconds(time.0))),
    ),
    gauge(
        "quorate_durable_height",
        &[],
        "Height up to which the ledger file alone survives a power failure; the journal has the rest.",
        |facts, samples| samples.counts(facts.durable.0),
    ),
    gauge("quorate_stable_height", &[], "Height of the stable checkpoint.", |facts, samples| {
        samples.counts(facts.consensus.stable_height);
    }),
    gauge(
        "quorate_earliest_height",
        &[],
        "Height of the oldest block that the node keeps.",
        |facts, samples| {
            samples.counts(facts.status.earliest_height);
        },
    ),
    counter(
        "quorate_blocks_fetched_total",
        &[],
        "Blocks fetched from other validators instead of ordered here.",
        |facts, samples| samples.counts(facts.fetched),
    ),
    gauge(
        "quorate_catching_up",
        &[],
        "1 while the node fetches blocks from other validators.",
        |facts, samples| {
            samples.counts(u64::from(facts.consensus.catching_up));
        },
    ),
];
