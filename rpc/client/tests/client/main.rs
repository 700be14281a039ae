//! The client against servers over loopback: correct, failing and faulty ones.

#![allow(clippy::unwrap_used, missing_docs)]

mod agree;
mod epochs;
mod fail_over;
mod follow;
mod proofs;
mod site;
#[path = "../../../tests/support/mod.rs"]
#[allow(dead_code)]
mod support;
