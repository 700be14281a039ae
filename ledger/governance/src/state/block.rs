//! Executing a block.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{BlockHash, Height, PublicKey, TransactionId};

use super::State;
use crate::config::{Config, Effect};
use crate::limits::{KEY_HISTORY_EPOCHS, READY_INTERVALS};
use crate::operations::Operation;
use crate::outcome::{Outcome, Reason};

/// A governance transaction of a block. Its signature was verified.
#[derive(Debug, Clone, Copy)]
pub struct GovernanceTransaction<'a> {
    /// Its id.
    pub id: TransactionId,
    /// The key that signed it.
    pub sender: PublicKey,
    /// Its payload.
    pub payload: &'a [u8],
}

/// A final block, as far as governance depends on it.
#[derive(Debug, Clone, Copy)]
pub struct ExecutedBlock<'a> {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: BlockHash,
    /// Its governance transactions, in block order.
    pub transactions: &'a [GovernanceTransaction<'a>],
}

/// The blocks before the one that is executed.
pub trait Ancestors {
    /// The hash of the block at a height, or of the genesis header at height 0; `None` if it is not
    /// known here. Only the last 2 K heights are requested.
    fn hash(&self, height: Height) -> Option<BlockHash>;
}

impl Ancestors for BTreeMap<Height, BlockHash> {
    fn hash(&self, height: Height) -> Option<BlockHash> {
        self.get(&height).copied()
    }
}

/// Why a block was not executed. The state is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Blocks are executed one after the other.
    #[error(
        "block {got} does not follow the governance state after block {executed}: execute the blocks in order"
    )]
    Height {
        /// The height of the state.
        executed: Height,
        /// The height of the block.
        got: Height,
    },
    /// Without the hash of an ancestor, the outcome would differ from that of other nodes.
    #[error("the hash of block {0} is not known, but the outcome depends on it: fetch the header first")]
    Ancestor(Height),
}

/// What the operations of one block have in common.
pub(super) struct Context {
    pub(super) height: Height,
    /// The configuration that judges the block.
    pub(super) config: Arc<Config>,
    /// The hashes of the ancestors that operations name.
    pub(super) ancestors: BTreeMap<Height, BlockHash>,
}

impl Context {
    /// Whether a READY with this height counts in this block: at most 2 K heights old.
    pub(super) fn is_recent(&self, height: Height) -> bool {
        height.plus(self.config.intervals(READY_INTERVALS)) >= self.height
    }
}

impl State {
    /// Executes the next block. Returns the outcome of each governance transaction, in block order.
    ///
    /// The block was judged by the configuration of its height. A transaction whose sender may not
    /// act fails, and changes nothing.
    ///
    /// # Errors
    /// [`ApplyError`]; the state is then unchanged.
    pub fn apply(
        &mut self,
        block: &ExecutedBlock<'_>,
        ancestors: &impl Ancestors,
    ) -> Result<Vec<Outcome>, ApplyError> {
        if !block.height.follows(self.head.height) {
            return Err(ApplyError::Height { executed: self.head.height, got: block.height });
        }
        let operations: Vec<Option<Operation>> = block
            .transactions
            .iter()
            .map(|transaction| Operation::decode(transaction.payload).ok())
            .collect();
        let mut context =
            Context { height: block.height, config: Arc::clone(self.in_force()), ancestors: BTreeMap::new() };
        let senders = block.transactions.iter().map(|transaction| &transaction.sender);
        context.ancestors = named_ancestors(&context, senders.zip(&operations), ancestors)?;

        self.head.effective = if is(Mutant::EffectiveAtOnce) {
            block.height.next()
        } else {
            self.effective_after(block.height, context.config.window())
        };
        self.proposals.revise(|_, proposal| (block.height > proposal.expires).then_some(false));
        let outcomes = block.transactions.iter().zip(operations).map(|(transaction, operation)| {
            let result = match operation {
                Some(operation) => self.execute(&context, transaction, operation),
                None => Err(Reason::Malformed),
            };
            result.map_or_else(Outcome::Failed, |()| Outcome::Executed)
        });
        let outcomes = outcomes.collect();
        self.finish(&context, block.hash);
        Ok(outcomes)
    }

    /// The height at which changes take effect that the block at `height` decides, if it is judged
    /// with this window.
    ///
    /// It never decreases. After W shrank, height + W + 1 would be lower than the heights whose
    /// configuration was already known with the larger W.
    pub(super) fn effective_after(&self, height: Height, window: u64) -> Height {
        self.head.effective.max(height.plus(window).next())
    }

    /// Ends a block: the configuration of the next height comes into force.
    fn finish(&mut self, context: &Context, hash: BlockHash) {
        (self.head.height, self.head.block) = (context.height, hash);
        let next = context.height.next();
        while self.configs.get(1).is_some_and(|(from, _)| *from <= next) {
            self.configs.pop_front();
        }
        self.scheduled.revise(|_, change| (change.effective_from <= next).then_some(false));
        if self.in_force().epoch() != context.config.epoch() {
            self.begin_epoch(&context.config);
        }
        self.schedule_candidates();
        let latest = Arc::clone(&self.configs.back().expect("there is always a configuration in force").1);
        self.ready.revise(|key, height| {
            let counts = latest.candidates().contains(key) && context.is_recent(*height);
            (!counts).then_some(false)
        });
        if !Arc::ptr_eq(self.in_force(), &context.config) {
            self.write_config(Some(&context.config));
        }
        self.write_changes();
    }

    /// The committee or its keys changed: keys that left it are retired, and everything that members
    /// did with them lapses.
    fn begin_epoch(&mut self, before: &Config) {
        let now = Arc::clone(self.in_force());
        (self.head.epoch, self.head.epoch_start) = (now.epoch(), now.epoch_start);
        let keys = now.members.keys();
        for key in before.members.keys().difference(&keys) {
            self.retired.insert(*key, now.epoch());
        }
        self.retired.revise(|_, since| {
            let forgotten = since.0.saturating_add(KEY_HISTORY_EPOCHS.into()) <= now.epoch().0;
            forgotten.then_some(false)
        });
        self.renewals.revise(|name, _| now.member(name).is_none().then_some(false));
        if is(Mutant::ApprovalsOfRemovedMembers) {
            return;
        }
        self.proposals.revise(|_, proposal| {
            let given = proposal.approvals.len();
            proposal.approvals.retain(|key| now.member_of(key).is_some());
            let stays = !proposal.approvals.is_empty() && now.member(&proposal.proposer).is_some();
            (!stays || proposal.approvals.len() < given).then_some(stays)
        });
    }

    /// Schedules the candidates of the open proposals, if they are others than before.
    fn schedule_candidates(&mut self) {
        let changes = self.proposals.rows().values().flat_map(|proposal| &proposal.changes);
        let keys: BTreeSet<PublicKey> = changes.filter_map(|change| change.candidate()).collect();
        if keys != *self.latest_config().candidates() {
            let effect = Effect::SetCandidates { keys: keys.into_iter().collect() };
            let scheduled = self.schedule(effect);
            debug_assert_eq!(scheduled, Ok(()), "candidates are valid in every configuration");
        }
    }
}

/// The hashes of the ancestors that READYs of candidates name and may name.
fn named_ancestors<'a>(
    context: &Context,
    operations: impl Iterator<Item = (&'a PublicKey, &'a Option<Operation>)>,
    ancestors: &impl Ancestors,
) -> Result<BTreeMap<Height, BlockHash>, ApplyError> {
    let mut known = BTreeMap::new();
    for (sender, operation) in operations {
        if let Some(Operation::Ready { height, .. }) = operation
            && context.config.candidates().contains(sender)
            && *height < context.height
            && context.is_recent(*height)
        {
            known.insert(*height, ancestors.hash(*height).ok_or(ApplyError::Ancestor(*height))?);
        }
    }
    Ok(known)
}
