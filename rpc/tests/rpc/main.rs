//! The HTTP interface over a node that stands still until it is told to move.

#![allow(clippy::unwrap_used, missing_docs)]

mod conformance;
mod described;
mod errors;
mod limits;
mod methods;
mod openrpc;
mod rates;
mod readme;
mod schema;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod web;
