//! Fetches and validates the transactions of a proposal (R5, R16).

use std::collections::BTreeMap;

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Ballot, Block, BlockHash, Body, ReplicaId, TransactionId, VerifiedTransaction};
use quorate_pbft::{CheckedProposal, Input, Now, Verdict};
use quorate_store::{LedgerReader, StoreError};

use crate::engine::Engine;
use crate::fetching::Requests;
use crate::fetching::schedule::Schedule;
use crate::wire::{ANSWER_BYTES, FetchRequest, FetchResponse};

/// A proposal that lacks transactions here, or is about to be found complete.
#[derive(Debug)]
pub(crate) struct Examination {
    proposal: CheckedProposal,
    /// The transactions in block order; `None` where one is missing.
    found: Vec<Option<VerifiedTransaction>>,
    /// The missing transactions, with their positions in the block.
    missing: BTreeMap<TransactionId, u32>,
}

impl Examination {
    /// The request for all missing transactions.
    pub(crate) fn ask(&self) -> FetchRequest {
        let mut indices: Vec<u32> = self.missing.values().copied().collect();
        indices.sort_unstable();
        FetchRequest::Transactions { block: self.proposal.skeleton().hash(), indices }
    }

    /// Adds a transaction. Returns whether it was missing.
    fn supply(&mut self, transaction: &VerifiedTransaction) -> bool {
        let Some(index) = self.missing.remove(&transaction.id()) else { return false };
        self.found[index as usize] = Some(transaction.clone());
        true
    }
}

impl Requests<Examination> {
    pub(crate) fn is_missing(&self, id: &TransactionId) -> bool {
        self.iter().any(|(_, examination)| examination.missing.contains_key(id))
    }

    /// Adds transactions to all proposals that lack them. Returns whether any was missing.
    pub(crate) fn supply(&mut self, transactions: &[VerifiedTransaction]) -> bool {
        let mut helped = false;
        for examination in self.iter_mut() {
            for transaction in transactions {
                helped |= examination.supply(transaction);
            }
        }
        helped
    }

    fn take_complete(&mut self) -> Option<Examination> {
        let (height, _) = self.iter().find(|(_, examination)| examination.missing.is_empty())?;
        self.remove(height)
    }
}

impl Engine {
    pub(crate) fn examine(&mut self, now: Now, proposal: CheckedProposal, from: ReplicaId) {
        // The proposal contains the ids, so a request for them is not needed.
        self.fetching.skeletons.remove(proposal.ballot().height);
        // The block is proposed again and was accepted in an earlier view: it is known to be valid
        // (R20c).
        if let Some(block) = self.flight.get(&proposal.ballot().block).cloned() {
            self.hold(block);
            self.examined(now, *proposal.ballot(), Verdict::Good);
            return;
        }
        let ids = proposal.skeleton().ids().clone();
        let parent = proposal.skeleton().header().parent;
        // R16: an id in an ancestor would be ordered twice.
        let committed = |id: &TransactionId| self.pool.recent.contains(id) && !is(Mutant::RepeatsCommitted);
        let in_flight =
            |id: &TransactionId| self.flight.on_branch(id, &parent) && !is(Mutant::RepeatsInFlight);
        let repeated = ids.iter().find(|id| committed(id) || in_flight(id));
        if let Some(id) = repeated {
            let verdict = Verdict::Bad(format!("transaction {id} is in the chain already"));
            self.examined(now, *proposal.ballot(), verdict);
            return;
        }
        let found: Vec<_> = ids.iter().map(|id| self.pool.mempool.get(id).cloned()).collect();
        let missing = (0..)
            .zip(ids.iter().zip(&found))
            .filter(|(_, (_, found))| found.is_none())
            .map(|(index, (id, _))| (*id, index))
            .collect();
        let height = proposal.ballot().height;
        let schedule = self.schedule(now, from);
        self.fetching.bodies.want(height, Examination { proposal, found, missing }, schedule);
    }

    /// Validates the proposals whose transactions are complete. This may start the validation of
    /// their children.
    pub(crate) fn conclude_examinations(&mut self, now: Now) {
        while let Some(examination) = self.fetching.bodies.take_complete() {
            let ballot = *examination.proposal.ballot();
            let transactions: Vec<VerifiedTransaction> = examination.found.into_iter().flatten().collect();
            let skeleton = examination.proposal.skeleton();
            let filled = skeleton.fill(&transactions, &self.config.pbft.limits);
            let permitted = self.storage.execution().check_permitted(ballot.height, &transactions);
            let verdict =
                match filled.map_err(|error| error.to_string()).and_then(|block| permitted.map(|()| block)) {
                    Ok(block) => {
                        self.hold(block);
                        Verdict::Good
                    }
                    Err(reason) => Verdict::Bad(reason),
                };
            self.examined(now, ballot, verdict);
        }
    }

    fn examined(&mut self, now: Now, ballot: Ballot, verdict: Verdict) {
        self.driver.step(now, Input::Examined { ballot, verdict });
    }

    /// Keeps a block whose body is complete, and which the current view proposes, until it is
    /// committed.
    pub(crate) fn hold(&mut self, block: Block) {
        self.pool.mempool.mark_in_flight(block.body().ids());
        self.flight.insert(block, true);
    }

    /// Refuses proposals whose parent was replaced by a committed block while their transactions
    /// were being fetched (R3). Perhaps no correct member has these transactions.
    pub(crate) fn refuse_superseded(&mut self, now: Now) {
        let proposals = self.fetching.bodies.iter().map(|(_, examination)| &examination.proposal);
        let superseded =
            proposals.filter(|proposal| !self.driver.replica().extends_chain(proposal.skeleton().header()));
        let ballots: Vec<Ballot> = superseded.map(|proposal| *proposal.ballot()).collect();
        for ballot in ballots {
            self.fetching.bodies.remove(ballot.height);
            let reason = "the block it extends is not the one that was committed".to_owned();
            self.examined(now, ballot, Verdict::Bad(reason));
        }
    }

    /// The schedule of requests that begins with `first`, the sender of the proposal, after a short
    /// wait.
    pub(crate) fn schedule(&self, now: Now, first: ReplicaId) -> Schedule {
        Schedule::new(now.moment, self.me, self.config.pbft.context.committee.size(), first)
    }

    /// Answers a member's request for transactions of a block in flight. For a committed block see
    /// [`serve_committed`].
    pub(crate) fn serve_transactions(&self, block: &BlockHash, indices: &[u32]) -> FetchResponse {
        self.flight.get(block).map_or(FetchResponse::Nothing, |block| pick(block.body(), indices))
    }

    /// Answers a member's request for the ids in a block in flight.
    pub(crate) fn serve_ids(&self, block: &BlockHash) -> FetchResponse {
        self.flight
            .get(block)
            .map_or(FetchResponse::Nothing, |block| FetchResponse::Ids(block.body().ids().to_vec()))
    }
}

/// The answer to [`FetchRequest::Transactions`] or [`FetchRequest::Ids`] for a committed block, from
/// the ledger alone. It reads the body of the block, but decodes only the requested transactions.
/// Call it on a thread that may wait for the disk.
///
/// # Errors
/// Those of the ledger.
pub fn serve_committed(ledger: &LedgerReader, ask: &FetchRequest) -> Result<FetchResponse, StoreError> {
    let (FetchRequest::Transactions { block, .. } | FetchRequest::Ids { block }) = ask else {
        return Ok(FetchResponse::Nothing);
    };
    let Some(height) = ledger.height_of(block)? else { return Ok(FetchResponse::Nothing) };
    Ok(match ask {
        FetchRequest::Transactions { indices, .. } => {
            let found = ledger.transactions(height, indices, ANSWER_BYTES)?.unwrap_or_default();
            if found.is_empty() { FetchResponse::Nothing } else { FetchResponse::Transactions(found) }
        }
        _ => ledger.ids(height)?.map_or(FetchResponse::Nothing, FetchResponse::Ids),
    })
}

fn pick(body: &Body, indices: &[u32]) -> FetchResponse {
    FetchResponse::transactions(indices.iter().filter_map(|index| body.transaction(*index as usize)))
}
