//! Orders a text, waits until it is committed, and prints what proves it. Any of the nodes may fail meanwhile.
//!
//! ```sh
//! cargo run -p quorate-client --example submit -- genesis.toml 'hello' http://127.0.0.1:8545 http://127.0.0.1:8546
//! ```

use std::error::Error;
use std::time::Duration;

use quorate_client::{Client, ClientConfig, DEFAULT_LIFETIME, TransactionBuilder};
use quorate_genesis::Genesis;
use quorate_ledger::SecretKey;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: submit GENESIS TEXT URL...";
    let genesis = Genesis::parse(&std::fs::read_to_string(arguments.next().ok_or(usage)?)?)?;
    let text = arguments.next().ok_or(usage)?;
    let client = Client::new(arguments, genesis.anchor().clone(), ClientConfig::default())?;

    // An application keeps its key, and keeps what it has signed until it knows how it ended: the same bytes can be
    // handed in again, by anybody, at any node, and are committed at most once.
    let key = SecretKey::generate();
    let transaction = TransactionBuilder::new(genesis.chain_id(), text.into_bytes()).sign(&key)?;
    let started = std::time::Instant::now();
    let receipt = loop {
        match client.submit_and_wait(&transaction, Duration::from_secs(10)).await {
            Ok(submitted) => match submitted.receipt {
                Some(receipt) => break receipt,
                None => eprintln!("{} so far, going on", submitted.status.name()),
            },
            Err(error) => eprintln!("{error}; trying again"),
        }
        if started.elapsed() > DEFAULT_LIFETIME {
            return Err("its time is over; `lookup` tells what became of it".into());
        }
    };
    // The client has verified it. Whoever has the genesis can do so again, without any node.
    receipt.verify(genesis.anchor())?;
    println!(
        "{} committed at height {} index {}",
        transaction.id(),
        receipt.proof.header.height,
        receipt.index
    );
    Ok(())
}
