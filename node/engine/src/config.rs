//! The configuration of an engine for one epoch.

use std::sync::Arc;
use std::time::Duration;

use quorate_genesis::Genesis;
use quorate_governance::Config as NetworkConfig;
use quorate_ledger::{Header, SignatureMemo};
use quorate_mempool::MempoolLimits;
use quorate_pbft::{Config, EpochContext, EpochRoot};
use quorate_store::{Ledger, StoreError};

use crate::storage::opening::Opening;

/// The configuration of an engine. All of it but the memo follows from the chain: every change of it
/// starts a new epoch.
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
    /// The configuration of epoch 0, without a memo.
    pub fn of(genesis: &Genesis) -> Self {
        EngineConfig::of_epoch(genesis.governance_state().next_config(), genesis.header())
    }

    /// The configuration of the epoch of this ledger's next block, without a memo.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn of_ledger(ledger: &Ledger) -> Result<Self, StoreError> {
        Ok(Opening::of(ledger, None)?.config)
    }

    /// The configuration of an epoch, without a memo. `network` judges its heights, and `root` is the
    /// header below its first block.
    pub fn of_epoch(network: &NetworkConfig, root: &Header) -> Self {
        let parameters = network.parameters();
        let (consensus, mempool) = (&parameters.consensus, &parameters.mempool);
        EngineConfig {
            pbft: Config {
                context: EpochContext {
                    chain: root.chain_id,
                    committee: network.committee().clone(),
                    root: EpochRoot { height: root.height, block: root.hash() },
                    window: consensus.window,
                    memo: None,
                },
                limits: network.block_limits(),
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
    pub fn remembering(mut self, memo: Option<Arc<SignatureMemo>>) -> Self {
        self.pbft.context.memo = memo;
        self
    }
}
