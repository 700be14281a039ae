//! A running node: network, verification, engine and RPC wired together.
//!
//! ```text
//! network ── incoming ──► verify ──► inbox ──► driver (engine) ──► outgoing ──► network
//! RPC ────── service ───────┘           ▲              │
//!                                       └── answers ◄──┴──► waiters, snapshots ──► RPC
//! ```
//!
//! `validator` assembles a validator in this way. `observer` assembles an observer, which has
//! `quorate_engine::Observer` instead of the engine, and neither verification nor a journal. The
//! other modules are parts of both.

mod assembly;
mod clock;
mod faults;
mod fetching;
mod inbox;
mod known_addresses;
mod members;
mod metrics;
mod observer;
mod open_files;
mod ordering_thread;
mod peer_network;
mod publisher;
mod running;
mod serving;
mod status;
mod validator;

use quorate_genesis::Genesis;
use quorate_ledger::SecretKey;

use crate::config::{Config, Role};
use crate::home::Home;
use crate::logging::LogLevel;
pub(crate) use open_files::make_room;
pub(crate) use running::Running;

/// Everything that a node needs to run.
pub(crate) struct Setup {
    /// The parameters that all nodes agree on.
    pub(crate) genesis: Genesis,
    /// This node's key.
    pub(crate) key: SecretKey,
    /// This node's name in messages.
    pub(crate) name: String,
    /// Its settings.
    pub(crate) config: Config,
    /// The log level. The node has an administration socket if this is set.
    pub(crate) log_level: Option<LogLevel>,
}

impl Setup {
    /// The setup of the node with this home.
    pub(crate) fn of(home: Home, log_level: Option<LogLevel>) -> Self {
        let Home { config, genesis, key, name } = home;
        Setup { genesis, key, name, config, log_level }
    }
}

/// Starts a node with existing files. It takes part as soon as this returns.
///
/// # Errors
/// Files that cannot be opened or belong to another node, a key that is not a member's, or addresses
/// that it cannot listen on.
pub(crate) async fn start(setup: Setup) -> anyhow::Result<Running> {
    match setup.config.role {
        Role::Validator => validator::start(setup).await,
        Role::Observer => observer::start(setup).await,
    }
}
