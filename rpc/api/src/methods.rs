//! The methods. `QuorateServer` and `QuorateClient` are generated from the one trait, for the
//! features `server` and `client`.
//!
//! Parameters may be given by name or by position; trailing optional ones may be omitted. The
//! result for an unknown transaction, block or height is null; for a pruned one it is an error with
//! the earliest height. [`crate::METHODS`] has the same as data; the server serves only the methods
//! in it.

use jsonrpsee::proc_macros::rpc;
use quorate_ledger::TransactionId;
use serde::{Deserialize, Serialize};

use crate::hex;
use crate::{
    BlockAt, BlockJson, Blocks, Bytes, ChainHead, CheckpointJson, ConsensusEvidence, ConsensusState,
    Discovery, Explanation, FinalityProofJson, LocatedTransaction, MempoolStatus, NetworkGenesis, NodeStatus,
    PeerJson, ReceiptJson, SubmitResult, TransactionStatus, ValidatorSet, VersionInfo, Wait,
};
// The generated client has its own errors.
#[cfg(feature = "server")]
use crate::RpcError;

/// A transaction id as a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(#[serde(with = "hex::text")] pub TransactionId);

/// The methods that a node serves.
#[cfg_attr(all(feature = "server", feature = "client"), rpc(server, client))]
#[cfg_attr(all(feature = "server", not(feature = "client")), rpc(server))]
#[cfg_attr(all(feature = "client", not(feature = "server")), rpc(client))]
pub trait Quorate {
    /// Submits an encoded transaction and waits, by default for `accepted` and at most for
    /// `timeout_ms`. Submitting the same bytes again is always safe, to any node.
    #[method(name = "tx_submit", param_kind = map)]
    async fn tx_submit(
        &self,
        transaction: Bytes,
        wait: Option<Wait>,
        timeout_ms: Option<u64>,
    ) -> Result<SubmitResult, RpcError>;

    /// The status of a transaction, as far as this node knows it.
    #[method(name = "tx_status", param_kind = map)]
    async fn tx_status(&self, id: Id) -> Result<TransactionStatus, RpcError>;

    /// A committed transaction with its place; null if none is known.
    #[method(name = "tx_get", param_kind = map)]
    async fn tx_get(&self, id: Id) -> Result<Option<LocatedTransaction>, RpcError>;

    /// Proof that a transaction was committed; null if it is not known to be.
    #[method(name = "tx_receipt", param_kind = map)]
    async fn tx_receipt(&self, id: Id) -> Result<Option<ReceiptJson>, RpcError>;

    /// The newest committed block.
    #[method(name = "chain_head", param_kind = map)]
    async fn chain_head(&self) -> Result<ChainHead, RpcError>;

    /// A block with its transactions, or with their ids for `full = false`; null if there is none.
    #[method(name = "chain_block", param_kind = map)]
    async fn chain_block(&self, at: BlockAt, full: Option<bool>) -> Result<Option<BlockJson>, RpcError>;

    /// Consecutive blocks, ascending. `limit` is 1 to 100, by default 20; the result may have
    /// fewer, but has at least one if the first exists.
    #[method(name = "chain_blocks", param_kind = map)]
    async fn chain_blocks(
        &self,
        from_height: u64,
        limit: Option<u32>,
        full: Option<bool>,
    ) -> Result<Blocks, RpcError>;

    /// Proof that the block at a height is final; null at height 0 and above the head.
    #[method(name = "chain_proof", param_kind = map)]
    async fn chain_proof(&self, height: u64) -> Result<Option<FinalityProofJson>, RpcError>;

    /// The stable checkpoint; null before the first, and if it is at another height than the given
    /// one. A node keeps only the latest.
    #[method(name = "chain_checkpoint", param_kind = map)]
    async fn chain_checkpoint(&self, height: Option<u64>) -> Result<Option<CheckpointJson>, RpcError>;

    /// The genesis of the network.
    #[method(name = "network_genesis", param_kind = map)]
    async fn network_genesis(&self) -> Result<NetworkGenesis, RpcError>;

    /// The committee that orders the block at a height, by default the next block; null further
    /// ahead.
    #[method(name = "network_validators", param_kind = map)]
    async fn network_validators(&self, height: Option<u64>) -> Result<Option<ValidatorSet>, RpcError>;

    /// The node's summary of itself.
    #[method(name = "node_status", param_kind = map)]
    async fn node_status(&self) -> Result<NodeStatus, RpcError>;

    /// The other nodes that it knows.
    #[method(name = "node_peers", param_kind = map)]
    async fn node_peers(&self) -> Result<Vec<PeerJson>, RpcError>;

    /// The program that the node runs.
    #[method(name = "node_version", param_kind = map)]
    async fn node_version(&self) -> Result<VersionInfo, RpcError>;

    /// The state of ordering.
    #[method(name = "consensus_state", param_kind = map)]
    async fn consensus_state(&self) -> Result<ConsensusState, RpcError>;

    /// Why this node makes progress with ordering or does not: what it waits for, from whom, until
    /// when.
    #[method(name = "consensus_explain", param_kind = map)]
    async fn consensus_explain(&self) -> Result<Explanation, RpcError>;

    /// Evidence of faulty validators; empty if there is none.
    #[method(name = "consensus_evidence", param_kind = map)]
    async fn consensus_evidence(&self) -> Result<ConsensusEvidence, RpcError>;

    /// How full the pool is.
    #[method(name = "mempool_status", param_kind = map)]
    async fn mempool_status(&self) -> Result<MempoolStatus, RpcError>;

    /// This interface, as an OpenRPC document.
    #[method(name = "rpc.discover", param_kind = map)]
    async fn rpc_discover(&self) -> Result<Discovery, RpcError>;
}
