//! The program as its users see it: arguments in, output and exit codes out. No test here starts a network;
//! those that do are in the end-to-end tests.

#![allow(clippy::unwrap_used)]

mod chain;
mod continuing;
mod genesis;
mod key;
mod node;
mod program;
mod receipt;
mod testnet;
mod tx;
mod usage;
mod verify;
