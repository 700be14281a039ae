//! The output of a devnet.

use anyhow::Context;
use quorate_client::{ClientConfig, Rpc};

use super::members::LiveNetwork;
use super::sample::Sample;
use crate::commands::block;
use crate::output::{self, Table};

/// Number of blocks shown.
const BLOCKS: u32 = 5;

/// The validators, the first blocks and the results of the sample.
pub(super) async fn render(network: &LiveNetwork, sample: &Sample) -> anyhow::Result<String> {
    let mut validators = Table::new(&["validator", "public key", "rpc", "height", "peers"]);
    for (entry, condition) in network.known.validators.iter().zip(network.conditions().await) {
        let status = condition.status.as_ref();
        let number = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        validators.row([
            entry.name.clone(),
            output::short(&entry.public_key),
            entry.rpc.clone(),
            number(status.map(|status| status.head.height.to_string())),
            number(status.map(|status| status.peers_connected.to_string())),
        ]);
    }
    let first = network.known.validators.first().context("a network has a validator")?;
    let first = Rpc::new(&first.rpc, &ClientConfig::default())?;
    let lowest = sample.places.values().map(|place| place.height.0).min().unwrap_or(1);
    let blocks = block::blocks(&first, Some(lowest), BLOCKS).await?;
    Ok(format!(
        "{}\n{}\n{} transactions committed on all {} validators in {} ms, {} receipts verified against the genesis \
         (chain {}).\n",
        validators.render(),
        block::table(&blocks).render(),
        sample.places.len(),
        network.known.validators.len(),
        sample.took.as_millis(),
        sample.receipts,
        network.known.genesis.chain_id()
    ))
}

/// Commands to copy.
pub(super) fn next_steps(network: &LiveNetwork, kept: bool) -> String {
    let program = program();
    let genesis = network.known.genesis_path.display();
    let file = network.file.display();
    let rpc = network.known.validators.first().map_or("", |entry| &entry.rpc);
    let data = if kept { "its data is kept" } else { "its data is then deleted (use --dir to keep it)" };
    format!(
        "\
Try next, in another terminal:
  {program} status --network {file}
  {program} tx send --rpc {rpc} --data 'hello'
  {program} tx send --rpc {rpc} --data 'hello' --output json | {program} verify - --genesis {genesis}
  {program} block list --rpc {rpc}
  {program} bench --network {file} --rate 200 --duration 10s
  curl -s {rpc} -H 'content-type: application/json' -d '{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"chain_head\"}}'

Or open {rpc} in a browser: it shows the network, and verifies receipts.

The network runs until Ctrl-C; {data}."
    )
}

/// The path of this program as it was started, so that the commands can be copied.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "quorate".to_owned())
}
