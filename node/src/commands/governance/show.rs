//! `quorate governance status`, `list`, `show` and `history`.

use clap::Args;
use quorate_api::{Arithmetic, GovernanceStatus, History, MAX_LISTED, ProposalJson};
use quorate_governance::ProposalId;

use super::act::still_needed;
use crate::commands::{block_on, tx};
use crate::exit::Outcome;
use crate::output::{self, Output, Table, short};
use crate::remote::{self, Node};

/// Show the committee, its arithmetic, the parameters, and what is scheduled.
///
/// All of it is the claim of one node.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quorate governance status
  quorate governance status --rpc http://127.0.0.1:8546 --output json")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    node: Node,

    #[command(flatten)]
    output: Output,
}

/// List the open proposals.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  quorate governance list")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    node: Node,

    #[command(flatten)]
    output: Output,
}

/// Show an open proposal: its changes, who approves it, and what it lacks.
///
/// Exit code 3 if no open proposal has this id. One that was decided, closed or expired is in
/// `governance history`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  quorate governance show ID")]
pub(crate) struct ShowArgs {
    /// The proposal's id.
    #[arg(value_name = "ID")]
    id: ProposalId,

    #[command(flatten)]
    node: Node,

    #[command(flatten)]
    output: Output,
}

/// List past operations with their outcomes, newest first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quorate governance history
  quorate governance history --below 1200 --limit 20")]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    node: Node,

    /// Show operations in blocks below this height.
    #[arg(long, value_name = "HEIGHT")]
    below: Option<u64>,

    /// How many operations to show; those of one block are shown together.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_LISTED)))]
    limit: u32,

    #[command(flatten)]
    output: Output,
}

pub(super) fn status(args: &StatusArgs) -> anyhow::Result<Outcome> {
    let rpc = args.node.rpc()?;
    let status = block_on(async { rpc.governance_status().await.map_err(remote::advise) })?;
    args.output.show(&status, || of_status(&status))?;
    Ok(Outcome::Yes)
}

/// The arithmetic in one line.
fn of_arithmetic(of: &Arithmetic) -> String {
    let Arithmetic { members, faults_tolerated, quorum, may_be_down } = of;
    format!("{quorum} of {members} decide; {may_be_down} may be down, {faults_tolerated} may be faulty")
}

fn of_status(status: &GovernanceStatus) -> String {
    let mut text = output::fields([
        ("epoch", format!("{}, since height {}", status.epoch, status.epoch_start)),
        ("quorum", of_arithmetic(&status.arithmetic)),
        ("submit mode", status.submit_mode.as_str().to_owned()),
        ("clients", status.clients.to_string()),
        ("open proposals", status.open_proposals.to_string()),
        ("state", format!("{} after height {}", status.state_root, status.height)),
    ]);
    let mut members = Table::new(&["member", "index", "consensus key", "governance key", "clients"]);
    for member in &status.members {
        members.row([
            member.name.clone(),
            member.index.to_string(),
            short(&member.consensus_key),
            short(&member.governance_key),
            member.clients.to_string(),
        ]);
    }
    text += &format!("\n{}\nscheduled: ", members.render());
    text += &match status.scheduled_count {
        0 => "nothing\n".to_owned(),
        count => format!("{count}\n"),
    };
    for change in &status.scheduled {
        let epoch = if change.starts_epoch { ", a new epoch" } else { "" };
        text += &format!("  at height {}{epoch}: {}\n", change.effective_from, change.text);
    }
    let mut parameters = Table::new(&["parameter", "value"]);
    for (name, value) in &status.parameters {
        parameters.row([name.clone(), value.to_string()]);
    }
    text + "\n" + &parameters.render()
}

pub(super) fn list(args: &ListArgs) -> anyhow::Result<Outcome> {
    let rpc = args.node.rpc()?;
    let open = block_on(async { rpc.governance_proposals().await.map_err(remote::advise) })?;
    args.output.show(&open, || {
        if open.is_empty() {
            return "no proposal is open".to_owned();
        }
        open.iter().map(of_proposal).collect::<Vec<_>>().join("\n")
    })?;
    Ok(Outcome::Yes)
}

pub(super) fn show(args: &ShowArgs) -> anyhow::Result<Outcome> {
    let rpc = args.node.rpc()?;
    let open = block_on(async { rpc.governance_proposals().await.map_err(remote::advise) })?;
    let found = open.iter().find(|proposal| proposal.id == args.id);
    args.output.show(&found, || match found {
        Some(proposal) => of_proposal(proposal),
        None => {
            format!("no open proposal has the id {}; `quorate governance history` has past ones", args.id)
        }
    })?;
    Ok(Outcome::of(found.is_some()))
}

fn of_proposal(proposal: &ProposalJson) -> String {
    let mut fields = vec![
        ("proposal", proposal.id.to_string()),
        ("by", format!("{} at height {}", proposal.proposer, proposal.height)),
    ];
    fields.extend(proposal.changes.iter().map(|change| ("change", change.text.clone())));
    fields.push(("approved by", proposal.approvals.join(", ")));
    fields.extend(proposal.candidates.iter().map(|candidate| {
        let state = match (candidate.ready, candidate.ready_height) {
            (true, Some(height)) => format!("ready at height {height}"),
            (false, Some(height)) => format!("no longer ready: its last READY was at height {height}"),
            (_, None) => "not ready yet".to_owned(),
        };
        ("candidate", format!("{} {}: {state}", candidate.name, short(&candidate.key)))
    }));
    fields.push(("needs", still_needed(proposal)));
    output::fields(fields)
}

pub(super) fn history(args: &HistoryArgs) -> anyhow::Result<Outcome> {
    let rpc = args.node.rpc()?;
    let history =
        block_on(async { rpc.governance_history(args.below, args.limit).await.map_err(remote::advise) })?;
    args.output.show(&history, || of_history(&history))?;
    Ok(Outcome::Yes)
}

fn of_history(history: &History) -> String {
    if history.operations.is_empty() {
        return "no operations".to_owned();
    }
    let mut table = Table::new(&["height", "time", "by", "operation", "outcome"]);
    for operation in &history.operations {
        table.row([
            operation.height.to_string(),
            output::time(operation.timestamp_ms),
            operation.member.clone().unwrap_or_else(|| short(&operation.sender)),
            operation.text.clone(),
            tx::outcome(&operation.outcome),
        ]);
    }
    let more = history.next_below_height.map(|height| format!("\nolder ones: --below {height}\n"));
    table.render() + &more.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_api::{CandidateJson, DescribedChange, ObstacleJson};
    use quorate_governance::Change;
    use quorate_ledger::{SecretKey, TransactionId};

    use super::*;

    fn proposal() -> ProposalJson {
        let key = SecretKey::from_bytes(&[5; 32]).unwrap().public();
        let add =
            Change::AddMember { name: "bank-5".parse().unwrap(), consensus_key: key, governance_key: key };
        ProposalJson {
            id: TransactionId::from_bytes([7; 32]),
            proposer: "bank-1".to_owned(),
            height: 9,
            expires: 109,
            changes: vec![DescribedChange::from(&add)],
            starts_epoch: true,
            approvals: vec!["bank-1".to_owned()],
            not_approved: vec!["bank-2".to_owned(), "bank-3".to_owned()],
            approvals_missing: 2,
            candidates: vec![CandidateJson {
                name: "bank-5".to_owned(),
                key,
                ready: false,
                ready_height: None,
            }],
            obstacles: vec![ObstacleJson {
                reason: "not_ready".to_owned(),
                message: "start its node".to_owned(),
            }],
        }
    }

    #[test]
    fn a_proposal_says_what_it_lacks() {
        let text = of_proposal(&proposal());
        for said in [
            "add member bank-5",
            "not ready yet",
            "2 more approvals of bank-2, bank-3",
            "height 109",
            "start its node",
        ] {
            assert!(text.contains(said), "{said:?} in {text}");
        }
    }

    #[test]
    fn an_empty_history_says_so() {
        assert_eq!(of_history(&History { operations: Vec::new(), next_below_height: None }), "no operations");
    }
}
