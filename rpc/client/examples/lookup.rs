//! Prints the status of a transaction: proven if it was committed, else a status that f + 1 nodes
//! agree on, so that at least one of them is correct.
//!
//! ```sh
//! cargo run -p quorate-client --example lookup -- genesis.toml 0x6b42… http://127.0.0.1:8545 http://127.0.0.1:8546
//! ```

use std::error::Error;

use quorate_client::{Client, ClientConfig, Rpc};
use quorate_genesis::Genesis;
use quorate_ledger::{Payload, TransactionId};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: lookup GENESIS ID URL...";
    let genesis = Genesis::parse(&std::fs::read_to_string(arguments.next().ok_or(usage)?)?)?;
    let id: TransactionId = arguments.next().ok_or(usage)?.parse()?;
    let client = Client::new(arguments, genesis.anchor().clone(), ClientConfig::default())?;

    // A commit can be proven, so one node suffices.
    if let Some(located) = client.transaction(id).await? {
        let Payload::Data(data) = &located.transaction.payload else {
            return Err("this version orders only data".into());
        };
        let height = located.receipt.proof.header.height;
        println!("committed at height {height}: {}", String::from_utf8_lossy(data));
        return Ok(());
    }
    // That it was not committed cannot be proven.
    let status = client.agreed(async |node: Rpc| node.tx_status(id).await).await?;
    println!("{}, according to f + 1 nodes", status.status.name());
    Ok(())
}
