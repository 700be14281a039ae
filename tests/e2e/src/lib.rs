//! Networks of real `quorate` processes on loopback, for tests.
//!
//! The harness knows the program only as a stranger does: by its command line, its files, its signals and its
//! JSON-RPC, which it speaks over a socket of its own. Whatever client and server of the project might agree
//! on by mistake, it would not. From the project it takes the vocabulary (`quorate-ledger`,
//! `quorate-genesis`, `quorate-api`), with which it signs transactions and checks what it is told.
//!
//! * The program is built once ([`quorate`]) in the profile of the tests, or is the one `QUORATE_BIN` names.
//! * [`Network`] writes the files of a network, runs its validators, and does to them what happens to
//!   processes: ended, killed, frozen, started again. All are killed when it is dropped, and if a test
//!   panics, the ends of their logs are printed.
//! * Views and votes are asked for as operators would: [`Network::common_view`], [`Network::wait_until_level`],
//!   [`Network::wait_until_it_votes`].
//! * [`Lines`] between validators can be cut, held up, slowed down and counted, each way by itself.
//!   [`Network::with_faults`] makes clocks and disks of single validators wrong while they run.
//! * Nothing is waited for but conditions, and for none of them for ever ([`until`]).
//! * Load is bounded. `QUORATE_E2E_SCALE` multiplies it; [`scaled`] says what it comes to.
//!
//! `tests/processes` holds the tests that care for what happens, `tests/view_changes` those that care for how long
//! it takes, `tests/chaos` those in which lines, disks and clocks fail, too, and `tests/load` those in which much
//! happens at once, with the project's own client in the place of the harness's; cargo runs one after the other, so
//! that nothing is measured beside the load of something else.
//! `tests/explorer` looks at the node's pages in a real [`Browser`], where there is one.
//!
//! Ports come from a block that is reserved for a network as long as it lives ([`PortBlock`]), and only
//! 127.0.0.1 is used.

mod binary;
mod browser;
mod caller;
mod carry;
mod chain;
mod command;
mod copies;
mod faults;
mod home;
mod http;
mod lines;
mod load;
mod network;
mod observer;
mod ports;
mod process;
mod random;
mod rpc;
mod scale;
mod signed;
mod stream;
mod validator;
mod views;
mod wait;

pub use binary::quorate;
pub use browser::Browser;
pub use chain::Chain;
pub use command::{Finished, Invocation};
pub use copies::copy_directory;
pub use home::LoneHome;
pub use http::{Http, Response, send_raw};
pub use lines::{Lines, Passed, Way};
pub use load::{Committed, Load, submit_until_taken};
pub use network::Network;
pub use observer::Observer;
pub use ports::PortBlock;
pub use process::{Memory, Outputs, Process};
pub use random::{Random, seed};
pub use rpc::{CallError, Rpc};
pub use scale::scaled;
pub use signed::{SignedTransaction, Signer, now};
pub use stream::{EventStream, SocketStream};
pub use validator::Validator;
pub use wait::{PATIENCE, between_looks, until, wait_until};
