//! Faults that are switched on in the replica (`ledger/src/mutant.rs`), and the shortest scenario
//! that shows each.
//!
//! Without the fault, every scenario ends well. With the fault, the oracle notices a broken rule. A
//! second run checks agreement alone. It continues to the consequence of the fault: two final
//! blocks at one height, or a network that stops for ever.
#![allow(clippy::unwrap_used)]

#[path = "../net/mod.rs"]
#[allow(dead_code, unused_imports, reason = "these scenarios use only a part of it")]
mod net;
mod promises;
mod quorums;
mod scenario;
mod selection;
