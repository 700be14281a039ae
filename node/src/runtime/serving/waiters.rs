use std::collections::HashMap;
use std::sync::Mutex;

use quorate_api::TransactionStatus;
use quorate_engine::{End, Ended};
use quorate_ledger::{Block, TransactionId};
use tokio::sync::oneshot;

type Waiting = HashMap<TransactionId, Vec<oneshot::Sender<TransactionStatus>>>;

/// Requests that wait for the end of a transaction. Each holds a [`Waiter`], so there are at most
/// as many as requests that the RPC server runs.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    waiting: Mutex<Waiting>,
}

impl Waiters {
    /// Registers for the end of a transaction until the waiter is dropped.
    pub(crate) fn wait_for(&self, id: TransactionId) -> Waiter<'_> {
        let (sender, end) = oneshot::channel();
        self.lock().entry(id).or_default().push(sender);
        Waiter { waiters: self, id, end }
    }

    /// Removes the entry of a transaction for which no request waits any more.
    fn remove_if_unused(&self, id: &TransactionId) {
        let mut waiting = self.lock();
        if let Some(senders) = waiting.get_mut(id) {
            senders.retain(|sender| !sender.is_closed());
            if senders.is_empty() {
                waiting.remove(id);
            }
        }
    }

    /// Notifies requests that wait for transactions of this block.
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

    /// Notifies requests that wait for a transaction that no later block can contain.
    pub(crate) fn ended(&self, ended: &Ended) {
        for sender in self.lock().remove(&ended.id).unwrap_or_default() {
            let _ = sender.send(status_of(ended.end));
        }
    }

    /// Notifies all requests that wait: the node goes on in another role, in which the status of their
    /// transactions is this one.
    pub(crate) fn role_ended(&self, status: &TransactionStatus) {
        for sender in std::mem::take(&mut *self.lock()).into_values().flatten() {
            let _ = sender.send(status.clone());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The status of a transaction that ended without being ordered.
pub(crate) fn status_of(end: End) -> TransactionStatus {
    match end {
        End::Expired => TransactionStatus::Expired,
        End::Rejected(reason) => TransactionStatus::rejected(reason),
    }
}

/// A request that waits for the end of a transaction. A cancelled request drops it, which removes
/// its entry.
#[derive(Debug)]
pub(crate) struct Waiter<'a> {
    waiters: &'a Waiters,
    id: TransactionId,
    end: oneshot::Receiver<TransactionStatus>,
}

impl Waiter<'_> {
    /// The end; `None` if the node stops first.
    pub(crate) async fn end(&mut self) -> Option<TransactionStatus> {
        (&mut self.end).await.ok()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.end.close();
        self.waiters.remove_if_unused(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_role_ends_all_waits() {
        let waiters = Waiters::default();
        let ids = [1, 2].map(|number| TransactionId::from_bytes([number; 32]));
        let [mut first, mut second] = ids.map(|id| waiters.wait_for(id));
        waiters.role_ended(&TransactionStatus::Pending);
        assert_eq!(first.end().await, Some(TransactionStatus::Pending));
        assert_eq!(second.end().await, Some(TransactionStatus::Pending));
        assert!(waiters.lock().is_empty());
    }

    #[test]
    fn dropping_a_waiter_removes_its_entry() {
        let waiters = Waiters::default();
        let id = TransactionId::from_bytes([1; 32]);
        let (first, second) = (waiters.wait_for(id), waiters.wait_for(id));
        drop(first);
        assert_eq!(waiters.lock()[&id].len(), 1);
        drop(second);
        assert!(waiters.lock().is_empty());
    }
}
