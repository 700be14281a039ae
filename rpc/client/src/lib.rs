//! A client of Quorate networks that believes nothing it can check.
//!
//! [`Client`] knows several nodes and the chain's anchor, which follows from the genesis. It asks one node,
//! goes on to the next when that one fails, and checks every receipt and block against the anchor before it
//! gives it out: a node can refuse to answer or answer with something old, but it cannot make anything up.
//! [`Client::follow`] gives every block of the chain as it is committed, from whichever node has it.
//! [`Rpc`] is one node without checks, for command lines and monitoring. [`TransactionBuilder`] makes
//! transactions.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use quorate_client::{Client, ClientConfig, TransactionBuilder};
//! use quorate_ledger::{ChainAnchor, SecretKey};
//!
//! # async fn example(anchor: ChainAnchor) -> Result<(), Box<dyn std::error::Error>> {
//! let key = SecretKey::generate();
//! let transaction = TransactionBuilder::new(anchor.chain_id, b"hello".to_vec()).sign(&key)?;
//! let urls = ["http://127.0.0.1:8545", "http://127.0.0.1:8546"];
//! let client = Client::new(urls, anchor, ClientConfig::default())?;
//! let submitted = client.submit_and_wait(&transaction, Duration::from_secs(10)).await?;
//! if let Some(receipt) = submitted.receipt {
//!     println!("committed at height {}", receipt.proof.header.height);
//! }
//! # Ok(())
//! # }
//! ```

mod agree;
mod blocks;
mod client;
mod config;
mod error;
mod events;
mod fail_over;
mod follow;
mod rpc;
mod transaction;
mod transactions;

pub use client::Client;
pub use config::ClientConfig;
pub use error::{CallError, ClientError, Untrusted};
pub use follow::Follower;
pub use rpc::Rpc;
pub use transaction::{DEFAULT_LIFETIME, TransactionBuilder, TransactionTooLarge};
pub use transactions::{Located, Submitted};
