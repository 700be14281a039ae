//! JSON-RPC client of one node.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;

use quorate_api::{
    BlockJson, Blocks, ChainHead, ConsensusState, ErrorData, ErrorKind, Explanation, MempoolStatus,
    NodeStatus, ReceiptJson, RpcError, SubmitResult, TransactionStatus, Wait,
};
use quorate_ledger::TransactionId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::clients::http::Http;

/// The methods of one node, over one connection.
#[derive(Debug)]
pub struct Rpc {
    address: SocketAddr,
    http: RefCell<Http>,
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The node returned an error.
    #[error("{0}")]
    Refused(RpcError),
    /// There is no connection, or it broke.
    #[error("no answer: {0}")]
    Unreachable(#[from] io::Error),
    /// The response violates the interface.
    #[error("an answer that makes no sense: {0}")]
    Invalid(String),
}

impl CallError {
    /// The kind of the node's error, if it returned one.
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            CallError::Refused(error) => Some(error.kind()),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Reply<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<Failure>,
}

/// Every error has all of these fields, including the standard errors.
#[derive(Deserialize)]
pub(crate) struct Failure {
    code: i32,
    message: String,
    data: ErrorData,
}

impl From<Failure> for RpcError {
    fn from(Failure { code, message, data }: Failure) -> Self {
        RpcError { code, message, data }
    }
}

impl Reply<'_> {
    fn read<T: DeserializeOwned>(self) -> Result<Result<T, RpcError>, CallError> {
        match (self.result, self.error) {
            (result, None) => {
                let text = result.map_or("null", RawValue::get);
                let value = serde_json::from_str(text);
                value.map(Ok).map_err(|error| CallError::Invalid(format!("{error}: {text:.200}")))
            }
            (None, Some(failure)) => Ok(Err(failure.into())),
            (Some(_), Some(_)) => Err(CallError::Invalid("a result and an error".to_owned())),
        }
    }
}

/// The error in the body of a refusal.
pub(crate) fn refused(body: &[u8]) -> CallError {
    match serde_json::from_slice::<Reply<'_>>(body).ok().and_then(|reply| reply.error) {
        Some(failure) => CallError::Refused(failure.into()),
        None => CallError::Invalid(format!("no error: {:.200}", String::from_utf8_lossy(body))),
    }
}

pub(crate) fn request(id: u64, method: &str, parameters: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": parameters })
}

impl Rpc {
    /// The node at this address.
    pub fn new(address: SocketAddr) -> Self {
        Rpc { address, http: RefCell::new(Http::new(address)) }
    }

    /// The address of the node.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Calls a method.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn call<T: DeserializeOwned>(&self, method: &str, parameters: &Value) -> Result<T, CallError> {
        let body = request(0, method, parameters).to_string();
        let response = self.http.borrow_mut().post(body.as_bytes())?;
        let reply: Reply<'_> = serde_json::from_slice(&response.body)
            .map_err(|error| CallError::Invalid(format!("{error}: {:.200}", response.text())))?;
        reply.read()?.map_err(CallError::Refused)
    }

    /// Calls a method once for each of the parameters, in one request. The results have the same
    /// order.
    ///
    /// # Errors
    /// [`CallError`] if the request as a whole fails.
    pub fn batch<T: DeserializeOwned>(
        &self,
        method: &str,
        parameters: &[Value],
    ) -> Result<Vec<Result<T, RpcError>>, CallError> {
        let requests = (0..).zip(parameters).map(|(id, parameters)| request(id, method, parameters));
        let body = Value::Array(requests.collect()).to_string();
        let response = self.http.borrow_mut().post(body.as_bytes())?;
        let Ok(replies) = serde_json::from_slice::<Vec<Reply<'_>>>(&response.body) else {
            let whole: Reply<'_> = serde_json::from_slice(&response.body)
                .map_err(|error| CallError::Invalid(format!("{error}: {:.200}", response.text())))?;
            let Err(refused) = whole.read::<Value>()? else {
                return Err(CallError::Invalid("a single response to a batch".to_owned()));
            };
            return Err(CallError::Refused(refused));
        };
        let mut answers: Vec<Option<Result<T, RpcError>>> = parameters.iter().map(|_| None).collect();
        for reply in replies {
            let place = reply.id.and_then(|id| answers.get_mut(usize::try_from(id).ok()?));
            let Some(place @ None) = place else {
                return Err(CallError::Invalid("a response without a request".to_owned()));
            };
            *place = Some(reply.read()?);
        }
        let complete: Option<Vec<_>> = answers.into_iter().collect();
        complete.ok_or_else(|| CallError::Invalid("an incomplete response to a batch".to_owned()))
    }

    /// Submits an encoded transaction.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn submit(&self, transaction: &str, wait: Wait, timeout_ms: u64) -> Result<SubmitResult, CallError> {
        self.call("tx_submit", &json!({ "transaction": transaction, "wait": wait, "timeout_ms": timeout_ms }))
    }

    #[track_caller]
    fn expect<T: DeserializeOwned>(&self, method: &str, parameters: &Value) -> T {
        let answer = self.call(method, parameters);
        answer.unwrap_or_else(|error| panic!("{method} at {}: {error}", self.address))
    }

    /// The newest block. It panics without a response, as all methods below do.
    #[track_caller]
    pub fn head(&self) -> ChainHead {
        self.expect("chain_head", &json!({}))
    }

    /// The node's status, if it responds: it may be starting again.
    pub fn try_status(&self) -> Option<NodeStatus> {
        self.call("node_status", &json!({})).ok()
    }

    /// The node's status.
    #[track_caller]
    pub fn status(&self) -> NodeStatus {
        self.expect("node_status", &json!({}))
    }

    /// The state of its pool.
    #[track_caller]
    pub fn mempool(&self) -> MempoolStatus {
        self.expect("mempool_status", &json!({}))
    }

    /// Its status of a transaction.
    #[track_caller]
    pub fn transaction(&self, id: &TransactionId) -> TransactionStatus {
        self.expect("tx_status", &json!({ "id": id.to_string() }))
    }

    /// Its receipt of a transaction.
    #[track_caller]
    pub fn receipt(&self, id: &TransactionId) -> Option<ReceiptJson> {
        self.expect("tx_receipt", &json!({ "id": id.to_string() }))
    }

    /// Whole blocks from a height on, as many as the node returns at a time.
    #[track_caller]
    pub fn blocks(&self, from: u64) -> Blocks {
        self.expect("chain_blocks", &json!({ "from_height": from, "limit": 100, "full": true }))
    }

    /// The state of ordering.
    #[track_caller]
    pub fn consensus(&self) -> ConsensusState {
        self.expect("consensus_state", &json!({}))
    }

    /// Why it makes progress with ordering or does not.
    #[track_caller]
    pub fn explanation(&self) -> Explanation {
        self.expect("consensus_explain", &json!({}))
    }

    /// The newest block without its transactions. The genesis is the only newest one without a
    /// certificate.
    #[track_caller]
    pub fn newest(&self) -> BlockJson {
        let newest: Option<BlockJson> = self.expect("chain_block", &json!({ "at": "latest", "full": false }));
        newest.unwrap_or_else(|| panic!("{} has a newest block", self.address))
    }

    /// The status code of a page such as `/readyz`, if there is a response.
    pub fn page(&self, path: &str) -> Option<u16> {
        self.http.borrow_mut().get(path).ok().map(|response| response.status)
    }

    /// The text of a page such as `/readyz` with any status code, if there is a response.
    pub fn text(&self, path: &str) -> Option<String> {
        self.http.borrow_mut().get(path).ok().map(|response| response.text())
    }
}
