//! The state before block 1.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use quorate_ledger::{BlockHash, ChainId, Epoch, Height};

use super::State;
use super::entry::Head;
use super::table::Table;
use crate::config::{Config, FAULT_TOLERANT, Member, Members, Registry};
use crate::outcome::Reason;
use crate::parameters::{ParameterError, Settings};
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
}

impl State {
    /// The state before block 1. A network that begins with fewer than four members may have so few
    /// again; any other network may not.
    ///
    /// # Errors
    /// [`InitialStateError`]. The content of a checked genesis causes none.
    pub fn initial(initial: InitialState) -> Result<Self, InitialStateError> {
        let InitialState { chain, block, members, settings } = initial;
        if let Some(error) = settings.errors().into_iter().next() {
            return Err(InitialStateError::Parameter(error));
        }
        let allows_small = members.len() < FAULT_TOLERANT;
        let members = Members::new(Epoch(0), members, allows_small).map_err(InitialStateError::Members)?;
        let config = Config {
            epoch_start: Height(0),
            allows_small,
            members: Arc::new(members),
            settings,
            candidates: Arc::new(BTreeSet::new()),
            clients: Registry::default(),
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
