//! `quorate validator`: changes of the committee and of its keys.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use quorate_governance::{Change, Name, Operation, Possession};
use quorate_ledger::{Epoch, Height, PublicKey};

use super::block_on;
use super::governance::{Acting, Plan, act, require_member};
use crate::exit::Outcome;
use crate::keyfile::{self, PassphraseSource};
use crate::remote;

/// Add, remove and replace validators, and change their keys.
///
/// `add`, `remove` and `replace` make a proposal, which other members approve with `quorate governance
/// approve`. `rotate` and `renew` concern only the own validator and need no approval. A member may
/// rotate or renew once in 16 checkpoint intervals (2048 heights by default). Earlier, only the
/// other members can replace its consensus key (`quorate validator replace`).
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  quorate validator add KEY --name bank-5 --key governance.pem --dry-run
  quorate validator remove bank-2 --key governance.pem
  quorate validator renew --key governance.pem            after the journal of the validator was lost")]
pub(crate) enum Command {
    Add(AddArgs),
    Remove(RemoveArgs),
    Replace(ReplaceArgs),
    Rotate(RotateArgs),
    Renew(RenewArgs),
    Ready(ReadyArgs),
}

/// Propose to add a validator.
///
/// Its node must run and catch up before the proposal can be decided. It connects as soon as the
/// proposal is open, and sends READY by itself when it has the newest blocks.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  quorate validator add 0x03… --name bank-5 --governance-key 0x02… --key governance.pem

Exit code 0 if the proposal was made, 3 if it was not.")]
pub(crate) struct AddArgs {
    /// The public key with which it will sign votes, as `quorate key show` prints it.
    #[arg(value_name = "KEY")]
    public_key: PublicKey,

    /// Its name: 1 to 32 of the characters a-z, 0-9 and -.
    #[arg(long, value_name = "NAME")]
    name: Name,

    /// The public key with which it will sign governance operations; by default the same one.
    #[arg(long, value_name = "KEY")]
    governance_key: Option<PublicKey>,

    #[command(flatten)]
    acting: Acting,
}

/// Propose to remove a validator and its clients.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  quorate validator remove bank-2 --key governance.pem

Exit code 0 if the proposal was made, 3 if it was not.")]
pub(crate) struct RemoveArgs {
    /// The name of the validator.
    #[arg(value_name = "NAME")]
    name: Name,

    #[command(flatten)]
    acting: Acting,
}

/// Propose to replace the keys of a validator, for example because its governance key is lost or
/// stolen.
///
/// A quorum of the members approves it; the validator itself need not. A new governance key takes
/// effect without anything else. A new consensus key is that of a candidate, as with `add`: its
/// node must run, catch up and be ready before the last member approves (it sends READY by itself).
/// Start that node in a new home, without data of the old key.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quorate validator replace bank-2 --governance-key 0x02… --key governance.pem  the governance key is lost
  quorate validator replace bank-2 --consensus-key 0x03… --governance-key 0x02… --key governance.pem  both keys are lost

Exit code 0 if the proposal was made, 3 if it was not.")]
#[command(group = clap::ArgGroup::new("new").required(true).multiple(true))]
pub(crate) struct ReplaceArgs {
    /// The name of the validator.
    #[arg(value_name = "NAME")]
    name: Name,

    /// The new public key for votes.
    #[arg(long, value_name = "KEY", group = "new")]
    consensus_key: Option<PublicKey>,

    /// The new public key for governance.
    #[arg(long, value_name = "KEY", group = "new")]
    governance_key: Option<PublicKey>,

    #[command(flatten)]
    acting: Acting,
}

/// Replace the consensus key of the own validator, for example because it was stolen.
///
/// If one key serves for votes and governance, the new one replaces both. A member may do this once
/// in 16 K heights. The old key signs nothing that counts in the new epoch.
///
/// A node that runs goes on by itself: put the new key into its home as next-key.pem and restart it
/// before you rotate. A node that was down meanwhile finds the network again with next-key.pem. If
/// the old key was stolen or lost, and the node is stopped: put the new key into the home as key.pem,
/// move the data directory away and keep it, rotate through another node, then start the node once
/// with --init. It fetches the chain. Data of the old key works only while that key is there, too.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quorate key new next-key.pem
  quorate validator rotate --new-key next-key.pem --key governance.pem
  quorate validator rotate --new-key key.pem --key governance.pem --rpc http://bank-1:8545   (a stopped node)

Exit code 0 if the rotation was executed, 3 if it was not.")]
pub(crate) struct RotateArgs {
    /// The file of the new key, which signs that it agrees.
    #[arg(long, value_name = "FILE")]
    new_key: PathBuf,

    /// File with the passphrase of the new key in its first line. Without it, the passphrase comes
    /// from QUORATE_PASSPHRASE or from a prompt; --passphrase-file is only for --key.
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,

    #[command(flatten)]
    acting: Acting,
}

/// Start a new epoch, so that the own validator can vote again although its journal was lost.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  quorate validator renew --key governance.pem

Exit code 0 if the renewal was executed, 3 if it was not.")]
pub(crate) struct RenewArgs {
    #[command(flatten)]
    acting: Acting,
}

/// State that a candidate has the chain, with its future consensus key.
///
/// A candidate's node does this by itself: this command is for the case that it cannot. The operation
/// names the newest block of the candidate's node, and is signed with its future consensus key. It is
/// submitted to a validator, since a candidate accepts no transactions. A READY counts for two
/// checkpoint intervals (256 heights by default): send it when the node has caught up, shortly
/// before the last member approves.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  quorate validator ready --candidate http://127.0.0.1:8545 --rpc http://bank-1:8545 --key key.pem

Exit code 0 if the READY was executed, 3 if it was not.")]
pub(crate) struct ReadyArgs {
    /// URL of the JSON-RPC of the candidate's own node, which must have caught up. --rpc must name
    /// another node, a validator.
    #[arg(long, value_name = "URL", default_value = remote::DEFAULT_URL)]
    candidate: String,

    #[command(flatten)]
    acting: Acting,
}

/// Runs `quorate validator`.
pub(crate) fn run(command: &Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Add(args) => act(&args.acting, |_| {
            Ok(Plan::propose(vec![Change::AddMember {
                name: args.name.clone(),
                consensus_key: args.public_key,
                governance_key: args.governance_key.unwrap_or(args.public_key),
            }]))
        }),
        Command::Remove(args) => act(&args.acting, |known| {
            require_member(&known.status, &args.name)?;
            Ok(Plan::propose(vec![Change::RemoveMember { name: args.name.clone() }]))
        }),
        Command::Replace(args) => act(&args.acting, |known| {
            require_member(&known.status, &args.name)?;
            Ok(Plan::propose(vec![Change::ReplaceKeys {
                name: args.name.clone(),
                consensus_key: args.consensus_key,
                governance_key: args.governance_key,
            }]))
        }),
        Command::Rotate(args) => rotate(args),
        Command::Renew(args) => act(&args.acting, |known| {
            let member = known.own_member()?;
            Ok(Plan::alone(Operation::Renew, format!("member {member} starts")))
        }),
        Command::Ready(args) => ready(args),
    }
}

fn ready(args: &ReadyArgs) -> anyhow::Result<Outcome> {
    let candidate = remote::Node { url: args.candidate.clone() };
    let head = block_on(async { candidate.rpc()?.chain_head().await.map_err(remote::advise) })?;
    act(&args.acting, |known| {
        let newest = known.head.height;
        ensure!(head.height > 0, "the candidate has no block yet: wait until it has fetched the chain");
        ensure!(
            head.height <= newest,
            "the candidate has block {}, and the node at --rpc only {newest}: name another validator",
            head.height
        );
        let operation = Operation::Ready { height: Height(head.height), block: head.hash };
        Ok(Plan::ready(operation))
    })
}

fn rotate(args: &RotateArgs) -> anyhow::Result<Outcome> {
    let new = keyfile::read(&args.new_key, &PassphraseSource::from_file(args.new_passphrase_file.clone()))?;
    act(&args.acting, |known| {
        let governance_key = known.key.as_ref().context("rotate needs --key also for a dry run")?.public();
        let (chain, epoch) = (known.genesis.chain_id(), Epoch(known.status.epoch));
        let consensus_key = new.public();
        let possession = Possession::sign(&chain, governance_key, &new, epoch);
        let operation = Operation::Rotate { consensus_key, possession };
        Ok(Plan::alone(operation, consensus_key.to_string()))
    })
}
