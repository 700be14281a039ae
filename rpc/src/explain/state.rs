//! What a node does or waits for, in a word.

use quorate_api::{HeightPhase, Obstacle, ProgressState, ValidatorStanding};

use super::facts::Facts;

/// What takes less than this part of the request timeout is nothing but ordering.
const PATIENT_PARTS: u64 = 4;

/// What must end first for this node to get on.
///
/// The order matters: who does not run cannot vote, who may not vote cannot hold a quorum together, and without a
/// quorum no other wait can end.
pub(super) fn state(facts: &Facts<'_>) -> ProgressState {
    let consensus = facts.consensus;
    if facts.engine_silence().is_some() {
        return ProgressState::EngineStalled;
    }
    match consensus.standing {
        ValidatorStanding::Recovering => return ProgressState::Recovering,
        ValidatorStanding::Probing => return ProgressState::Probing,
        ValidatorStanding::Observing => return state_of_observer(facts),
        ValidatorStanding::Voting => {}
    }
    if !facts.hears_enough() {
        ProgressState::NoQuorumContact
    } else if facts.is_catching_up() {
        ProgressState::CatchingUp
    } else if facts.possible_at().is_some() {
        // No view can end this wait.
        ProgressState::WaitingForClock
    } else if !consensus.active {
        ProgressState::WaitingForNewView
    } else if !facts.has_work() {
        ProgressState::Idle
    } else if facts.is_at_watermark() {
        ProgressState::WaitingForCheckpoint
    } else {
        state_of_next_height(facts)
    }
}

/// What goes on in the view is the validators' business.
fn state_of_observer(facts: &Facts<'_>) -> ProgressState {
    if !facts.hears_enough() {
        ProgressState::NoQuorumContact
    } else if facts.is_catching_up() {
        ProgressState::CatchingUp
    } else {
        ProgressState::Following
    }
}

/// Heights are committed in order (R10), so what the lowest one waits for is what all wait for.
fn state_of_next_height(facts: &Facts<'_>) -> ProgressState {
    let next = facts.consensus.in_flight.iter().find(|height| height.height == facts.next_height());
    let obstacle = next.map_or(Some(Obstacle::NoProposal), |next| next.obstacle);
    match (obstacle, next.map(|next| next.phase)) {
        (Some(Obstacle::Refused), _) => ProgressState::ProposalRefused,
        (Some(Obstacle::Clock), _) => ProgressState::WaitingForClock,
        _ if !is_overdue(facts) => ProgressState::Ordering,
        (Some(Obstacle::Parent | Obstacle::Body), _) => ProgressState::ExaminingProposal,
        (Some(Obstacle::NoProposal), _) | (None, None | Some(HeightPhase::Waiting)) => {
            ProgressState::WaitingForProposal
        }
        (None, Some(HeightPhase::PrePrepared | HeightPhase::Prepared | HeightPhase::Committed)) => {
            ProgressState::WaitingForVotes
        }
    }
}

/// Whether work waits for longer than a network at work takes.
fn is_overdue(facts: &Facts<'_>) -> bool {
    let waiting_ms = facts.consensus.waiting_ms.unwrap_or_default();
    waiting_ms.saturating_mul(PATIENT_PARTS) >= facts.consensus.request_timeout_ms
}
