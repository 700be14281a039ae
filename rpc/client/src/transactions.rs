//! Transactions: submission, status and proof.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quorate_api::{ErrorKind, OutcomeJson, ReceiptJson, StatusResult, TransactionStatus, Wait};
use quorate_ledger::{Receipt, Transaction, TransactionId};

use crate::client::Client;
use crate::error::{CallError, ClientError, Untrusted};
use crate::fail_over::Outcome;
use crate::rpc::Rpc;

/// The status of a submitted transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// Its id.
    pub id: TransactionId,
    /// Its status. `Committed` is always proven; any other status is a claim of one node.
    pub status: TransactionStatus,
    /// What became of a committed governance transaction: a claim of the node, which no receipt proves.
    /// `None` for data.
    pub outcome: Option<OutcomeJson>,
    /// The verified receipt; present exactly if the status is `Committed`.
    pub receipt: Option<Receipt>,
}

/// A committed transaction with the proof of its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The transaction.
    pub transaction: Transaction,
    /// The verified receipt of its place.
    pub receipt: Receipt,
}

impl Client {
    /// Submits a transaction; returns once a node holds it in its pool, or knows it as committed.
    ///
    /// Retries retryable failures with the same bytes for at most
    /// [`crate::ClientConfig::timeout`].
    ///
    /// # Errors
    /// [`ClientError::Call`] if a node refuses permanently or none could be reached, and
    /// [`ClientError::Untrusted`] if the last node that responded claimed a commit without proof.
    pub async fn submit(&self, transaction: &Transaction) -> Result<Submitted, ClientError> {
        let attempts = Attempts::new(self, transaction);
        self.nodes
            .ask(self.timeout(), async |node: Rpc, left| attempts.make(&node, Wait::Accepted, left).await)
            .await
    }

    /// Submits a transaction and waits until it is committed, for at most `within`.
    ///
    /// Submits the same bytes again, to any of the nodes, until they are committed, have expired or
    /// are refused permanently. They are committed at most once, however often they are submitted.
    /// When the time is over, the result has the status so far; calling again with the same
    /// transaction continues the wait.
    ///
    /// # Errors
    /// As [`Client::submit`], if no node has returned a status within the time.
    pub async fn submit_and_wait(
        &self,
        transaction: &Transaction,
        within: Duration,
    ) -> Result<Submitted, ClientError> {
        let attempts = Attempts::new(self, transaction);
        self.nodes
            .ask(within, async |node: Rpc, left| attempts.make(&node, Wait::Committed, left).await)
            .await
    }

    /// The status of a transaction. `Committed` is proven; any other status is a claim of the node
    /// that responded.
    ///
    /// # Errors
    /// [`ClientError::Call`] and [`ClientError::Untrusted`] of the last node.
    pub async fn status(&self, id: TransactionId) -> Result<Submitted, ClientError> {
        self.nodes
            .ask(self.timeout(), async |node: Rpc, _| {
                let asked = async {
                    let result = node.tx_status(id).await?;
                    self.accept(&node, id, result, None).await
                };
                asked.await.into()
            })
            .await
    }

    /// The verified receipt of a transaction. `None` is a claim of the node that responded.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn receipt(&self, id: TransactionId) -> Result<Option<Receipt>, ClientError> {
        self.nodes.ask(self.timeout(), async |node: Rpc, _| self.receipt_from(&node, id).await.into()).await
    }

    /// A committed transaction with its verified receipt. `None` is a claim of the node that
    /// responded.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn transaction(&self, id: TransactionId) -> Result<Option<Located>, ClientError> {
        self.nodes.ask(self.timeout(), async |node: Rpc, _| self.located_by(&node, id).await.into()).await
    }

    /// Accepts a status. A committed one needs a verified receipt: the given one, or one that the
    /// node sends now.
    async fn accept(
        &self,
        node: &Rpc,
        id: TransactionId,
        result: StatusResult,
        receipt: Option<ReceiptJson>,
    ) -> Result<Submitted, ClientError> {
        let StatusResult { status, outcome } = result;
        if !matches!(status, TransactionStatus::Committed { .. }) {
            return Ok(Submitted { id, status, outcome: None, receipt: None });
        }
        let receipt = match receipt {
            Some(receipt) => Some(self.checked(node, id, &receipt).await?),
            None => self.receipt_from(node, id).await?,
        };
        let Some(receipt) = receipt else {
            return Err(Client::untrusted(node, Untrusted::NoReceipt(id)));
        };
        // Take the place from the receipt: the place in the status is not proven.
        let height = receipt.proof.header.height.0;
        let status = TransactionStatus::Committed { height, index: receipt.index };
        Ok(Submitted { id, status, outcome, receipt: Some(receipt) })
    }

    async fn receipt_from(&self, node: &Rpc, id: TransactionId) -> Result<Option<Receipt>, ClientError> {
        match node.tx_receipt(id).await? {
            Some(receipt) => self.checked(node, id, &receipt).await.map(Some),
            None => Ok(None),
        }
    }

    async fn located_by(&self, node: &Rpc, id: TransactionId) -> Result<Option<Located>, ClientError> {
        let Some(found) = node.tx_get(id).await? else {
            return Ok(None);
        };
        if found.transaction.id != id {
            let reason = Untrusted::OtherTransaction { asked: id, found: found.transaction.id };
            return Err(Client::untrusted(node, reason));
        }
        // The conversion checks that the bytes have this id.
        let transaction =
            Transaction::try_from(&found.transaction).map_err(|reason| Client::untrusted(node, reason))?;
        match self.receipt_from(node, id).await? {
            Some(receipt) => Ok(Some(Located { transaction, receipt })),
            None => Err(Client::untrusted(node, Untrusted::NoReceipt(id))),
        }
    }

    async fn checked(
        &self,
        node: &Rpc,
        id: TransactionId,
        receipt: &ReceiptJson,
    ) -> Result<Receipt, ClientError> {
        self.check(node, |anchor| {
            let receipt = Receipt::try_from(receipt)?;
            if receipt.transaction != id {
                return Err(Untrusted::OtherTransaction { asked: id, found: receipt.transaction });
            }
            receipt.verify(anchor)?;
            Ok(receipt)
        })
        .await
    }
}

/// Repeated submission of the same bytes.
struct Attempts<'a> {
    client: &'a Client,
    id: TransactionId,
    bytes: Vec<u8>,
    /// Whether an earlier attempt may have reached a pool.
    may_be_submitted: AtomicBool,
}

impl<'a> Attempts<'a> {
    fn new(client: &'a Client, transaction: &Transaction) -> Self {
        let bytes = transaction.to_bytes();
        Attempts { client, id: Transaction::id_of(&bytes), bytes, may_be_submitted: AtomicBool::new(false) }
    }

    async fn make(&self, node: &Rpc, wait: Wait, within: Duration) -> Outcome<Submitted> {
        let may_be_submitted = self.may_be_submitted.load(Ordering::Relaxed);
        let result = self.submit_once(node, wait, within).await;
        if !matches!(result, Err(ClientError::Call(CallError::Node { .. }))) {
            self.may_be_submitted.store(true, Ordering::Relaxed);
        }
        match result {
            Ok(submitted) if wait == Wait::Committed && !submitted.status.is_final() => {
                Outcome::SoFar(submitted)
            }
            // A node that lags behind decides by its clock that the transaction has expired, and
            // may not know yet that it was committed in time.
            Err(error) if may_be_submitted && is_expiry(&error) => Outcome::Doubtful(error),
            other => other.into(),
        }
    }

    async fn submit_once(&self, node: &Rpc, wait: Wait, within: Duration) -> Result<Submitted, ClientError> {
        let result = node.tx_submit(self.bytes.clone(), wait, within).await?;
        if result.id != self.id {
            let reason = Untrusted::OtherTransaction { asked: self.id, found: result.id };
            return Err(Client::untrusted(node, reason));
        }
        let status = StatusResult { status: result.status, outcome: result.outcome };
        self.client.accept(node, self.id, status, result.receipt).await
    }
}

fn is_expiry(error: &ClientError) -> bool {
    matches!(error, ClientError::Call(CallError::Node { error, .. })
        if error.kind() == ErrorKind::TransactionExpired)
}
