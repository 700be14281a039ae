//! What is proposed and decided, and what it waits for.

use quorate_api::{DescribedChange, PendingChange, PendingStage};
use quorate_governance::limits::READY_INTERVALS;
use quorate_governance::{Change, Effect, Member, Proposal, ProposalId, Scheduled, State};

use super::phrase::{list, number};

/// The open proposals and the scheduled changes after a state. Changes of clients, of which there may
/// be thousands, are one entry for each height. Costs time in proportion to the number of proposals
/// and scheduled changes.
pub fn pending_changes(state: &State) -> Vec<PendingChange> {
    let mut open: Vec<(&ProposalId, &Proposal)> = state.proposals().iter().collect();
    open.sort_by_key(|(id, proposal)| (proposal.height, **id));
    let proposed = open.into_iter().map(|(id, proposal)| of_proposal(state, *id, proposal));
    proposed.chain(scheduled(state)).collect()
}

fn of_proposal(state: &State, id: ProposalId, proposal: &Proposal) -> PendingChange {
    let config = state.next_config();
    let approves = |member: &&Member| proposal.approvals.contains(&member.governance_key);
    let (approvals, others): (Vec<&Member>, Vec<&Member>) = config.members().iter().partition(approves);
    let names = |members: Vec<&Member>| -> Vec<String> {
        members.into_iter().map(|member| member.name.to_string()).collect()
    };
    let (approvals, not_approved) = (names(approvals), names(others));
    let missing = config.committee().quorum().saturating_sub(approvals.len());
    let changes: Vec<String> =
        proposal.changes.iter().map(|change| DescribedChange::from(change).text).collect();
    let not_ready = not_ready(state, &proposal.changes);
    let waits = if missing == 0 {
        // The approval that would have decided it failed, or one member is a quorum.
        format!("One of {} must approve it again", list(&approvals))
    } else {
        let more = number(
            u64::try_from(missing).unwrap_or(u64::MAX),
            "more approval decides",
            "more approvals decide",
        );
        format!("{more} it: {} have not approved it", list(&not_approved))
    };
    let lacks = match not_ready.as_slice() {
        [] => String::new(),
        names => format!(" No approval can decide it before the node of {} is ready.", list(names)),
    };
    let approve = format!("quorate governance approve {id} --key governance.pem");
    let action = match not_ready.as_slice() {
        [] => format!("Members that agree: {approve}"),
        names => format!(
            "Start the node of {} and wait until it has caught up: it sends READY by itself. Then: {approve}",
            list(names)
        ),
    };
    PendingChange {
        stage: PendingStage::Proposed,
        proposal: Some(id),
        starts_epoch: proposal.changes.iter().any(Change::starts_epoch),
        text: format!(
            "Proposal {id} of {}: {}. {} approved it. {waits}, until height {}.{lacks}",
            proposal.proposer,
            changes.join("; "),
            if approvals.is_empty() { "No member".to_owned() } else { list(&approvals) },
            proposal.expires,
        ),
        changes,
        approvals,
        not_approved,
        approvals_missing: u32::try_from(missing).unwrap_or(u32::MAX),
        not_ready,
        expires: Some(proposal.expires.0),
        effective_from: None,
        blocks_missing: None,
        action: Some(action),
    }
}

/// The names for which the changes bring a key without a READY that counts in the next block.
fn not_ready(state: &State, changes: &[Change]) -> Vec<String> {
    let interval = state.next_config().parameters().consensus.checkpoint_interval;
    let age = interval.saturating_mul(READY_INTERVALS);
    let next = state.height().next();
    let lacks = |change: &&Change| {
        let height = change.candidate().map(|key| state.ready().get(&key).copied());
        height.is_some_and(|height| height.is_none_or(|height| height.plus(age) < next))
    };
    let name = |change: &Change| change.member().map(ToString::to_string).unwrap_or_default();
    changes.iter().filter(lacks).map(name).collect()
}

/// The scheduled changes in the order in which they take effect, without the lists of candidates, which
/// follow from the proposals.
fn scheduled(state: &State) -> Vec<PendingChange> {
    let mut pending: Vec<PendingChange> = Vec::new();
    let mut clients: Option<(u64, u64)> = None;
    for change in state.scheduled().values() {
        let from = change.effective_from.0;
        match &change.effect {
            Effect::SetCandidates { .. } => {}
            Effect::AddClient { .. } | Effect::RemoveClient { .. } | Effect::SetClientQuota { .. } => {
                clients = match clients {
                    Some((height, count)) if height == from => Some((height, count + 1)),
                    before => {
                        pending.extend(before.map(|before| of_clients(state, before)));
                        Some((from, 1))
                    }
                };
            }
            Effect::Decision { .. } | Effect::Rotation { .. } | Effect::Renewal { .. } => {
                pending.push(of_scheduled(state, change));
            }
        }
    }
    pending.extend(clients.map(|clients| of_clients(state, clients)));
    pending.sort_by_key(|change| change.effective_from);
    pending
}

fn of_clients(state: &State, (from, count): (u64, u64)) -> PendingChange {
    decided(state, from, vec![number(count, "change of a client", "changes of clients")], None, false)
}

fn of_scheduled(state: &State, change: &Scheduled) -> PendingChange {
    let (changes, proposal) = match &change.effect {
        Effect::Decision { proposal, changes } => {
            (changes.iter().map(|change| DescribedChange::from(change).text).collect(), Some(*proposal))
        }
        other => (vec![other.to_string()], None),
    };
    decided(state, change.effective_from.0, changes, proposal, change.effect.starts_epoch())
}

fn decided(
    state: &State,
    from: u64,
    changes: Vec<String>,
    proposal: Option<ProposalId>,
    starts_epoch: bool,
) -> PendingChange {
    let missing = from.saturating_sub(state.height().0.saturating_add(1));
    let epoch = if starts_epoch { ", where a new epoch begins" } else { "" };
    let blocks = number(missing, "block must follow", "blocks must follow");
    PendingChange {
        stage: PendingStage::Scheduled,
        proposal,
        starts_epoch,
        text: format!(
            "Decided: {}. It takes effect at height {from}{epoch}. {blocks} first, and validators order empty ones \
             by themselves.",
            changes.join("; ")
        ),
        changes,
        approvals: Vec::new(),
        not_approved: Vec::new(),
        approvals_missing: 0,
        not_ready: Vec::new(),
        expires: None,
        effective_from: Some(from),
        blocks_missing: Some(missing),
        action: None,
    }
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
