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
//! other modules are parts of both. `node` starts one of the two, and the other one when the committee
//! changes so that the key of the node is in it, or no longer is.

mod answering;
mod assembly;
mod clock;
mod epoch;
mod faults;
mod fetching;
mod inbox;
mod known_addresses;
mod metrics;
mod node;
mod observer;
mod open_files;
mod ordering_thread;
mod peer_network;
mod publisher;
mod ready;
mod running;
mod serving;
mod status;
mod validator;

use quorate_genesis::Genesis;
use quorate_governance::State;
use quorate_ledger::SecretKey;
use quorate_network::PeerKey;

use crate::config::Config;
use crate::home::Home;
use crate::logging::LogLevel;
use epoch::members::peer_key;
pub(crate) use node::{Running, start};
pub(crate) use open_files::make_room;

/// Everything that a node needs to run.
#[derive(Clone)]
pub(crate) struct Setup {
    /// The parameters that all nodes agree on.
    pub(crate) genesis: Genesis,
    /// This node's key.
    pub(crate) key: SecretKey,
    /// The key that replaces it with the epoch in which it is that of a member, and the other is not.
    pub(crate) next_key: Option<SecretKey>,
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
        let Home { config, genesis, key, next_key, name } = home;
        Setup { genesis, key, next_key, name, config, log_level }
    }

    /// The peers that the bootstrap addresses name by their ids, but this node.
    fn sources(&self) -> Vec<PeerKey> {
        let own = [Some(&self.key), self.next_key.as_ref()];
        let own = own.into_iter().flatten().map(|key| peer_key(&key.public()));
        let own: Vec<PeerKey> = own.collect();
        let named = quorate_network::keys_in(&self.config.p2p_bootstrap);
        named.into_iter().filter(|key| !own.contains(key)).collect()
    }

    /// The same with the next key as the key, if only that one is a member's after this state. The
    /// other key stays beside it: the journal may still belong to it.
    fn with_key_in_force(mut self, state: &State) -> Self {
        let committee = state.next_config().committee();
        let is_member = |key: &SecretKey| committee.index_of(&key.public()).is_some();
        if let Some(next) = self.next_key.take() {
            let replaces = is_member(&next) && !is_member(&self.key);
            let other = if replaces { std::mem::replace(&mut self.key, next) } else { next };
            self.next_key = Some(other);
        }
        self
    }
}
