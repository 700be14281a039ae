//! Everything about a run that chance decides before it starts.

use std::time::Duration;

use quorate_genesis::TestNetwork;

use crate::random::Random;

/// The size, speed and bad luck of one run.
#[derive(Debug, Clone)]
pub struct Knobs {
    /// Members, n.
    pub members: usize,
    /// Members that never run. They count among the f.
    pub silent: usize,
    /// W.
    pub window: u64,
    /// Most transactions in a block.
    pub block_transactions: u64,
    /// `max_transaction_lifetime_ms`.
    pub lifetime_ms: u64,
    /// `empty_block_gap_ms`.
    pub empty_block_gap_ms: u64,
    /// `status_interval_ms`.
    pub status_interval_ms: u64,
    /// `request_timeout_ms`.
    pub request_timeout_ms: u64,
    /// `clock_tolerance_ms`.
    pub clock_tolerance_ms: u64,
    /// `batch_delay_ms`.
    pub batch_delay_ms: u64,
    /// Most transactions in a pool.
    pub pool_transactions: u64,
    /// Most of them of one sender.
    pub sender_transactions: u64,
    /// How long the first half of the run lasts.
    pub chaos: Duration,
    /// Most milliseconds between two submissions.
    pub submission_gap_ms: u64,
    /// Shortest and longest delay of a message, milliseconds.
    pub delay_ms: (u64, u64),
    /// Messages lost, of a thousand.
    pub loss: u64,
    /// Messages delivered twice, of a thousand.
    pub doubling: u64,
    /// Gossip lost besides, of a thousand.
    pub gossip_loss: u64,
    /// Whether messages of one link keep their order.
    pub ordered: bool,
    /// Most milliseconds a group of records takes.
    pub disk_ms: u64,
    /// Most milliseconds between two faults; no faults if 0.
    pub fault_gap_ms: u64,
    /// Most milliseconds by which clocks are off, either way.
    pub skew_ms: u64,
    /// Whether power losses leave some of what was not synced.
    pub torn: bool,
}

impl Knobs {
    /// Draws all of them.
    pub fn draw(random: &mut Random) -> Self {
        let members = *random.choose(&[1, 2, 3, 4, 4, 4, 4, 5, 6, 7, 10]);
        let tolerated = (members - 1) / 3;
        let silent = if random.permille(150) { random.index(tolerated + 1) } else { 0 };
        let lifetime_ms = random.between(4000, 16_000);
        let request_timeout_ms = random.between(300, 900);
        let window = *random.choose(&[1, 2, 4, 8, 8]);
        let block_transactions = *random.choose(&[1, 3, 10, 100]);
        // A pool must hold a full pipeline.
        let smallest_pool = window * block_transactions;
        let small_pool = smallest_pool <= 12 && random.permille(400);
        let calm = random.permille(100);
        Knobs {
            members,
            silent,
            window,
            block_transactions,
            lifetime_ms,
            empty_block_gap_ms: random.between(1000, 2000),
            status_interval_ms: random.between(60, 300),
            request_timeout_ms,
            clock_tolerance_ms: random.between(20, 800),
            batch_delay_ms: random.between(0, 40),
            pool_transactions: if small_pool { smallest_pool } else { 5000 },
            sender_transactions: if random.permille(150) { random.between(1, 4) } else { 5000 },
            chaos: random.millis(2000, 6000),
            submission_gap_ms: random.between(20, 200),
            delay_ms: *random.choose(&[(0, 0), (0, 2), (1, 10), (1, 60), (20, 120)]),
            loss: if calm { 0 } else { *random.choose(&[0, 10, 50, 200]) },
            doubling: *random.choose(&[0, 20, 100]),
            gossip_loss: *random.choose(&[0, 100, 500, 1000]),
            ordered: random.permille(500),
            disk_ms: *random.choose(&[0, 1, 5, 30]),
            fault_gap_ms: if calm { 0 } else { random.between(100, 1500) },
            skew_ms: *random.choose(&[0, 5, 200, 1500]),
            torn: random.permille(500),
        }
    }

    /// The network with these numbers in its genesis.
    ///
    /// # Panics
    /// If they are not valid, which is a mistake in [`Knobs::draw`].
    pub fn network(&self, seed: u64) -> TestNetwork {
        TestNetwork::seeded(self.members, seed)
            .with_parameters(|parameters| {
                parameters.block.max_transactions = self.block_transactions;
                parameters.block.max_transaction_lifetime_ms = self.lifetime_ms;
                parameters.block.empty_block_gap_ms = self.empty_block_gap_ms;
                parameters.block.max_transaction_bytes = 4096;
                parameters.block.max_body_bytes = 16 << 10;
                let consensus = &mut parameters.consensus;
                consensus.window = self.window;
                consensus.status_interval_ms = self.status_interval_ms;
                consensus.request_timeout_ms = self.request_timeout_ms;
                consensus.new_view_timeout_ms = self.request_timeout_ms;
                consensus.timeout_cap_ms = self.request_timeout_ms;
                consensus.clock_tolerance_ms = self.clock_tolerance_ms;
                consensus.batch_delay_ms = self.batch_delay_ms;
                parameters.mempool.max_transactions = self.pool_transactions;
                parameters.mempool.max_transactions_per_sender =
                    self.sender_transactions.min(self.pool_transactions);
            })
            .expect("every drawn genesis is valid")
    }

    /// Most members that may be faulty: the largest f with 3f + 1 <= n.
    pub fn tolerated(&self) -> usize {
        (self.members - 1) / 3
    }

    /// Votes that decide: the least number of which any two sets share a correct member.
    pub fn quorum(&self) -> usize {
        (self.members + self.tolerated() + 2) / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_draw_is_a_network() {
        for seed in 0..500 {
            let knobs = Knobs::draw(&mut Random::new(seed));
            assert_eq!(knobs.network(seed).keys().len(), knobs.members);
            assert!(knobs.silent <= knobs.tolerated());
            assert!(2 * knobs.quorum() - knobs.members > knobs.tolerated());
            assert!(knobs.quorum() <= knobs.members - knobs.tolerated());
        }
    }
}
