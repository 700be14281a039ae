//! The state before block 1.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use quorate_ledger::{BlockHash, ChainId, Epoch, Height, PublicKey};

use super::State;
use super::entry::Head;
use super::table::Table;
use crate::config::{Client, Config, FAULT_TOLERANT, Member, Members, Registry};
use crate::operations::Name;
use crate::outcome::Reason;
use crate::parameters::{MAX_CLIENTS, ParameterError, Settings};
use crate::tree::Tree;

/// What the genesis gives governance.
#[derive(Debug, Clone)]
pub struct InitialState {
    /// The chain id.
    pub chain: ChainId,
    /// Hash of the genesis header.
    pub block: BlockHash,
    /// The members of epoch 0, in any order.
    pub members: Vec<Member>,
    /// All parameters.
    pub settings: Settings,
    /// The clients that the network takes over from the one that it continues, in any order.
    pub clients: Vec<Client>,
}

/// Why a network cannot begin like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InitialStateError {
    /// The members cannot form a committee.
    #[error("the members cannot form a committee: {0}")]
    Members(Reason),
    /// A parameter is invalid.
    #[error("{0}")]
    Parameter(ParameterError),
    /// A client that cannot be in the registry.
    #[error("client {key}: {reason}")]
    Client {
        /// Its key.
        key: PublicKey,
        /// What is wrong with it.
        reason: Reason,
    },
}

impl State {
    /// The state before block 1. A network that begins with fewer than four members may have so few
    /// again; any other network may not.
    ///
    /// # Errors
    /// [`InitialStateError`]. Members and settings of a checked genesis cause none.
    pub fn initial(initial: InitialState) -> Result<Self, InitialStateError> {
        let InitialState { chain, block, members, settings, clients } = initial;
        if let Some(error) = settings.errors().into_iter().next() {
            return Err(InitialStateError::Parameter(error));
        }
        let allows_small = members.len() < FAULT_TOLERANT;
        let members = Members::new(Epoch(0), members, allows_small).map_err(InitialStateError::Members)?;
        let config = Config {
            epoch_start: Height(0),
            allows_small,
            settings,
            candidates: Arc::new(BTreeSet::new()),
            clients: registry(clients, &members)?,
            members: Arc::new(members),
        };
        let head = Head {
            chain,
            height: Height(0),
            block,
            epoch: config.epoch(),
            epoch_start: config.epoch_start,
            effective: Height(0).plus(config.window()).next(),
            next_number: 0,
            allows_small,
        };
        let mut state = State {
            head,
            configs: VecDeque::from([(Height(0), Arc::new(config))]),
            proposals: Table::new(BTreeMap::new()),
            scheduled: Table::new(BTreeMap::new()),
            ready: Table::new(BTreeMap::new()),
            retired: Table::new(BTreeMap::new()),
            renewals: Table::new(BTreeMap::new()),
            entries: Tree::default(),
        };
        state.write_all();
        Ok(state)
    }
}

/// The registry of these clients: each has a key of its own and belongs to a member. They need not
/// be within the limits of the settings, because governance may have lowered these since.
fn registry(clients: Vec<Client>, members: &Members) -> Result<Registry, InitialStateError> {
    let names: BTreeSet<&Name> = members.list().iter().map(|member| &member.name).collect();
    let mut keys = BTreeSet::new();
    for client in &clients {
        let refused = |reason| Err(InitialStateError::Client { key: client.key, reason });
        if keys.len() >= MAX_CLIENTS as usize {
            return refused(Reason::ClientLimit);
        }
        if !names.contains(&client.member) {
            return refused(Reason::UnknownMember);
        }
        if !keys.insert(client.key) {
            return refused(Reason::ClientExists);
        }
    }
    Ok(Registry::of(clients))
}
