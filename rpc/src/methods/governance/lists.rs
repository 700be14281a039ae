//! The state as JSON: status, proposals and clients.

use std::collections::{BTreeMap, BinaryHeap};

use quorate_api::{
    Arithmetic, CandidateJson, ClientJson, Clients, DescribedChange, GovernanceStatus, MemberJson,
    ObstacleJson, ProposalJson, ScheduledJson,
};
use quorate_governance::limits::READY_INTERVALS;
use quorate_governance::{
    Change, Client, Config, Effect, Member, Obstacle, Proposal, ProposalId, QuorumArithmetic, Scheduled,
    Settings, State,
};
use quorate_ledger::PublicKey;

/// Most scheduled changes of a status.
const MAX_SCHEDULED: usize = 256;

pub(super) fn status(state: &State) -> GovernanceStatus {
    let config = state.next_config();
    let scheduled: Vec<&Scheduled> = state
        .scheduled()
        .values()
        .filter(|change| !matches!(change.effect, Effect::SetCandidates { .. }))
        .collect();
    GovernanceStatus {
        height: state.height().0,
        state_root: state.root(),
        epoch: config.epoch().0,
        epoch_start: config.epoch_start().0,
        members: (0..).zip(config.members()).map(|(index, member)| of_member(state, index, member)).collect(),
        arithmetic: Arithmetic::from(QuorumArithmetic::of(config.committee())),
        submit_mode: config.submit_mode().into(),
        parameters: parameters(*config.settings()),
        scheduled_count: count(scheduled.len()),
        scheduled: shown(&scheduled),
        clients: count(config.client_count()),
        open_proposals: count(state.proposals().len()),
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn of_member(state: &State, index: u16, member: &Member) -> MemberJson {
    MemberJson {
        index,
        name: member.name.to_string(),
        consensus_key: member.consensus_key,
        governance_key: member.governance_key,
        clients: state.next_config().clients_of(&member.name),
        renewed_at: state.renewals().get(&member.name).map(|height| height.0),
    }
}

fn parameters(mut settings: Settings) -> BTreeMap<String, u64> {
    let values = settings.sections().into_iter().flat_map(|section| {
        let name = section.name;
        section.parameters.into_iter().map(move |number| (format!("{name}.{}", number.name), *number.value))
    });
    values.collect()
}

/// Those of clients last, since there may be thousands.
fn shown(scheduled: &[&Scheduled]) -> Vec<ScheduledJson> {
    let is_of_client = |change: &&&Scheduled| {
        matches!(
            change.effect,
            Effect::AddClient { .. } | Effect::RemoveClient { .. } | Effect::SetClientQuota { .. }
        )
    };
    let clients = scheduled.iter().filter(is_of_client);
    let others = scheduled.iter().filter(|change| !is_of_client(change));
    let json = |change: &&Scheduled| {
        let (text, proposal) = match &change.effect {
            Effect::Decision { proposal, changes } => {
                let texts: Vec<String> =
                    changes.iter().map(|change| DescribedChange::from(change).text).collect();
                (texts.join("; "), Some(*proposal))
            }
            other => (other.to_string(), None),
        };
        ScheduledJson {
            effective_from: change.effective_from.0,
            starts_epoch: change.effect.starts_epoch(),
            text,
            proposal,
        }
    };
    others.chain(clients).take(MAX_SCHEDULED).map(json).collect()
}

pub(super) fn proposals(state: &State) -> Vec<ProposalJson> {
    let mut open: Vec<(&ProposalId, &Proposal)> = state.proposals().iter().collect();
    open.sort_by_key(|(_, proposal)| proposal.height);
    open.into_iter().map(|(id, proposal)| of_proposal(state, *id, proposal)).collect()
}

fn of_proposal(state: &State, id: ProposalId, proposal: &Proposal) -> ProposalJson {
    let config = state.next_config();
    let approves = |member: &&Member| proposal.approvals.contains(&member.governance_key);
    let names = |members: Vec<&Member>| members.iter().map(|member| member.name.to_string()).collect();
    let (approvals, others): (Vec<&Member>, Vec<&Member>) = config.members().iter().partition(approves);
    let missing = config.committee().quorum().saturating_sub(approvals.len());
    let preview = state.preview(&proposal.changes);
    ProposalJson {
        id,
        proposer: proposal.proposer.to_string(),
        height: proposal.height.0,
        expires: proposal.expires.0,
        changes: proposal.changes.iter().map(DescribedChange::from).collect(),
        starts_epoch: preview.starts_epoch,
        approvals: names(approvals),
        not_approved: names(others),
        approvals_missing: u32::try_from(missing).expect("a committee is small"),
        candidates: proposal.changes.iter().filter_map(|change| candidate(state, config, change)).collect(),
        obstacles: preview.obstacles.iter().map(|obstacle: &Obstacle| ObstacleJson::from(obstacle)).collect(),
    }
}

fn candidate(state: &State, config: &Config, change: &Change) -> Option<CandidateJson> {
    let key = change.candidate()?;
    let ready_height = state.ready().get(&key).copied();
    let age = config.parameters().consensus.checkpoint_interval.saturating_mul(READY_INTERVALS);
    let next = state.height().next();
    Some(CandidateJson {
        name: change.member().map(ToString::to_string).unwrap_or_default(),
        key,
        ready: ready_height.is_some_and(|height| height.plus(age) >= next),
        ready_height: ready_height.map(|height| height.0),
    })
}

/// The clients with the lowest keys above one. Visits all clients, and keeps only these.
pub(super) fn clients(state: &State, after: Option<&PublicKey>, limit: usize) -> Clients {
    let config = state.next_config();
    let mut lowest: BinaryHeap<PublicKey> = BinaryHeap::with_capacity(limit + 2);
    for client in config.clients() {
        if after.is_none_or(|after| client.key > *after) {
            lowest.push(client.key);
            if lowest.len() > limit + 1 {
                lowest.pop();
            }
        }
    }
    let keys = lowest.into_sorted_vec();
    let found: Vec<&Client> = keys.iter().take(limit).filter_map(|key| config.client(key)).collect();
    Clients { clients: found.into_iter().map(ClientJson::from).collect(), more: keys.len() > limit }
}
