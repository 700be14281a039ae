//! Networks of real `quorate` processes on loopback, for tests.
//!
//! The harness uses the program only through its external interfaces: command line, files, signals
//! and JSON-RPC. It uses its own socket for JSON-RPC, so that it does not share mistakes with the
//! project's client and server. From the project it uses the types (`quorate-ledger`,
//! `quorate-genesis`, `quorate-api`) to sign transactions and to verify responses.
//!
//! * The program is built once ([`quorate`]) in the profile of the tests, or is the one in
//!   `QUORATE_BIN`.
//! * [`Network`] writes the files of a network and runs its validators. Tests can stop, kill, freeze
//!   and restart them. All are killed when the network is dropped. If a test panics, the ends of their
//!   logs are printed.
//! * Views and votes are read as operators would read them: [`Network::common_view`],
//!   [`Network::wait_until_caught_up`], [`Network::wait_until_it_votes`].
//! * [`Lines`] between validators can be cut, delayed, slowed down and counted, each direction
//!   separately. [`Network::with_faults`] injects wrong clocks and slow disks into single running
//!   validators.
//! * Tests wait only for conditions, each with a time limit ([`until`]).
//! * Load is bounded. `QUORATE_E2E_SCALE` multiplies it; [`scaled`] computes the result.
//!
//! `tests/processes` contains the tests of results, `tests/view_changes` the tests of durations.
//! `tests/chaos` adds faults of lines, disks and clocks. `tests/load` runs many clients at once and
//! uses the project's own client instead of the harness's. Cargo runs these programs one after the
//! other, so no measurement is disturbed by another test. `tests/explorer` tests the node's pages
//! in a real [`Browser`], if there is one.
//!
//! Ports come from a block that is reserved while a network exists ([`PortBlock`]), and only
//! 127.0.0.1 is used.

mod clients;
mod lines;
mod network;
mod ports;
mod program;
mod random;
mod scale;
mod wait;

pub use clients::browser::Browser;
pub use clients::chain::{Chain, proven_anchor};
pub use clients::http::{Http, Response, send_raw};
pub use clients::load::{Committed, Load, submit_until_taken};
pub use clients::rpc::{CallError, Rpc};
pub use clients::signed::{SignedTransaction, Signer, now};
pub use clients::stream::{EventStream, SocketStream};
pub use lines::Lines;
pub use lines::state::{Delivery, Passed};
pub use network::Network;
pub use network::copies::copy_directory;
pub use network::home::LoneHome;
pub use network::observer::Observer;
pub use network::validator::Validator;
pub use ports::PortBlock;
pub use program::binary::quorate;
pub use program::command::{Finished, Invocation};
pub use program::process::{Memory, Outputs, Process};
pub use random::{Random, seed};
pub use scale::scaled;
pub use wait::{WAIT_LIMIT, between_looks, until, wait_until};
