//! Submission of transactions.

use std::sync::Arc;
use std::time::Duration;

use quorate_api::{ErrorKind, RpcError, SubmitResult, TransactionStatus, Wait};
use quorate_ledger::{Height, Refusal, Transaction, TransactionError, TransactionId};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::config::RpcConfig;
use crate::node::Node;
use crate::stopping::Stopping;

/// When to try again if too many submissions without a wait are in progress.
const BACKGROUND_RETRY_MS: u64 = 200;

/// Submits transactions to the node and waits for their outcome.
pub(crate) struct Transactions<N> {
    node: Arc<N>,
    default_wait: Duration,
    max_wait: Duration,
    background: Arc<Semaphore>,
    stopping: Stopping,
}

impl<N: Node> Transactions<N> {
    pub(crate) fn new(config: &RpcConfig, node: Arc<N>, stopping: Stopping) -> Self {
        Transactions {
            node,
            default_wait: config.default_wait,
            max_wait: config.max_wait,
            background: Arc::new(Semaphore::new(config.max_background_submissions)),
            stopping,
        }
    }

    /// Everything that `tx_submit` does except the receipt.
    pub(crate) async fn submit(
        &self,
        bytes: &[u8],
        wait: Wait,
        timeout_ms: Option<u64>,
    ) -> Result<SubmitResult, RpcError> {
        self.node.takes_transactions()?;
        let transaction = self.decode(bytes)?;
        // The encoding is canonical, so these bytes are exactly the transaction's encoding.
        let id = Transaction::id_of(bytes);
        let status = match wait {
            Wait::None => self.submit_without_wait(id, transaction)?,
            Wait::Accepted | Wait::Committed => {
                let limit = timeout_ms.map_or(self.default_wait, Duration::from_millis).min(self.max_wait);
                self.submit_and_wait(id, transaction, wait, limit).await?
            }
        };
        Ok(SubmitResult { id, status, outcome: None, receipt: None })
    }

    fn decode(&self, bytes: &[u8]) -> Result<Transaction, RpcError> {
        let limits = self.node.config().block_limits().transaction;
        let too_large = u32::try_from(bytes.len()).map_or(true, |bytes| bytes > limits.max_bytes);
        if too_large {
            let error = TransactionError::TooLarge { bytes: bytes.len() as u64, limit: limits.max_bytes };
            return Err(Refusal::from(error).into());
        }
        let transaction = Transaction::from_bytes(bytes)
            .map_err(|_| RpcError::new(ErrorKind::TransactionMalformed, malformed(bytes)))?;
        transaction.check_form(&limits).map_err(Refusal::from)?;
        Ok(transaction)
    }

    /// Submits in the background. No client waits for the outcome, so a refusal is only logged.
    fn submit_without_wait(
        &self,
        id: TransactionId,
        transaction: Transaction,
    ) -> Result<TransactionStatus, RpcError> {
        let Ok(permit) = Arc::clone(&self.background).try_acquire_owned() else {
            let message = "too many submissions without a wait are in progress; try again";
            return Err(RpcError::new(ErrorKind::Overloaded, message).retry_after_ms(BACKGROUND_RETRY_MS));
        };
        let node = Arc::clone(&self.node);
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(refusal) = node.submit(transaction).await {
                tracing::debug!(%id, %refusal, "refused a transaction that no client waits for");
            }
        });
        Ok(TransactionStatus::Unknown)
    }

    async fn submit_and_wait(
        &self,
        id: TransactionId,
        transaction: Transaction,
        wait: Wait,
        limit: Duration,
    ) -> Result<TransactionStatus, RpcError> {
        let deadline = Instant::now() + limit;
        let status = match timeout_at(deadline, self.node.submit(transaction)).await {
            Ok(answer) => answer?,
            Err(_) => self.node.status_of(id).await,
        };
        if wait != Wait::Committed || status.is_final() {
            return Ok(status);
        }
        let mut stopping = self.stopping.clone();
        let left = deadline.saturating_duration_since(Instant::now());
        tokio::select! {
            status = self.node.ended(id, left) => return Ok(status),
            () = stopping.stopped() => {}
        }
        // The server stops: end the wait with the status so far, as if it had timed out.
        Ok(self.node.status_of(id).await)
    }
}

/// Length of a transaction's fields before its payload, by WIRE.md, and of the signature after it.
const HEAD_BYTES: usize = 54;
const SIGNATURE_BYTES: usize = 64;

/// What is wrong with bytes that are not a transaction, to help developers of encoders.
fn malformed(bytes: &[u8]) -> String {
    let least = HEAD_BYTES + SIGNATURE_BYTES;
    let problem = match bytes {
        _ if bytes.len() < least => format!("a transaction has at least {least} bytes, not {}", bytes.len()),
        [sender, ..] if ![2, 3].contains(sender) => {
            format!("the sender is a compressed public key: its first byte is 02 or 03, not {sender:02x}")
        }
        _ if bytes[49] > 1 => format!("byte 49, the kind, is 00 or 01, not {:02x}", bytes[49]),
        _ => {
            let length = u32::from_le_bytes([bytes[50], bytes[51], bytes[52], bytes[53]]);
            let room = bytes.len() - least;
            if usize::try_from(length) == Ok(room) {
                "its signature is not canonical: r and s must be from 1 to the order of the curve, and s at most half of it".to_owned()
            } else {
                format!("bytes 50 to 53 give the payload {length} bytes, but there are {room} bytes for it")
            }
        }
    };
    format!("not the encoding of a transaction (WIRE.md, Transactions): {problem}")
}

/// Height and index of a committed transaction.
pub(crate) fn place(status: &TransactionStatus) -> Option<(Height, u32)> {
    match status {
        TransactionStatus::Committed { height, index } => Some((Height(*height), *index)),
        _ => None,
    }
}
