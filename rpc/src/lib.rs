//! The HTTP interface of a node: JSON-RPC 2.0, streams of blocks, pages for people, health,
//! metrics.
//!
//! This is the only crate that uses axum. It accesses the node through the trait [`Node`], so it
//! does not depend on the ordering protocol, the pool or the network. Its responses use the types
//! of `quorate-api`. `README.md` in this directory documents every method, error and limit for
//! clients.
//!
//! A request passes these stages: an accept loop with limits ([`serve`]); the axum router
//! ([`router()`]); reading the body under limits of size, time and memory; the JSON-RPC framing
//! exactly as specified; parameters, checked by the table of methods; and the method, whose result
//! is encoded once. The entries of a batch run concurrently, so that all of them can wait for the
//! same block. Messages of a WebSocket pass the same stages. Streams of blocks read the ledger at
//! the pace of their readers. The pages of the explorer are made of the results of the same
//! methods.
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

mod admin;
mod config;
mod explain;
mod explorer;
mod health;
mod json_rpc;
mod limits;
mod meter;
mod methods;
mod node;
mod router;
mod server;
mod stopping;
mod stream;
mod transport;

pub use admin::{AdminServer, AdminStartError, Administration, check_admin_path, serve_admin};
pub use config::{RpcConfig, RpcProblem, RpcStartError};
pub use explain::{explain_report as explain, pending_changes};
pub use meter::{MetricKind, MetricSpec, RPC_METRICS};
pub use node::{Node, NodeReport};
pub use router::router;
pub use server::{RpcServer, serve};
