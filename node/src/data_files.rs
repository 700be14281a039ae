//! Creates and opens the data files of a node: the ledger, and the journal of a validator.

use std::path::Path;

use anyhow::Context;
use quorate_genesis::Genesis;
use quorate_ledger::PublicKey;
use quorate_store::{Journal, JournalIdentity, Ledger};

fn identity(genesis: &Genesis, key: &PublicKey) -> JournalIdentity {
    JournalIdentity { chain_id: genesis.chain_id(), validator: *key }
}

/// Creates an empty ledger and, for a validator, an empty journal. Neither may exist.
///
/// Only `quorate testnet`, `quorate devnet` and `--init` call this. A journal that is missing at
/// any other time was lost, and a validator without the record of its votes must not start.
///
/// # Errors
/// If either file exists or cannot be written.
pub(crate) fn create(
    genesis: &Genesis,
    key: &PublicKey,
    ledger: &Path,
    journal: Option<&Path>,
) -> anyhow::Result<()> {
    Ledger::create(ledger, genesis.header(), &genesis.governance_state())
        .context("cannot create the ledger")?;
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
    Journal::open_of(journal, &identity(genesis, key), others).context("cannot open the journal")
}

/// Opens the ledger, the only data file that an observer uses.
pub(crate) fn open_ledger(genesis: &Genesis, ledger: &Path) -> anyhow::Result<Ledger> {
    Ledger::open(ledger, genesis.header()).context("cannot open the ledger")
}
