//! What a node does or waits for, in a line or two.

use quorate_api::{AwaitedHeight, Probe, ProgressState};

use super::facts::{Facts, less};
use super::phrase::{list, moment, number, span};

pub(super) fn headline(state: ProgressState, facts: &Facts<'_>, heights: &[AwaitedHeight]) -> String {
    let next = heights.iter().find(|height| height.height == facts.next_height());
    match state {
        ProgressState::EngineStalled => format!(
            "The ordering thread is silent, most likely because its disk does not answer ({}). Everything else is \
             what it said last.",
            facts.engine_silence().unwrap_or_default()
        ),
        ProgressState::Recovering => {
            "This node runs on an old journal: others have seen it sign what the journal does not remember. It \
             follows the chain and never votes with this journal."
                .to_owned()
        }
        ProgressState::Probing => probing(facts),
        ProgressState::NoQuorumContact => no_quorum_contact(facts),
        ProgressState::CatchingUp => catching_up(facts),
        ProgressState::WaitingForNewView => waiting_for_new_view(facts),
        ProgressState::WaitingForCheckpoint => format!(
            "Blocks up to {} are committed, and the stable checkpoint is at {}: ordering may not run further ahead \
             until a quorum has signed a later one.",
            facts.consensus.committed_height, facts.consensus.stable_height
        ),
        ProgressState::Following => format!(
            "This node has no vote. It follows the validators, and has the blocks up to {}.",
            facts.consensus.committed_height
        ),
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

/// The chain's time is so far ahead of this node's clock that no block can follow yet.
fn chain_ahead(facts: &Facts<'_>) -> Option<String> {
    let possible_at = facts.possible_at()?;
    let (head, now) = (&facts.status.head, facts.status.time_ms);
    let ahead = span(head.timestamp_ms.saturating_sub(now));
    let what = if head.height == 0 {
        "The genesis".to_owned()
    } else {
        format!("Block {}, the newest,", head.height)
    };
    let tolerance = span(facts.genesis.consensus().clock_tolerance_ms);
    Some(format!(
        "{what} has the time {}, which is {ahead} ahead of this node's clock. Validators vote for no block that is more than \
         {tolerance} ahead of their clocks, so nothing can be ordered before {}; transactions that end before the \
         time of that block are refused as expired.",
        moment(head.timestamp_ms),
        moment(possible_at)
    ))
}

fn probing(facts: &Facts<'_>) -> String {
    let probe = facts.consensus.probe.unwrap_or(Probe { answered: 0, needed: 0, through: None });
    let Probe { answered, needed, through } = probe;
    let asked = format!(
        "This node has just started and asks the others what they have seen it sign: {answered} have answered, and \
         {needed} must before it votes."
    );
    if let Some(height) = facts.unreachable_height() {
        let highest = facts.highest_claim().unwrap_or_default().max(facts.consensus.committed_height);
        return format!(
            "{asked} Its ledger is older than its journal: it needs the blocks up to {height} before it votes, and no \
             validator that it hears of has more than {highest}. This does not end by itself."
        );
    }
    match through {
        Some(height) => format!(
            "{asked} Its ledger is an old copy, so it also fetches the blocks up to {height} first; it has them up to \
             {}.",
            facts.consensus.committed_height
        ),
        None => asked,
    }
}

fn no_quorum_contact(facts: &Facts<'_>) -> String {
    let silent: Vec<String> = facts.silent().into_iter().map(|index| facts.name(index)).collect();
    let pool = match facts.pool.transactions {
        0 => String::new(),
        count => format!(" {} in its pool.", number(count, "transaction waits", "transactions wait")),
    };
    if facts.is_observer() {
        return format!(
            "This node has no vote and hears of {} of the {} validators it takes for one to be honest, and not of {}. It \
             serves what it has, which may be old.",
            facts.consensus.contacts.len(),
            facts.contacts_needed(),
            list(&silent)
        );
    }
    format!(
        "No quorum: this node hears of {} of the {} other members it takes to order anything or to begin a view, and \
         not of {}.{pool}",
        facts.consensus.contacts.len(),
        facts.contacts_needed(),
        list(&silent)
    )
}

fn catching_up(facts: &Facts<'_>) -> String {
    let here = facts.consensus.committed_height;
    match facts.credible_head() {
        Some(head) if head > here => {
            format!("Others have committed blocks up to {head}; this node has {here} and fetches the rest.")
        }
        _ => format!(
            "Others have committed more blocks than this node, which has {here} and fetches the rest."
        ),
    }
}

fn waiting_for_new_view(facts: &Facts<'_>) -> String {
    let (view, departed, quorum) = (facts.consensus.view, facts.consensus.departed.len(), facts.quorum());
    let primary = facts.name(facts.consensus.primary);
    let begun = format!("View {view} has not begun");
    match less(quorum, departed) {
        0 if facts.is_primary() => format!(
            "{begun}: {departed} of the {quorum} members it takes want it or a later one, and this node, its primary, \
             begins it once a quorum wants exactly this one."
        ),
        0 => format!(
            "{begun}: {departed} of the {quorum} members it takes want it or a later one, and the NEW-VIEW of its \
             primary {primary} is awaited."
        ),
        more => format!(
            "{begun}: {departed} of the {quorum} members it takes want it or a later one, and {more} more must. Until \
             a view begins, this node does not vote."
        ),
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
            format!("{waiting} in the pool, and the next block is about to be proposed")
        }
    };
    format!("Work is on its way, and nothing takes long. {what}.")
}

fn waiting_for_proposal(facts: &Facts<'_>) -> String {
    let (height, view) = (facts.next_height(), facts.consensus.view);
    let (primary, waited) = (facts.name(facts.consensus.primary), waited(facts));
    if facts.is_primary() {
        return format!(
            "This node is the primary of view {view}, and has no complete proposal for height \
             {height}{waited}."
        );
    }
    let silence = if facts.hears_of(facts.consensus.primary) { "" } else { ", of which nothing is heard" };
    format!(
        "The proposal for height {height} is not here{waited}. It is the turn of {primary}{silence}, the primary of \
         view {view}."
    )
}

/// For how long nothing was committed.
fn waited(facts: &Facts<'_>) -> String {
    let waiting = facts.consensus.waiting_ms;
    waiting.map_or_else(String::new, |waiting| format!(", and work has waited for {}", span(waiting)))
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}
