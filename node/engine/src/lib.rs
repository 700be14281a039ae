//! All that must be right together: PBFT, mempool, ledger and journal behind one synchronous door.
//!
//! [`Engine::handle`] takes whatever has happened and the time, steps the replica through it, writes one
//! group of promises with one sync, and only then hands out the messages that give them ([`Effects`]). It
//! knows no sockets, no threads and no system clock; production drives it from a thread, the simulator from a
//! loop, and both run this same code.
//!
//! The order of work that everything depends on is in [`Engine::handle`]: events, finality, proposals,
//! journal, effects. A storage error is final ([`Fatal`]): after it nobody knows what the disk holds, and a
//! node that cannot remember must not vote.
//!
//! [`Observer`] is the same for a node without a vote: it follows the chain by certified blocks, and has nothing to
//! remember but the ledger.

mod config;
mod driver;
mod engine;
mod event;
mod fetching;
mod observer;
mod overview;
mod pool;
mod proposing;
mod storage;
mod wire;

pub use config::EngineConfig;
pub use engine::{Counters, Engine, Fatal};
pub use event::{Effects, Ended, Event, FetchId, Fetched, Notice, Refusal, Submission, Ticket};
pub use fetching::bodies::serve_committed;
pub use fetching::range::{CheckedRun, RunError, serve_run};
pub use observer::{Observation, Observer, ObserverOverview};
pub use overview::Overview;
pub use storage::open::OpenError;
pub use wire::{Answer, Ask, HeadClaim, MAX_ASKED, MemberMessage, RunBlock, WireLimits};
