//! What operators and clients do with the program, and what it tells them.

mod administration;
mod commands;
mod devnet;
mod examples;
mod explaining;
mod ledgers;
mod logs;
mod stopping;
mod warnings;
