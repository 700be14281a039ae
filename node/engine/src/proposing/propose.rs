//! When and what a primary proposes (R17, R18).

use std::time::Duration;

use quorate_governance::BlockUse;
use quorate_ledger::{Block, Body, Header, Height, Timestamp, VerifiedTransaction};
use quorate_mempool::Selection;
use quorate_pbft::{Input, Moment, Now};

use crate::engine::Engine;
use crate::event::Effects;
use crate::fatal::Fatal;
use crate::storage::execution;

impl Engine {
    /// Proposes blocks while transactions are due and the window has room (R7).
    pub(crate) fn propose(&mut self, now: Now, _: &mut Effects) -> Result<(), Fatal> {
        while let Some(parent) = self.driver.replica().proposal_parent().cloned() {
            let Some(transactions) = self.next_batch(now, &parent) else { break };
            let height = parent.height.next();
            let next_committee = self.storage.execution().next_committee(height);
            let next_committee = next_committee.expect("R26a: a primary knows the next configuration");
            let body = Body::of(&transactions);
            let block = Block::proposed(&parent, body, now.wall, self.me, next_committee)
                .expect("the pool holds a transaction once");
            let skeleton = block.skeleton().clone();
            self.hold(block);
            self.proposed = Some(now.moment);
            self.driver.step(now, Input::Proposed(skeleton));
        }
        Ok(())
    }

    /// The transactions of the next block; `None` while no block is due.
    fn next_batch(&self, now: Now, parent: &Header) -> Option<Vec<VerifiedTransaction>> {
        let fills = self.driver.replica().may_fill();
        if self.pool.mempool.waiting_len() == 0 && !fills || now.moment < self.propose_at() {
            return None;
        }
        let time = now.wall.max(parent.timestamp.plus_ms(1));
        let transactions = self.select(time, parent.height.next());
        let due = !transactions.is_empty() || fills || self.needs_empty_block(time, parent);
        due.then_some(transactions)
    }

    /// The pooled transactions for a block of this time at a height. None if its configuration is not
    /// known yet.
    pub(crate) fn select(&self, time: Timestamp, height: Height) -> Vec<VerifiedTransaction> {
        let Some(config) = self.storage.execution().config(height) else { return Vec::new() };
        let mut used = BlockUse::new(config);
        let permits = |transaction: &_| execution::add(&mut used, transaction).is_ok();
        self.pool.mempool.select_permitted(time, &self.selection(), permits)
    }

    /// The limits of a block, for the selection from the pool.
    fn selection(&self) -> Selection {
        let limits = &self.config.pbft.limits;
        Selection {
            max_transactions: limits.max_transactions,
            max_body_bytes: limits.max_body_bytes,
            transaction: limits.transaction,
        }
    }

    /// R17: a pooled transaction has expired, and no committed block proves it yet. Only a block
    /// with a later time proves to the sender that the transaction has expired.
    fn needs_empty_block(&self, time: Timestamp, parent: &Header) -> bool {
        let gap_ms = self.config.pbft.limits.empty_block_gap_ms;
        self.driver.replica().in_flight() == 0
            && time >= parent.timestamp.plus_ms(gap_ms)
            && self.pool.mempool.next_expiry().is_some_and(|expired| expired <= time)
    }

    /// R18: the time of the next proposal. It is at once after a pause or when a full block waits.
    /// Otherwise it is one batch delay after the last proposal for each block in flight, and at
    /// least one. So blocks grow with the load instead of becoming more numerous.
    fn propose_at(&self) -> Moment {
        let full = self.pool.mempool.waiting_len() >= self.config.pbft.limits.max_transactions as usize;
        match self.proposed {
            Some(last) if !full => {
                let flights = u32::try_from(self.driver.replica().in_flight().max(1)).unwrap_or(u32::MAX);
                last.after(self.config.batch_delay.saturating_mul(flights))
            }
            _ => Moment::default(),
        }
    }

    /// When to call [`Engine::propose`] next if no event comes before.
    pub(crate) fn proposal_deadline(&self, now: Now) -> Option<Moment> {
        let replica = self.driver.replica();
        replica.proposal_parent()?;
        if self.pool.mempool.waiting_len() == 0 && !replica.may_fill() {
            return None;
        }
        let at = self.propose_at();
        if at > now.moment {
            return Some(at);
        }
        // No pooled transaction fits a block of the current time. Look again soon: one of them may
        // expire or become timely.
        Some(now.moment.after(Duration::from_millis(100)))
    }
}
