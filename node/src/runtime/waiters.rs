use std::collections::HashMap;
use std::sync::Mutex;

use quorate_api::TransactionStatus;
use quorate_ledger::{Block, TransactionId};
use tokio::sync::oneshot;

type Waiting = HashMap<TransactionId, Vec<oneshot::Sender<TransactionStatus>>>;

/// Requests that wait for the end of a transaction. As many as the RPC server runs requests, so its limit
/// bounds this too.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    waiting: Mutex<Waiting>,
}

impl Waiters {
    /// Hears of the end of a transaction from now on.
    pub(crate) fn wait_for(&self, id: TransactionId) -> oneshot::Receiver<TransactionStatus> {
        let (sender, receiver) = oneshot::channel();
        self.lock().entry(id).or_default().push(sender);
        receiver
    }

    /// Forgets those who no longer wait for this transaction.
    pub(crate) fn give_up(&self, id: &TransactionId) {
        let mut waiting = self.lock();
        if let Some(senders) = waiting.get_mut(id) {
            senders.retain(|sender| !sender.is_closed());
            if senders.is_empty() {
                waiting.remove(id);
            }
        }
    }

    /// Tells those who wait for transactions of this block.
    pub(crate) fn committed(&self, block: &Block) {
        let mut waiting = self.lock();
        if waiting.is_empty() {
            return;
        }
        for (index, id) in (0..).zip(block.body().ids()) {
            for sender in waiting.remove(id).unwrap_or_default() {
                let height = block.height().0;
                let _ = sender.send(TransactionStatus::Committed { height, index });
            }
        }
    }

    /// Tells those who wait for this transaction.
    pub(crate) fn expired(&self, id: &TransactionId) {
        for sender in self.lock().remove(id).unwrap_or_default() {
            let _ = sender.send(TransactionStatus::Expired);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
