//! The engine: PBFT, mempool, ledger and journal of one node, as one synchronous state machine.
//!
//! [`Engine::handle`] takes events and the time, and steps the replica through them. It writes all
//! journal records that arise as one group, with one sync. Only then does it return the messages
//! that depend on these records ([`Effects`], R13). The engine has no sockets, no threads and no
//! system clock. Production drives it from a thread, the simulator from a loop, and both run this
//! same code.
//!
//! The order of work matters: events, finality, proposals, journal, effects. See
//! [`Engine::handle`]. A storage error is final ([`Fatal`]): after it the contents of the disk are
//! unknown, and a node without reliable records must not vote.
//!
//! [`Observer`] is the same for a node without a vote. It follows the chain by certified blocks,
//! and its only file is the ledger.

mod config;
mod driver;
mod engine;
mod epochs;
mod event;
mod fatal;
mod fetching;
mod observer;
mod overview;
mod pool;
mod proposing;
mod replica_requests;
mod storage;
mod wire;

pub use config::EngineConfig;
pub use engine::{Counters, Engine};
pub use epochs::EpochRole;
pub use event::{Effects, End, Ended, Event, FetchId, Fetched, Notice, Submission, Ticket};
pub use fatal::Fatal;
pub use fetching::bodies::serve_committed;
pub use fetching::range::{CheckedRange, RangeError, serve_range};
pub use observer::{Observation, Observer, ObserverOverview};
pub use overview::Overview;
pub use storage::open::OpenError;
pub use wire::{
    FetchRequest, FetchResponse, HeadStatus, MAX_ASKED, MemberMessage, RangeBlock, ReadyRequest, WireLimits,
};
