//! Past governance transactions.

use quorate_api::{History, OperationJson, OutcomeJson, PastOperation};
use quorate_governance::{Outcome, State};
use quorate_ledger::{Height, Payload};
use quorate_store::{LedgerReader, StoreError};

/// The newest governance transactions below a height: as many as `limit`, and all of the last block.
pub(super) fn read(
    reader: &LedgerReader,
    state: &State,
    below: Height,
    limit: usize,
) -> Result<History, StoreError> {
    let found = reader.outcomes_below(below, limit)?;
    let (mut operations, mut next) = (Vec::with_capacity(found.len()), None);
    for block in found.chunk_by(|(one, ..), (other, ..)| one == other) {
        let Some(of_block) = of_block(reader, state, block)? else {
            // This block and those below it were pruned.
            return Ok(History { operations, next_below_height: None });
        };
        next = block.first().map(|(height, ..)| height.0);
        operations.extend(of_block);
    }
    let next_below_height = next.filter(|_| operations.len() >= limit);
    Ok(History { operations, next_below_height })
}

/// The governance transactions of one block, in the given order; `None` if its body is not stored.
fn of_block(
    reader: &LedgerReader,
    state: &State,
    block: &[(Height, u32, Outcome)],
) -> Result<Option<Vec<PastOperation>>, StoreError> {
    let Some((height, ..)) = block.first().copied() else { return Ok(Some(Vec::new())) };
    let indices: Vec<u32> = block.iter().map(|(_, index, _)| *index).collect();
    let (Some(header), Some(transactions)) =
        (reader.header(height)?, reader.transactions(height, &indices, usize::MAX)?)
    else {
        return Ok(None);
    };
    let past = block.iter().zip(&transactions).map(|((_, index, outcome), transaction)| {
        let (Payload::Governance(payload) | Payload::Data(payload)) = &transaction.payload;
        let operation = OperationJson::of_payload(payload);
        let member = state.next_config().member_of(&transaction.sender);
        PastOperation {
            height: height.0,
            index: *index,
            timestamp_ms: header.timestamp.0,
            id: transaction.id(),
            sender: transaction.sender,
            member: member.map(|member| member.name.to_string()),
            text: operation.to_string(),
            operation,
            outcome: OutcomeJson::from(outcome),
        }
    });
    Ok(Some(past.collect()))
}
