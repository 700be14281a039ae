//! The rows of governance in a ledger: writing and reading them.

use std::collections::BTreeMap;

use quorate_governance::{Outcome, State};
use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{
    Committee, Epoch, EpochProof, Hash, Height, MAX_SIGNATURES, PublicKey, bounded, decode, encode,
};
use redb::{ReadableTable, WriteTransaction};

use crate::database::tables::{EPOCHS, GOVERNANCE, OUTCOMES, ROOTS};
use crate::error::Fault;
use crate::ledger::execution::Effects;
use crate::ledger::view::View;

/// The end of an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EpochEnd {
    /// Its last height.
    pub(crate) last: Height,
    /// The members of the next epoch.
    pub(crate) next: Vec<PublicKey>,
}

/// Used only to decode: as many members as a committee may have.
#[derive(borsh::BorshDeserialize)]
struct MemberList(#[borsh(deserialize_with = "bounded::<MAX_SIGNATURES, _, _>")] Vec<PublicKey>);

/// Writes the initial state, and creates the tables.
pub(crate) fn write_initial(transaction: &WriteTransaction, initial: &State) -> Result<(), Fault> {
    let mut entries = transaction.open_table(GOVERNANCE)?;
    for (key, value) in initial.entries() {
        entries.insert(key.as_slice(), value.as_slice())?;
    }
    transaction.open_table(OUTCOMES)?;
    transaction.open_table(EPOCHS)?;
    transaction.open_table(ROOTS)?.insert(initial.height().0, initial.root().as_bytes())?;
    Ok(())
}

/// Writes changed entries of the state, and the effects of the blocks that changed them.
pub(crate) fn write(
    transaction: &WriteTransaction,
    changes: &BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    effects: &[Effects],
) -> Result<(), Fault> {
    if !is(Mutant::StateOfGenesis) {
        let mut entries = transaction.open_table(GOVERNANCE)?;
        for (key, value) in changes {
            match value {
                Some(value) => entries.insert(key.as_slice(), value.as_slice())?,
                None => entries.remove(key.as_slice())?,
            };
        }
    }
    // Few blocks have such effects, and opening a table that does not change costs several searches.
    for Effects { height, outcomes: of_block, root, ended } in effects {
        if !of_block.is_empty() && !is(Mutant::OutcomesNotWritten) {
            let mut outcomes = transaction.open_table(OUTCOMES)?;
            for (index, outcome) in of_block {
                outcomes.insert((height.0, *index), encode(outcome).as_slice())?;
            }
        }
        if let Some((epoch, next)) = ended {
            transaction.open_table(EPOCHS)?.insert(epoch.0, (height.0, encode(next).as_slice()))?;
        }
        if let Some(root) = root {
            transaction.open_table(ROOTS)?.insert(height.0, root.as_bytes())?;
        }
    }
    Ok(())
}

impl View<'_> {
    /// The governance state after the head, rebuilt from its entries.
    pub(crate) fn governance(&self) -> Result<State, Fault> {
        let table = self.transaction.open_table(GOVERNANCE)?;
        let mut failed = None;
        let rows = table.iter()?.map_while(|row| match row {
            Ok((key, value)) => Some((key.value().to_vec(), value.value().to_vec())),
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        let state = State::from_entries(rows);
        if let Some(error) = failed {
            return Err(error.into());
        }
        let state = state.map_err(|error| Fault::damaged(format!("the governance state: {error}")))?;
        let head = self.head()?;
        if (state.height(), state.head().block) != (head.height, head.hash) && !is(Mutant::StateOfGenesis) {
            let (found, height) = (state.height(), head.height);
            return Err(Fault::damaged(format!(
                "the governance state is not that after the head {height}, but after a block at height {found}"
            )));
        }
        Ok(state)
    }

    pub(crate) fn outcome(&self, height: Height, index: u32) -> Result<Option<Outcome>, Fault> {
        let outcomes = self.transaction.open_table(OUTCOMES)?;
        let Some(bytes) = outcomes.get((height.0, index))? else { return Ok(None) };
        decode_outcome(height, index, bytes.value()).map(Some)
    }

    /// The outcomes of a block with their indices, in block order.
    pub(crate) fn outcomes(&self, height: Height) -> Result<Vec<(u32, Outcome)>, Fault> {
        let outcomes = self.transaction.open_table(OUTCOMES)?;
        let rows = outcomes.range((height.0, 0)..=(height.0, u32::MAX))?;
        rows.map(|row| {
            let (key, bytes) = row?;
            let (_, index) = key.value();
            Ok((index, decode_outcome(height, index, bytes.value())?))
        })
        .collect()
    }

    /// The heights below this one that have governance transactions, newest first: at least as many
    /// transactions as `limit`, and all of each block.
    pub(crate) fn outcomes_below(
        &self,
        height: Height,
        limit: usize,
    ) -> Result<Vec<(Height, u32, Outcome)>, Fault> {
        let outcomes = self.transaction.open_table(OUTCOMES)?;
        let mut found: Vec<(Height, u32, Outcome)> = Vec::new();
        for row in outcomes.range(..(height.0, 0))?.rev() {
            let (key, bytes) = row?;
            let (at, index) = key.value();
            if found.len() >= limit && found.last().is_some_and(|(last, ..)| last.0 != at) {
                break;
            }
            found.push((Height(at), index, decode_outcome(Height(at), index, bytes.value())?));
        }
        Ok(found)
    }

    pub(crate) fn state_root(&self, height: Height) -> Result<Option<Hash>, Fault> {
        let roots = self.transaction.open_table(ROOTS)?;
        Ok(roots.get(height.0)?.map(|root| Hash::from_bytes(*root.value())))
    }

    pub(crate) fn epoch_end(&self, epoch: Epoch) -> Result<Option<EpochEnd>, Fault> {
        let epochs = self.transaction.open_table(EPOCHS)?;
        let Some(row) = epochs.get(epoch.0)? else { return Ok(None) };
        let (last, members) = row.value();
        let MemberList(next) = decode(members)
            .map_err(|error| Fault::damaged(format!("the members after epoch {epoch}: {error}")))?;
        Ok(Some(EpochEnd { last: Height(last), next }))
    }

    /// The proof of the end of an epoch; `None` if it has not ended.
    pub(crate) fn epoch_proof(&self, epoch: Epoch) -> Result<Option<EpochProof>, Fault> {
        let Some(EpochEnd { last, next }) = self.epoch_end(epoch)? else { return Ok(None) };
        let wrong = |what: &str| Fault::damaged(format!("the end of epoch {epoch} at height {last}: {what}"));
        let proof = self.finality_proof(last)?.ok_or_else(|| wrong("no block is stored there"))?;
        let named = Committee::new(epoch.next(), next.clone());
        let named = named.map_err(|error| wrong(&format!("its next members: {error}")))?;
        if proof.header.epoch != epoch || !proof.header.ends_epoch() {
            return Err(wrong("this block does not end the epoch"));
        }
        if proof.header.next_committee != named.hash() {
            return Err(wrong("its next members are not those that the block names"));
        }
        Ok(Some(EpochProof { last: proof, next }))
    }

    pub(crate) fn epoch_proofs(&self, from: Epoch, limit: usize) -> Result<Vec<EpochProof>, Fault> {
        let mut proofs = Vec::new();
        let mut epoch = from;
        while proofs.len() < limit
            && let Some(proof) = self.epoch_proof(epoch)?
        {
            proofs.push(proof);
            epoch = epoch.next();
        }
        Ok(proofs)
    }
}

fn decode_outcome(height: Height, index: u32, bytes: &[u8]) -> Result<Outcome, Fault> {
    decode(bytes).map_err(|error| {
        Fault::damaged(format!("the outcome of transaction {index} in block {height}: {error}"))
    })
}
