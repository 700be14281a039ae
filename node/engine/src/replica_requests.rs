//! What the replica requests of the engine, and what follows when a view ends or blocks are final.

use std::collections::BTreeSet;

use quorate_governance::Affected;
use quorate_ledger::{Block, NotPermitted, PublicKey, VerifiedTransaction};
use quorate_pbft::{Input, Now, Request};

use crate::engine::Engine;
use crate::event::{Effects, End, Ended, Notice};
use crate::fatal::Fatal;
use crate::pool::share;

impl Engine {
    /// Serves one request of the replica.
    pub(crate) fn serve(&mut self, now: Now, request: Request, effects: &mut Effects) -> Result<(), Fatal> {
        match request {
            Request::Examine { proposal, from } => {
                self.examine(now, proposal, from);
                self.conclude_examinations(now);
            }
            Request::Finalise(finalised) => {
                let blocks: Vec<Block> = finalised
                    .blocks
                    .iter()
                    .map(|hash| self.flight.get(hash).expect("accepted blocks are held").clone())
                    .collect();
                self.note_final(&blocks, effects);
                let affected = self.storage.decide(blocks, finalised.certificate)?;
                self.executed(&affected, effects);
            }
            Request::CatchUp { height } => self.fetching.blocks.certain(height),
            Request::FetchSkeleton { header, from } => self.want_skeleton(now, header, from),
            Request::Evidence(evidence) => {
                let (replica, subject) = (evidence.culprit(), evidence.subject());
                self.evidence.push(evidence);
                effects.notices.push(Notice::Equivocation { replica, subject });
            }
            Request::Left(departure) => {
                self.end_view(now, effects);
                effects.notices.push(Notice::LeftView(departure));
            }
            Request::Entered { view, primary } => {
                self.end_view(now, effects);
                // The first proposal of a view waits for no batch delay (R18).
                self.proposed = None;
                effects.notices.push(Notice::EnteredView { view, primary });
            }
            Request::Forget(block) => self.flight.give_up(block),
            Request::Stable(certificate) => {
                effects.notices.push(Notice::Stable(certificate.checkpoint().height));
            }
            Request::Recovering { seen, remembered } => {
                effects.notices.push(Notice::Recovering { seen, remembered });
            }
            Request::SecondInstance => return Err(Fatal::SecondInstance),
            Request::BadProposal { view, height, reason } => {
                let primary = self.config.pbft.context.committee.primary(view);
                effects.notices.push(Notice::BadProposal { primary, height, reason });
            }
        }
        Ok(())
    }

    /// A view was left, or the next one begins. Returns in-flight transactions to the pool: this
    /// replica may be the only one that holds them. Proposals of the new view take them out of the
    /// pool again.
    pub(crate) fn end_view(&mut self, now: Now, effects: &mut Effects) {
        let free = self.flight.unmark_all();
        self.pool.mempool.release(&free);
        // Keep accepted blocks, since other replicas may request them, and blocks at or below the
        // tip, since this group's records may need them. Drop blocks that were validated but not
        // accepted.
        let replica = self.driver.replica();
        let tip = replica.tip().height;
        self.flight.retain(|block| block.height() <= tip || replica.holds(block.height(), &block.hash()));
        self.return_transactions(now);
        self.reject_unpermitted(None, effects);
        self.fetching.clear();
        self.censorship.reset();
    }

    /// Blocks were executed. Tells the replica what it may judge now, and the states to sign.
    /// Transactions that the new configuration forbids leave the pool.
    pub(crate) fn executed(&mut self, affected: &Affected, effects: &mut Effects) {
        self.driver.push(Input::Scheduled(self.storage.execution().schedule()));
        for (height, state_root) in self.storage.take_roots() {
            self.driver.push(Input::Executed { height, state_root });
        }
        match affected {
            Affected::Nothing => {}
            Affected::Senders(senders) => self.reject_unpermitted(Some(senders), effects),
            Affected::Everything => self.reject_unpermitted(None, effects),
        }
    }

    /// Drops the pooled transactions that the configuration of the next height excludes, and those that
    /// are larger than the limits of this epoch permit. `of`: only those of these senders.
    pub(crate) fn reject_unpermitted(&mut self, of: Option<&BTreeSet<PublicKey>>, effects: &mut Effects) {
        let (execution, limits) = (self.storage.execution(), &self.config.pbft.limits.transaction);
        let reason = |transaction: &VerifiedTransaction| {
            let fits = transaction.transaction().check_form(limits).is_ok();
            let permitted = execution.check_alone(transaction);
            permitted.err().or_else(|| (!fits).then_some(NotPermitted::AboveQuota))
        };
        for (id, reason) in self.pool.reject(of, reason) {
            effects.ended.push(Ended { id, end: End::Rejected(reason) });
        }
    }

    /// Returns the transactions of unmarked blocks to the pool, including those that only the block
    /// brought: the client that submitted them may be gone. Expired ones return too. They wait for
    /// the block that proves their expiry (R17).
    pub(crate) fn return_transactions(&mut self, now: Now) {
        let time = self.driver.replica().tip().timestamp;
        for block in self.flight.blocks() {
            for (index, id) in block.body().ids().iter().enumerate() {
                if self.pool.mempool.contains(id) || self.pool.recent.contains(id) {
                    continue;
                }
                let Some(transaction) = block.body().transaction(index) else { continue };
                // This node verified it before it put the block in flight, or before it journaled it.
                let transaction = VerifiedTransaction::from_own_storage(transaction);
                let share = share::of_returned(self.storage.execution(), &transaction);
                self.pool.return_transaction(now.moment, time, share, transaction);
            }
        }
    }

    /// Blocks are final. Removes their transactions from the pool and the watch, and closes the
    /// requests at their heights. Readers see the blocks once they are in the ledger.
    pub(crate) fn note_final(&mut self, blocks: &[Block], effects: &mut Effects) {
        for block in blocks {
            self.pool.note_final(block);
            self.censorship.committed(block.body().ids());
            self.fetching.forget_through(block.height());
            effects.committed.push(block.clone());
        }
        self.end_expired(effects);
        self.fetching.blocks.progressed();
    }

    /// Expires the pooled transactions that no later block can include.
    pub(crate) fn end_expired(&mut self, effects: &mut Effects) {
        let expired = self.pool.expire().into_iter();
        effects.ended.extend(expired.map(|id| Ended { id, end: End::Expired }));
    }
}
