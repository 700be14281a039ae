//! The documented behaviour of the program, tested on real processes.
#![allow(clippy::unwrap_used)]

mod continuing;
mod governance;
mod governance_commands;
mod membership;
mod network;
mod operating;
mod surroundings;
