//! Follows an export from block 1 to its end, and verifies all of it.

use std::path::Path;

use quorate_genesis::Genesis;
use quorate_governance::State;
use quorate_ledger::Header;
use quorate_store::{ExportReader, RangeVerifier, StoreError};

use super::proofs::Proofs;
use super::{advise, must_exist, progress, show_position};

/// A chain of which every parent hash, body, signature and change of the committee was verified.
pub(crate) struct Followed {
    /// The header of the last block, or that of the genesis if there is no block.
    pub(crate) last: Header,
    /// The governance state after this block.
    pub(crate) state: State,
    /// Number of transactions.
    pub(crate) transactions: u64,
    /// Number of certificates.
    pub(crate) certificates: u64,
}

/// The inner error is that the chain is invalid; the outer error is that it cannot be verified.
pub(crate) type Verified<T> = anyhow::Result<Result<T, String>>;

/// An error caused by the contents of the file means that the chain is invalid.
pub(super) fn answer<T>(error: StoreError) -> Verified<T> {
    match error {
        StoreError::Damaged { .. } | StoreError::OtherChain { .. } | StoreError::OtherGenesis { .. } => {
            Ok(Err(error.to_string()))
        }
        other => Err(advise(other)),
    }
}

/// Verifies an export of the chain of this genesis. `initial` is the governance state before block
/// 1.
///
/// # Errors
/// A file that cannot be read, or that is no export.
pub(crate) fn follow_export(path: &Path, genesis: &Genesis, initial: &State) -> Verified<Followed> {
    must_exist(path)?;
    let mut reader = match ExportReader::open(path, genesis.header()) {
        Ok(reader) => reader,
        Err(error) => return answer(error),
    };
    let bar = progress("bytes");
    let mut verifier = RangeVerifier::new(initial, genesis.anchor());
    let mut proofs = Proofs::new(genesis.anchor().clone(), verifier.state());
    let invalid = |reason: String| Ok(Err(format!("{}: {reason}", path.display())));
    let (mut last, mut transactions, mut certificates) = (genesis.header().clone(), 0, 0);
    while let Some(range) = reader.next() {
        let range = match range {
            Ok(range) => range,
            Err(error) => return answer(error),
        };
        certificates += 1;
        transactions += range.blocks.iter().map(|block| u64::from(block.body().count())).sum::<u64>();
        if let Some(block) = range.blocks.last() {
            last = block.header().clone();
        }
        let executed = verifier.execute(&range);
        // A forged block may also contradict the state. The certificates tell the cause.
        if let Err(reason) = proofs.push(range).and(executed) {
            return invalid(proofs.finish().err().unwrap_or(reason));
        }
        proofs.advance(verifier.anchor(), verifier.state());
        let (position, length) = reader.position();
        show_position(&bar, position, length);
    }
    if let Err(reason) = proofs.finish() {
        return invalid(reason);
    }
    bar.finish_and_clear();
    Ok(Ok(Followed { last, state: verifier.state().clone(), transactions, certificates }))
}
