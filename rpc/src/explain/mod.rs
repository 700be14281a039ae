//! `consensus_explain`: why a node gets on with ordering or does not.
//!
//! A pure function of what the node says about itself anyway, so everything it can say is tried in a table of
//! tests. What it says follows `node/pbft/PROTOCOL.md`; where that leaves something open, so does it. The state
//! is found in `state`, the sentences in `headline` and `remedies`, and the rest is the same facts in order.

mod facts;
mod headline;
mod heights;
#[cfg(test)]
mod parts_tests;
mod phrase;
mod remedies;
#[cfg(test)]
mod scene;
mod state;
#[cfg(test)]
mod state_tests;
mod troubles;

use quorate_api::{
    DeadlinePurpose, Departures, Explanation, HeightPhase, OrderingBounds, QuorumContact, SilentMember,
    ViewTimer,
};

use quorate_genesis::Genesis;

pub(crate) use facts::Facts;
pub(crate) use phrase::{moment, span};

use crate::node::NodeReport;
use facts::{count, less};

/// What follows from what a node says about itself.
pub fn explain_report(genesis: &Genesis, report: &NodeReport) -> Explanation {
    let NodeReport { status, peers, consensus, mempool: pool, readiness, damage } = report;
    explain(&Facts { genesis, consensus, status, peers, pool, readiness, damage: damage.as_ref() })
}

/// What follows from these facts.
pub(crate) fn explain(facts: &Facts<'_>) -> Explanation {
    let consensus = facts.consensus;
    let state = state::state(facts);
    let heights = heights::heights(facts);
    Explanation {
        node: facts.me().map(|index| facts.member(index)),
        state,
        making_progress: state.is_progress(),
        headline: headline::headline(state, facts, &heights),
        view: consensus.view,
        active: consensus.active,
        primary: facts.member(consensus.primary),
        standing: consensus.standing,
        committed_height: consensus.committed_height,
        waiting_ms: consensus.waiting_ms,
        snapshot_age_ms: consensus.snapshot_age_ms,
        pool_transactions: facts.pool.transactions,
        timer: timer(facts),
        departures: departures(facts),
        contact: contact(facts),
        bounds: bounds(facts),
        remedies: remedies::remedies(state, facts, &heights),
        troubles: troubles::troubles(facts),
        heights,
    }
}

fn timer(facts: &Facts<'_>) -> Option<ViewTimer> {
    let deadline = facts.consensus.deadline?;
    let (view, next_view, next_primary) = (facts.consensus.view, facts.next_view(), facts.next_primary());
    let (when, next) = (phrase::within(deadline.in_ms), &next_primary.name);
    let text = match deadline.purpose {
        DeadlinePurpose::Request => format!(
            "{when} this node leaves view {view} for view {next_view}, whose primary would be {next}, unless a \
             block is committed before"
        ),
        DeadlinePurpose::NewView => format!(
            "{when} this node gives up waiting for view {view} and leaves for view {next_view}, whose primary \
             would be {next}"
        ),
    };
    Some(ViewTimer { purpose: deadline.purpose, in_ms: deadline.in_ms, next_view, next_primary, text })
}

/// R19 and R20 count VIEW-CHANGEs: a quorum begins a view, and f + 1 others take a member along.
fn departures(facts: &Facts<'_>) -> Departures {
    let consensus = facts.consensus;
    let others = consensus.departed.iter().filter(|index| Some(**index) != facts.me()).count();
    let to_follow = facts.genesis.committee().one_honest();
    // An observer sees none of them.
    let sees = !facts.is_observer();
    // VIEW-CHANGEs for view 0 do not exist, so whoever departed in it wants a later one. In other active views
    // those by which the view began look the same as those who have left it since.
    let is_certain = sees && consensus.active && (consensus.view == 0 || others == 0);
    Departures {
        departed: facts.members(&consensus.departed),
        remaining: facts.members(&facts.all_but(&consensus.departed)),
        to_begin: count(facts.quorum()),
        more_to_begin: (sees && !consensus.active).then(|| less(facts.quorum(), consensus.departed.len())),
        to_follow: count(to_follow),
        more_to_follow: is_certain.then(|| less(to_follow, others)),
    }
}

fn contact(facts: &Facts<'_>) -> QuorumContact {
    let silent = |index: u16| {
        let connected = facts.is_connected(index);
        SilentMember { index, name: facts.name(index), connected }
    };
    QuorumContact {
        contacts: facts.members(&facts.consensus.contacts),
        silent: facts.silent().into_iter().map(silent).collect(),
        needed: count(facts.contacts_needed()),
        more_needed: less(facts.contacts_needed(), facts.consensus.contacts.len()),
    }
}

fn bounds(facts: &Facts<'_>) -> OrderingBounds {
    let (consensus, parameters) = (facts.consensus, facts.genesis.consensus());
    let accepted = consensus.in_flight.iter().filter(|height| height.phase != HeightPhase::Waiting).count();
    OrderingBounds {
        stable_height: consensus.stable_height,
        log_window: parameters.log_window,
        highest: facts.highest(),
        next_checkpoint: facts.next_checkpoint(),
        window: parameters.window,
        in_flight: u64::from(count(accepted)),
    }
}
