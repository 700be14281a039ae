//! `quorate governance`: proposals, and the state that they change. What `validator` and `client`
//! share with it is here, too.

mod act;
mod contacts;
mod dry_run;
mod epochs;
mod plan;
mod set;
mod show;

pub(crate) use act::{Acting, act};
pub(crate) use plan::{Plan, require_member};

use clap::{Args, Subcommand};
use quorate_governance::{Operation, ProposalId};

use crate::exit::Outcome;

/// Show proposals and their approvals, and approve them.
///
/// Members change the committee, its keys, the clients and the parameters by operations, each signed
/// with the governance key of a member. Changes of the network need the approval of a quorum: one
/// member proposes, others approve. `quorate validator`, `quorate client` and `quorate governance set`
/// make proposals. A change that block c decides takes effect at height c + W + 1.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  quorate governance status                        who decides, and what is scheduled
  quorate governance list                          open proposals, and who has not approved them
  quorate governance approve ID --key governance.pem --dry-run
  quorate governance approve ID --key governance.pem")]
pub(crate) enum Command {
    Status(show::StatusArgs),
    List(show::ListArgs),
    Show(show::ShowArgs),
    History(show::HistoryArgs),
    Approve(ApproveArgs),
    Withdraw(WithdrawArgs),
    Set(set::SetArgs),
    Epochs(epochs::EpochsArgs),
}

/// Approve a proposal.
///
/// The approval that completes the quorum decides the proposal. While something is in its way, such as
/// a candidate that has not caught up, that approval fails and the proposal stays open: approve again
/// later.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  quorate governance approve ID --key governance.pem

Exit code 0 if the operation was executed, 3 if it was not.")]
pub(crate) struct ApproveArgs {
    /// The proposal's id, as `governance list` prints it.
    #[arg(value_name = "ID")]
    id: ProposalId,

    #[command(flatten)]
    acting: Acting,
}

/// Take back an approval, or close an own proposal.
///
/// The member that made the proposal closes it, although others have approved it. A proposal without
/// approvals is closed, too. One that is decided cannot be stopped any more.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  quorate governance withdraw ID --key governance.pem

Exit code 0 if the operation was executed, 3 if it was not.")]
pub(crate) struct WithdrawArgs {
    /// The proposal's id.
    #[arg(value_name = "ID")]
    id: ProposalId,

    #[command(flatten)]
    acting: Acting,
}

/// Runs `quorate governance`.
pub(crate) fn run(command: &Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Status(args) => show::status(args),
        Command::List(args) => show::list(args),
        Command::Show(args) => show::show(args),
        Command::History(args) => show::history(args),
        Command::Approve(args) => {
            act(&args.acting, |_| Ok(Plan::about(Operation::Approve(args.id), args.id)))
        }
        Command::Withdraw(args) => {
            act(&args.acting, |_| Ok(Plan::about(Operation::Withdraw(args.id), args.id)))
        }
        Command::Set(args) => set::run(args),
        Command::Epochs(args) => epochs::run(args),
    }
}
