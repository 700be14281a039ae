//! The pool of transactions that wait for a block.
//!
//! The pool admits verified transactions within limits. Besides those of the pool and of each sender,
//! the owner states the [`Share`] of the pool in which a transaction takes a place. The pool selects the oldest first, with
//! round-robin turns among the senders. It removes transactions when they are committed or have
//! expired. It never evicts: an admitted transaction stays until one of these happens, and one that
//! does not fit is refused with a reason.
//!
//! The pool is pure and deterministic: time is an argument, and the same calls give the same
//! results everywhere. It must not depend on consensus. Before it calls [`Mempool::admit`], the
//! owner checks whether a transaction was committed before, is too large or is of a reserved kind.
//!
//! ```
//! use quorate_ledger::{ChainId, Payload, SecretKey, Timestamp, Transaction, TransactionLimits};
//! use quorate_mempool::{Admission, Mempool, MempoolLimits, Selection, Share};
//!
//! let mut pool = Mempool::new(MempoolLimits {
//!     max_transactions: 100,
//!     max_bytes: 100_000,
//!     max_transactions_per_sender: 10,
//!     max_bytes_per_sender: 10_000,
//! });
//! let chain = ChainId::from_bytes([7; 32]);
//! let key = SecretKey::from_bytes(&[1; 32])?;
//! let payload = Payload::Data(b"hello".to_vec());
//! let transaction = Transaction::sign(&chain, &key, 1, Timestamp(60_000), payload).verify(&chain)?;
//!
//! let now = Timestamp(1000);
//! assert_eq!(pool.admit(now, Share::Common, transaction.clone())?, Admission::New);
//! assert_eq!(pool.admit(now, Share::Common, transaction.clone())?, Admission::Known);
//!
//! let selection = Selection {
//!     max_transactions: 10,
//!     max_body_bytes: 1000,
//!     transaction: TransactionLimits { max_bytes: 500, max_lifetime_ms: 120_000 },
//! };
//! let block = pool.select(now, &selection);
//! assert_eq!(block.len(), 1);
//! pool.mark_in_flight(&[transaction.id()]);
//! assert!(pool.select(now, &selection).is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod admission;
mod pool;
mod selection;
mod statistics;
mod usage;
mod waiting;

pub use admission::{Admission, Group, MempoolLimits, Share};
pub use pool::Mempool;
pub use selection::{MAX_MISFITS, Selection};
pub use statistics::MempoolStatistics;
pub use waiting::{Arrival, WaitingTransaction};

#[cfg(test)]
mod test_transactions;
