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

mod catchup;
mod engine;
mod event;
mod examine;
mod fairness;
mod flight;
mod outbound;
mod outlines;
mod overview;
mod promises;
mod propose;
mod recent;
mod recover;
mod submit;
mod wire;

pub use catchup::{CheckedRun, RunError, serve_run};
pub use engine::{Counters, Engine, EngineConfig, Fatal};
pub use event::{Effects, Ended, Event, FetchId, Fetched, Notice, Refusal, Submission, Ticket};
pub use examine::serve_committed;
pub use overview::Overview;
pub use recover::OpenError;
pub use wire::{Answer, Ask, MAX_ASKED, MemberMessage, RunBlock, WireLimits};
