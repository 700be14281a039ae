//! What each height in flight waits for.

use quorate_api::{
    Awaited, AwaitedHeight, HeightInFlight, HeightPhase, Obstacle, ValidatorSigningState, VoteTally,
};

use super::facts::{Facts, count};
use super::phrase::names;

pub(super) fn heights(facts: &Facts<'_>) -> Vec<AwaitedHeight> {
    facts.consensus.in_flight.iter().map(|height| awaited_height(facts, height)).collect()
}

fn awaited_height(facts: &Facts<'_>, height: &HeightInFlight) -> AwaitedHeight {
    let awaits = awaits(facts, height);
    let votes = match awaits {
        Awaited::Prepares => Some(first_round(facts, height)),
        Awaited::Commits => Some(tally(facts, &height.commits)),
        _ => None,
    };
    AwaitedHeight {
        height: height.height,
        hash: height.hash,
        transactions: height.transactions,
        phase: height.phase,
        awaits,
        text: text(facts, height, awaits, votes.as_ref()),
        votes,
    }
}

fn awaits(facts: &Facts<'_>, height: &HeightInFlight) -> Awaited {
    if !facts.consensus.active {
        return Awaited::View;
    }
    match (height.obstacle, height.phase) {
        (Some(Obstacle::NoProposal), _) | (None, HeightPhase::Waiting) => Awaited::Proposal,
        (Some(Obstacle::Parent), _) => Awaited::Parent,
        (Some(Obstacle::Body), _) => Awaited::Body,
        (Some(Obstacle::Clock), _) => Awaited::Clock,
        (Some(Obstacle::Refused), _) => Awaited::Nothing,
        (None, HeightPhase::PrePrepared) => after_acceptance(facts, height),
        (None, HeightPhase::Prepared) => Awaited::Commits,
        (None, HeightPhase::Committed) => Awaited::HeightBelow,
    }
}

/// A validator sends COMMITs in height order (R10). A node that may not vote sends none, and learns
/// from the COMMITs of others that a block is final.
fn after_acceptance(facts: &Facts<'_>, height: &HeightInFlight) -> Awaited {
    let votes = facts.consensus.signing_state == ValidatorSigningState::Voting;
    let is_complete = first_voters(facts, height).len() >= facts.quorum();
    if !votes {
        Awaited::Commits
    } else if is_complete && height.height > facts.next_height() {
        Awaited::HeightBelow
    } else {
        Awaited::Prepares
    }
}

/// The members that gave the first of the two votes: the primary by its proposal, backups by
/// PREPARE (R8, R9).
fn first_voters(facts: &Facts<'_>, height: &HeightInFlight) -> Vec<u16> {
    let primary = facts.consensus.primary;
    let backups = height.prepares.iter().copied().filter(|index| *index != primary);
    let mut voters: Vec<u16> = backups.chain([primary]).collect();
    voters.sort_unstable();
    voters
}

fn first_round(facts: &Facts<'_>, height: &HeightInFlight) -> VoteTally {
    tally(facts, &first_voters(facts, height))
}

fn tally(facts: &Facts<'_>, voted: &[u16]) -> VoteTally {
    VoteTally {
        have: count(voted.len()),
        needed: count(facts.quorum()),
        voted: facts.members(voted),
        missing: facts.members(&facts.all_but(voted)),
    }
}

fn text(facts: &Facts<'_>, height: &HeightInFlight, awaits: Awaited, votes: Option<&VoteTally>) -> String {
    let (this, below) = (height.height, height.height.saturating_sub(1));
    let primary = facts.name(facts.consensus.primary);
    let what = match awaits {
        Awaited::View => format!("its messages are kept until view {} begins", facts.consensus.view),
        Awaited::Proposal => {
            let voters = facts.members(&early_voters(height));
            let early =
                if voters.is_empty() { String::new() } else { format!("; {} voted already", names(&voters)) };
            format!("the proposal of {primary} has not arrived{early}")
        }
        Awaited::Parent => format!("the proposal waits until block {below} is accepted"),
        Awaited::Body => {
            let transactions = height.transactions.unwrap_or_default();
            format!(
                "the proposal has arrived, and its transactions ({transactions}) are being fetched or validated"
            )
        }
        Awaited::Clock => "the proposal's time is too far from this node's clock".to_owned(),
        Awaited::Nothing => "the proposal breaks a rule, so this node does not vote for it".to_owned(),
        Awaited::HeightBelow => {
            format!("its PREPAREs are complete, and this node sends its COMMIT for height {below} first")
        }
        Awaited::Prepares => counted("votes of the first round (proposal and PREPAREs)", votes),
        Awaited::Commits => counted("COMMITs", votes),
    };
    format!("height {this}: {what}")
}

/// Members whose votes arrived before the proposal.
fn early_voters(height: &HeightInFlight) -> Vec<u16> {
    let mut voters: Vec<u16> = height.prepares.iter().chain(&height.commits).copied().collect();
    voters.sort_unstable();
    voters.dedup();
    voters
}

fn counted(what: &str, votes: Option<&VoteTally>) -> String {
    let Some(VoteTally { have, needed, voted, missing }) = votes else { return what.to_owned() };
    let (voted, missing) = (names(voted), names(missing));
    format!("{have} of {needed} {what} have arrived, from {voted}; missing: {missing}")
}
