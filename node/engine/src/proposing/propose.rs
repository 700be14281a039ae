//! When and what a primary proposes (R17, R18).

use std::time::Duration;

use quorate_ledger::{Block, Body, Header, Timestamp, VerifiedTransaction};
use quorate_mempool::Selection;
use quorate_pbft::{Input, Moment, Now};

use crate::engine::{Engine, Fatal};
use crate::event::Effects;

impl Engine {
    /// Proposes as long as there is something to propose and the window has room.
    pub(crate) fn propose(&mut self, now: Now, _: &mut Effects) -> Result<(), Fatal> {
        while let Some(parent) = self.driver.replica().proposal_parent().cloned() {
            let Some(transactions) = self.next_batch(now, &parent) else { break };
            let body = Body::of(&transactions);
            let block =
                Block::after(&parent, body, now.wall, self.me).expect("the pool holds a transaction once");
            let outline = block.outline().clone();
            self.hold(block);
            self.proposed = Some(now.moment);
            self.driver.step(now, Input::Proposed(outline));
        }
        Ok(())
    }

    /// The transactions of the next block; `None` while none should be proposed.
    fn next_batch(&self, now: Now, parent: &Header) -> Option<Vec<VerifiedTransaction>> {
        if self.pool.mempool.waiting_len() == 0 || now.moment < self.propose_at() {
            return None;
        }
        let time = now.wall.max(parent.timestamp.plus_ms(1));
        let transactions = self.pool.mempool.select(time, &self.selection());
        (!transactions.is_empty() || self.needs_empty_block(time, parent)).then_some(transactions)
    }

    /// What a block may take.
    pub(crate) fn selection(&self) -> Selection {
        let limits = &self.config.pbft.limits;
        Selection {
            max_transactions: limits.max_transactions,
            max_body_bytes: limits.max_body_bytes,
            transaction: limits.transaction,
        }
    }

    /// R17: a transaction that waits has expired, and no block says so yet. Only a block with a later time tells its
    /// sender for certain.
    fn needs_empty_block(&self, time: Timestamp, parent: &Header) -> bool {
        let gap_ms = self.config.pbft.limits.empty_block_gap_ms;
        self.driver.replica().in_flight() == 0
            && time >= parent.timestamp.plus_ms(gap_ms)
            && self.pool.mempool.next_expiry().is_some_and(|expired| expired <= time)
    }

    /// R18: at once after a pause or when a full block waits; otherwise one batch delay after the last proposal
    /// for each block in flight, and at least one, so that blocks grow with the load instead of multiplying.
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

    /// When [`Engine::propose`] may have something to do although nothing happens.
    pub(crate) fn proposal_deadline(&self, now: Now) -> Option<Moment> {
        if self.pool.mempool.waiting_len() == 0 || self.driver.replica().proposal_parent().is_none() {
            return None;
        }
        let at = self.propose_at();
        if at > now.moment {
            return Some(at);
        }
        // Nothing that waits fits a block of this time: something expires, or becomes timely.
        Some(now.moment.after(Duration::from_millis(100)))
    }
}
