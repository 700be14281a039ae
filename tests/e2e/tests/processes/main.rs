//! The documented behaviour of the program, tested on real processes.
#![allow(clippy::unwrap_used)]

mod governance;
mod membership;
mod governance_commands;
mod network;
mod operating;
mod surroundings;
