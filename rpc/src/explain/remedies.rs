//! What an operator can do about it, or look at.

use quorate_api::{AwaitedHeight, MemberName, ProgressState};

use super::facts::Facts;
use super::phrase::{list, moment, names, number, span, within};

/// Work that waits for so many request timeouts while blocks are fetched is not served by those who claim to have them.
const STALLED_TIMEOUTS: u64 = 8;

/// The most useful first; none where nothing is to be done.
pub(super) fn remedies(state: ProgressState, facts: &Facts<'_>, heights: &[AwaitedHeight]) -> Vec<String> {
    let mut remedies = of_state(state, facts, heights);
    // A member that is silent is named once, by whichever remedy is about it.
    if remedies.is_empty() {
        remedies.extend(spare(facts));
    }
    // What a silent thread said about its timer no longer holds.
    // Nor does a later primary help while the chain's time is ahead of all clocks.
    if !state.is_progress() && state != ProgressState::EngineStalled && facts.possible_at().is_none() {
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
        ProgressState::NoQuorumContact => reconnect(facts),
        ProgressState::Probing => facts.unreachable_height().map_or_else(|| reconnect(facts), |it| restore(facts, it)),
        ProgressState::CatchingUp => fetching(facts),
        ProgressState::Following
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
        ProgressState::WaitingForClock if facts.possible_at().is_some() => chain_ahead(facts),
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

/// No ledger that is reachable has the blocks that the journals remember.
fn restore(facts: &Facts<'_>, through: u64) -> Vec<String> {
    let silent = facts.members(&facts.silent());
    let from_silent = (!silent.is_empty()).then(|| {
        format!("Start or reconnect {}: their ledgers may have the blocks up to {through}.", names(&silent))
    });
    from_silent
        .into_iter()
        .chain([
            format!(
                "Bring the blocks up to {through} back to one validator; the others fetch them from it. Stop it and put a \
                 newer copy of its ledger back (the ledger, never the journal), or fill its ledger with `quorate \
                 ledger import` from an export or from an observer that has them."
            ),
            format!(
                "If no copy anywhere has these blocks, this chain cannot go on: found a network anew, and have clients \
                 submit again what they have no receipt for. Receipts up to {} stay valid proofs.",
                facts.consensus.committed_height
            ),
        ])
        .collect()
}

/// While blocks come there is nothing to do. Work that waits for much longer than they may take means that none come.
fn fetching(facts: &Facts<'_>) -> Vec<String> {
    let waiting_ms = facts.consensus.waiting_ms.unwrap_or_default();
    if waiting_ms < facts.consensus.request_timeout_ms.saturating_mul(STALLED_TIMEOUTS) {
        return Vec::new();
    }
    let here = facts.consensus.committed_height;
    let ahead = facts.peers.iter().filter(|peer| peer.committed_height.is_some_and(|height| height > here));
    let ahead: Vec<u16> = ahead.filter_map(|peer| peer.index).collect();
    let ahead =
        if ahead.is_empty() { "the other validators".to_owned() } else { names(&facts.members(&ahead)) };
    vec![
        format!(
            "No block has come for {}. See whether {ahead} can read and send block {}: node_peers and their logs tell of \
             connections and damaged blocks.",
            span(waiting_ms),
            facts.next_height()
        ),
        "If none of them can, stop this node and fill its ledger with `quorate ledger import` from an export.".to_owned(),
    ]
}

/// The wait for a clock ends by itself, unless the clock is wrong.
fn chain_ahead(facts: &Facts<'_>) -> Vec<String> {
    let head = &facts.status.head;
    let possible_at = moment(facts.possible_at().unwrap_or_default());
    let cause = if head.height == 0 {
        "the genesis has a time in the future; found the network anew with an earlier one, or wait: ordering begins"
    } else {
        "clocks of validators were ahead when they ordered the newest block; wait: ordering goes on"
    };
    vec![
        "Compare the clock of this node with the real time. If it is behind, let NTP set it.".to_owned(),
        format!(
            "If it is right, {cause} by itself at {possible_at}. Transactions are taken before that if their \
             valid_until_ms is later than {}.",
            moment(head.timestamp_ms)
        ),
    ]
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
             too. To have its vote back before that, stop the validator that proposes there until another one does."
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
    let consequence = match facts.genesis.committee().may_be_down().saturating_sub(silent.len()) {
        0 => "ordering stops with the next member that is lost".to_owned(),
        spare => format!("ordering stops when more than {spare} of the others are lost"),
    };
    Some(format!("Start or reconnect {}: until then, {consequence}.", names(&facts.members(&silent))))
}
