//! Prints the blocks of a network, each proven final, from one height to another. Waits for blocks
//! that do not exist yet, and continues at another node when one fails.
//!
//! ```sh
//! cargo run -p quorate-client --example follow -- genesis.toml 1 10 http://127.0.0.1:8545 http://127.0.0.1:8546
//! ```

use std::error::Error;

use quorate_client::{Client, ClientConfig};
use quorate_genesis::Genesis;
use quorate_ledger::Height;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: follow GENESIS FROM TO URL...";
    let genesis = Genesis::parse(&std::fs::read_to_string(arguments.next().ok_or(usage)?)?)?;
    let from = Height(arguments.next().ok_or(usage)?.parse()?);
    let to = Height(arguments.next().ok_or(usage)?.parse()?);
    let client = Client::new(arguments, genesis.anchor().clone(), ClientConfig::default())?;

    let mut blocks = client.follow(from);
    while blocks.position() <= to {
        match blocks.next().await {
            Ok(block) => {
                println!("{} {} transactions: {}", block.height(), block.hash(), block.body().ids().len());
            }
            // No block is lost: the next call continues at the same height.
            Err(error) => eprintln!("at height {}: {error}; trying again", blocks.position()),
        }
    }
    Ok(())
}
