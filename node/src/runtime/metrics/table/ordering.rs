//! Metrics of ordering. Only a validator has most of them.

use super::{VALIDATOR, count, counter, gauge, seconds};
use crate::runtime::metrics::read::Reading;

/// The views, the blocks in flight, and faults.
pub(super) const ORDERING: &[Reading] = &[
    gauge("quorate_view", &[], "Number of the view.", |facts, samples| samples.counts(facts.consensus.view)),
    gauge(
        "quorate_view_active",
        &[],
        "1 while the view has begun, 0 while the node waits for its NEW-VIEW.",
        |facts, samples| samples.counts(u64::from(facts.consensus.active)),
    ),
    gauge(
        "quorate_primary",
        VALIDATOR,
        "1 for the primary of the view, 0 for all others.",
        |facts, samples| {
            let primary = usize::from(facts.consensus.primary);
            facts.names.iter().enumerate().for_each(|(index, name)| samples.says(name, index == primary));
        },
    ),
    gauge(
        "quorate_signing_state",
        &["state"],
        "1 for the state that says whether this validator may sign (voting, probing or recovering), 0 for the others.",
        |facts, samples| {
            if facts.ordering().is_none() {
                return;
            }
            let word = |state| serde_json::to_value(state).ok();
            let own = word(facts.consensus.signing_state);
            for state in ["voting", "probing", "recovering"] {
                samples.says(state, own.as_ref().is_some_and(|own| own == state));
            }
        },
    ),
    counter(
        "quorate_views_left_total",
        &["cause"],
        "Views that this validator left, by cause.",
        |facts, samples| {
            let Some(ordering) = facts.ordering() else { return };
            let counters = &ordering.overview.pbft_counters;
            let causes = [
                ("no_progress", counters.no_progress),
                ("censorship", counters.censorship),
                ("evidence", counters.proven_primaries),
                ("others_left", counters.joined),
                ("no_new_view", counters.no_new_view),
            ];
            causes.into_iter().for_each(|(cause, left)| samples.counts_of(cause, left));
        },
    ),
    counter("quorate_views_entered_total", &[], "Views that this validator entered.", |facts, samples| {
        samples.counts_if(facts.ordering().map(|it| it.overview.pbft_counters.views_entered));
    }),
    gauge(
        "quorate_request_timeout_seconds",
        &[],
        "How long pending work may go without a commit at present; doubled for each failed view.",
        |facts, samples| {
            let timeout = seconds(facts.consensus.request_timeout_ms);
            facts.ordering().iter().for_each(|_| samples.is(timeout));
        },
    ),
    gauge(
        "quorate_waiting_seconds",
        &[],
        "How long work has waited without a commit, across views; 0 while no work waits.",
        |facts, samples| {
            let waiting = seconds(facts.consensus.waiting_ms.unwrap_or(0));
            facts.ordering().iter().for_each(|_| samples.is(waiting));
        },
    ),
    gauge(
        "quorate_heights_in_flight",
        &[],
        "Heights that have begun in this view and are not final.",
        |facts, samples| {
            let in_flight = count(facts.consensus.in_flight.len());
            samples.counts_if(facts.ordering().map(|_| in_flight));
        },
    ),
    gauge(
        "quorate_proposals_validating",
        &[],
        "Proposals in validation, some of whose transactions have not arrived.",
        |facts, samples| samples.counts_if(facts.ordering().map(|it| count(it.overview.examining))),
    ),
    counter(
        "quorate_body_requests_total",
        &[],
        "Requests for transactions of a proposal that had not arrived by gossip.",
        |facts, samples| samples.counts_if(facts.ordering().map(|it| it.overview.counters.bodies_asked)),
    ),
    gauge("quorate_quorum", &[], "Quorum size: how many votes are a quorum.", |facts, samples| {
        samples.counts_if(facts.ordering().map(|_| facts.consensus.quorum.into()));
    }),
    gauge(
        "quorate_validators_heard",
        &[],
        "Validators heard from within three status intervals, this one included.",
        |facts, samples| {
            samples.counts(
                count(facts.consensus.recently_heard.len()) + u64::from(facts.status.index.is_some()),
            );
        },
    ),
    gauge(
        "quorate_validator_heard",
        VALIDATOR,
        "1 for every other validator heard from within three status intervals, 0 for the others.",
        |facts, samples| {
            for (index, name) in (0_u16..).zip(&facts.names).filter(|(index, _)| facts.is_other(*index)) {
                samples.says(name, facts.consensus.recently_heard.contains(&index));
            }
        },
    ),
    counter("quorate_stable_checkpoints_total", &[], "Checkpoints that became stable.", |facts, samples| {
        samples.counts_if(facts.ordering().map(|it| it.overview.pbft_counters.stable_checkpoints));
    }),
    gauge(
        "quorate_evidence",
        &[],
        "Entries of evidence against faulty validators that the node keeps.",
        |facts, samples| {
            samples.counts_if(facts.ordering().map(|_| facts.consensus.evidence_count));
        },
    ),
    counter(
        "quorate_equivocations_total",
        &[],
        "Conflicting statements of one validator where only one is allowed, since the start.",
        |facts, samples| {
            samples.counts_if(facts.ordering().map(|it| it.overview.pbft_counters.contradictions));
        },
    ),
    counter("quorate_bad_proposals_total", &[], "Proposals that broke a rule.", |facts, samples| {
        samples.counts_if(facts.ordering().map(|it| it.overview.pbft_counters.bad_proposals));
    }),
    counter(
        "quorate_messages_dropped_total",
        &["reason"],
        "Messages of other validators that ordering ignored, by reason.",
        |facts, samples| {
            let Some(validator) = &facts.validator else { return };
            let counters = &validator.snapshot.overview.pbft_counters;
            samples.counts_of("outside_window", counters.outside_window);
            samples.counts_of("prepare_of_primary", counters.primary_prepares);
            validator.not_checked.iter().for_each(|(reason, number)| samples.counts_of(reason, *number));
        },
    ),
    counter(
        "quorate_messages_retransmitted_total",
        &[],
        "Messages sent again because a STATUS showed that the other validator lacks them.",
        |facts, samples| samples.counts_if(facts.ordering().map(|it| it.overview.pbft_counters.repaired)),
    ),
];
