//! `quorate client`: the registry of clients.

use clap::{Args, Subcommand};
use quorate_api::ClientJson;
use quorate_governance::{Change, Name, Operation, Quota};
use quorate_ledger::PublicKey;

use super::block_on;
use super::governance::{Acting, Plan, act};
use crate::exit::Outcome;
use crate::output::{Output, Table};
use crate::remote::{self, Node};

/// Register clients, limit them, and list them.
///
/// In the submit mode registry, only registered clients may send transactions. Each belongs to the
/// member that added it and goes when that member goes. `revoke` makes a proposal, because it concerns
/// clients of all members; the others take effect without approval.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  quorate client add KEY --name payments --key governance.pem
  quorate client quota KEY --transactions 100 --bytes 65536 --key governance.pem
  quorate client list")]
pub(crate) enum Command {
    Add(AddArgs),
    Remove(RemoveArgs),
    Quota(QuotaArgs),
    Revoke(RevokeArgs),
    List(ListArgs),
}

/// Add a client of the own member.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  quorate client add 0x02… --name payments --key governance.pem

Exit code 0 if the operation was executed, 3 if it was not.")]
pub(crate) struct AddArgs {
    /// The client's public key.
    #[arg(value_name = "KEY")]
    public_key: PublicKey,

    /// A name for people: 1 to 32 of the characters a-z, 0-9 and -.
    #[arg(long, value_name = "NAME")]
    name: Name,

    #[command(flatten)]
    acting: Acting,
}

/// Remove a client of the own member. It may be added again.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  quorate client remove 0x02… --key governance.pem

Exit code 0 if the operation was executed, 3 if it was not.")]
pub(crate) struct RemoveArgs {
    /// The client's public key.
    #[arg(value_name = "KEY")]
    public_key: PublicKey,

    #[command(flatten)]
    acting: Acting,
}

/// Limit what a client of the own member may use of a block.
///
/// The limit of the member, governance.max_transactions_per_member and its bytes, holds in addition.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quorate client quota 0x02… --transactions 100 --bytes 65536 --key governance.pem
  quorate client quota 0x02… --none --key governance.pem

Exit code 0 if the operation was executed, 3 if it was not.")]
pub(crate) struct QuotaArgs {
    /// The client's public key.
    #[arg(value_name = "KEY")]
    public_key: PublicKey,

    /// Most transactions in a block.
    #[arg(long, value_name = "N", requires = "bytes", required_unless_present = "none")]
    transactions: Option<u64>,

    /// Most bytes of transactions in a block.
    #[arg(long, value_name = "N", requires = "transactions")]
    bytes: Option<u64>,

    /// Remove the limit.
    #[arg(long, conflicts_with_all = ["transactions", "bytes"])]
    none: bool,

    #[command(flatten)]
    acting: Acting,
}

/// Propose to revoke a client of any member.
///
/// A quorum of the members approves it. The key cannot be added again while the member of the
/// client stays. If that member is removed, the revocation is lost, too. In the submit mode open,
/// a revocation excludes no key.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  quorate client revoke 0x02… --key governance.pem

Exit code 0 if the proposal was made, 3 if it was not.")]
pub(crate) struct RevokeArgs {
    /// The client's public key.
    #[arg(value_name = "KEY")]
    public_key: PublicKey,

    #[command(flatten)]
    acting: Acting,
}

/// List the registered clients.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quorate client list
  quorate client list --member bank-1 --output json")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    node: Node,

    /// Only those of this member.
    #[arg(long, value_name = "NAME")]
    member: Option<Name>,

    #[command(flatten)]
    output: Output,
}

/// Runs `quorate client`.
pub(crate) fn run(command: &Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Add(args) => {
            let operation = Operation::AddClient { name: args.name.clone(), key: args.public_key };
            own(&args.acting, operation, &args.public_key)
        }
        Command::Remove(args) => {
            own(&args.acting, Operation::RemoveClient { key: args.public_key }, &args.public_key)
        }
        Command::Quota(args) => {
            let quota = args.quota();
            own(&args.acting, Operation::SetClientQuota { key: args.public_key, quota }, &args.public_key)
        }
        Command::Revoke(args) => {
            act(&args.acting, |_| Ok(Plan::propose(vec![Change::RevokeClient { key: args.public_key }])))
        }
        Command::List(args) => list(args),
    }
}

/// Changes a client of the own member.
fn own(acting: &Acting, operation: Operation, key: &PublicKey) -> anyhow::Result<Outcome> {
    act(acting, |_| Ok(Plan::alone(operation, key.to_string())))
}

impl QuotaArgs {
    /// `None` for `--none`.
    fn quota(&self) -> Option<Quota> {
        Some(Quota { transactions: self.transactions?, bytes: self.bytes? })
    }
}

fn list(args: &ListArgs) -> anyhow::Result<Outcome> {
    let rpc = args.node.rpc()?;
    let clients = block_on(async {
        let (mut all, mut after): (Vec<ClientJson>, Option<PublicKey>) = (Vec::new(), None);
        loop {
            let page = rpc.governance_clients(after.as_ref()).await.map_err(remote::advise)?;
            after = page.clients.last().map(|client| client.key);
            let wanted = |client: &ClientJson| {
                args.member.as_ref().is_none_or(|member| client.member == member.as_str())
            };
            all.extend(page.clients.into_iter().filter(wanted));
            if !page.more || after.is_none() {
                return Ok(all);
            }
        }
    })?;
    args.output.show(&clients, || table(&clients))?;
    Ok(Outcome::Yes)
}

fn table(clients: &[ClientJson]) -> String {
    if clients.is_empty() {
        return "no clients are registered".to_owned();
    }
    let mut table = Table::new(&["key", "name", "member", "quota"]);
    for client in clients {
        let quota = match (&client.quota, client.revoked) {
            (_, true) => "REVOKED".to_owned(),
            (Some(quota), _) => format!("{} transactions, {} bytes", quota.transactions, quota.bytes),
            (None, _) => "that of the member".to_owned(),
        };
        table.row([client.key.to_string(), client.name.clone(), client.member.clone(), quota]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    const KEY: &str = "0x0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

    fn quota(options: &[&str]) -> Result<Option<Quota>, clap::Error> {
        let line = ["client", "quota", KEY, "--key", "k.pem"].iter().chain(options);
        match Line::try_parse_from(line)?.command {
            Command::Quota(args) => Ok(args.quota()),
            _ => unreachable!("the line says quota"),
        }
    }

    #[test]
    fn a_quota_has_both_numbers_or_none() {
        let expected = Some(Quota { transactions: 1, bytes: 2 });
        assert_eq!(quota(&["--transactions", "1", "--bytes", "2"]).unwrap(), expected);
        assert_eq!(quota(&["--none"]).unwrap(), None);
        for wrong in [&["--transactions", "1"][..], &["--bytes", "1"], &[], &["--none", "--bytes", "1"]] {
            assert!(quota(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_key_is_needed_except_for_a_dry_run() {
        let parse = |options: &[&str]| {
            let line = ["client", "remove", KEY].iter().chain(options);
            Line::try_parse_from(line.copied()).is_ok()
        };
        assert!(parse(&["--key", "k.pem"]) && parse(&["--dry-run"]) && !parse(&[]));
    }

    #[test]
    fn a_revoked_client_is_marked() {
        let client = ClientJson {
            key: KEY.parse().unwrap(),
            name: "a".to_owned(),
            member: "b".to_owned(),
            quota: None,
            revoked: true,
        };
        assert!(table(&[client]).contains("REVOKED"));
        assert!(table(&[]).contains("no clients"));
    }
}
