//! Whole committees of replicas in lock-step. The folders are named for what their tests cover.
#![allow(clippy::unwrap_used)]

mod epochs;
mod hostile;
#[path = "../net/mod.rs"]
mod net;
mod ordering;
mod random_schedules;
mod storage;
#[path = "../../../../ledger/tests/vectors/mod.rs"]
mod vectors;
mod view_changes;
mod wire;
