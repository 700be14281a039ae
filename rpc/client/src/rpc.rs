//! One node, without verification.

use std::time::Duration;

use jsonrpsee_core::ClientError as Failure;
use jsonrpsee_core::client::ClientT;
use jsonrpsee_http_client::transport::Error as TransportError;
use jsonrpsee_http_client::{HttpClient, HttpClientBuilder};
use quorate_api::{
    BlockAt, BlockJson, Blocks, Bytes, ChainHead, ChangeJson, CheckpointJson, ClientJson, Clients,
    ConsensusEvidence, ConsensusState, EpochProofsJson, Explanation, FinalityProofJson, GovernanceStatus,
    History, LocatedTransaction, MAX_LISTED, MempoolStatus, NetworkGenesis, NodeStatus, PeerJson,
    PreviewJson, ProposalJson, ReceiptJson, RpcError, StatusResult, SubmitResult, ValidatorSet, VersionInfo,
    Wait,
};
use quorate_ledger::{PublicKey, TransactionId};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::config::ClientConfig;
use crate::error::{CallError, ClientError, brief};

/// An upper bound for the HTTP library; each call has its own, shorter limit.
const CEILING: Duration = Duration::from_secs(3600);

/// The methods of one node. Results are not verified; see [`crate::Client`] for that.
#[derive(Debug, Clone)]
pub struct Rpc {
    url: String,
    http: HttpClient,
    answer_timeout: Duration,
}

impl Rpc {
    /// A node at this URL. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Url`] unless the URL is `http://…`.
    pub fn new(url: &str, config: &ClientConfig) -> Result<Self, ClientError> {
        let refused = |reason: String| ClientError::Url { url: url.to_owned(), reason };
        if !url.starts_with("http://") {
            return Err(refused("not an http:// URL".to_owned()));
        }
        let http = HttpClientBuilder::new()
            .connect_timeout(config.connect_timeout)
            .request_timeout(CEILING)
            .max_response_size(config.max_response_bytes)
            .max_concurrent_requests(config.max_concurrent_requests)
            .build(url)
            .map_err(|error| refused(error.to_string()))?;
        Ok(Rpc { url: url.to_owned(), http, answer_timeout: config.answer_timeout })
    }

    /// The URL of the node.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls a method with these parameters.
    async fn call<T: DeserializeOwned, const N: usize>(
        &self,
        method: &str,
        parameters: [(&str, Value); N],
    ) -> Result<T, CallError> {
        self.call_within(self.answer_timeout, method, parameters).await
    }

    async fn call_within<T: DeserializeOwned, const N: usize>(
        &self,
        limit: Duration,
        method: &str,
        parameters: [(&str, Value); N],
    ) -> Result<T, CallError> {
        let named = parameters.map(|(name, value)| (name.to_owned(), value));
        match timeout(limit, self.http.request(method, Map::from_iter(named))).await {
            Ok(answer) => answer.map_err(|failure| self.explain(&failure)),
            Err(_) => Err(CallError::Timeout { url: self.url.clone(), after: limit }),
        }
    }

    fn explain(&self, failure: &Failure) -> CallError {
        let url = self.url.clone();
        match failure {
            Failure::Call(error) => CallError::Node {
                url,
                error: RpcError::received(error.code(), error.message(), error.data()),
            },
            Failure::RequestTimeout => CallError::Timeout { url, after: CEILING },
            Failure::Transport(error) => match error.downcast_ref::<TransportError>() {
                Some(TransportError::Rejected { status_code }) => {
                    CallError::Refused { url, status: *status_code }
                }
                _ => CallError::Unreachable { url, reason: brief(chain(error.as_ref())) },
            },
            other => CallError::Answer { url, reason: brief(other.to_string()) },
        }
    }
}

/// An error with all its causes, on one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}

/// The methods, with the names and meanings of the interface.
///
/// # Errors
/// Every method: [`CallError`].
impl Rpc {
    /// Submits the encoding of a transaction. The node waits for at most `within`.
    pub async fn tx_submit(
        &self,
        transaction: Vec<u8>,
        wait: Wait,
        within: Duration,
    ) -> Result<SubmitResult, CallError> {
        let timeout_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let limit = within.saturating_add(self.answer_timeout);
        let parameters = [
            ("transaction", json!(Bytes(transaction))),
            ("wait", json!(wait)),
            ("timeout_ms", json!(timeout_ms)),
        ];
        self.call_within(limit, "tx_submit", parameters).await
    }

    /// The status of a transaction, as far as the node knows it.
    pub async fn tx_status(&self, id: TransactionId) -> Result<StatusResult, CallError> {
        self.call("tx_status", [("id", json!(id.to_string()))]).await
    }

    /// A committed transaction with its place.
    pub async fn tx_get(&self, id: TransactionId) -> Result<Option<LocatedTransaction>, CallError> {
        self.call("tx_get", [("id", json!(id.to_string()))]).await
    }

    /// Proof that a transaction was committed.
    pub async fn tx_receipt(&self, id: TransactionId) -> Result<Option<ReceiptJson>, CallError> {
        self.call("tx_receipt", [("id", json!(id.to_string()))]).await
    }

    /// The newest committed block.
    pub async fn chain_head(&self) -> Result<ChainHead, CallError> {
        self.call("chain_head", []).await
    }

    /// A block with its transactions, or with their ids for `full = false`.
    pub async fn chain_block(&self, at: BlockAt, full: bool) -> Result<Option<BlockJson>, CallError> {
        self.call("chain_block", [("at", json!(at)), ("full", json!(full))]).await
    }

    /// Consecutive blocks, ascending; possibly fewer than `limit`.
    pub async fn chain_blocks(&self, from: u64, limit: u32, full: bool) -> Result<Blocks, CallError> {
        self.call(
            "chain_blocks",
            [("from_height", json!(from)), ("limit", json!(limit)), ("full", json!(full))],
        )
        .await
    }

    /// Proof that the block at a height is final.
    pub async fn chain_proof(&self, height: u64) -> Result<Option<FinalityProofJson>, CallError> {
        self.call("chain_proof", [("height", json!(height))]).await
    }

    /// The stable checkpoint, if it is at this height or none is given.
    pub async fn chain_checkpoint(&self, height: Option<u64>) -> Result<Option<CheckpointJson>, CallError> {
        self.call("chain_checkpoint", [("height", json!(height))]).await
    }

    /// The genesis of the network.
    pub async fn network_genesis(&self) -> Result<NetworkGenesis, CallError> {
        self.call("network_genesis", []).await
    }

    /// The committee at a height, by default that of the next block.
    pub async fn network_validators(&self, height: Option<u64>) -> Result<Option<ValidatorSet>, CallError> {
        self.call("network_validators", [("height", json!(height))]).await
    }

    /// Proofs of the ends of epochs from this one on, at most 100.
    pub async fn network_epochs(&self, from_epoch: u64) -> Result<EpochProofsJson, CallError> {
        self.call("network_epochs", [("from_epoch", json!(from_epoch)), ("limit", json!(MAX_LISTED))]).await
    }

    /// The committee and parameters in force at the next height, and what is scheduled.
    pub async fn governance_status(&self) -> Result<GovernanceStatus, CallError> {
        self.call("governance_status", []).await
    }

    /// The open proposals.
    pub async fn governance_proposals(&self) -> Result<Vec<ProposalJson>, CallError> {
        self.call("governance_proposals", []).await
    }

    /// What a proposal of these changes would do if the next block decided it.
    pub async fn governance_preview(&self, changes: &[ChangeJson]) -> Result<PreviewJson, CallError> {
        self.call("governance_preview", [("changes", json!(changes))]).await
    }

    /// Registered clients with greater keys than this one, at most 100.
    pub async fn governance_clients(&self, after: Option<&PublicKey>) -> Result<Clients, CallError> {
        let after = after.map(ToString::to_string);
        self.call("governance_clients", [("after", json!(after)), ("limit", json!(MAX_LISTED))]).await
    }

    /// A registered client.
    pub async fn governance_client(&self, key: &PublicKey) -> Result<Option<ClientJson>, CallError> {
        self.call("governance_client", [("key", json!(key.to_string()))]).await
    }

    /// Past governance transactions, newest first, below a height or from the newest block on.
    pub async fn governance_history(&self, below: Option<u64>, limit: u32) -> Result<History, CallError> {
        self.call("governance_history", [("below_height", json!(below)), ("limit", json!(limit))]).await
    }

    /// The node's summary of itself.
    pub async fn node_status(&self) -> Result<NodeStatus, CallError> {
        self.call("node_status", []).await
    }

    /// The other nodes that it knows.
    pub async fn node_peers(&self) -> Result<Vec<PeerJson>, CallError> {
        self.call("node_peers", []).await
    }

    /// The program that the node runs.
    pub async fn node_version(&self) -> Result<VersionInfo, CallError> {
        self.call("node_version", []).await
    }

    /// The state of ordering.
    pub async fn consensus_state(&self) -> Result<ConsensusState, CallError> {
        self.call("consensus_state", []).await
    }

    /// Why the node makes progress with ordering or does not.
    pub async fn consensus_explain(&self) -> Result<Explanation, CallError> {
        self.call("consensus_explain", []).await
    }

    /// Evidence of faulty members. It is not verified here.
    pub async fn consensus_evidence(&self) -> Result<ConsensusEvidence, CallError> {
        self.call("consensus_evidence", []).await
    }

    /// How full the pool is.
    pub async fn mempool_status(&self) -> Result<MempoolStatus, CallError> {
        self.call("mempool_status", []).await
    }
}
