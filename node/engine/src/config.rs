//! The configuration of an engine, derived from the genesis.

use std::sync::Arc;
use std::time::Duration;

use quorate_genesis::Genesis;
use quorate_ledger::SignatureMemo;
use quorate_mempool::MempoolLimits;
use quorate_pbft::{Config, EpochContext, EpochRoot};

/// The configuration of an engine. All of it but the memo comes from the genesis.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// For the replica.
    pub pbft: Config,
    /// For the pool.
    pub mempool: MempoolLimits,
    /// How long a transaction waits for others, in a gossip batch and in a block.
    pub batch_delay: Duration,
}

impl EngineConfig {
    /// The configuration that the genesis defines, without a memo.
    pub fn of(genesis: &Genesis) -> Self {
        let consensus = genesis.consensus();
        let mempool = genesis.mempool();

        EngineConfig {
            pbft: Config {
                context: EpochContext {
                    chain: genesis.chain_id(),
                    committee: genesis.committee().clone(),
                    root: EpochRoot::of(genesis.header()),
                    window: consensus.window,
                    memo: None,
                },
                limits: genesis.block_limits(),
                clock_tolerance: Duration::from_millis(consensus.clock_tolerance_ms),
                request_timeout: Duration::from_millis(consensus.request_timeout_ms),
                new_view_timeout: Duration::from_millis(consensus.new_view_timeout_ms),
                timeout_cap: Duration::from_millis(consensus.timeout_cap_ms),
                checkpoint_interval: consensus.checkpoint_interval,
                log_window: consensus.log_window,
                status_interval: Duration::from_millis(consensus.status_interval_ms),
            },
            mempool: MempoolLimits {
                max_transactions: mempool.max_transactions,
                max_bytes: mempool.max_bytes,
                max_transactions_per_sender: mempool.max_transactions_per_sender,
                max_bytes_per_sender: mempool.max_bytes_per_sender,
            },
            batch_delay: Duration::from_millis(consensus.batch_delay_ms),
        }
    }

    /// The same with a memo. Nothing that passes it is verified again, in any part of the node that
    /// uses this configuration or a clone of it.
    #[must_use]
    pub fn remembering(mut self, memo: Arc<SignatureMemo>) -> Self {
        self.pbft.context.memo = Some(memo);
        self
    }
}
