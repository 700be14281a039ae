//! The HTTP interface of a node: JSON-RPC 2.0, streams of blocks, pages for people, health, metrics.
//!
//! This is the only crate that knows axum. It asks its questions through the trait [`Node`], so it knows
//! nothing of the ordering protocol, the pool or the network; the types it answers with are those of
//! `quorate-api`. `README.md` beside this crate documents every method, error and limit for clients.
//!
//! The way of a request: own accept loop with limits ([`serve`]), axum router ([`router()`]), the body read
//! under limits of size, time and memory, JSON-RPC framing checked to the letter of the specification, and
//! only then jsonrpsee, which decodes parameters and encodes results. The entries of a batch run
//! concurrently, so that waiting for one block serves them all. A WebSocket's messages take the same way;
//! streams of blocks read the ledger at the pace of their readers. The pages of the explorer are made of what
//! the same methods answer.
//!
//! ```no_run
//! # async fn example(node: std::sync::Arc<impl quorate_rpc::Node>) -> Result<(), quorate_rpc::RpcStartError> {
//! use quorate_rpc::{RpcConfig, serve};
//!
//! let server = serve(RpcConfig::default(), node, None).await?;
//! println!("listening on {}", server.local_addr());
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod acceptor;
mod admin;
mod answer;
mod budget;
mod chain;
mod client;
mod config;
mod discovery;
mod dispatch;
mod endpoint;
mod explain;
mod explorer;
mod head;
mod health;
mod hosts;
mod meter;
mod methods;
mod node;
mod parameters;
mod places;
mod rate;
mod receipts;
mod refusal;
mod request;
mod router;
mod server;
mod stall;
mod stopping;
mod stream;
mod transactions;

pub use admin::{AdminServer, AdminStartError, Administration, check_admin_path, serve_admin};
pub use config::{RpcConfig, RpcProblem, RpcStartError};
pub use explain::explain_report as explain;
pub use meter::{MetricKind, MetricSpec, RPC_METRICS};
pub use node::{Node, NodeReport, SubmitRefusal};
pub use router::router;
pub use server::{RpcServer, serve};
