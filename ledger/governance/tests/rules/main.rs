//! The rules of governance: operations, decisions, configurations, the state and its root.

#![allow(clippy::unwrap_used, missing_docs)]

mod bytes;
mod clients;
mod committees;
mod entries;
mod heights;
mod keys;
mod network;
mod parameters;
mod properties;
mod reasons;
#[path = "../../../tests/vectors/mod.rs"]
mod vectors;
mod wire;
