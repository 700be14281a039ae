//! Creates and opens the data files of a node: the ledger, and the journal of a validator.

use std::path::Path;

use anyhow::{Context, anyhow};
use quorate_genesis::Genesis;
use quorate_governance::State;
use quorate_ledger::{ChainId, PublicKey};
use quorate_store::{Journal, JournalIdentity, Ledger, StoreError};

fn identity(genesis: &Genesis, key: &PublicKey) -> JournalIdentity {
    JournalIdentity { chain_id: genesis.chain_id(), validator: *key }
}

/// Creates an empty ledger and, for a validator, an empty journal. Neither may exist. `initial` is
/// the governance state before block 1.
///
/// Only `quorate testnet`, `quorate devnet` and `--init` call this. A journal that is missing at
/// any other time was lost, and a validator without the record of its votes must not start.
///
/// # Errors
/// If either file exists or cannot be written.
pub(crate) fn create(
    genesis: &Genesis,
    initial: &State,
    key: &PublicKey,
    ledger: &Path,
    journal: Option<&Path>,
) -> anyhow::Result<()> {
    Ledger::create(ledger, genesis.header(), initial).context("cannot create the ledger")?;
    if let Some(journal) = journal {
        Journal::create(journal, &identity(genesis, key)).context("cannot create the journal")?;
    }
    Ok(())
}

/// Opens the journal that [`create`] created for a validator. It identifies the validator to which
/// the data directory belongs, whose key may have been one of the `others`.
pub(crate) fn open_journal(
    genesis: &Genesis,
    key: &PublicKey,
    others: &[PublicKey],
    journal: &Path,
) -> anyhow::Result<Journal> {
    Journal::open_of(journal, &identity(genesis, key), others)
        .map_err(|error| explained(genesis, error, "cannot open the journal"))
}

/// Opens the ledger, the only data file that an observer uses.
pub(crate) fn open_ledger(genesis: &Genesis, ledger: &Path) -> anyhow::Result<Ledger> {
    Ledger::open(ledger, genesis.header())
        .map_err(|error| explained(genesis, error, "cannot open the ledger"))
}

/// An error of opening a file, with `what` could not be done. Says what to do if the file belongs to
/// another chain.
fn explained(genesis: &Genesis, error: StoreError, what: &'static str) -> anyhow::Error {
    let reason = match &error {
        StoreError::OtherChain { path, found, .. } => anyhow!("{}", of_another_chain(genesis, path, *found)),
        _ => error.into(),
    };
    reason.context(what)
}

/// The error that the data files of a node belong to another chain, if they do. Files that cannot
/// be read count as files of this chain: opening them reports the cause.
pub(crate) fn check_chain(genesis: &Genesis, ledger: &Path, journal: Option<&Path>) -> Option<anyhow::Error> {
    let of_ledger = Ledger::chain_of(ledger).ok().map(|found| (ledger, found));
    let of_journal = journal.and_then(|journal| Some((journal, Journal::chain_of(journal).ok()?)));
    let mut found = of_ledger.into_iter().chain(of_journal);
    let (file, found) = found.find(|(_, found)| *found != genesis.chain_id())?;
    Some(anyhow!("{}", of_another_chain(genesis, file, found)))
}

/// A file of another chain: most likely the operator of this node put a new genesis into the home
/// of an earlier network.
fn of_another_chain(genesis: &Genesis, file: &Path, found: ChainId) -> String {
    let file = file.display();
    match genesis.predecessor().filter(|predecessor| predecessor.chain_id == found) {
        Some(predecessor) => format!(
            "{file} belongs to chain {found}. The network of the genesis ({}) continues that chain after block {}, with \
             data of its own. The old data is the record of the old chain: move it to another place and keep it. \
             Then start this node once with --init",
            genesis.chain_id(),
            predecessor.height
        ),
        None => format!(
            "{file} belongs to chain {found}, but the genesis is of chain {}: use the genesis of that chain. If this \
             node joins another network, move the old data to another place, keep it, and start the node once with \
             --init",
            genesis.chain_id()
        ),
    }
}
