//! What an operator can do to end the wait, or should check.

use quorate_api::{AwaitedHeight, MemberName, ProgressState};

use super::facts::Facts;
use super::phrase::{list, moment, names, number, span, within};

/// If work waits for this many request timeouts while blocks are fetched, the validators that claim
/// to have the blocks do not send them.
const STALLED_TIMEOUTS: u64 = 8;

/// The most useful action first; empty if there is nothing to do.
pub(super) fn actions(state: ProgressState, facts: &Facts<'_>, heights: &[AwaitedHeight]) -> Vec<String> {
    let mut actions = of_state(state, facts, heights);
    // The actions of a state already name the silent validators that matter; do not name them
    // twice.
    if actions.is_empty() {
        actions.extend(spare(facts));
    }
    // The timer of a stalled thread is out of date, and no later primary can propose either while
    // the newest block's time is ahead of all clocks.
    if !state.is_progress() && state != ProgressState::EngineStalled && facts.possible_at().is_none() {
        actions.extend(takeover(facts));
    }
    if !state.is_progress() && facts.consensus.evidence_count > 0 {
        actions.push("There is evidence of faulty validators: consensus_evidence names them.".to_owned());
    }
    actions
}

fn of_state(state: ProgressState, facts: &Facts<'_>, heights: &[AwaitedHeight]) -> Vec<String> {
    let next = heights.iter().find(|height| height.height == facts.next_height());
    match state {
        ProgressState::EngineStalled => vec![
            "Check the disk that holds this node's data (space, errors, latency) and the node's log.".to_owned(),
            "If the disk works, restart the node: everything that it has signed is on disk.".to_owned(),
        ],
        ProgressState::Recovering => [
            "If the newest journal still exists, stop this node, put it back (never an older one), and start again."
                .to_owned(),
            "Without it, begin a new epoch with the governance key of this validator: quorate validator \
             renew --key governance.pem. Until then the node follows the chain, and the network tolerates one fault less."
                .to_owned(),
            no_epoch(facts),
        ]
        .into_iter()
        .chain(reconnect(facts))
        .collect(),
        ProgressState::NoQuorumContact => candidacy(facts).into_iter().chain(reconnect(facts)).collect(),
        ProgressState::Probing => {
            facts.unreachable_height().map_or_else(|| reconnect(facts), |height| restore(facts, height))
        }
        ProgressState::CatchingUp => fetching(facts),
        ProgressState::Following => candidacy(facts),
        ProgressState::Idle | ProgressState::Ordering => Vec::new(),
        ProgressState::WaitingForNewView => new_view(facts),
        ProgressState::WaitingForCheckpoint => checkpoint(facts),
        ProgressState::WaitingForProposal => proposal(facts, next),
        ProgressState::ExaminingProposal => vec![
            "This node asks the other validators for the transactions, one after another. If only this node lacks \
             them, check its connections (node_peers) and its load."
                .to_owned(),
        ],
        ProgressState::WaitingForClock if facts.possible_at().is_some() => chain_ahead(facts),
        ProgressState::WaitingForClock => vec![format!(
            "Compare the clocks of this node and of {}: a validator votes for a proposal only if its time is at most \
             {} ahead of the validator's clock and at most {} behind it.",
            facts.name(facts.consensus.primary),
            span(facts.config.parameters().consensus.clock_tolerance_ms),
            span(facts.config.block_limits().transaction.max_lifetime_ms)
        )],
        ProgressState::ProposalRefused => vec![format!(
            "The log of this node names the rule that the proposal breaks; ask the operator of {} about it. If a \
             quorum commits the block nevertheless, this node fetches it.",
            facts.name(facts.consensus.primary)
        )],
        ProgressState::WaitingForVotes => {
            let missing = next.and_then(|next| next.votes.as_ref()).map(|votes| votes.missing.as_slice());
            look_at(facts, missing.unwrap_or_default())
        }
    }
}

/// What a node that is not yet a member waits for people to do.
fn candidacy(facts: &Facts<'_>) -> Vec<String> {
    let action = facts.status.candidacy.as_ref().and_then(|candidacy| candidacy.action.as_ref());
    action.map(|action| format!("To become a member: {action}.")).into_iter().collect()
}

/// Validators to start, to reconnect or to check, until the node hears from enough of them.
fn reconnect(facts: &Facts<'_>) -> Vec<String> {
    if facts.has_quorum_contact() {
        return Vec::new();
    }
    let more = facts.contacts_needed() - facts.consensus.recently_heard.len();
    let (connected, gone): (Vec<u16>, Vec<u16>) =
        facts.silent().into_iter().partition(|index| facts.is_connected(*index));
    let called = |indices: &[u16]| list(&indices.iter().map(|index| facts.name(*index)).collect::<Vec<_>>());
    let mut actions = Vec::new();
    if !gone.is_empty() {
        actions.push(format!(
            "Start or reconnect {}: {} needed.",
            called(&gone),
            number(u64::try_from(more).unwrap_or(u64::MAX), "more validator is", "more validators are")
        ));
        actions.push(
            "If they run, check whether this node can reach them: node_peers shows addresses and errors."
                .to_owned(),
        );
    }
    if !connected.is_empty() {
        actions.push(format!(
            "Check {}: a connection is open, but no message has arrived recently. Either the process hangs, or the \
             network loses messages.",
            called(&connected)
        ));
    }
    actions
}

/// The limit of what a new epoch can repair.
fn no_epoch(facts: &Facts<'_>) -> String {
    let committee = facts.config.committee();
    format!(
        "No epoch can begin if more than {} of the {} validators have lost their journals or keys for ever. Only then, \
         begin a new network that continues this chain: quorate genesis continue.",
        committee.may_be_down(),
        committee.size()
    )
}

/// No reachable ledger has the blocks that the journals refer to.
fn restore(facts: &Facts<'_>, through: u64) -> Vec<String> {
    let silent = facts.members(&facts.silent());
    let from_silent = (!silent.is_empty()).then(|| {
        format!("Start or reconnect {}: their ledgers may have the blocks up to {through}.", names(&silent))
    });
    from_silent
        .into_iter()
        .chain([
            format!(
                "Restore the blocks up to {through} at one validator; the others fetch them from it. Stop it and put \
                 back a newer copy of its ledger (the ledger, never the journal), or fill its ledger with `quorate \
                 ledger import` from an export or from an observer that has them."
            ),
            format!(
                "If no copy of these blocks exists, this chain ends: begin a new network (quorate genesis continue), and have \
                 clients submit every transaction again for which they hold no receipt. Receipts up to {} stay valid \
                 proofs.",
                facts.consensus.committed_height
            ),
        ])
        .collect()
}

/// While blocks arrive there is nothing to do. If work waits for [`STALLED_TIMEOUTS`], none arrive.
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
            "No block has arrived for {}. Check whether {ahead} can read and send block {}: node_peers and their logs \
             report connections and damaged blocks.",
            span(waiting_ms),
            facts.next_height()
        ),
        "If none of them can, stop this node and fill its ledger with `quorate ledger import` from an export."
            .to_owned(),
    ]
}

/// The wait for the chain's time ends by itself, unless this node's clock is wrong.
fn chain_ahead(facts: &Facts<'_>) -> Vec<String> {
    let head = &facts.status.head;
    let possible_at = moment(facts.possible_at().unwrap_or_default());
    let cause = if head.height == 0 {
        "the genesis has a time in the future. Found the network anew with an earlier one, or wait: ordering begins"
    } else {
        "the clocks of validators were ahead when they ordered the newest block. Wait: ordering resumes"
    };
    vec![
        "Compare the clock of this node with the real time. If it is behind, let NTP set it.".to_owned(),
        format!(
            "If it is right, {cause} by itself at {possible_at}. Until then, nodes accept transactions whose \
             valid_until_ms is later than {}.",
            moment(head.timestamp_ms)
        ),
    ]
}

/// Validators whose message is missing: start the silent ones; the others know best what holds them
/// up.
fn look_at(facts: &Facts<'_>, members: &[MemberName]) -> Vec<String> {
    let others = members.iter().filter(|member| Some(member.index) != facts.me()).cloned();
    let (present, silent): (Vec<MemberName>, Vec<MemberName>) =
        others.partition(|member| facts.is_in_contact(member.index));
    let mut actions = Vec::new();
    if !silent.is_empty() {
        actions.push(format!("Start or reconnect {}: no message has arrived recently.", names(&silent)));
    }
    if !present.is_empty() {
        actions.push(format!("Run quorate explain at {}: messages from there do arrive.", names(&present)));
    }
    actions
}

fn new_view(facts: &Facts<'_>) -> Vec<String> {
    let consensus = facts.consensus;
    let is_quorum = consensus.view_changes_from.len() >= facts.quorum();
    if is_quorum && !facts.is_primary() {
        return look_at(facts, &[facts.member(consensus.primary)]);
    }
    let mut actions = look_at(facts, &facts.members(&facts.all_but(&consensus.view_changes_from)));
    if !is_quorum {
        actions.push(
            "If the other validators make progress in the view below, this node follows their blocks without a vote \
             until they leave that view too. To restore its vote sooner, stop the primary of that view until another \
             validator is the primary."
                .to_owned(),
        );
    }
    actions
}

fn proposal(facts: &Facts<'_>, next: Option<&AwaitedHeight>) -> Vec<String> {
    if !facts.is_primary() {
        return look_at(facts, &[facts.member(facts.consensus.primary)]);
    }
    if next.is_some() {
        return vec![
            "This node asks the other validators for the block that the view proposes again at this height."
                .to_owned(),
        ];
    }
    vec![format!(
        "It proposes as soon as a block may contain the waiting transactions. If all of them have expired, an empty \
         block follows {} after the last one.",
        span(facts.config.block_limits().empty_block_gap_ms)
    )]
}

/// The view change that the timer causes without any action.
fn takeover(facts: &Facts<'_>) -> Option<String> {
    let deadline = facts.consensus.deadline?;
    let next = facts.next_primary();
    let name = if Some(next.index) == facts.me() { "itself" } else { &next.name };
    Some(format!(
        "If nothing changes, this node requests a view change with {name} as the next primary {}.",
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
    let mut actions = Vec::new();
    if !behind.is_empty() {
        let behind = names(&facts.members(&behind));
        actions.push(format!("Check {behind}: no report says that the blocks up to {next} are there."));
    }
    actions.push(
        "A validator signs a checkpoint once its blocks up to that height are on disk: look for disks that are too \
         slow."
            .to_owned(),
    );
    actions
}

/// While ordering works: which validators are silent, and how many faults the network still
/// tolerates.
fn spare(facts: &Facts<'_>) -> Option<String> {
    let silent = facts.silent();
    if silent.is_empty() {
        return None;
    }
    let members = facts.config.committee().size();
    let consequence = match (members - silent.len()).saturating_sub(facts.quorum()) {
        0 => "ordering stops if one more validator fails".to_owned(),
        spare => format!("ordering stops if more than {spare} of the other validators fail"),
    };
    Some(format!("Start or reconnect {}: until then, {consequence}.", names(&facts.members(&silent))))
}
