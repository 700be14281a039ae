//! The governance state after the newest block, without reading all of it for each request.

use quorate_api::RpcError;
use quorate_governance::{Ancestors, ExecutedBlock, GovernanceTransaction, State};
use quorate_ledger::{BlockHash, Height, Payload, Transaction};
use quorate_store::{LedgerReader, StoreError};
use tokio::sync::Mutex;

use crate::methods::LedgerAccess;

/// How many blocks are executed to bring a state up to date. From an older state on, reading the
/// whole new state costs less.
const MAX_EXECUTED: u64 = 10_000;

/// The last state that a request needed. Clones share the registry of clients.
#[derive(Debug, Default)]
pub(crate) struct CurrentState(Mutex<Option<State>>);

impl CurrentState {
    /// The state after the newest block of the ledger.
    pub(crate) async fn get(&self, ledger: &LedgerAccess) -> Result<State, RpcError> {
        // One request brings the state up to date, the others wait for it.
        let mut last = self.0.lock().await;
        let head = ledger.look(LedgerReader::head)?;
        if let Some(state) = last.as_ref().filter(|state| state.height() >= head.height) {
            return Ok(state.clone());
        }
        let before = last.clone();
        let state = ledger.read(move |reader| up_to_date(reader, before)).await?;
        *last = Some(state.clone());
        Ok(state)
    }
}

/// Executes the blocks since `before`, or reads the whole state.
fn up_to_date(reader: &LedgerReader, before: Option<State>) -> Result<State, StoreError> {
    let head = reader.head()?.height;
    if let Some(mut state) = before.filter(|state| head.0.saturating_sub(state.height().0) <= MAX_EXECUTED) {
        while state.height() < head {
            if !execute_next(reader, &mut state)? {
                return reader.governance();
            }
        }
        return Ok(state);
    }
    reader.governance()
}

/// Executes the next block; false if the ledger does not have all that is needed, for example
/// because the block was pruned.
fn execute_next(reader: &LedgerReader, state: &mut State) -> Result<bool, StoreError> {
    let height = state.height().next();
    let Some(header) = reader.header(height)? else { return Ok(false) };
    let outcomes = reader.outcomes(height)?;
    let indices: Vec<u32> = outcomes.iter().map(|(index, _)| *index).collect();
    let found: Vec<Transaction> = if indices.is_empty() {
        Vec::new()
    } else {
        reader.transactions(height, &indices, usize::MAX)?.unwrap_or_default()
    };
    let operation = |transaction: &'_ Transaction| matches!(transaction.payload, Payload::Governance(_));
    if found.len() != indices.len() || !found.iter().all(operation) {
        return Ok(false);
    }
    let transactions: Vec<GovernanceTransaction<'_>> = found
        .iter()
        .map(|transaction| {
            let (Payload::Governance(payload) | Payload::Data(payload)) = &transaction.payload;
            GovernanceTransaction { id: transaction.id(), sender: transaction.sender, payload }
        })
        .collect();
    let block = ExecutedBlock { height, hash: header.hash(), transactions: &transactions };
    Ok(state.apply(&block, &Headers(reader)).is_ok())
}

/// The hashes of stored headers.
struct Headers<'a>(&'a LedgerReader);

impl Ancestors for Headers<'_> {
    fn hash(&self, height: Height) -> Option<BlockHash> {
        // An unreadable header ends the execution; reading the whole state then reports the damage.
        self.0.header(height).ok().flatten().map(|header| header.hash())
    }
}
