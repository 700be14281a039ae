//! A client of Quorate networks that verifies every result that can be proven.
//!
//! [`Client`] has several nodes and the chain's anchor, which follows from the genesis. It sends a
//! request to one node, continues at the next if that one fails, and verifies every receipt and
//! block against the anchor before it returns it. A node can refuse to respond or send outdated
//! data, but it cannot forge data. [`Client::follow`] reads every block of the chain when it is
//! committed, from any of the nodes. [`Rpc`] is one node without verification, for command lines
//! and monitoring. [`TransactionBuilder`] makes transactions.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use quorate_client::{Client, ClientConfig, TransactionBuilder};
//! use quorate_ledger::{ChainAnchor, SecretKey};
//!
//! # async fn example(anchor: ChainAnchor) -> Result<(), Box<dyn std::error::Error>> {
//! let key = SecretKey::generate();
//! let transaction = TransactionBuilder::new(anchor.chain_id(), b"hello".to_vec()).sign(&key)?;
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
mod epochs;
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
