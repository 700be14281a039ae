//! The documented behaviour of the program, tested on real processes.
#![allow(clippy::unwrap_used)]

mod administration;
mod catching_up;
mod commands;
mod crashes;
mod devnet;
mod disks;
mod examples;
mod explaining;
mod files;
mod garbage;
mod ledgers;
mod logs;
mod observers;
mod ordering;
mod outsiders;
mod ports;
mod quorum;
mod receipts;
mod refusals;
mod stopping;
mod warnings;
