//! Submits a text, waits until it is committed, and prints its place. Any of the nodes may fail
//! meanwhile.
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

    // An application stores its key, and stores the signed bytes until it knows their outcome: any
    // client can submit the same bytes again, to any node, and they are committed at most once.
    let key = SecretKey::generate();
    let transaction = TransactionBuilder::new(genesis.chain_id(), text.into_bytes()).sign(&key)?;
    let started = std::time::Instant::now();
    let receipt = loop {
        match client.submit_and_wait(&transaction, Duration::from_secs(10)).await {
            Ok(submitted) => match submitted.receipt {
                Some(receipt) => break receipt,
                None => eprintln!("{} so far, continuing", submitted.status.name()),
            },
            Err(error) => eprintln!("{error}; trying again"),
        }
        if started.elapsed() > DEFAULT_LIFETIME {
            return Err("the transaction has expired or will soon; run `lookup` for its status".into());
        }
    };
    // The client has verified the receipt. With the genesis and the epoch proofs that lead to this
    // anchor, any program can verify it again without a node.
    receipt.verify(&client.anchor())?;
    println!(
        "{} committed at height {} index {}",
        transaction.id(),
        receipt.proof.header.height,
        receipt.index
    );
    Ok(())
}
