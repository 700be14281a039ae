//! `quorate tx send`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use clap::{Args, ValueEnum};
use quorate_api::{ReceiptJson, SubmitResult, TransactionStatus, Wait};
use quorate_client::{Client, ClientConfig, ClientError, Rpc, Submitted};
use quorate_genesis::Genesis;
use quorate_ledger::{ChainAnchor, Committee, Epoch, Transaction, from_hex};

use super::build::Content;
use crate::commands::block_on;
use crate::exit::Outcome;
use crate::genesis_file;
use crate::output::{self, Output};
use crate::remote::{self, Node};

/// What `tx send` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WaitFor {
    /// Nothing: the node has received the bytes and guarantees nothing more.
    None,
    /// A node verified the transaction and holds it in its pool.
    Accepted,
    /// A final block contains the transaction; the response includes the receipt, which is
    /// verified.
    Committed,
}

/// Send a transaction and wait for the result.
///
/// It is always safe to send the same bytes again, to any node: they are ordered only once. If a
/// node has no room, the command sends the transaction again until the timeout.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("payload").required(true), after_help = "\
Examples:
  quorate tx send --data 'hello'
  quorate tx send --key client.pem --data-file order.json --wait accepted --rpc http://127.0.0.1:8546
  quorate tx send --data 'hello' --output json | quorate verify - --genesis genesis.toml

Exit code 0 when the wait was reached, 3 when it was not: not in time, or expired.")]
pub(crate) struct SendArgs {
    #[command(flatten)]
    node: Node,

    #[command(flatten)]
    content: Content,

    /// Send this signed transaction, as `tx sign` printed it, instead of creating one.
    #[arg(long, value_name = "HEX", group = "payload", conflicts_with_all = ["key", "valid_for", "nonce"])]
    transaction: Option<String>,

    /// The network's genesis file. Without it, the command trusts the node: it uses the genesis
    /// that the node returns, and verifies the receipt against the validators in it.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,

    /// What to wait for.
    #[arg(long, value_enum, default_value = "committed")]
    wait: WaitFor,

    /// How long to wait.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    timeout: Duration,

    #[command(flatten)]
    output: Output,
}

/// Runs `quorate tx send`.
pub(super) fn run(args: &SendArgs) -> anyhow::Result<Outcome> {
    block_on(send(args))
}

async fn send(args: &SendArgs) -> anyhow::Result<Outcome> {
    let rpc = args.node.rpc()?;
    let genesis = genesis_from(args.genesis.as_deref(), &rpc).await?;
    let transaction = match &args.transaction {
        Some(hex) => decode(hex)?,
        None => args.content.sign(&genesis)?,
    };
    let client = client(&args.node, &genesis, args.timeout)?;
    let result = match args.wait {
        WaitFor::None => {
            let submitted = rpc.tx_submit(transaction.to_bytes(), Wait::None, args.timeout).await;
            let result = submitted.map_err(remote::advise)?;
            ensure!(
                result.id == transaction.id(),
                "the node returned the status of another transaction, {}: do not trust it",
                result.id
            );
            // A receipt would not be verified here.
            SubmitResult { receipt: None, ..result }
        }
        WaitFor::Accepted | WaitFor::Committed => {
            let committed = args.wait == WaitFor::Committed;
            result_of(&submit(&client, &transaction, args.timeout, committed).await?)
        }
    };
    args.output.show(&result, || human(&result, &client.anchor()))?;
    Ok(Outcome::of(is_reached(args.wait, &result.status)))
}

fn advise(error: ClientError) -> anyhow::Error {
    match error {
        ClientError::Call(error) => remote::advise(error),
        other => other.into(),
    }
}

/// A client of one node that verifies receipts of this network.
pub(crate) fn client(node: &Node, genesis: &Genesis, timeout: Duration) -> anyhow::Result<Client> {
    let config = ClientConfig { timeout, ..ClientConfig::default() };
    Ok(Client::new([&node.url], genesis.anchor().clone(), config)?)
}

/// Submits the transaction, repeatedly if needed, until the requested status is reached or the time
/// is over. The transaction counts as committed only after its receipt was verified.
pub(crate) async fn submit(
    client: &Client,
    transaction: &Transaction,
    timeout: Duration,
    until_committed: bool,
) -> anyhow::Result<Submitted> {
    let submitted = if until_committed {
        client.submit_and_wait(transaction, timeout).await
    } else {
        client.submit(transaction).await
    };
    submitted.map_err(advise)
}

fn result_of(submitted: &Submitted) -> SubmitResult {
    SubmitResult {
        id: submitted.id,
        status: submitted.status.clone(),
        outcome: submitted.outcome.clone(),
        receipt: submitted.receipt.as_ref().map(ReceiptJson::from),
    }
}

fn decode(hex: &str) -> anyhow::Result<Transaction> {
    let bytes = from_hex(hex).context("--transaction")?;
    Transaction::from_bytes(&bytes)
        .context("--transaction is not a transaction: give what `quorate tx sign` printed")
}

/// The genesis in a file, or that of the node if no file is given.
pub(crate) async fn genesis_from(path: Option<&Path>, rpc: &Rpc) -> anyhow::Result<Genesis> {
    match path {
        Some(path) => genesis_file::read_genesis(path),
        None => genesis_of(rpc).await,
    }
}

/// The genesis that a node returns, if it is valid and has the chain id that the node claims.
async fn genesis_of(rpc: &Rpc) -> anyhow::Result<Genesis> {
    let claimed = rpc.network_genesis().await.map_err(remote::advise)?;
    let genesis = Genesis::parse(&claimed.toml)
        .map_err(|errors| anyhow!("the node's genesis is not valid: {errors}; give --genesis FILE"))?;
    if genesis.chain_id() != claimed.chain_id {
        bail!(
            "the node claims chain {}, but its genesis defines chain {}: do not trust this node",
            claimed.chain_id,
            genesis.chain_id()
        );
    }
    Ok(genesis)
}

fn is_reached(wait: WaitFor, status: &TransactionStatus) -> bool {
    match wait {
        WaitFor::None => !matches!(status, TransactionStatus::Expired | TransactionStatus::Rejected { .. }),
        WaitFor::Accepted => {
            matches!(status, TransactionStatus::Pending | TransactionStatus::Committed { .. })
        }
        WaitFor::Committed => matches!(status, TransactionStatus::Committed { .. }),
    }
}

/// The anchor has the committee that certified the receipt, because the receipt was verified with it.
fn human(result: &SubmitResult, anchor: &ChainAnchor) -> String {
    let mut fields = vec![("id", result.id.to_string()), ("status", super::look::describe(&result.status))];
    fields.extend(result.outcome.as_ref().map(|outcome| ("outcome", super::look::outcome(outcome))));
    if let Some(receipt) = &result.receipt {
        let header = &receipt.proof.header;
        fields.push(("time", output::time(header.timestamp_ms)));
        let signers = receipt.proof.certificate.signers.len();
        let members = anchor.committee(Epoch(header.epoch)).map_or(0, Committee::size);
        fields.push(("receipt", format!("verified: certified by {signers} of {members} validators")));
    }
    output::fields(fields)
}

#[cfg(test)]
mod tests {
    use quorate_ledger::NotPermitted;

    use super::*;

    #[test]
    fn each_wait_is_reached_by_its_own_statuses() {
        let committed = TransactionStatus::Committed { height: 1, index: 0 };
        let table = [
            (TransactionStatus::Unknown, [true, false, false]),
            (TransactionStatus::Pending, [true, true, false]),
            (committed, [true, true, true]),
            (TransactionStatus::Expired, [false, false, false]),
            (TransactionStatus::rejected(NotPermitted::SenderRevoked), [false, false, false]),
        ];
        for (status, reached) in table {
            let found =
                [WaitFor::None, WaitFor::Accepted, WaitFor::Committed].map(|wait| is_reached(wait, &status));
            assert_eq!(found, reached, "{status:?}");
        }
    }
}
