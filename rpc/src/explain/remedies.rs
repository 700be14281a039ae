//! What an operator can do about it, or look at.

use quorate_api::{AwaitedHeight, MemberName, ProgressState};

use super::facts::Facts;
use super::phrase::{list, names, number, span, within};

/// The most useful first; none where nothing is to be done.
pub(super) fn remedies(state: ProgressState, facts: &Facts<'_>, heights: &[AwaitedHeight]) -> Vec<String> {
    let mut remedies = of_state(state, facts, heights);
    // A member that is silent is named once, by whichever remedy is about it.
    if remedies.is_empty() {
        remedies.extend(spare(facts));
    }
    // What a silent thread said about its timer no longer holds.
    if !state.is_progress() && state != ProgressState::EngineStalled {
        remedies.extend(takeover(facts));
    }
    if !state.is_progress() && facts.consensus.evidence_count > 0 {
        remedies.push("There is proof that members lied: consensus_evidence names them.".to_owned());
    }
    remedies
}

fn of_state(state: ProgressState, facts: &Facts<'_>, heights: &[AwaitedHeight]) -> Vec<String> {
    let next = heights.iter().find(|height| height.height == facts.next_height());
    match state {
        ProgressState::EngineStalled => vec![
            "Look at the disk that holds this node's data: space, errors, latency; and at the node's log.".to_owned(),
            "If the disk is well, restart the node: whatever it promised is on disk.".to_owned(),
        ],
        ProgressState::Recovering => [
            "Stop this node, put its newest journal back, never an older one, and start it again.".to_owned(),
            "Without that journal it stays a follower, and the network tolerates one fault less.".to_owned(),
        ]
        .into_iter()
        .chain(reconnect(facts))
        .collect(),
        ProgressState::Probing | ProgressState::NoQuorumContact => reconnect(facts),
        ProgressState::CatchingUp
        | ProgressState::Following
        | ProgressState::Idle
        | ProgressState::Ordering => Vec::new(),
        ProgressState::WaitingForNewView => new_view(facts),
        ProgressState::WaitingForCheckpoint => checkpoint(facts),
        ProgressState::WaitingForProposal => proposal(facts, next),
        ProgressState::ExaminingProposal => vec![
            "The others are asked for the transactions in turn. If this node alone lacks them, look at its connections \
             (node_peers) and at its load."
                .to_owned(),
        ],
        ProgressState::WaitingForClock => vec![
            format!(
                "Compare the clocks of this node and of {}: a proposal may be {} ahead of the clock of whoever votes \
                 for it, and no older than {}.",
                facts.name(facts.consensus.primary),
                span(facts.genesis.consensus().clock_tolerance_ms),
                span(facts.genesis.block_limits().transaction.max_lifetime_ms)
            ),
        ],
        ProgressState::ProposalRefused => vec![
            format!(
                "The log of this node says which rule the proposal breaks; ask who runs {} about it. If a quorum \
                 commits the block all the same, this node fetches it.",
                facts.name(facts.consensus.primary)
            ),
        ],
        ProgressState::WaitingForVotes => {
            let missing = next.and_then(|next| next.votes.as_ref()).map(|votes| votes.missing.as_slice());
            look_at(facts, missing.unwrap_or_default())
        }
    }
}

/// Members to start, to reconnect, or to look at, until there is a quorum.
fn reconnect(facts: &Facts<'_>) -> Vec<String> {
    if facts.hears_enough() {
        return Vec::new();
    }
    let more = facts.contacts_needed() - facts.consensus.contacts.len();
    let (connected, gone): (Vec<u16>, Vec<u16>) =
        facts.silent().into_iter().partition(|index| facts.is_connected(*index));
    let called = |indices: &[u16]| list(&indices.iter().map(|index| facts.name(*index)).collect::<Vec<_>>());
    let mut remedies = Vec::new();
    if !gone.is_empty() {
        remedies.push(format!(
            "Start or reconnect {}: {} needed.",
            called(&gone),
            number(u64::try_from(more).unwrap_or(u64::MAX), "more member is", "more members are")
        ));
        remedies.push(
            "If they run, see whether this node can reach them: node_peers shows where it looks for them."
                .to_owned(),
        );
    }
    if !connected.is_empty() {
        remedies.push(format!(
            "Look at {}: a connection is open, but nothing is heard, so the process stands still or the network loses \
             messages.",
            called(&connected)
        ));
    }
    remedies
}

/// Members that owe something: the silent ones are to be started, the others know best what holds them up.
fn look_at(facts: &Facts<'_>, members: &[MemberName]) -> Vec<String> {
    let others = members.iter().filter(|member| Some(member.index) != facts.me()).cloned();
    let (present, silent): (Vec<MemberName>, Vec<MemberName>) =
        others.partition(|member| facts.hears_of(member.index));
    let mut remedies = Vec::new();
    if !silent.is_empty() {
        remedies.push(format!("Start or reconnect {}, of which nothing is heard.", names(&silent)));
    }
    if !present.is_empty() {
        remedies
            .push(format!("Ask {} in the same way (quorate explain): there is contact.", names(&present)));
    }
    remedies
}

fn new_view(facts: &Facts<'_>) -> Vec<String> {
    let consensus = facts.consensus;
    let is_quorum = consensus.departed.len() >= facts.quorum();
    if is_quorum && !facts.is_primary() {
        return look_at(facts, &[facts.member(consensus.primary)]);
    }
    let mut remedies = look_at(facts, &facts.members(&facts.all_but(&consensus.departed)));
    if !is_quorum {
        remedies.push(
            "If the others go on in the view below, this node follows their blocks without a vote until they leave it \
             too."
                .to_owned(),
        );
    }
    remedies
}

fn proposal(facts: &Facts<'_>, next: Option<&AwaitedHeight>) -> Vec<String> {
    if !facts.is_primary() {
        return look_at(facts, &[facts.member(facts.consensus.primary)]);
    }
    if next.is_some() {
        return vec![
            "The others are asked for the block that the view began with at this height.".to_owned(),
        ];
    }
    vec![format!(
        "It proposes as soon as a block may contain what waits. If all of that has expired, an empty block follows {} \
         after the last one.",
        span(facts.genesis.block_limits().empty_block_gap_ms)
    )]
}

/// What happens without anybody's help.
fn takeover(facts: &Facts<'_>) -> Option<String> {
    let deadline = facts.consensus.deadline?;
    let next = facts.next_primary();
    let name = if Some(next.index) == facts.me() { "itself" } else { &next.name };
    Some(format!(
        "If nothing is done, this node asks for {name} as the next primary {}.",
        within(deadline.in_ms)
    ))
}

fn checkpoint(facts: &Facts<'_>) -> Vec<String> {
    let next = facts.next_checkpoint();
    let reached = |index: u16| {
        let peer = facts.peers.iter().find(|peer| peer.index == Some(index));
        peer.and_then(|peer| peer.committed_height).is_some_and(|height| height >= next)
    };
    let behind: Vec<u16> =
        facts.all_but(facts.me().as_slice()).into_iter().filter(|index| !reached(*index)).collect();
    let mut remedies = Vec::new();
    if !behind.is_empty() {
        let behind = names(&facts.members(&behind));
        remedies
            .push(format!("Look at {behind}: they have not said that they hold the blocks up to {next}."));
    }
    remedies.push(
        "A member signs a checkpoint once its blocks up to there are on disk: look for disks that do not keep up."
            .to_owned(),
    );
    remedies
}

/// While all goes well: which members are missing, and what the network still tolerates.
fn spare(facts: &Facts<'_>) -> Option<String> {
    let silent = facts.silent();
    if silent.is_empty() {
        return None;
    }
    let members = facts.genesis.committee().size();
    let consequence = match (members - silent.len()).saturating_sub(facts.quorum()) {
        0 => "ordering stops with the next member that is lost".to_owned(),
        spare => format!("ordering stops when more than {spare} of the others are lost"),
    };
    Some(format!("Start or reconnect {}: until then, {consequence}.", names(&facts.members(&silent))))
}
