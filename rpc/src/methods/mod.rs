//! The methods, each in a few lines; other modules do the work.

mod discovery;
mod governance;
mod ledger;
mod receipts;
mod transactions;

use std::sync::Arc;

use futures::future::BoxFuture;
use quorate_api::{
    BlockAt, BlockJson, Blocks, Bytes, ChainHead, CheckpointJson, ConsensusEvidence, ConsensusState,
    DEFAULT_BLOCKS, Discovery, Explanation, FinalityProofJson, LocatedTransaction, MempoolStatus,
    NetworkGenesis, NodeStatus, PeerJson, PredecessorJson, ReceiptJson, RpcError, StatusResult, SubmitResult,
    TransactionStatus, ValidatorJson, ValidatorSet, VersionInfo, Wait,
};
use quorate_genesis::Predecessor;
use quorate_governance::{Config, Member};
use quorate_ledger::{Committee, Epoch, Header, Height, PublicKey, TransactionId};

use crate::config::RpcConfig;
use crate::explain::explain_report;
use crate::json_rpc::{Arguments, Reply, Service};
use crate::node::{Node, NodeReport};
use crate::stopping::Stopping;
use discovery::discovery;
use governance::CurrentState;
use receipts::ReceiptBook;
use transactions::{Transactions, place};

pub(crate) use ledger::{BlockText, LedgerAccess};

/// Implements the methods, for JSON-RPC and the explorer. Clones share their state.
pub(crate) struct Api<N> {
    node: Arc<N>,
    ledger: LedgerAccess,
    receipts: Arc<ReceiptBook>,
    transactions: Arc<Transactions<N>>,
    governance: Arc<CurrentState>,
}

// A derived implementation would require `N: Clone`.
impl<N> Clone for Api<N> {
    fn clone(&self) -> Self {
        Api {
            node: Arc::clone(&self.node),
            ledger: self.ledger.clone(),
            receipts: Arc::clone(&self.receipts),
            transactions: Arc::clone(&self.transactions),
            governance: Arc::clone(&self.governance),
        }
    }
}

impl<N: Node> Api<N> {
    pub(crate) fn new(config: &RpcConfig, node: Arc<N>, ledger: LedgerAccess, stopping: Stopping) -> Self {
        Api {
            ledger,
            receipts: Arc::default(),
            transactions: Arc::new(Transactions::new(config, Arc::clone(&node), stopping)),
            governance: Arc::default(),
            node,
        }
    }
}

impl<N: Node> Service for Api<N> {
    fn run<'a>(
        &'a self,
        method: &'static str,
        mut arguments: Arguments<'a>,
        reply: Reply<'a>,
    ) -> BoxFuture<'a, Result<String, RpcError>> {
        Box::pin(async move {
            match method {
                "tx_submit" => {
                    let transaction = arguments.take::<Bytes>()?;
                    reply.with(&self.tx_submit(&transaction.0, arguments.take()?, arguments.take()?).await?)
                }
                "tx_status" => reply.with(&self.tx_status(arguments.take_id()?).await?),
                "tx_get" => reply.with(&self.tx_get(arguments.take_id()?).await?),
                "tx_receipt" => reply.with(&self.tx_receipt(arguments.take_id()?).await?),
                "chain_head" => reply.with(&self.chain_head()?),
                "chain_block" => reply.with(&self.chain_block(arguments.take()?, arguments.take()?).await?),
                "chain_blocks" => {
                    let from_height = arguments.take()?;
                    reply.with(&self.chain_blocks(from_height, arguments.take()?, arguments.take()?).await?)
                }
                "chain_proof" => reply.with(&self.chain_proof(arguments.take()?)?),
                "chain_checkpoint" => reply.with(&self.chain_checkpoint(arguments.take()?)),
                "network_genesis" => reply.with(&self.network_genesis()),
                "network_validators" => reply.with(&self.network_validators(arguments.take()?)?),
                "node_status" => reply.with(&self.node_status()),
                "node_peers" => reply.with(&self.node_peers()),
                "node_version" => reply.with(&self.node_version()),
                "consensus_state" => reply.with(&self.consensus_state()),
                "consensus_explain" => reply.with(&self.consensus_explain()),
                "consensus_evidence" => reply.with(&self.consensus_evidence()),
                "mempool_status" => reply.with(&self.mempool_status()),
                "rpc.discover" => reply.with(&self.rpc_discover()),
                other => self.run_governance(other, arguments, reply).await,
            }
        })
    }
}

/// The methods of the interface, by their names.
impl<N: Node> Api<N> {
    pub(crate) async fn tx_submit(
        &self,
        transaction: &[u8],
        wait: Option<Wait>,
        timeout_ms: Option<u64>,
    ) -> Result<SubmitResult, RpcError> {
        let wait = wait.unwrap_or_default();
        let mut result = self.transactions.submit(transaction, wait, timeout_ms).await?;
        if let (Wait::Committed, Some((height, index))) = (wait, place(&result.status)) {
            result.receipt = self.receipts.receipt(&self.ledger, result.id, height, index).await?;
        }
        result.outcome = self.outcome_of(&result.status)?;
        Ok(result)
    }

    pub(crate) async fn tx_status(&self, id: TransactionId) -> Result<StatusResult, RpcError> {
        let status = self.node.status_of(id).await;
        if status == TransactionStatus::Unknown {
            // A damaged index must not make a committed transaction look unknown.
            self.ledger.locate(&id)?;
        }
        let outcome = self.outcome_of(&status)?;
        Ok(StatusResult { status, outcome })
    }

    pub(crate) async fn tx_get(&self, id: TransactionId) -> Result<Option<LocatedTransaction>, RpcError> {
        self.ledger.transaction(id).await
    }

    pub(crate) async fn tx_receipt(&self, id: TransactionId) -> Result<Option<ReceiptJson>, RpcError> {
        match self.ledger.locate(&id)? {
            Some((height, index)) => self.receipts.receipt(&self.ledger, id, height, index).await,
            None => Ok(None),
        }
    }

    pub(crate) fn chain_head(&self) -> Result<ChainHead, RpcError> {
        self.ledger.head()
    }

    pub(crate) async fn chain_block(
        &self,
        at: BlockAt,
        full: Option<bool>,
    ) -> Result<Option<BlockJson>, RpcError> {
        self.ledger.block(at, full.unwrap_or(true)).await
    }

    pub(crate) async fn chain_blocks(
        &self,
        from_height: u64,
        limit: Option<u32>,
        full: Option<bool>,
    ) -> Result<Blocks, RpcError> {
        self.ledger.blocks(from_height, limit.unwrap_or(DEFAULT_BLOCKS), full.unwrap_or(true)).await
    }

    pub(crate) fn chain_proof(&self, height: u64) -> Result<Option<FinalityProofJson>, RpcError> {
        self.ledger.proof(Height(height))
    }

    pub(crate) fn chain_checkpoint(&self, height: Option<u64>) -> Option<CheckpointJson> {
        let stable = self.node.checkpoint();
        stable.filter(|stable| height.is_none_or(|height| height == stable.height))
    }

    pub(crate) fn network_genesis(&self) -> NetworkGenesis {
        let genesis = self.node.genesis();
        NetworkGenesis {
            chain_id: genesis.chain_id(),
            name: genesis.name().to_owned(),
            toml: genesis.to_toml(),
            predecessor: genesis.predecessor().map(predecessor),
        }
    }

    pub(crate) fn network_validators(&self, height: Option<u64>) -> Result<Option<ValidatorSet>, RpcError> {
        let config = self.node.config();
        let Some(height) = height else { return Ok(Some(validators(&config))) };
        match self.epoch_of(Height(height))? {
            Some(epoch) if epoch == config.epoch() => Ok(Some(validators(&config))),
            Some(epoch) => self.validators_of(epoch, &config),
            None => Ok(None),
        }
    }

    /// The epoch of the block at a height up to the next one; `None` further ahead, and for pruned
    /// heights. Read from the ledger, which may be a block ahead of the configuration.
    fn epoch_of(&self, height: Height) -> Result<Option<Epoch>, RpcError> {
        let header = self.ledger.look(|reader| {
            let head = reader.head()?.height;
            if height > head.next() { Ok(None) } else { reader.header(height.min(head)) }
        })?;
        let is_next = |header: &Header| header.height < height && header.ends_epoch();
        Ok(header.map(|header| if is_next(&header) { header.epoch.next() } else { header.epoch }))
    }

    /// The committee of an epoch that is not that of the configuration: from the genesis, or from the
    /// proof of the end of the epoch before.
    fn validators_of(&self, epoch: Epoch, config: &Config) -> Result<Option<ValidatorSet>, RpcError> {
        let genesis = self.node.genesis();
        let keys = match epoch.0.checked_sub(1) {
            None => Some(genesis.committee().members().to_vec()),
            Some(before) => {
                let proofs = self.ledger.look(|reader| reader.epoch_proofs(Epoch(before), 1))?;
                proofs.into_iter().next().map(|proof| proof.next)
            }
        };
        let committee = keys.and_then(|keys| Committee::new(epoch, keys).ok());
        // Proofs contain keys and no names.
        let name = |key: &PublicKey| {
            let now = config.members().iter().find(|member| member.consensus_key == *key);
            let first = genesis.validators().iter().find(|validator| validator.public_key == *key);
            let now = now.map(|member| member.name.to_string());
            now.or_else(|| first.map(|validator| validator.name.clone())).unwrap_or_default()
        };
        Ok(committee.map(|committee| {
            let members = committee.members().iter().map(|key| (name(key), *key)).collect();
            set_of(&committee, members)
        }))
    }

    /// The reports about ordering, all from one snapshot: the indices of members in them are those of
    /// one committee.
    pub(crate) fn report(&self) -> NodeReport {
        self.node.report()
    }

    pub(crate) fn node_status(&self) -> NodeStatus {
        self.node.status()
    }

    pub(crate) fn node_peers(&self) -> Vec<PeerJson> {
        self.node.peers()
    }

    pub(crate) fn node_version(&self) -> VersionInfo {
        self.node.version()
    }

    pub(crate) fn consensus_state(&self) -> ConsensusState {
        self.node.consensus()
    }

    pub(crate) fn consensus_explain(&self) -> Explanation {
        explain_report(&self.node.report())
    }

    pub(crate) fn consensus_evidence(&self) -> ConsensusEvidence {
        ConsensusEvidence { evidence: self.node.evidence() }
    }

    pub(crate) fn mempool_status(&self) -> MempoolStatus {
        self.node.mempool()
    }

    pub(crate) fn rpc_discover(&self) -> Discovery {
        discovery()
    }
}

fn predecessor(predecessor: &Predecessor) -> PredecessorJson {
    PredecessorJson {
        chain_id: predecessor.chain_id,
        height: predecessor.height.0,
        block: predecessor.block,
        epoch: predecessor.epoch.0,
        state_root: predecessor.state_root,
        clients: predecessor.clients,
    }
}

/// The committee of a configuration.
pub(crate) fn validators(config: &Config) -> ValidatorSet {
    let member = |member: &Member| (member.name.to_string(), member.consensus_key);
    set_of(config.committee(), config.members().iter().map(member).collect())
}

/// `members`: names and keys in committee order.
fn set_of(committee: &Committee, members: Vec<(String, PublicKey)>) -> ValidatorSet {
    let small = |count: usize| u32::try_from(count).expect("a committee is small");
    let validator = |(index, (name, public_key))| ValidatorJson { index, name, public_key };
    ValidatorSet {
        epoch: committee.epoch().0,
        committee: committee.hash(),
        quorum: small(committee.quorum()),
        faults_tolerated: small(committee.faults()),
        validators: (0..).zip(members).map(validator).collect(),
    }
}
