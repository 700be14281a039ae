//! Metrics of governance: what is proposed and decided, and what it waits for.

use quorate_api::{CandidacyState, PendingStage};

use super::{count, gauge};
use crate::runtime::metrics::read::Reading;

pub(super) const GOVERNANCE: &[Reading] = &[
    gauge("quorate_governance_proposals", &[], "Open proposals.", |facts, samples| {
        let open = facts.changes.iter().filter(|change| change.stage == PendingStage::Proposed);
        samples.counts(count(open.count()));
    }),
    gauge(
        "quorate_governance_candidates_not_ready",
        &[],
        "Keys that open proposals would make consensus keys, and whose node has sent no READY that counts.",
        |facts, samples| {
            samples.counts(facts.changes.iter().map(|change| count(change.not_ready.len())).sum());
        },
    ),
    gauge(
        "quorate_governance_scheduled_height",
        &[],
        "First height at which a decided change takes effect; 0 if none waits.",
        |facts, samples| {
            let heights = facts.changes.iter().filter_map(|change| change.effective_from);
            samples.counts(heights.min().unwrap_or(0));
        },
    ),
    gauge(
        "quorate_governance_next_epoch_height",
        &[],
        "First height of the next epoch, if a decided change starts one; otherwise 0.",
        |facts, samples| {
            let epochs = facts.changes.iter().filter(|change| change.starts_epoch);
            samples.counts(epochs.filter_map(|change| change.effective_from).min().unwrap_or(0));
        },
    ),
    gauge(
        "quorate_candidacy",
        &["state"],
        "1 for what a node that is configured as a validator still lacks to become a member, 0 for all other states; 0 for \
         all states at a member. Nodes that are configured as observers have no sample.",
        |facts, samples| {
            if facts.status.membership.is_none() {
                return;
            }
            let own = facts.status.candidacy.as_ref().map(|candidacy| candidacy.state);
            CandidacyState::ALL.iter().for_each(|state| samples.says(state.name(), own == Some(*state)));
        },
    ),
];
