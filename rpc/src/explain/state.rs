//! The state of a node in one word.

use quorate_api::{HeightPhase, Obstacle, ProgressState, ValidatorSigningState};

use super::facts::Facts;

/// Work that has waited for less than the request timeout divided by this is in normal progress.
const NORMAL_WAIT_DIVISOR: u64 = 4;

/// The state that must end first before this node can make progress.
///
/// The order matters: a node that does not run cannot vote, a node that may not vote cannot be part
/// of a quorum, and without a quorum no other wait can end.
pub(super) fn state(facts: &Facts<'_>) -> ProgressState {
    let consensus = facts.consensus;
    if facts.engine_silence().is_some() {
        return ProgressState::EngineStalled;
    }
    match consensus.signing_state {
        ValidatorSigningState::Recovering => return ProgressState::Recovering,
        ValidatorSigningState::Probing => return ProgressState::Probing,
        ValidatorSigningState::Observing => return state_of_observer(facts),
        ValidatorSigningState::Voting => {}
    }
    if !facts.has_quorum_contact() {
        ProgressState::NoQuorumContact
    } else if facts.is_catching_up() {
        ProgressState::CatchingUp
    } else if facts.possible_at().is_some() {
        // Checked before the view: no view change can end this wait.
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

/// An observer does not take part in the view, so the progress of the view does not matter for its
/// state.
fn state_of_observer(facts: &Facts<'_>) -> ProgressState {
    if !facts.has_quorum_contact() {
        ProgressState::NoQuorumContact
    } else if facts.is_catching_up() {
        ProgressState::CatchingUp
    } else {
        ProgressState::Following
    }
}

/// Heights are committed in order (R10), so all heights wait for what the lowest one waits for.
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

/// Whether work has waited for longer than normal ordering takes.
fn is_overdue(facts: &Facts<'_>) -> bool {
    let waiting_ms = facts.consensus.waiting_ms.unwrap_or_default();
    waiting_ms.saturating_mul(NORMAL_WAIT_DIVISOR) >= facts.consensus.request_timeout_ms
}
