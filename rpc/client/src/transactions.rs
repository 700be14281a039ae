//! Transactions: handing in, waiting, proving.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quorate_api::{ErrorKind, ReceiptJson, TransactionStatus, Wait};
use quorate_ledger::{Receipt, Transaction, TransactionId};

use crate::client::Client;
use crate::error::{CallError, ClientError, Untrusted};
use crate::fail_over::Outcome;
use crate::rpc::Rpc;

/// What became of a transaction that was handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// Its id.
    pub id: TransactionId,
    /// What is known of it. `Committed` is always proven; the others are a node's word.
    pub status: TransactionStatus,
    /// The proof, checked; there exactly if the status is `Committed`.
    pub receipt: Option<Receipt>,
}

/// A committed transaction with the proof of its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The transaction.
    pub transaction: Transaction,
    /// Where it stands, checked.
    pub receipt: Receipt,
}

impl Client {
    /// Hands in a transaction; returns once a node has taken it into its pool, or has it committed already.
    ///
    /// Retryable failures are retried with the same bytes for as long as the client's patience lasts.
    ///
    /// # Errors
    /// [`ClientError::Call`] when a node refuses for good or none could be reached, and
    /// [`ClientError::Untrusted`] when the last one that answered called it committed without proof.
    pub async fn submit(&self, transaction: &Transaction) -> Result<Submitted, ClientError> {
        let attempts = Attempts::new(self, transaction);
        self.nodes
            .ask(self.patience(), async |node: Rpc, left| attempts.make(&node, Wait::Accepted, left).await)
            .await
    }

    /// Hands in a transaction and waits until it is committed, for at most `within`.
    ///
    /// The same bytes are handed in again, here or there, until they are committed, have expired or are
    /// refused for good: at most once they are committed, however often. When the time is over, the status
    /// is the one so far; calling again with the same transaction goes on waiting.
    ///
    /// # Errors
    /// As [`Client::submit`], if no node has said anything better within the time.
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

    /// What is known of a transaction. `Committed` is proven, the rest is the word of the node that answered.
    ///
    /// # Errors
    /// [`ClientError::Call`] and [`ClientError::Untrusted`] of the last node asked.
    pub async fn status(&self, id: TransactionId) -> Result<Submitted, ClientError> {
        self.nodes
            .ask(self.patience(), async |node: Rpc, _| {
                let asked = async {
                    let status = node.tx_status(id).await?;
                    self.believe(&node, id, status, None).await
                };
                asked.await.into()
            })
            .await
    }

    /// Proof that a transaction was committed, checked. `None` is the word of the node that answered.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn receipt(&self, id: TransactionId) -> Result<Option<Receipt>, ClientError> {
        self.nodes.ask(self.patience(), async |node: Rpc, _| self.receipt_from(&node, id).await.into()).await
    }

    /// A committed transaction, with the proof of its place, checked. `None` is the word of the node that
    /// answered.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub async fn transaction(&self, id: TransactionId) -> Result<Option<Located>, ClientError> {
        self.nodes.ask(self.patience(), async |node: Rpc, _| self.located_by(&node, id).await.into()).await
    }

    /// Believes a status once a committed one is proven, by the receipt that came along or another.
    async fn believe(
        &self,
        node: &Rpc,
        id: TransactionId,
        status: TransactionStatus,
        receipt: Option<ReceiptJson>,
    ) -> Result<Submitted, ClientError> {
        if !matches!(status, TransactionStatus::Committed { .. }) {
            return Ok(Submitted { id, status, receipt: None });
        }
        let receipt = match receipt {
            Some(receipt) => Some(self.checked(node, id, &receipt)?),
            None => self.receipt_from(node, id).await?,
        };
        let Some(receipt) = receipt else {
            return Err(Client::untrusted(node, Untrusted::NoReceipt(id)));
        };
        // The place is the receipt's, whatever the status said.
        let height = receipt.proof.header.height.0;
        let status = TransactionStatus::Committed { height, index: receipt.index };
        Ok(Submitted { id, status, receipt: Some(receipt) })
    }

    async fn receipt_from(&self, node: &Rpc, id: TransactionId) -> Result<Option<Receipt>, ClientError> {
        match node.tx_receipt(id).await? {
            Some(receipt) => self.checked(node, id, &receipt).map(Some),
            None => Ok(None),
        }
    }

    async fn located_by(&self, node: &Rpc, id: TransactionId) -> Result<Option<Located>, ClientError> {
        let Some(told) = node.tx_get(id).await? else {
            return Ok(None);
        };
        if told.transaction.id != id {
            let reason = Untrusted::OtherTransaction { asked: id, found: told.transaction.id };
            return Err(Client::untrusted(node, reason));
        }
        // The conversion finds out whether the bytes have this id.
        let transaction =
            Transaction::try_from(&told.transaction).map_err(|reason| Client::untrusted(node, reason))?;
        match self.receipt_from(node, id).await? {
            Some(receipt) => Ok(Some(Located { transaction, receipt })),
            None => Err(Client::untrusted(node, Untrusted::NoReceipt(id))),
        }
    }

    fn checked(&self, node: &Rpc, id: TransactionId, receipt: &ReceiptJson) -> Result<Receipt, ClientError> {
        let check = || {
            let receipt = Receipt::try_from(receipt)?;
            if receipt.transaction != id {
                return Err(Untrusted::OtherTransaction { asked: id, found: receipt.transaction });
            }
            receipt.verify(&self.anchor)?;
            Ok(receipt)
        };
        check().map_err(|reason| Client::untrusted(node, reason))
    }
}

/// Handing in the same bytes, as often as it takes.
struct Attempts<'a> {
    client: &'a Client,
    id: TransactionId,
    bytes: Vec<u8>,
    /// Whether an earlier attempt may have got through.
    open: AtomicBool,
}

impl<'a> Attempts<'a> {
    fn new(client: &'a Client, transaction: &Transaction) -> Self {
        let bytes = transaction.to_bytes();
        Attempts { client, id: Transaction::id_of(&bytes), bytes, open: AtomicBool::new(false) }
    }

    async fn make(&self, node: &Rpc, wait: Wait, within: Duration) -> Outcome<Submitted> {
        let was_open = self.open.load(Ordering::Relaxed);
        let result = self.hand_in(node, wait, within).await;
        if !matches!(result, Err(ClientError::Call(CallError::Node { .. }))) {
            self.open.store(true, Ordering::Relaxed);
        }
        match result {
            Ok(submitted) if wait == Wait::Committed && !submitted.status.is_final() => {
                Outcome::SoFar(submitted)
            }
            // A node that lags behind says by its clock that the time is over, and does not know that the
            // transaction was committed in time.
            Err(error) if was_open && is_expiry(&error) => Outcome::Doubtful(error),
            other => other.into(),
        }
    }

    async fn hand_in(&self, node: &Rpc, wait: Wait, within: Duration) -> Result<Submitted, ClientError> {
        let result = node.tx_submit(self.bytes.clone(), wait, within).await?;
        if result.id != self.id {
            let reason = Untrusted::OtherTransaction { asked: self.id, found: result.id };
            return Err(Client::untrusted(node, reason));
        }
        self.client.believe(node, self.id, result.status, result.receipt).await
    }
}

fn is_expiry(error: &ClientError) -> bool {
    matches!(error, ClientError::Call(CallError::Node { error, .. })
        if error.kind() == ErrorKind::TransactionExpired)
}
