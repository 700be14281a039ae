//! `quorate explain`: why a node makes progress or does not.

use clap::Args as ClapArgs;
use quorate_api::{Awaited, AwaitedHeight, Explanation, MemberName, ValidatorStanding};

use crate::commands::block_on;
use crate::exit::Outcome;
use crate::output::{Output, Table, fields};
use crate::remote::{self, Node};

/// Say why a node makes progress with ordering or does not: what it waits for, from whom, until when, what helps.
///
/// The first line is the state in a word. A node that makes progress is
///   idle                    nothing waits to be ordered
///   ordering                work is on its way, and nothing takes long
///   catching_up             others have more blocks, and it fetches them
/// All others wait for something to end, the first that applies:
///   engine_stalled          its own disk does not answer
///   recovering, probing     it may not vote, or not yet
///   no_quorum_contact       it hears of too few members
///   waiting_for_new_view    a view was left, and the next one has not begun
///   waiting_for_checkpoint  ordering has run as far ahead as it may
///   waiting_for_proposal, examining_proposal, waiting_for_clock, proposal_refused, waiting_for_votes
///                           the next height is held up there
///
/// Below it: the timer that ends the wait, whom the node hears of, who has left the view, for each height in flight
/// who voted and who is missing, and what an operator can do; then what is wrong although ordering may go on with it: a
/// disk that fills up, a clock that is off, a member that does not follow. All of it is what this one node sees; those it names as
/// missing may know more, so ask them too. rpc/README.md explains every field of --output json.
///
/// Exit code 0 if the node makes progress or has nothing to do, 3 if something holds it up.
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
    let told = block_on(async { rpc.consensus_explain().await.map_err(remote::advise) })?;
    args.output.show(&told, || page(&told, &args.node.url))?;
    Ok(Outcome::of(told.making_progress))
}

/// The whole explanation for people.
fn page(told: &Explanation, url: &str) -> String {
    let node = told.node.as_ref().map_or("node", |node| node.name.as_str());
    let mut page = format!("{node} at {url}: {}\n{}\n\n{}", told.state, told.headline, summary(told));
    if !told.heights.is_empty() {
        page.push('\n');
        page.push_str(&heights(&told.heights).render());
    }
    if !told.remedies.is_empty() {
        page.push_str("\nWhat helps:\n");
        told.remedies.iter().for_each(|remedy| page.push_str(&format!("  * {remedy}\n")));
    }
    if !told.troubles.is_empty() {
        page.push_str("\nWhat is wrong beside that:\n");
        told.troubles
            .iter()
            .for_each(|trouble| page.push_str(&format!("  * {} {}\n", trouble.text, trouble.remedy)));
    }
    page
}

fn summary(told: &Explanation) -> String {
    let begun = if told.active { "active" } else { "has not begun" };
    let bounds = &told.bounds;
    fields([
        ("view", format!("{}, {begun}; its primary is {}", told.view, told.primary.name)),
        ("standing", standing(told.standing).to_owned()),
        (
            "committed",
            format!(
                "height {}; the stable checkpoint is at {}, so ordering may go up to {}",
                told.committed_height, bounds.stable_height, bounds.highest
            ),
        ),
        ("work", work(told)),
        ("timer", told.timer.as_ref().map_or_else(|| "none runs".to_owned(), |timer| timer.text.clone())),
        ("hears of", contact(told)),
        ("departed", departures(told)),
    ])
}

fn standing(standing: ValidatorStanding) -> &'static str {
    match standing {
        ValidatorStanding::Voting => "voting",
        ValidatorStanding::Probing => "probing: it does not vote yet",
        ValidatorStanding::Observing => "observing: it has no vote",
        ValidatorStanding::Recovering => "recovering: it never votes with this journal",
    }
}

fn work(told: &Explanation) -> String {
    let (pool, bounds) = (told.pool_transactions, &told.bounds);
    let flight = format!("{} of {} heights in flight", bounds.in_flight, bounds.window);
    match told.waiting_ms {
        Some(waiting) => format!("{pool} in the pool, {flight}; nothing was committed for {waiting} ms"),
        None => format!("{pool} in the pool, {flight}"),
    }
}

fn contact(told: &Explanation) -> String {
    let contact = &told.contact;
    let silent = contact.silent.iter().map(|member| {
        let connection = if member.connected { "connected" } else { "no connection" };
        format!("{} ({connection})", member.name)
    });
    let silent: Vec<String> = silent.collect();
    let silent = if silent.is_empty() { "nobody".to_owned() } else { silent.join(", ") };
    let (contacts, needed) = (names(&contact.contacts), contact.needed);
    format!("{contacts}; it takes {needed} others. Silent: {silent}")
}

fn departures(told: &Explanation) -> String {
    let departures = &told.departures;
    let departed = names(&departures.departed);
    match (departures.more_to_begin, departures.more_to_follow) {
        (Some(more), _) => format!(
            "{departed} for view {} or a later one; {} begin it, {more} more must depart",
            told.view, departures.to_begin
        ),
        (None, Some(more)) => format!("{departed}; this node follows when {more} more have left"),
        (None, None) => format!(
            "{departed}, to begin this view or for a later one; this node follows when {} others have left it",
            departures.to_follow
        ),
    }
}

fn names(members: &[MemberName]) -> String {
    if members.is_empty() {
        return "nobody".to_owned();
    }
    members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// A line for each height in flight.
fn heights(heights: &[AwaitedHeight]) -> Table {
    let mut table = Table::new(&["height", "waits for", "votes", "here from", "missing"]);
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

    fn told() -> Value {
        let member = |index: u16| json!({ "index": index, "name": format!("validator-{index}") });
        json!({
            "node": member(1), "state": "waiting_for_votes", "making_progress": false, "headline": "Votes are missing.",
            "view": 4, "active": true, "primary": member(0), "standing": "voting", "committed_height": 140,
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
            "departures": {
                "departed": [member(0), member(1), member(2)], "remaining": [member(3)], "to_begin": 3,
                "more_to_begin": null, "to_follow": 2, "more_to_follow": null,
            },
            "contact": {
                "contacts": [member(0), member(2)], "needed": 2, "more_needed": 0,
                "silent": [{ "index": 3, "name": "validator-3", "connected": true }],
            },
            "bounds": {
                "stable_height": 128, "log_window": 256, "highest": 384, "next_checkpoint": 256, "window": 8,
                "in_flight": 1,
            },
            "remedies": ["Ask validator-0."],
            "troubles": [{ "kind": "clock", "members": [member(0)], "text": "The clock is off.", "remedy": "Set it." }],
        })
    }

    /// Everything that is held up is on the page by name: votes, timer, contact, what helps.
    #[test]
    fn a_page_tells_who_is_missing_and_what_happens_next() {
        let told: Explanation = serde_json::from_value(told()).unwrap();
        let page = page(&told, "http://a");
        for line in [
            "validator-1 at http://a: waiting_for_votes\nVotes are missing.\n",
            "view       4, active; its primary is validator-0\n",
            "committed  height 140; the stable checkpoint is at 128, so ordering may go up to 384\n",
            "work       12 in the pool, 1 of 8 heights in flight; nothing was committed for 900 ms\n",
            "timer      in 1.1 s this node leaves view 4\n",
            "hears of   validator-0, validator-2; it takes 2 others. Silent: validator-3 (connected)\n",
            "141     COMMITs    1 of 3  validator-1  validator-0, validator-2, validator-3\n",
            "What helps:\n  * Ask validator-0.\n",
        ] {
            assert!(page.contains(line), "{line:?} is not in\n{page}");
        }
    }

    #[test]
    fn a_page_about_nothing_is_short() {
        let mut told = told();
        told["heights"] = json!([]);
        told["remedies"] = json!([]);
        told["timer"] = Value::Null;
        told["waiting_ms"] = Value::Null;
        told["departures"]["more_to_begin"] = json!(1);
        let page = page(&serde_json::from_value(told).unwrap(), "http://a");
        assert!(
            page.contains("timer      none runs\n") && page.contains("1 of 8 heights in flight\n"),
            "{page}"
        );
        assert!(page.contains("for view 4 or a later one; 3 begin it, 1 more must depart\n"), "{page}");
        assert!(!page.contains("What helps") && !page.contains("waits for"), "{page}");
    }
}
