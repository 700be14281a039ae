//! The state of a node in one or two sentences.

use quorate_api::{AwaitedHeight, Probe, ProgressState};

use super::facts::{Facts, less};
use super::phrase::{list, moment, number, span};

pub(super) fn summary(state: ProgressState, facts: &Facts<'_>, heights: &[AwaitedHeight]) -> String {
    let next = heights.iter().find(|height| height.height == facts.next_height());
    match state {
        ProgressState::EngineStalled => format!(
            "The ordering thread does not report, most likely because its disk does not respond ({}). All other \
             fields are from its last report.",
            facts.engine_silence().unwrap_or_default()
        ),
        ProgressState::Recovering => {
            "The journal of this node is new, or an older copy: other validators hold statements that this node signed \
             and that the journal does not contain. It follows the chain and never votes with this journal in this epoch."
                .to_owned()
        }
        ProgressState::Probing => probing(facts),
        ProgressState::NoQuorumContact => no_quorum_contact(facts),
        ProgressState::CatchingUp => catching_up(facts),
        ProgressState::WaitingForNewView => waiting_for_new_view(facts),
        ProgressState::WaitingForCheckpoint => format!(
            "Blocks up to {} are committed, and the stable checkpoint is at {}. Ordering may not run further ahead \
             until a quorum has signed a later checkpoint.",
            facts.consensus.committed_height, facts.consensus.stable_height
        ),
        ProgressState::Following => following(facts),
        ProgressState::Idle => idle(next),
        ProgressState::Ordering => ordering(facts, next),
        ProgressState::WaitingForProposal => waiting_for_proposal(facts),
        ProgressState::ExaminingProposal
        | ProgressState::WaitingForClock
        | ProgressState::ProposalRefused
        | ProgressState::WaitingForVotes => {
            if state == ProgressState::WaitingForClock
                && let Some(text) = chain_ahead(facts)
            {
                return text;
            }
            let height = next.map_or_else(|| facts.next_height().to_string(), |next| next.text.clone());
            format!("{}{}.", capital(&height), waited(facts))
        }
    }
}

/// The newest block's time is so far ahead of this node's clock that no block can follow yet.
fn chain_ahead(facts: &Facts<'_>) -> Option<String> {
    let possible_at = facts.possible_at()?;
    let (head, now) = (&facts.status.head, facts.status.time_ms);
    let ahead = span(head.timestamp_ms.saturating_sub(now));
    let what = if head.height == 0 {
        "The genesis".to_owned()
    } else {
        format!("Block {}, the newest,", head.height)
    };
    let tolerance = span(facts.config.parameters().consensus.clock_tolerance_ms);
    Some(format!(
        "{what} has the time {}, which is {ahead} ahead of this node's clock. A validator does not vote for a block \
         that is more than {tolerance} ahead of its clock, so nothing can be ordered before {}. Until then, nodes \
         refuse a transaction as expired if its valid_until_ms is before the time of that block.",
        moment(head.timestamp_ms),
        moment(possible_at)
    ))
}

fn following(facts: &Facts<'_>) -> String {
    let told = format!(
        "{} It follows the validators and has the blocks up to {}.",
        facts.why_no_vote(),
        facts.consensus.committed_height
    );
    match &facts.status.candidacy {
        Some(candidacy) => format!("{told} What it still lacks: {}.", candidacy.text),
        None => told,
    }
}

fn probing(facts: &Facts<'_>) -> String {
    let probe = facts.consensus.probe.unwrap_or(Probe { answered: 0, needed: 0, through: None });
    let Probe { answered, needed, through } = probe;
    let requested = format!(
        "This node has just started and asks the other validators which of its signed statements they have seen. It \
         has {} and needs {needed} before it votes.",
        number(answered.into(), "answer", "answers")
    );
    if let Some(height) = facts.unreachable_height() {
        let highest = facts.highest_claim().unwrap_or_default().max(facts.consensus.committed_height);
        return format!(
            "{requested} Its ledger is older than its journal: it needs the blocks up to {height} before it votes, and \
             no validator that it has recently heard from has a block above {highest}. This does not end by itself."
        );
    }
    match through {
        Some(height) => format!(
            "{requested} Its ledger is older than its journal, so it also fetches the blocks up to {height} first; it has the \
             blocks up to {}.",
            facts.consensus.committed_height
        ),
        None => requested,
    }
}

fn no_quorum_contact(facts: &Facts<'_>) -> String {
    let silent: Vec<String> = facts.silent().into_iter().map(|index| facts.name(index)).collect();
    let silent = list(&silent);
    let (heard, needed) = (facts.consensus.recently_heard.len(), facts.contacts_needed());
    let members = facts.config.committee().size();
    if facts.is_observer() {
        return format!(
            "{} It has recently heard from {heard} of the {members} validators. It needs {needed}, so that at least \
             one of them is correct. Silent: {silent}. It serves the blocks that it has, which may be old.",
            facts.why_no_vote()
        );
    }
    let others = members - 1;
    let pool = match facts.pool.transactions {
        0 => String::new(),
        count => format!(" {} in its pool.", number(count, "transaction waits", "transactions wait")),
    };
    format!(
        "No quorum: this node has recently heard from {heard} of the {others} other validators, and needs {needed} of \
         them to order blocks or to begin a view. Silent: {silent}.{pool}"
    )
}

fn catching_up(facts: &Facts<'_>) -> String {
    let here = facts.consensus.committed_height;
    match facts.credible_head() {
        Some(head) if head > here => format!(
            "Other validators have committed blocks up to {head}; this node has {here} and fetches the rest."
        ),
        _ => format!(
            "Other validators have committed more blocks than this node, which has {here} and fetches the rest."
        ),
    }
}

fn waiting_for_new_view(facts: &Facts<'_>) -> String {
    let (view, quorum) = (facts.consensus.view, facts.quorum());
    let received = facts.consensus.view_changes_from.len();
    let primary = facts.name(facts.consensus.primary);
    let begun = format!(
        "View {view} has not begun. This node holds VIEW-CHANGEs for it or a later view from {received} of the \
         {quorum} required validators"
    );
    match less(quorum, received) {
        0 if facts.is_primary() => format!(
            "{begun}. As the primary of view {view}, it begins the view once a quorum has sent VIEW-CHANGEs for exactly \
             this view."
        ),
        0 => format!("{begun}, and waits for the NEW-VIEW of the primary {primary}."),
        more => {
            let more = number(more.into(), "more is", "more are");
            format!("{begun}; {more} needed. This node does not vote until a view begins.")
        }
    }
}

fn idle(next: Option<&AwaitedHeight>) -> String {
    let early = next.map_or_else(String::new, |next| format!(" {}.", capital(&next.text)));
    format!("Nothing waits here to be ordered.{early}")
}

fn ordering(facts: &Facts<'_>, next: Option<&AwaitedHeight>) -> String {
    let what = match next {
        Some(next) => capital(&next.text),
        None => {
            let waiting = number(facts.pool.transactions, "transaction is", "transactions are");
            format!("{waiting} in the pool, and the primary is about to propose the next block")
        }
    };
    format!("Work is in flight and has not waited long. {what}.")
}

fn waiting_for_proposal(facts: &Facts<'_>) -> String {
    let (height, view) = (facts.next_height(), facts.consensus.view);
    let (primary, waited) = (facts.name(facts.consensus.primary), waited(facts));
    if facts.is_primary() {
        return format!(
            "This node is the primary of view {view} and has no complete proposal for height {height}{waited}."
        );
    }
    let silence = if facts.is_in_contact(facts.consensus.primary) {
        ""
    } else {
        ", which has not been heard from recently"
    };
    format!(
        "The proposal for height {height} has not arrived{waited}. The primary of view {view} is {primary}{silence}."
    )
}

/// How long nothing was committed although work waits.
fn waited(facts: &Facts<'_>) -> String {
    let waiting = facts.consensus.waiting_ms;
    waiting.map_or_else(String::new, |waiting| format!(", and work has waited for {}", span(waiting)))
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}
