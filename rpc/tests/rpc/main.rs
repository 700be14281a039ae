//! The HTTP interface over a fake node that changes only when a test changes it.

#![allow(clippy::unwrap_used, missing_docs)]

mod admin;
mod browser;
mod conformance;
mod damage;
mod described;
mod errors;
mod events;
mod explorer;
mod hostile;
mod html;
mod limits;
mod methods;
mod metrics;
mod openrpc;
mod rates;
mod readme;
mod schema;
mod server;
mod socket;
mod socket_limits;
#[path = "../support/mod.rs"]
mod support;
mod web;
