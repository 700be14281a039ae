//! The methods, each in a few lines; other modules do the work.

use std::sync::Arc;

use jsonrpsee::core::async_trait;
use quorate_api::methods::{Id, QuorateServer};
use quorate_api::{
    BlockAt, BlockJson, Blocks, Bytes, ChainHead, CheckpointJson, ConsensusEvidence, ConsensusState,
    DEFAULT_BLOCKS, Discovery, Explanation, FinalityProofJson, LocatedTransaction, MempoolStatus,
    NetworkGenesis, NodeStatus, PeerJson, ReceiptJson, RpcError, SubmitResult, TransactionStatus,
    ValidatorJson, ValidatorSet, VersionInfo, Wait,
};
use quorate_genesis::Genesis;
use quorate_ledger::{Epoch, Height};

use crate::chain::LedgerAccess;
use crate::config::RpcConfig;
use crate::discovery::discovery;
use crate::explain::explain_report;
use crate::node::Node;
use crate::receipts::ReceiptBook;
use crate::stopping::Stopping;
use crate::transactions::{Transactions, place};

/// Implements the methods, for JSON-RPC and the explorer. Clones share their state.
pub(crate) struct Api<N> {
    node: Arc<N>,
    ledger: LedgerAccess,
    receipts: Arc<ReceiptBook>,
    transactions: Arc<Transactions<N>>,
}

// A derived implementation would require `N: Clone`.
impl<N> Clone for Api<N> {
    fn clone(&self) -> Self {
        Api {
            node: Arc::clone(&self.node),
            ledger: self.ledger.clone(),
            receipts: Arc::clone(&self.receipts),
            transactions: Arc::clone(&self.transactions),
        }
    }
}

impl<N: Node> Api<N> {
    pub(crate) fn new(config: &RpcConfig, node: Arc<N>, ledger: LedgerAccess, stopping: Stopping) -> Self {
        Api {
            ledger,
            receipts: Arc::default(),
            transactions: Arc::new(Transactions::new(config, Arc::clone(&node), stopping)),
            node,
        }
    }
}

#[async_trait]
impl<N: Node> QuorateServer for Api<N> {
    async fn tx_submit(
        &self,
        transaction: Bytes,
        wait: Option<Wait>,
        timeout_ms: Option<u64>,
    ) -> Result<SubmitResult, RpcError> {
        let wait = wait.unwrap_or_default();
        let mut result = self.transactions.submit(&transaction.0, wait, timeout_ms).await?;
        if let (Wait::Committed, Some((height, index))) = (wait, place(&result.status)) {
            result.receipt = self.receipts.receipt(&self.ledger, result.id, height, index).await?;
        }
        Ok(result)
    }

    async fn tx_status(&self, id: Id) -> Result<TransactionStatus, RpcError> {
        let status = self.node.status_of(id.0).await;
        if status == TransactionStatus::Unknown {
            // A damaged index must not make a committed transaction look unknown.
            self.ledger.locate(&id.0)?;
        }
        Ok(status)
    }

    async fn tx_get(&self, id: Id) -> Result<Option<LocatedTransaction>, RpcError> {
        self.ledger.transaction(id.0).await
    }

    async fn tx_receipt(&self, id: Id) -> Result<Option<ReceiptJson>, RpcError> {
        match self.ledger.locate(&id.0)? {
            Some((height, index)) => self.receipts.receipt(&self.ledger, id.0, height, index).await,
            None => Ok(None),
        }
    }

    async fn chain_head(&self) -> Result<ChainHead, RpcError> {
        self.ledger.head()
    }

    async fn chain_block(&self, at: BlockAt, full: Option<bool>) -> Result<Option<BlockJson>, RpcError> {
        self.ledger.block(at, full.unwrap_or(true)).await
    }

    async fn chain_blocks(
        &self,
        from_height: u64,
        limit: Option<u32>,
        full: Option<bool>,
    ) -> Result<Blocks, RpcError> {
        self.ledger.blocks(from_height, limit.unwrap_or(DEFAULT_BLOCKS), full.unwrap_or(true)).await
    }

    async fn chain_proof(&self, height: u64) -> Result<Option<FinalityProofJson>, RpcError> {
        self.ledger.proof(Height(height))
    }

    async fn chain_checkpoint(&self, height: Option<u64>) -> Result<Option<CheckpointJson>, RpcError> {
        let stable = self.node.checkpoint();
        Ok(stable.filter(|stable| height.is_none_or(|height| height == stable.height)))
    }

    async fn network_genesis(&self) -> Result<NetworkGenesis, RpcError> {
        let genesis = self.node.genesis();
        Ok(NetworkGenesis {
            chain_id: genesis.chain_id(),
            name: genesis.name().to_owned(),
            toml: genesis.to_toml(),
        })
    }

    async fn network_validators(&self, height: Option<u64>) -> Result<Option<ValidatorSet>, RpcError> {
        let next = self.ledger.head()?.height + 1;
        // Protocol version 1 has one committee, known for every block up to the next.
        Ok((height.unwrap_or(next) <= next).then(|| validators(self.node.genesis())))
    }

    async fn node_status(&self) -> Result<NodeStatus, RpcError> {
        Ok(self.node.status())
    }

    async fn node_peers(&self) -> Result<Vec<PeerJson>, RpcError> {
        Ok(self.node.peers())
    }

    async fn node_version(&self) -> Result<VersionInfo, RpcError> {
        Ok(self.node.version())
    }

    async fn consensus_state(&self) -> Result<ConsensusState, RpcError> {
        Ok(self.node.consensus())
    }

    async fn consensus_explain(&self) -> Result<Explanation, RpcError> {
        Ok(explain_report(self.node.genesis(), &self.node.report()))
    }

    async fn consensus_evidence(&self) -> Result<ConsensusEvidence, RpcError> {
        Ok(ConsensusEvidence { evidence: self.node.evidence() })
    }

    async fn mempool_status(&self) -> Result<MempoolStatus, RpcError> {
        Ok(self.node.mempool())
    }

    async fn rpc_discover(&self) -> Result<Discovery, RpcError> {
        Ok(discovery())
    }
}

fn validators(genesis: &Genesis) -> ValidatorSet {
    let committee = genesis.committee();
    let small = |count: usize| u32::try_from(count).expect("a committee is small");
    let validator = |(index, validator): (u16, &quorate_genesis::Validator)| ValidatorJson {
        index,
        name: validator.name.clone(),
        public_key: validator.public_key,
    };
    ValidatorSet {
        epoch: Epoch(0).0,
        committee: committee.hash(),
        quorum: small(committee.quorum()),
        faults_tolerated: small(committee.faults()),
        validators: (0..).zip(genesis.validators()).map(validator).collect(),
    }
}
