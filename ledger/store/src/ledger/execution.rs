//! Executing blocks: what they do to the governance state, before anything is written.

use quorate_governance::{
    Ancestors, ApplyError, BlockUse, Config, ExecutedBlock, GovernanceTransaction, Kind, Outcome, State,
    Submit,
};
use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Block, BlockHash, Epoch, Hash, Header, Height, Payload, PublicKey, Transaction};

use crate::error::Contradiction;

/// What a block does besides changing the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Effects {
    pub(crate) height: Height,
    /// The outcome of each governance transaction, with its index in the block.
    pub(crate) outcomes: Vec<(u32, Outcome)>,
    /// The state root, if the height is a checkpoint.
    pub(crate) root: Option<Hash>,
    /// If it is the last block of an epoch: this epoch, and the members of the next one.
    pub(crate) ended: Option<(Epoch, Vec<PublicKey>)>,
}

/// Why a block was not executed. The state is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExecutionError {
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// The blocks of a batch, and those below it.
pub(crate) struct BatchAncestors<'a, F> {
    pub(crate) batch: &'a [Block],
    /// The hash of a block below the batch, if it is known.
    pub(crate) below: F,
}

impl<F: Fn(Height) -> Option<BlockHash>> Ancestors for BatchAncestors<'_, F> {
    fn hash(&self, height: Height) -> Option<BlockHash> {
        let of_batch = self.batch.iter().find(|block| block.height() == height);
        of_batch.map(Block::hash).or_else(|| (self.below)(height))
    }
}

/// Executes the blocks of a batch one after the other. An error comes with the height of its block,
/// and the state is of no use then.
pub(crate) fn execute_all(
    state: &mut State,
    batch: &[Block],
    below: impl Fn(Height) -> Option<BlockHash>,
) -> Result<Vec<Effects>, (Height, ExecutionError)> {
    let ancestors = BatchAncestors { batch, below };
    let each = |block: &Block| execute(state, block, &ancestors).map_err(|error| (block.height(), error));
    batch.iter().map(each).collect()
}

/// Executes the next block on a state. The state is unchanged after an error.
pub(crate) fn execute(
    state: &mut State,
    block: &Block,
    ancestors: &impl Ancestors,
) -> Result<Effects, ExecutionError> {
    let (header, height) = (block.header(), block.height());
    let config = state.next_config();
    check_header(state, config, header)?;
    check_transactions(config, block)?;
    let interval = config.parameters().consensus.checkpoint_interval.max(1);
    let is_checkpoint = height.0.is_multiple_of(interval) || header.ends_epoch();

    let operations: Vec<(u32, Transaction)> = block.body().governance().collect();
    let transactions: Vec<GovernanceTransaction<'_>> =
        operations.iter().filter_map(|(index, operation)| governance_of(block, *index, operation)).collect();
    let executed = ExecutedBlock { height, hash: block.hash(), transactions: &transactions };
    let outcomes = state.apply(&executed, ancestors)?;
    let next = state.next_config().committee();
    Ok(Effects {
        height,
        outcomes: operations.iter().map(|(index, _)| *index).zip(outcomes).collect(),
        root: is_checkpoint.then(|| state.root()),
        ended: header.ends_epoch().then(|| (header.epoch, next.members().to_vec())),
    })
}

fn governance_of<'a>(
    block: &Block,
    index: u32,
    operation: &'a Transaction,
) -> Option<GovernanceTransaction<'a>> {
    let Payload::Governance(payload) = &operation.payload else { return None };
    let id = *block.body().ids().get(usize::try_from(index).ok()?)?;
    Some(GovernanceTransaction { id, sender: operation.sender, payload })
}

/// The committees of a header are those of the configurations of its height and of the next one.
fn check_header(state: &State, config: &Config, header: &Header) -> Result<(), Contradiction> {
    if is(Mutant::CommitteeNotCompared) {
        return Ok(());
    }
    // Unknown only if the block does not follow the state, which executing it reports.
    let Some(next) = state.config(header.height.next()) else { return Ok(()) };
    let fields = [
        ("epoch", header.epoch == config.epoch()),
        ("committee", header.committee == config.committee().hash()),
        ("next_committee", header.next_committee == next.committee().hash()),
    ];
    match fields.into_iter().find(|(_, equal)| !equal) {
        Some((field, _)) => Err(Contradiction::Header { field }),
        None => Ok(()),
    }
}

/// The senders and quotas of a block.
fn check_transactions(config: &Config, block: &Block) -> Result<(), Contradiction> {
    let body = block.body();
    let mut block_use = BlockUse::new(config);
    let mut check = |(index, transaction): (u32, Transaction)| {
        let kind = Kind::of(&transaction.payload);
        block_use.add(&transaction.sender, kind, transaction.encoded_len()).map_err(|error| {
            let id = usize::try_from(index).ok().and_then(|index| body.ids().get(index).copied());
            Contradiction::Transaction { id: id.unwrap_or_else(|| transaction.id()), error }
        })
    };
    match config.submit_mode() {
        // Anyone may send data, so only operations are decoded.
        Submit::Open => body.governance().try_for_each(&mut check),
        Submit::Registry => (0..).zip(body.transactions()).try_for_each(&mut check),
    }
}
