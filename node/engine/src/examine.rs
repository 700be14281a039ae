//! Getting and checking the transactions of a proposal (R5, R16).

use std::collections::BTreeMap;

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Ballot, Block, BlockHash, Body, Height, ReplicaId, TransactionId, VerifiedTransaction};
use quorate_pbft::{CheckedProposal, Input, Moment, Now, Verdict};
use quorate_store::{LedgerReader, StoreError};

use crate::asking::{Asking, Helped};
use crate::engine::Engine;
use crate::event::{Effects, FetchId};
use crate::wire::{ANSWER_BYTES, Answer, Ask};

#[derive(Debug)]
struct Examination {
    proposal: CheckedProposal,
    /// In block order.
    found: Vec<Option<VerifiedTransaction>>,
    missing: BTreeMap<TransactionId, u32>,
    /// The sender of the proposal is asked first.
    asking: Asking,
}

/// Proposals whose transactions are not all here yet: at most one for each open height.
#[derive(Debug, Default)]
pub(crate) struct Examinations {
    open: BTreeMap<Height, Examination>,
}

impl Examinations {
    pub(crate) fn is_missing(&self, id: &TransactionId) -> bool {
        self.open.values().any(|examination| examination.missing.contains_key(id))
    }

    /// Puts transactions where they are missing. Whether any of them was.
    pub(crate) fn supply(&mut self, transactions: &[VerifiedTransaction]) -> bool {
        let mut helped = false;
        for examination in self.open.values_mut() {
            for transaction in transactions {
                if let Some(index) = examination.missing.remove(&transaction.id()) {
                    examination.found[index as usize] = Some(transaction.clone());
                    helped = true;
                }
            }
        }
        helped
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// A member is gone: what was asked there last is asked of the next one at once.
    pub(crate) fn lost(&mut self, now: Now, peer: ReplicaId) {
        self.open.values_mut().for_each(|open| open.asking.lost(now.moment, peer));
    }

    /// The view was left.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
    }

    pub(crate) fn forget_through(&mut self, height: Height) {
        self.open = self.open.split_off(&height.next());
    }

    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.open.values().map(|examination| examination.asking.deadline()).min()
    }

    fn take_complete(&mut self) -> Option<Examination> {
        let height = self.open.iter().find(|(_, examination)| examination.missing.is_empty())?.0;
        let height = *height;
        self.open.remove(&height)
    }
}

impl Engine {
    pub(crate) fn examine(&mut self, now: Now, proposal: CheckedProposal, from: ReplicaId) {
        self.outlines.found(proposal.ballot().height);
        // Proposed again, and accepted in an earlier view: everything about it is known (R20).
        if let Some(block) = self.flight.get(&proposal.ballot().block).cloned() {
            self.hold(block);
            self.examined(now, *proposal.ballot(), Verdict::Good);
            return;
        }
        let ids = proposal.outline().ids().clone();
        let parent = proposal.outline().header().parent;
        // R16: an id that an ancestor contains would be ordered twice.
        let committed = |id: &TransactionId| self.recent.contains(id) && !is(Mutant::RepeatsCommitted);
        let in_flight =
            |id: &TransactionId| self.flight.on_branch(id, &parent) && !is(Mutant::RepeatsInFlight);
        let repeated = ids.iter().find(|id| committed(id) || in_flight(id));
        if let Some(id) = repeated {
            let verdict = Verdict::Bad(format!("transaction {id} is in the chain already"));
            self.examined(now, *proposal.ballot(), verdict);
            return;
        }
        let found: Vec<_> = ids.iter().map(|id| self.mempool.get(id).cloned()).collect();
        let missing = (0..)
            .zip(ids.iter().zip(&found))
            .filter(|(_, (_, found))| found.is_none())
            .map(|(index, (id, _))| (*id, index))
            .collect();
        let examination = Examination {
            found,
            missing,
            asking: Asking::new(now.moment, self.me, self.config.pbft.committee.size(), from),
            proposal,
        };
        self.examinations.open.insert(examination.proposal.ballot().height, examination);
    }

    /// Concludes examinations that have become complete, which may start new ones.
    pub(crate) fn conclude_examinations(&mut self, now: Now) {
        while let Some(examination) = self.examinations.take_complete() {
            let ballot = *examination.proposal.ballot();
            let transactions: Vec<VerifiedTransaction> = examination.found.into_iter().flatten().collect();
            let outline = examination.proposal.outline();
            let verdict = match outline.fill(&transactions, &self.config.pbft.limits) {
                Ok(block) => {
                    self.hold(block);
                    Verdict::Good
                }
                Err(error) => Verdict::Bad(error.to_string()),
            };
            self.examined(now, ballot, verdict);
        }
    }

    fn examined(&mut self, now: Now, ballot: Ballot, verdict: Verdict) {
        self.inputs.push_back(Input::Examined { ballot, verdict });
        self.drain_inputs(now);
    }

    /// Keeps a block whose body is complete, and which the current view proposes, until it is committed.
    pub(crate) fn hold(&mut self, block: Block) {
        self.mempool.mark_in_flight(block.body().ids());
        // A block of a view that was left may be given up and be proposed again in one group.
        self.forgotten.retain(|forgotten| *forgotten != block.hash());
        self.flight.insert(block, true);
    }

    /// Refuses proposals whose parent lost its place to a committed block while their transactions were fetched (R3):
    /// perhaps no correct member has these.
    pub(crate) fn refuse_superseded(&mut self, now: Now) {
        let proposals = self.examinations.open.values().map(|examination| &examination.proposal);
        let superseded =
            proposals.filter(|proposal| !self.replica.extends_chain(proposal.outline().header()));
        let ballots: Vec<Ballot> = superseded.map(|proposal| *proposal.ballot()).collect();
        for ballot in ballots {
            self.examinations.open.remove(&ballot.height);
            let reason = "the block it extends is not the one that was committed".to_owned();
            self.examined(now, ballot, Verdict::Bad(reason));
        }
    }

    /// Asks for what is still missing: one member, and the next one as well when it does not answer soon.
    pub(crate) fn ask_for_missing(&mut self, now: Now, effects: &mut Effects) {
        for examination in self.examinations.open.values_mut() {
            let fetch = FetchId(self.fetches);
            let Some(member) = examination.asking.ask(now.moment, fetch, &mut self.patience) else {
                continue;
            };
            self.fetches += 1;
            let mut indices: Vec<u32> = examination.missing.values().copied().collect();
            indices.sort_unstable();
            let block = examination.proposal.outline().hash();
            effects.asks.push((member, fetch, Ask::Transactions { block, indices }));
            self.counters.bodies_asked += 1;
        }
        if self.examinations.open.is_empty() && self.outlines.is_empty() {
            self.patience.rest();
        }
    }

    /// An answer to a question for transactions came, or none did.
    pub(crate) fn answered(&mut self, now: Now, fetch: FetchId, helped: Helped) {
        for examination in self.examinations.open.values_mut() {
            examination.asking.answered(now.moment, fetch, helped, &mut self.patience);
        }
    }

    /// Answers another member's question for transactions of a block in flight. For one that is committed
    /// already see [`serve_committed`].
    pub(crate) fn serve_transactions(&self, block: &BlockHash, indices: &[u32]) -> Answer {
        self.flight.get(block).map_or(Answer::Nothing, |block| pick(block.body(), indices))
    }

    /// Answers another member's question what is in a block in flight.
    pub(crate) fn serve_ids(&self, block: &BlockHash) -> Answer {
        self.flight.get(block).map_or(Answer::Nothing, |block| Answer::Ids(block.body().ids().to_vec()))
    }
}

/// The answer to [`Ask::Transactions`] or [`Ask::Ids`] for a committed block, from the ledger alone. It reads the body
/// of a block, and decodes no transactions but those that are asked for; it belongs on a thread that may wait for the
/// disk.
///
/// # Errors
/// Those of the ledger.
pub fn serve_committed(ledger: &LedgerReader, ask: &Ask) -> Result<Answer, StoreError> {
    let (Ask::Transactions { block, .. } | Ask::Ids { block }) = ask else { return Ok(Answer::Nothing) };
    let Some(height) = ledger.height_of(block)? else { return Ok(Answer::Nothing) };
    Ok(match ask {
        Ask::Transactions { indices, .. } => {
            let found = ledger.transactions(height, indices, ANSWER_BYTES)?.unwrap_or_default();
            if found.is_empty() { Answer::Nothing } else { Answer::Transactions(found) }
        }
        _ => ledger.ids(height)?.map_or(Answer::Nothing, Answer::Ids),
    })
}

fn pick(body: &Body, indices: &[u32]) -> Answer {
    Answer::transactions(indices.iter().filter_map(|index| body.transaction(*index as usize)))
}
