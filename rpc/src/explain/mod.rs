//! `consensus_explain`: why a node makes progress with ordering or does not.
//!
//! A pure function of what the node reports elsewhere, so a table of tests covers everything that
//! it can say. Its conclusions follow `node/pbft/PROTOCOL.md`; it concludes nothing that the
//! protocol leaves open. `state` derives the state, `summary` and `actions` the sentences. The
//! other modules arrange the same facts.

mod actions;
mod changes;
mod facts;
mod heights;
#[cfg(test)]
mod parts_tests;
mod phrase;
#[cfg(test)]
mod scene;
mod state;
#[cfg(test)]
mod state_tests;
mod summary;
mod warnings;

use quorate_api::{
    DeadlinePurpose, Explanation, HeightPhase, OrderingBounds, QuorumContact, SilentMember, ViewChangeTally,
    ViewTimer,
};

pub use changes::pending_changes;
pub(crate) use facts::Facts;
pub(crate) use phrase::{moment, span};

use crate::node::NodeReport;
use facts::{count, less};

/// Derives the explanation from what a node reports about itself.
pub fn explain_report(report: &NodeReport) -> Explanation {
    let NodeReport { config, status, peers, consensus, mempool: pool, readiness, damage, changes } = report;
    explain(&Facts { config, consensus, status, peers, pool, readiness, damage: damage.as_ref(), changes })
}

/// Derives the explanation from these facts.
pub(crate) fn explain(facts: &Facts<'_>) -> Explanation {
    let consensus = facts.consensus;
    let state = state::state(facts);
    let heights = heights::heights(facts);
    Explanation {
        node: facts.me().map(|index| facts.member(index)),
        state,
        making_progress: state.is_progress(),
        summary: summary::summary(state, facts, &heights),
        view: consensus.view,
        active: consensus.active,
        primary: facts.member(consensus.primary),
        signing_state: consensus.signing_state,
        committed_height: consensus.committed_height,
        waiting_ms: consensus.waiting_ms,
        snapshot_age_ms: consensus.snapshot_age_ms,
        pool_transactions: facts.pool.transactions,
        timer: timer(facts),
        view_changes: view_changes(facts),
        contact: contact(facts),
        bounds: bounds(facts),
        changes: facts.changes.to_vec(),
        actions: actions::actions(state, facts, &heights),
        warnings: warnings::warnings(facts),
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
            "{when} this node stops waiting for view {view} and leaves for view {next_view}, whose primary \
             would be {next}"
        ),
    };
    Some(ViewTimer { purpose: deadline.purpose, in_ms: deadline.in_ms, next_view, next_primary, text })
}

/// R19 and R20 count VIEW-CHANGEs: a quorum of them begins a view, and f + 1 of other members make
/// a member follow.
fn view_changes(facts: &Facts<'_>) -> ViewChangeTally {
    let consensus = facts.consensus;
    let others = consensus.view_changes_from.iter().filter(|index| Some(**index) != facts.me()).count();
    let to_follow = facts.config.committee().weak_quorum();
    // An observer receives no VIEW-CHANGEs.
    let sees = !facts.is_observer();
    // View 0 begins without VIEW-CHANGEs, so all that arrive in it are for a later view. In any
    // other active view, the members whose VIEW-CHANGEs began the view look the same as members
    // that have left it since.
    let is_certain = sees && consensus.active && (consensus.view == 0 || others == 0);
    ViewChangeTally {
        view_changes_from: facts.members(&consensus.view_changes_from),
        remaining: facts.members(&facts.all_but(&consensus.view_changes_from)),
        to_begin: count(facts.quorum()),
        more_to_begin: (sees && !consensus.active)
            .then(|| less(facts.quorum(), consensus.view_changes_from.len())),
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
        recently_heard: facts.members(&facts.consensus.recently_heard),
        silent: facts.silent().into_iter().map(silent).collect(),
        needed: count(facts.contacts_needed()),
        more_needed: less(facts.contacts_needed(), facts.consensus.recently_heard.len()),
    }
}

fn bounds(facts: &Facts<'_>) -> OrderingBounds {
    let (consensus, parameters) = (facts.consensus, facts.config.parameters().consensus);
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
