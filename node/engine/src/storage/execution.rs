//! The governance state after the last final block, and what it decides about the next ones (R26).

use std::collections::BTreeMap;

use quorate_governance::{
    Affected, Ancestors, BlockUse, Config, ExecutedBlock, GovernanceTransaction, Kind, Outcome, State,
};
use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Block, BlockHash, Epoch, Hash, Height, NotPermitted, Transaction, VerifiedTransaction};
use quorate_mempool::Share;
use quorate_pbft::{EpochEnd, Schedule};
use quorate_store::LedgerReader;

use crate::fatal::Fatal;
use crate::pool::share;

/// The governance state after the last final block. The ledger has its own, which is behind by the
/// final blocks of the present group.
#[derive(Debug)]
pub(crate) struct Execution {
    state: State,
    /// The epoch of this engine. The state is in the next one once the last block is executed.
    epoch: Epoch,
    /// The hashes of the blocks that are executed and not in the ledger yet.
    fresh: BTreeMap<Height, BlockHash>,
    /// The state roots at checkpoint heights since the replica was told last.
    roots: Vec<(Height, Hash)>,
}

/// The hashes of final blocks, from the ledger and from the present group.
struct FinalBlocks<'a> {
    fresh: &'a BTreeMap<Height, BlockHash>,
    reader: &'a LedgerReader,
}

impl Ancestors for FinalBlocks<'_> {
    fn hash(&self, height: Height) -> Option<BlockHash> {
        let fresh = self.fresh.get(&height).copied();
        fresh.or_else(|| Some(self.reader.header(height).ok()??.hash()))
    }
}

impl Execution {
    /// Continues from the state of the ledger.
    pub(crate) fn new(state: State) -> Self {
        Execution { epoch: state.next_config().epoch(), state, fresh: BTreeMap::new(), roots: Vec::new() }
    }

    /// The state.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Executes the next final block. Returns whose transactions the configuration of the next height
    /// may forbid, as far as it differs from that of this block. `interval` is K.
    ///
    /// # Errors
    /// [`Fatal::NotExecuted`].
    pub(crate) fn execute(
        &mut self,
        block: &Block,
        interval: u64,
        reader: &LedgerReader,
    ) -> Result<Affected, Fatal> {
        let height = block.height();
        let config = self.state.next_config();
        let due = self.state.scheduled().values().filter(|change| change.effective_from <= height.next());
        let affected =
            due.map(|change| config.affected_by(&change.effect)).fold(Affected::Nothing, Affected::and);
        let operations: Vec<_> = block.body().governance().collect();
        let transactions: Vec<_> = operations
            .iter()
            .map(|(index, transaction)| GovernanceTransaction {
                id: block.body().ids()[*index as usize],
                sender: transaction.sender,
                payload: transaction.payload.bytes(),
            })
            .collect();
        let executed = ExecutedBlock { height, hash: block.hash(), transactions: &transactions };
        let ancestors = FinalBlocks { fresh: &self.fresh, reader };
        let outcomes: Result<Vec<Outcome>, _> = self.state.apply(&executed, &ancestors);
        outcomes.map_err(|reason| Fatal::NotExecuted { height, reason })?;
        self.fresh.insert(height, block.hash());
        if height.0.is_multiple_of(interval) {
            self.roots.push((height, self.state.root()));
        }
        Ok(affected)
    }

    /// Takes the state roots at checkpoint heights, ascending, that were not taken yet (R23).
    pub(crate) fn take_roots(&mut self) -> Vec<(Height, Hash)> {
        std::mem::take(&mut self.roots)
    }

    /// The ledger contains all executed blocks now.
    pub(crate) fn written(&mut self) {
        self.fresh.clear();
    }

    /// What the replica may judge (R26a to R26c).
    pub(crate) fn schedule(&self) -> Schedule {
        let executed = self.state.height();
        let horizon = self.state.horizon();
        let fill = self.state.scheduled().values().map(|change| change.effective_from).max();
        Schedule {
            executed,
            judgeable: horizon.previous().unwrap_or(horizon),
            end: self.end(),
            fill_through: fill.and_then(Height::previous),
        }
    }

    /// The end of this engine's epoch, once it is scheduled.
    fn end(&self) -> Option<EpochEnd> {
        let next = self.state.next_config();
        if next.epoch() != self.epoch {
            return Some(EpochEnd { last: self.state.height(), next_committee: next.committee().hash() });
        }
        let start = self.state.next_epoch_start()?;
        let committee = self.state.config(start)?.committee();
        Some(EpochEnd { last: start.previous()?, next_committee: committee.hash() })
    }

    /// The configuration that judges a height; `None` if it is not known yet or not any more.
    pub(crate) fn config(&self, height: Height) -> Option<&Config> {
        self.state.config(height)
    }

    /// The committee of the block above a height.
    pub(crate) fn next_committee(&self, height: Height) -> Option<Hash> {
        Some(self.config(height.next())?.committee().hash())
    }

    /// Whether a block at this height may contain these transactions: their senders and their
    /// quotas (R26g).
    ///
    /// # Errors
    /// The reason against it.
    pub(crate) fn check_permitted(
        &self,
        height: Height,
        transactions: &[VerifiedTransaction],
    ) -> Result<(), String> {
        let Some(config) = self.config(height) else {
            return Err(format!("the configuration of height {height} is not known"));
        };
        if is(Mutant::SendersUnchecked) {
            return Ok(());
        }
        let mut used = BlockUse::new(config);
        for transaction in transactions {
            add(&mut used, transaction)
                .map_err(|reason| format!("transaction {}: {reason}", transaction.id()))?;
        }
        Ok(())
    }

    /// Whether a block at the next height may contain this transaction alone, and the share of the
    /// pool in which it takes a place then.
    ///
    /// # Errors
    /// [`NotPermitted`].
    pub(crate) fn check_alone(&self, transaction: &VerifiedTransaction) -> Result<Share, NotPermitted> {
        let config = self.state.next_config();
        let (signed, bytes) = (transaction.transaction(), u64::from(transaction.bytes()));
        let permit = config.permits_alone(&signed.sender, Kind::of(&signed.payload), bytes)?;
        Ok(share::of(permit, config))
    }
}

/// Counts a transaction in a block.
pub(crate) fn add(used: &mut BlockUse<'_>, checked: &VerifiedTransaction) -> Result<(), NotPermitted> {
    let transaction: &Transaction = checked.transaction();
    used.add(&transaction.sender, Kind::of(&transaction.payload), u64::from(checked.bytes()))
}
