//! `quorate explain`: why a node makes progress or does not.

use clap::Args as ClapArgs;
use quorate_api::{Awaited, AwaitedHeight, Explanation, MemberName, ValidatorSigningState};

use crate::commands::block_on;
use crate::exit::Outcome;
use crate::output::{Output, Table, fields};
use crate::remote::{self, Node};

/// Show why a node makes progress with ordering or does not: what it waits for, and what to do.
///
/// The first line is the state. A node that makes progress is in one of these states:
///   following               the node has no vote and has the newest blocks
///   idle                    there is nothing to order
///   ordering                blocks are in flight, and none is late
///   catching_up             other validators have more blocks, and the node fetches them
/// In all other states the node waits. If several apply, the first of this list is shown:
///   engine_stalled          the ordering thread does not respond, usually because of the disk
///   recovering, probing     the node must not vote (recovering), or not yet (probing)
///   no_quorum_contact       it has recently heard from too few validators for a quorum
///   waiting_for_new_view    a view was left, and the next one has not begun
///   waiting_for_checkpoint  the next height is above the watermark: a checkpoint must become stable
///   waiting_for_proposal, examining_proposal, waiting_for_clock, proposal_refused, waiting_for_votes
///                           the next height waits for this step
///
/// The page also shows the timer that ends the wait, the validators that the node has recently heard
/// from, those that left the view, and the votes for each height in flight. Then it lists what an
/// operator can do, and problems that do not necessarily stop ordering: a full disk, a wrong clock, a
/// validator that falls behind. It shows the view of this one node. The validators that it lists as
/// missing may know more, so run the command on them too. rpc/README.md explains every field of
/// --output json.
///
/// Exit code 0 if the node makes progress or is idle, 3 if it waits.
#[derive(Debug, ClapArgs)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  quorate explain
  quorate explain --rpc http://10.0.0.5:8545
  quorate explain --output json | jq -r .state"
)]
pub(crate) struct Args {
    #[command(flatten)]
    node: Node,

    #[command(flatten)]
    output: Output,
}

/// Runs `quorate explain`.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let rpc = args.node.rpc()?;
    let explanation = block_on(async { rpc.consensus_explain().await.map_err(remote::advise) })?;
    args.output.show(&explanation, || page(&explanation, &args.node.url))?;
    Ok(Outcome::of(explanation.making_progress))
}

/// The whole explanation as text.
fn page(explanation: &Explanation, url: &str) -> String {
    let node = explanation.node.as_ref().map_or("node", |node| node.name.as_str());
    let mut page = format!(
        "{node} at {url}: {}\n{}\n\n{}",
        explanation.state,
        explanation.summary,
        summary(explanation)
    );
    if !explanation.heights.is_empty() {
        page.push('\n');
        page.push_str(&heights(&explanation.heights).render());
    }
    if !explanation.actions.is_empty() {
        page.push_str("\nWhat to do:\n");
        explanation.actions.iter().for_each(|remedy| page.push_str(&format!("  * {remedy}\n")));
    }
    if !explanation.changes.is_empty() {
        page.push_str("\nChanges of the network:\n");
        for change in &explanation.changes {
            page.push_str(&format!("  * {}\n", change.text));
            change.action.iter().for_each(|action| page.push_str(&format!("    {action}\n")));
        }
    }
    if !explanation.warnings.is_empty() {
        page.push_str("\nOther problems:\n");
        explanation
            .warnings
            .iter()
            .for_each(|warning| page.push_str(&format!("  * {} {}\n", warning.text, warning.action)));
    }
    page
}

fn summary(explanation: &Explanation) -> String {
    let begun = if explanation.active { "active" } else { "has not begun" };
    let bounds = &explanation.bounds;
    fields([
        ("view", format!("{}, {begun}; its primary is {}", explanation.view, explanation.primary.name)),
        ("signing", standing(explanation.signing_state).to_owned()),
        (
            "committed",
            format!(
                "height {}; the stable checkpoint is at {}, so ordering may go up to {}",
                explanation.committed_height, bounds.stable_height, bounds.highest
            ),
        ),
        ("work", work(explanation)),
        (
            "timer",
            explanation.timer.as_ref().map_or_else(|| "none runs".to_owned(), |timer| timer.text.clone()),
        ),
        ("contact", contact(explanation)),
        ("left view", departures(explanation)),
    ])
}

fn standing(standing: ValidatorSigningState) -> &'static str {
    match standing {
        ValidatorSigningState::Voting => "voting",
        ValidatorSigningState::Probing => "probing: it must not vote yet",
        ValidatorSigningState::Observing => "observing: an observer has no vote",
        ValidatorSigningState::Recovering => "recovering: it must not vote with this journal",
    }
}

fn work(explanation: &Explanation) -> String {
    let (pool, bounds) = (explanation.pool_transactions, &explanation.bounds);
    let flight = format!("{} of {} heights in flight", bounds.in_flight, bounds.window);
    match explanation.waiting_ms {
        Some(waiting) => format!("{pool} in the pool, {flight}; no commit for {waiting} ms"),
        None => format!("{pool} in the pool, {flight}"),
    }
}

fn contact(explanation: &Explanation) -> String {
    let contact = &explanation.contact;
    let silent = contact.silent.iter().map(|member| {
        let connection = if member.connected { "connected" } else { "no connection" };
        format!("{} ({connection})", member.name)
    });
    let silent: Vec<String> = silent.collect();
    let silent = if silent.is_empty() { "none".to_owned() } else { silent.join(", ") };
    let (contacts, needed) = (names(&contact.recently_heard), contact.needed);
    let others = contact.recently_heard.len() + contact.silent.len();
    format!("{contacts}: needs {needed} of the {others} other validators. Silent: {silent}")
}

fn departures(explanation: &Explanation) -> String {
    let departures = &explanation.view_changes;
    let departed = names(&departures.view_changes_from);
    match (departures.more_to_begin, departures.more_to_follow) {
        (Some(more), _) => format!(
            "{departed}, for view {} or a later one; the view begins with {} departures: {more} more needed",
            explanation.view, departures.to_begin
        ),
        (None, Some(more)) => format!("{departed}; this node leaves too when {more} more have left"),
        (None, None) => format!(
            "{departed}, for this view or a later one; this node leaves too when {} others have left",
            departures.to_follow
        ),
    }
}

fn names(members: &[MemberName]) -> String {
    if members.is_empty() {
        return "none".to_owned();
    }
    members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// One row for each height in flight.
fn heights(heights: &[AwaitedHeight]) -> Table {
    let mut table = Table::new(&["height", "waits for", "votes", "received from", "missing"]);
    for height in heights {
        let of_votes = height.votes.as_ref();
        let absent = || "-".to_owned();
        table.row([
            height.height.to_string(),
            awaited(height.awaits).to_owned(),
            of_votes.map_or_else(absent, |votes| format!("{} of {}", votes.have, votes.needed)),
            of_votes.map_or_else(absent, |votes| names(&votes.voted)),
            of_votes.map_or_else(absent, |votes| names(&votes.missing)),
        ]);
    }
    table
}

fn awaited(awaited: Awaited) -> &'static str {
    match awaited {
        Awaited::View => "the view",
        Awaited::Proposal => "proposal",
        Awaited::Parent => "block below",
        Awaited::Body => "transactions",
        Awaited::Clock => "clock",
        Awaited::Nothing => "nothing: refused",
        Awaited::Prepares => "PREPAREs",
        Awaited::HeightBelow => "height below",
        Awaited::Commits => "COMMITs",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn explanation() -> Value {
        let member = |index: u16| json!({ "index": index, "name": format!("validator-{index}") });
        json!({
            "node": member(1), "state": "waiting_for_votes", "making_progress": false, "summary": "Votes are missing.",
            "view": 4, "active": true, "primary": member(0), "signing_state": "voting", "committed_height": 140,
            "waiting_ms": 900, "snapshot_age_ms": 4, "pool_transactions": 12,
            "heights": [{
                "height": 141, "hash": null, "transactions": 12, "phase": "prepared", "awaits": "commits",
                "votes": { "have": 1, "needed": 3, "voted": [member(1)], "missing": [member(0), member(2), member(3)] },
                "text": "",
            }],
            "timer": {
                "purpose": "request", "in_ms": 1100, "next_view": 5, "next_primary": member(1),
                "text": "in 1.1 s this node leaves view 4",
            },
            "view_changes": {
                "view_changes_from": [member(0), member(1), member(2)], "remaining": [member(3)], "to_begin": 3,
                "more_to_begin": null, "to_follow": 2, "more_to_follow": null,
            },
            "contact": {
                "recently_heard": [member(0), member(2)], "needed": 2, "more_needed": 0,
                "silent": [{ "index": 3, "name": "validator-3", "connected": true }],
            },
            "bounds": {
                "stable_height": 128, "log_window": 256, "highest": 384, "next_checkpoint": 256, "window": 8,
                "in_flight": 1,
            },
            "changes": [{
                "stage": "proposed", "proposal": null, "changes": ["remove validator-3"], "starts_epoch": true,
                "approvals": ["validator-0"], "not_approved": ["validator-1"], "approvals_missing": 1,
                "not_ready": [], "expires": 900, "effective_from": null, "blocks_missing": null,
                "text": "A proposal is open.", "action": "Approve it.",
            }],
            "actions": ["Ask validator-0."],
            "warnings": [{ "kind": "clock", "members": [member(0)], "text": "The clock is off.", "action": "Set it." }],
        })
    }

    /// Everything that delays ordering is on the page by name: votes, timer, contact, remedies.
    #[test]
    fn a_page_names_the_missing_validators_and_the_next_step() {
        let explanation: Explanation = serde_json::from_value(explanation()).unwrap();
        let page = page(&explanation, "http://a");
        for line in [
            "validator-1 at http://a: waiting_for_votes\nVotes are missing.\n",
            "view       4, active; its primary is validator-0\n",
            "committed  height 140; the stable checkpoint is at 128, so ordering may go up to 384\n",
            "work       12 in the pool, 1 of 8 heights in flight; no commit for 900 ms\n",
            "timer      in 1.1 s this node leaves view 4\n",
            "contact    validator-0, validator-2: needs 2 of the 3 other validators. Silent: validator-3 (connected)\n",
            "141     COMMITs    1 of 3  validator-1    validator-0, validator-2, validator-3\n",
            "What to do:\n  * Ask validator-0.\n",
            "Changes of the network:\n  * A proposal is open.\n    Approve it.\n",
        ] {
            assert!(page.contains(line), "{line:?} is not in\n{page}");
        }
    }

    #[test]
    fn a_page_of_an_idle_node_is_short() {
        let mut explanation = explanation();
        explanation["heights"] = json!([]);
        explanation["actions"] = json!([]);
        explanation["changes"] = json!([]);
        explanation["timer"] = Value::Null;
        explanation["waiting_ms"] = Value::Null;
        explanation["view_changes"]["more_to_begin"] = json!(1);
        let page = page(&serde_json::from_value(explanation).unwrap(), "http://a");
        assert!(
            page.contains("timer      none runs\n") && page.contains("1 of 8 heights in flight\n"),
            "{page}"
        );
        assert!(
            page.contains("for view 4 or a later one; the view begins with 3 departures: 1 more needed\n"),
            "{page}"
        );
        assert!(!page.contains("What to do") && !page.contains("waits for"), "{page}");
    }
}
