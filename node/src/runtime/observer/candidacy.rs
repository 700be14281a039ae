//! What a follower still lacks to become a member: a function of the governance state and of what
//! the validators report.

use quorate_api::{Candidacy, CandidacyState};
use quorate_engine::ObserverOverview;
use quorate_governance::limits::KEY_HISTORY_EPOCHS;
use quorate_governance::{Proposal, ProposalId, State};
use quorate_ledger::{Height, PublicKey};

use crate::runtime::ready::{counts_until, may_send_ready, ready_height};

/// An open proposal that makes a key a consensus key.
struct Wanted<'a> {
    id: ProposalId,
    proposal: &'a Proposal,
    /// The member that gets the key.
    member: String,
}

/// What the node with this key still lacks; `None` if the key is a member's now. Such a node lacks
/// nothing: it follows because it was isolated, until it has the blocks of the others.
pub(super) fn assess(key: &PublicKey, state: &State, overview: &ObserverOverview) -> Option<Candidacy> {
    let is_member = state.next_config().committee().index_of(key).is_some();
    (!is_member).then(|| assess_candidate(key, state, overview))
}

fn assess_candidate(key: &PublicKey, state: &State, overview: &ObserverOverview) -> Candidacy {
    let wanted = wanted(key, state);
    let ready = ready_height(key, state);
    let candidacy = |kind, text, action| Candidacy {
        state: kind,
        proposal: wanted.as_ref().map(|wanted| wanted.id),
        ready_height: ready.map(|height| height.0),
        ready_until: ready.map(|height| counts_until(state, height).0),
        member_from: member_from(key, state).map(|height| height.0),
        text,
        action,
    };
    if let Some(from) = member_from(key, state) {
        let text = format!("the members have decided to add this node: it votes from height {from} on");
        return candidacy(CandidacyState::Decided, text, None);
    }
    if state.retired().contains_key(key) {
        let text = format!(
            "the key of this node left the committee, and no proposal can add it again for {KEY_HISTORY_EPOCHS} epochs"
        );
        let action = "make a new key (quorate key new), set files.key to it, and ask a member to run: quorate \
                      validator add KEY --name NAME --key governance.pem";
        return candidacy(CandidacyState::KeyRetired, text, Some(action.to_owned()));
    }
    let (heard, needed) = (overview.contacts.len(), state.next_config().committee().weak_quorum());
    if heard < needed {
        let text = format!("heard from {heard} validators, and needs {needed} to know the newest blocks");
        let action = format!(
            "check p2p.bootstrap. Validators admit this node while a proposal adds its key: ask a member to run: {}",
            add(key)
        );
        return candidacy(CandidacyState::NoContact, text, Some(action));
    }
    if overview.catching_up {
        let behind = overview.credible.0.saturating_sub(overview.committed.0);
        let text = format!("{behind} blocks behind the validators: the node fetches them");
        return candidacy(CandidacyState::Behind, text, None);
    }
    let Some(Wanted { id, proposal, member }) = &wanted else {
        let action = format!("ask a member to run: {}", add(key));
        let text = "no open proposal adds the key of this node".to_owned();
        return candidacy(CandidacyState::NotProposed, text, Some(action));
    };
    if let Some(height) = ready {
        let until = counts_until(state, height);
        let (approvals, action) = approvals(state, *id, proposal);
        let text =
            format!("READY for height {height} is in the chain and counts up to height {until}; {approvals}");
        return candidacy(CandidacyState::Ready, text, action);
    }
    if may_send_ready(key, state) {
        let text =
            format!("READY for proposal {id} (member {member}) is sent again until a block contains it");
        return candidacy(CandidacyState::SendingReady, text, None);
    }
    let text = format!("proposal {id} adds the key as member {member}; READY follows when it can count");
    candidacy(CandidacyState::Proposed, text, None)
}

/// The command with which a member proposes a key.
fn add(key: &PublicKey) -> String {
    format!("quorate validator add {key} --name NAME --key governance.pem")
}

/// The oldest open proposal that makes this key a consensus key.
fn wanted<'a>(key: &PublicKey, state: &'a State) -> Option<Wanted<'a>> {
    let adds = |(id, proposal): (&ProposalId, &'a Proposal)| {
        let change = proposal.changes.iter().find(|change| change.candidate() == Some(*key))?;
        let member = change.member().map(ToString::to_string).unwrap_or_default();
        Some(Wanted { id: *id, proposal, member })
    };
    let open = state.proposals().iter().filter_map(adds);
    open.min_by_key(|wanted| (wanted.proposal.height, wanted.id))
}

/// The first height at which the key is in the committee, if that is decided.
fn member_from(key: &PublicKey, state: &State) -> Option<Height> {
    let mut configs = state.configs();
    configs.find(|(_, config)| config.committee().index_of(key).is_some()).map(|(from, _)| from)
}

/// Who has not approved a proposal, and what these members can do.
fn approvals(state: &State, id: ProposalId, proposal: &Proposal) -> (String, Option<String>) {
    let config = state.next_config();
    let missing = config.committee().quorum().saturating_sub(proposal.approvals.len());
    let others =
        config.members().iter().filter(|member| !proposal.approvals.contains(&member.governance_key));
    let others: Vec<&str> = others.map(|member| member.name.as_str()).collect();
    let others = others.join(", ");
    // An approval that would decide fails while the candidate is not ready. The member approves again.
    let approvals =
        if missing > 1 { format!("{missing} more approvals") } else { "1 more approval".to_owned() };
    let text = format!("proposal {id} needs {approvals}, and {others} have not approved it");
    let action = format!("ask members to run: quorate governance approve {id} --key governance.pem");
    (text, Some(action))
}
