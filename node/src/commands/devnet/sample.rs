//! The sample: sends a few transactions and checks that every validator commits all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::future::try_join_all;
use quorate_client::Client;
use quorate_ledger::{BlockHash, Height, Payload, Receipt, SecretKey, Transaction, TransactionId};
use tokio::time::{Instant, sleep, timeout};

use super::members::LiveNetwork;
use crate::commands;

/// Number of transactions in the sample, and of the new keys that sign them in turn.
const TRANSACTIONS: usize = 20;
const SENDERS: usize = 3;

/// Time limit for the whole sample, on a slow and busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Lifetime of a sample transaction; longer than the time limit of the sample.
const LIFETIME_MS: u64 = 90_000;

/// Interval between two requests for a receipt that does not exist yet.
const TICK: Duration = Duration::from_millis(20);

/// The results of the sample.
pub(super) struct Sample {
    /// The transactions and their places in the chain; the same on every validator.
    pub(super) places: BTreeMap<TransactionId, Place>,
    /// Number of receipts that were verified.
    pub(super) receipts: usize,
    /// Time from the first submission until every validator had committed everything.
    pub(super) took: Duration,
}

/// The place of a transaction in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Height of the block.
    pub(super) height: Height,
    /// Hash of the block.
    pub(super) block: BlockHash,
    /// Position in the block.
    pub(super) index: u32,
}

/// Orders the sample and verifies every receipt of every validator.
///
/// # Errors
/// A transaction that is not committed in time, a receipt that is not valid, or validators that
/// disagree.
pub(super) async fn order(network: &LiveNetwork) -> anyhow::Result<Sample> {
    let started = Instant::now();
    let clients = network.clients()?;
    let work = async {
        let transactions = sign(network);
        let submitted = transactions
            .iter()
            .enumerate()
            .map(|(number, transaction)| submit(&clients[number % clients.len()], transaction));
        let submitted = try_join_all(submitted).await?;
        let places: BTreeMap<_, _> = transactions.iter().map(Transaction::id).zip(submitted).collect();
        for (client, entry) in clients.iter().zip(&network.known.validators) {
            check(client, &places)
                .await
                .with_context(|| format!("{} has not committed the whole sample", entry.name))?;
        }
        anyhow::Ok(places)
    };
    let places = timeout(DEADLINE, work).await.with_context(|| {
        format!(
            "the sample was not committed on every validator within {} seconds; --log-level info shows more",
            DEADLINE.as_secs()
        )
    })??;
    // One receipt with each submission, and one from each validator.
    let receipts = places.len() * (1 + clients.len());
    Ok(Sample { places, receipts, took: started.elapsed() })
}

fn sign(network: &LiveNetwork) -> Vec<Transaction> {
    let genesis = &network.known.genesis;
    let keys: Vec<SecretKey> = (0..SENDERS).map(|_| SecretKey::generate()).collect();
    let now = commands::now();
    let longest = genesis.block_limits().transaction.max_lifetime_ms;
    let valid_until = now.plus_ms(LIFETIME_MS.min(longest / 4 * 3));
    (0..TRANSACTIONS)
        .map(|number| {
            let payload = Payload::Data(format!("sample transaction {number}").into_bytes());
            let nonce = number as u64;
            Transaction::sign(&genesis.chain_id(), &keys[number % SENDERS], nonce, valid_until, payload)
        })
        .collect()
}

/// Submits one transaction and waits for its receipt, which the client verifies.
async fn submit(client: &Client, transaction: &Transaction) -> anyhow::Result<Place> {
    let submitted = client.submit_and_wait(transaction, DEADLINE).await?;
    let Some(receipt) = &submitted.receipt else {
        bail!("transaction {} is {} but not committed", submitted.id, submitted.status.name());
    };
    Ok(place(receipt))
}

/// The place of a transaction according to its verified receipt.
fn place(receipt: &Receipt) -> Place {
    let header = &receipt.proof.header;
    Place { height: header.height, block: header.hash(), index: receipt.index }
}

/// Waits until a validator has committed everything. Verifies its receipts, which must name the
/// same places.
async fn check(client: &Client, places: &BTreeMap<TransactionId, Place>) -> anyhow::Result<()> {
    for (id, expected) in places {
        let receipt = loop {
            match client.receipt(*id).await? {
                Some(receipt) => break receipt,
                None => sleep(TICK).await,
            }
        };
        let found = place(&receipt);
        if found != *expected {
            bail!("transaction {id} is at {found:?} on this validator and at {expected:?} on another");
        }
    }
    Ok(())
}
