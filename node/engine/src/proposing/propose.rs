//! When and what a primary proposes (R17, R18).

use std::time::Duration;

use quorate_ledger::{Block, Body, Header, Timestamp, VerifiedTransaction};
use quorate_mempool::Selection;
use quorate_pbft::{Input, Moment, Now};

use crate::engine::Engine;
use crate::event::Effects;
use crate::fatal::Fatal;

impl Engine {
    /// Proposes blocks while transactions are due and the window has room (R7).
    pub(crate) fn propose(&mut self, now: Now, _: &mut Effects) -> Result<(), Fatal> {
        while let Some(parent) = self.driver.replica().proposal_parent().cloned() {
            let Some(transactions) = self.next_batch(now, &parent) else { break };
            let body = Body::of(&transactions);
            let block =
                Block::after(&parent, body, now.wall, self.me).expect("the pool holds a transaction once");
            let skeleton = block.skeleton().clone();
            self.hold(block);
            self.proposed = Some(now.moment);
            self.driver.step(now, Input::Proposed(skeleton));
        }
        Ok(())
    }

    /// The transactions of the next block; `None` while no block is due.
    fn next_batch(&self, now: Now, parent: &Header) -> Option<Vec<VerifiedTransaction>> {
        if self.pool.mempool.waiting_len() == 0 || now.moment < self.propose_at() {
            return None;
        }
        let time = now.wall.max(parent.timestamp.plus_ms(1));
        let transactions = self.pool.mempool.select(time, &self.selection());
        (!transactions.is_empty() || self.needs_empty_block(time, parent)).then_some(transactions)
    }

    /// The limits of a block, for the selection from the pool.
    pub(crate) fn selection(&self) -> Selection {
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
        if self.pool.mempool.waiting_len() == 0 || self.driver.replica().proposal_parent().is_none() {
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
