//! `quorate block`: shows committed blocks.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use quorate_api::{BlockAt, BlockJson, MAX_BLOCKS, TransactionsJson, shorten};
use quorate_client::Rpc;

use crate::commands::block_on;
use crate::commands::tx::payload;
use crate::exit::Outcome;
use crate::output::{self, Output, Table};
use crate::remote::{self, Node};

/// Characters of a payload that the table of transactions shows.
const PREVIEW_CHARS: usize = 40;

/// Show committed blocks.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Show(ShowArgs),
    List(ListArgs),
}

/// Show one block with its transactions.
///
/// Exit code 3 if the node has no such block.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Height, block hash or "latest".
    #[arg(value_name = "BLOCK", default_value = "latest")]
    at: BlockAt,

    #[command(flatten)]
    node: Node,

    #[command(flatten)]
    output: Output,
}

/// List blocks, one per line.
///
/// Without --from, it lists the newest blocks.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Height of the first block.
    #[arg(long, value_name = "HEIGHT")]
    from: Option<u64>,

    /// Upper limit of blocks to list.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_BLOCKS)))]
    limit: u32,

    #[command(flatten)]
    node: Node,

    #[command(flatten)]
    output: Output,
}

/// Runs `quorate block`.
pub(crate) fn run(command: &Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Show(args) => show(args),
        Command::List(args) => list(args),
    }
}

fn show(args: &ShowArgs) -> anyhow::Result<Outcome> {
    let rpc = args.node.rpc()?;
    let found = block_on(async { rpc.chain_block(args.at, true).await.map_err(remote::advise) })?;
    if let Some(block) = &found {
        block.to_block().with_context(|| contradiction(&args.node))?;
    }
    args.output.show(&found, || match &found {
        Some(block) => human(block),
        None => format!("{} has no block {}", args.node.url, args.at),
    })?;
    Ok(Outcome::of(found.is_some()))
}

fn list(args: &ListArgs) -> anyhow::Result<Outcome> {
    let rpc = args.node.rpc()?;
    let blocks = block_on(blocks(&rpc, args.from, args.limit))?;
    for block in &blocks {
        block.skeleton().with_context(|| contradiction(&args.node))?;
    }
    args.output.show(&serde_json::json!({ "blocks": blocks }), || table(&blocks).render())?;
    Ok(Outcome::Yes)
}

fn contradiction(node: &Node) -> String {
    format!("{} returned a block that is inconsistent: do not trust this node", node.url)
}

/// Up to `limit` blocks with transaction ids: from a height on, or the newest.
pub(crate) async fn blocks(rpc: &Rpc, from: Option<u64>, limit: u32) -> anyhow::Result<Vec<BlockJson>> {
    let from = match from {
        Some(from) => from,
        None => {
            let head = rpc.chain_head().await.map_err(remote::advise)?.height;
            head.saturating_sub(u64::from(limit) - 1)
        }
    };
    let mut blocks = Vec::new();
    // A node may return fewer blocks than requested.
    while let Some(left) = limit.checked_sub(u32::try_from(blocks.len())?).filter(|left| *left > 0) {
        let next = from.saturating_add(blocks.len() as u64);
        let answer = rpc.chain_blocks(next, left, false).await.map_err(remote::advise)?.blocks;
        if answer.is_empty() {
            break;
        }
        let expected =
            answer.iter().zip(next..=u64::MAX).all(|(block, height)| block.header.height == height);
        if !expected || answer.len() > left as usize {
            bail!("the node returned other blocks than those requested: do not trust this node");
        }
        blocks.extend(answer);
    }
    Ok(blocks)
}

/// One row for each block.
pub(crate) fn table(blocks: &[BlockJson]) -> Table {
    let mut table = Table::new(&["height", "transactions", "bytes", "time", "proposer", "hash"]);
    for block in blocks {
        let header = &block.header;
        table.row([
            header.height.to_string(),
            header.transaction_count.to_string(),
            header.body_bytes.to_string(),
            output::time(header.timestamp_ms),
            header.proposer.to_string(),
            block.hash.to_string(),
        ]);
    }
    table
}

fn human(block: &BlockJson) -> String {
    let header = &block.header;
    let certificate = match &block.certificate {
        Some(certificate) => {
            let signers: Vec<String> = certificate.signers.iter().map(u16::to_string).collect();
            format!("view {}, by members {}", certificate.view, signers.join(", "))
        }
        None if header.height == 0 => "none: it is the genesis".to_owned(),
        None => "none of its own: the certificate of a later block makes it final".to_owned(),
    };
    let fields = output::fields([
        ("height", header.height.to_string()),
        ("hash", block.hash.to_string()),
        ("parent", header.parent.to_string()),
        ("time", output::time(header.timestamp_ms)),
        ("proposer", header.proposer.to_string()),
        ("certificate", certificate),
        ("transactions", format!("{}, {} bytes", header.transaction_count, header.body_bytes)),
    ]);
    let TransactionsJson::Full(transactions) = &block.transactions else { return fields };
    if transactions.is_empty() {
        return fields;
    }
    let mut table = Table::new(&["index", "id", "sender", "payload"]);
    for (index, transaction) in transactions.iter().enumerate() {
        table.row([
            index.to_string(),
            transaction.id.to_string(),
            output::short(&transaction.sender),
            shorten(&payload(&transaction.payload), PREVIEW_CHARS),
        ]);
    }
    format!("{fields}\n{}", table.render())
}
